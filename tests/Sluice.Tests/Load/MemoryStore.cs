using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Records;

namespace Sluice.Tests.Load;

/// <summary>The process died here. Not a <see cref="StoreException"/>: nobody handles it.</summary>
sealed class SimulatedCrashException() : Exception("the process died");

/// <summary>What a store may do wrong.</summary>
enum StoreDefect
{
    None,

    /// <summary>The position is written after the transaction that wrote the rows.</summary>
    PositionApart,

    /// <summary>Requests with keys are not kept.</summary>
    ForgetsRequests,

    /// <summary>Late errors are not kept.</summary>
    ForgetsErrors,
}

/// <summary>
/// A table in memory that keeps what it is told over any number of <see cref="MemoryStore"/>s, with switches for faults. It checks the
/// contract of <see cref="ITableStore"/> on every load. One loader at a time.
/// </summary>
sealed class MemoryDatabase
{
    readonly Lock _lock = new();
    readonly SortedDictionary<string, SortedDictionary<int, string>> _rows = new(StringComparer.Ordinal); // key -> column id -> cell
    readonly Dictionary<Guid, SinkCounts> _counts = [];
    readonly List<LateError> _errors = [];
    readonly Dictionary<string, long> _receivedAt = [];
    long _expiredRows;
    readonly List<(KeptRequest Request, string Outcome)> _requests = [];
    readonly List<(ulong After, ulong Last, long Time)> _loads = [];
    readonly Dictionary<string, ulong> _positions = []; // key -> position of the record that wrote it last
    readonly Dictionary<string, long> _versions = []; // of rows
    readonly Dictionary<string, (long Version, long Time)> _tombstones = [];
    TableSchema? _schema;
    LogPosition _position;
    int _calls;
    int _failCall;
    int _failCount;
    int _crashCall;
    bool _crashAfterCommit;
    int _doubtfulCall;

    /// <summary>What failed, one by one and counted.</summary>
    public MemoryQuarantine Quarantine { get; private set; } = new();

    /// <summary>The log's sequence of the last write of each key.</summary>
    public ulong PositionOf(string key) => _positions.GetValueOrDefault(key);

    /// <summary>What the loader asked for, in order: <c>schema 1 @1</c>, <c>load 3 rows @2</c>, <c>check 1 rows</c>, with <c>failed</c> when it did not succeed.</summary>
    public List<string> Calls { get; } = [];

    /// <summary>Keys whose state was asked for.</summary>
    public List<string> AskedKeys { get; } = [];

    /// <summary>Called at the start of every writing call.</summary>
    public Action? OnCall { get; set; }

    /// <summary>Called when a writing call has taken effect, before its caller learns of it.</summary>
    public Action? OnEffect { get; set; }

    /// <summary>Called before anything is read.</summary>
    public Action? OnRead { get; set; }

    /// <summary>What it does wrong, for tests that must find it out.</summary>
    public StoreDefect Defect { get; set; }

    /// <summary>A batch with such a row is refused for good.</summary>
    public Func<RowBatch, int, bool> Refuses { get; set; } = (_, _) => false;

    /// <summary>Of each sink, the newest.</summary>
    public int KeptErrors { get; set; } = int.MaxValue;

    /// <summary>Writing calls so far, failed ones too.</summary>
    public int CallCount => _calls;

    /// <summary>What it says of late errors when it is asked for the fate of a request.</summary>
    public bool HasAllErrors { get; set; } = true;

    public LogPosition Position => _position;

    public IReadOnlyList<LateError> Errors => _errors;

    /// <summary>The n-th writing call from now on (1: the next) fails for a passing reason, and so do the following ones.</summary>
    public void FailCalls(int n, int count = 1) => (_failCall, _failCount) = (_calls + n, count);

    /// <summary>The n-th writing call from now on takes effect and reports a passing failure.</summary>
    public void FailAfterEffectInCall(int n) => _doubtfulCall = _calls + n;

    /// <summary>The process dies in the n-th writing call from now on, before or after it took effect.</summary>
    public void CrashInCall(int n, bool afterCommit) => (_crashCall, _crashAfterCommit) = (_calls + n, afterCommit);

    public MemoryStore Open() => new(this);

    /// <summary>Every row as <c>key: column=cell ...</c>, by key; absent and null cells are left out.</summary>
    public string[] Rows()
    {
        lock (_lock)
            return [.. _rows.Select(row => $"{row.Key}: {string.Join(' ', row.Value.Select(cell => $"{cell.Key}={cell.Value}"))}".TrimEnd())];
    }

    public SinkCounts CountsOf(Guid sinkId) => _counts.GetValueOrDefault(sinkId);

    /// <summary>Pretends that the position is another one.</summary>
    public void Move(LogPosition position) => _position = position;

    public StoredTable? Read()
    {
        OnRead?.Invoke();
        lock (_lock) return _schema is null ? null : new StoredTable(_position, _schema, new Dictionary<Guid, SinkCounts>(_counts)) { ExpiredRows = _expiredRows };
    }

    public void ApplySchema(TableSchema schema, LogPosition position)
    {
        Write($"schema {schema.Version} @{position.Sequence}", () =>
        {
            if (position == _position) return; // done before, and reported as failed
            MoveTo(position);
            _schema = schema;
            foreach (var row in _rows.Values)
                foreach (var column in row.Keys.Where(id => schema.FindColumn(id) is null).ToList()) row.Remove(column);
        });
    }

    public void Load(LoadBatch batch)
    {
        Write($"load {batch.Rows.RowCount} rows @{batch.UpTo.Sequence}{(batch.UpTo.RecordsAhead > 0 ? $"+{batch.UpTo.RecordsAhead}" : "")}", () =>
        {
            if (batch.Rows.RowCount == 0 && batch.Counts.Count == 0 && batch.UpTo == _position) return; // done before, and reported as failed
            ThrowIfRefused(batch);
            if (batch.TimeMicroseconds is { } time && batch.UpTo.Sequence > _position.Sequence) _loads.Add((_position.Sequence, batch.UpTo.Sequence, time));
            if (Defect != StoreDefect.PositionApart) MoveTo(batch.UpTo);
            if (batch.Operations is { } operations) Delete(operations);
            for (var row = 0; row < batch.Rows.RowCount; row++) Upsert(batch, row);
            foreach (var (sink, count) in batch.Counts)
            {
                var before = _counts.GetValueOrDefault(sink);
                _counts[sink] = new SinkCounts(before.Loaded + count.Loaded, before.Failed + count.Failed)
                {
                    Superseded = before.Superseded + count.Superseded,
                    Replayed = before.Replayed + count.Replayed,
                };
            }
            if (batch.Quarantine is not null) Quarantine.Add(batch.Quarantine);
            if (Defect != StoreDefect.ForgetsErrors) _errors.AddRange(batch.Errors);
            if (batch.Idempotency is not { } idempotency || Defect == StoreDefect.ForgetsRequests) return;
            _requests.RemoveAll(kept => kept.Request.ReceivedAtMicroseconds < idempotency.ForgetBeforeMicroseconds);
            _requests.AddRange(idempotency.Requests.Select(request => (request, request.OutcomeJson())));
        });
        if (Defect == StoreDefect.PositionApart) MoveTo(batch.UpTo);
    }

    /// <summary>Of rows only: the times of members are not kept here.</summary>
    public ExpiryStep Expire(RowExpiry expiry)
    {
        var expired = _rows.Keys.Where(key => _receivedAt[key] < expiry.RowsBeforeMicroseconds).OrderBy(key => _receivedAt[key]).Take(expiry.MaxRows).ToList();
        Write($"expire {expired.Count} rows", () =>
        {
            Assert.Equal(_schema, expiry.Schema);
            foreach (var key in expired) _rows.Remove(key);
            _expiredRows += expired.Count;
        });
        return new ExpiryStep(_expiredRows, HasMore: expired.Count == expiry.MaxRows);
    }

    /// <summary>Rows whose text (see <see cref="Rows"/>) contains the predicate; one that is not all letters and digits does not run.</summary>
    public DeletionOutcome Delete(Deletion deletion, LogPosition position)
    {
        var outcome = new DeletionOutcome(0, "the predicate does not run");
        Write($"delete {deletion.Predicate ?? "all"} @{position.Sequence}", () =>
        {
            if (position == _position) return;
            MoveTo(position);
            if (deletion.Predicate?.All(char.IsLetterOrDigit) == false) return;
            var doomed = _rows.Where(row => deletion.Predicate is null || $"{row.Key} {string.Join(' ', row.Value.Values)}".Contains(deletion.Predicate, StringComparison.Ordinal))
                .Select(row => row.Key).ToList();
            foreach (var key in doomed) (_, _) = (_rows.Remove(key), _versions.Remove(key));
            outcome = new DeletionOutcome(doomed.Count, Error: null);
        });
        return outcome;
    }

    public void Check(LoadBatch batch) => Write($"check {batch.Rows.RowCount} rows", () => ThrowIfRefused(batch));

    public void Drop()
    {
        Write("drop", () =>
        {
            _rows.Clear();
            _counts.Clear();
            _errors.Clear();
            _requests.Clear();
            _loads.Clear();
            Quarantine = new MemoryQuarantine();
            _versions.Clear();
            _tombstones.Clear();
            _schema = null;
            _position = default;
        });
    }

    public KeyState[] ReadKeys(ColumnBuffer keys, long tombstonesFrom)
    {
        OnRead?.Invoke();
        lock (_lock)
        {
            var names = Enumerable.Range(0, keys.RowCount).Select(row => SampleTable.Cell(keys, row)).ToList();
            Assert.Equal(names.Count, names.Distinct().Count());
            AskedKeys.AddRange(names);
            return [.. names.Select(key => new KeyState(
                _rows.ContainsKey(key),
                _versions.GetValueOrDefault(key, RecordOperations.NoVersion),
                _tombstones.TryGetValue(key, out var tombstone) && tombstone.Time >= tombstonesFrom ? tombstone.Version : RecordOperations.NoVersion))];
        }
    }

    public IReadOnlyList<LateError> ReadErrors(Guid sinkId, int limit)
    {
        lock (_lock) return [.. _errors.Where(error => error.SinkId == sinkId).Reverse().Take(Math.Min(limit, KeptErrors))];
    }

    public KeptFate ReadFate(Guid sinkId, string requestId, ulong sequence)
    {
        lock (_lock)
        {
            var errors = _errors.Where(error => error.RequestId == requestId).OrderBy(error => error.RecordIndex).ToList();
            var quarantined = Quarantine.ReadRequest(requestId);
            var loadedAt = _loads.Where(load => load.After < sequence && sequence <= load.Last).Select(load => (long?)load.Time).SingleOrDefault();
            return new KeptFate(
                loadedAt, [.. errors.Where(error => error.SinkId == sinkId)], HasAllErrors, [.. quarantined.Where(entry => entry.SinkId == sinkId).Select(entry => entry.Entry with { Raw = null })],
                errors.Any(error => error.SinkId != sinkId) || quarantined.Any(entry => entry.SinkId != sinkId));
        }
    }

    public IReadOnlyList<KeptRequest> ReadRequests()
    {
        lock (_lock) return [.. _requests.Select(kept => kept.Request with { Outcome = KeptRequest.ReadOutcome(kept.Outcome) })];
    }

    void Write(string call, Action effect)
    {
        OnCall?.Invoke();
        lock (_lock)
        {
            _calls++;
            Calls.Add(call + " failed");
            if (_calls == _crashCall && !_crashAfterCommit) throw new SimulatedCrashException();
            if (_failCount > 0 && _calls >= _failCall && _failCount-- > 0) throw new StoreException(isTransient: true, "the store is busy");
            effect();
            if (_calls == _crashCall) throw new SimulatedCrashException();
            if (_calls == _doubtfulCall) throw new StoreException(isTransient: true, "the connection was lost");
            Calls[^1] = call;
        }
        OnEffect?.Invoke();
    }

    static void AssertWhole(LoadBatch batch)
    {
        if (batch.Operations is not { } operations) return;
        Assert.Equal(batch.Rows.RowCount, operations.Resets.RowCount);
        Assert.Equal(batch.Rows.RowCount, operations.Versions.RowCount);
        Assert.All(operations.Removed, column => Assert.Equal(batch.Rows.RowCount, column.RowCount));
        Assert.Equal(operations.TombstoneKeys.RowCount, operations.TombstoneVersions.RowCount);
        Assert.Empty(Texts(batch.Rows.Key).Intersect(Texts(operations.DeletedKeys)));
        Assert.Equal(operations.DeletedKeys.RowCount, Texts(operations.DeletedKeys).Distinct().Count());
        Assert.Equal(operations.TombstoneKeys.RowCount, Texts(operations.TombstoneKeys).Distinct().Count());

        static List<string> Texts(ColumnBuffer keys) => [.. Enumerable.Range(0, keys.RowCount).Select(row => SampleTable.Cell(keys, row))];
    }

    void MoveTo(LogPosition position)
    {
        Assert.True(position.IsAfter(_position), $"position {position} is not after {_position}");
        if (_schema is not null) Assert.Equal(_position.LogId, position.LogId);
        _position = position;
    }

    void ThrowIfRefused(LoadBatch batch)
    {
        Assert.Equal(_schema, batch.Schema);
        Assert.All(batch.Rows.Columns, column => Assert.Equal(batch.Rows.RowCount, column.RowCount));
        Assert.All(batch.Rows.Columns, column => Assert.NotNull(_schema!.FindColumn(column.ColumnId)));
        Assert.Equal(batch.Rows.RowCount, batch.Rows.Positions.Length);
        Assert.Equal(batch.Rows.RowCount, batch.Rows.OriginOfRow.Length);
        var keys = Enumerable.Range(0, batch.Rows.RowCount).Select(row => SampleTable.Cell(batch.Rows.Key, row)).ToList();
        Assert.Equal(keys.Count, keys.Distinct().Count());
        AssertWhole(batch);
        for (var row = 0; row < batch.Rows.RowCount; row++)
            if (Refuses(batch.Rows, row)) throw new StoreException(isTransient: false, $"row {keys[row]} violates a constraint");
    }

    void Delete(RowOperations operations)
    {
        for (var row = 0; row < operations.DeletedKeys.RowCount; row++)
        {
            _rows.Remove(SampleTable.Cell(operations.DeletedKeys, row));
            _versions.Remove(SampleTable.Cell(operations.DeletedKeys, row));
        }
        for (var row = 0; row < operations.TombstoneKeys.RowCount; row++)
            _tombstones[SampleTable.Cell(operations.TombstoneKeys, row)] = (operations.TombstoneVersions.Int64s[row], operations.TimeMicroseconds);
    }

    /// <summary>Empties the row if nothing of it is kept, and takes members out of its sets.</summary>
    void Prepare(RowOperations operations, string key, int row)
    {
        if (operations.Resets.Bytes[row] != 0)
        {
            _rows.Remove(key);
            _versions.Remove(key);
        }
        if (operations.Versions.States[row] == CellState.Value) _versions[key] = operations.Versions.Int64s[row];
        foreach (var removed in operations.Removed.Where(column => column.States[row] == CellState.Value))
        {
            if (!_rows.TryGetValue(key, out var stored) || !stored.TryGetValue(removed.ColumnId, out var cell)) continue;
            var gone = SampleTable.Cell(removed, row)[1..^1].Split(',');
            var members = cell[1..^1].Split(',', StringSplitOptions.RemoveEmptyEntries).Where(member => !gone.Contains(member.Split('@')[0]));
            stored[removed.ColumnId] = $"[{string.Join(',', members)}]";
        }
    }

    void Upsert(LoadBatch batch, int row)
    {
        var key = SampleTable.Cell(batch.Rows.Key, row);
        if (batch.Operations is { } operations) Prepare(operations, key, row);
        if (!_rows.TryGetValue(key, out var stored))
        {
            _rows.Add(key, stored = []);
            foreach (var column in batch.Schema.Columns)
                if (column.Default is not null && batch.Rows.FindColumn(column.Id)?.States[row] is null or CellState.Absent) stored[column.Id] = SampleTable.Cell(ColumnDefault.Read(column), 0);
        }
        _positions[key] = batch.Rows.Positions[row];
        _receivedAt[key] = batch.Rows.Origins[batch.Rows.OriginOfRow[row]].ReceivedAtMicroseconds;
        foreach (var column in batch.Rows.Columns)
        {
            var isSet = column.Kind is PhysicalKind.Int64List or PhysicalKind.TextList;
            switch (column.States[row])
            {
                case CellState.Null when !isSet:
                    stored.Remove(column.ColumnId);
                    break;
                case CellState.Value when isSet:
                    stored[column.ColumnId] = Unite(stored.GetValueOrDefault(column.ColumnId, "[]"), SampleTable.Cell(column, row));
                    break;
                case CellState.Value:
                    stored[column.ColumnId] = SampleTable.Cell(column, row);
                    break;
            }
        }
    }

    /// <summary>Members of both, sorted, so that equal sets are equal texts.</summary>
    public static string Unite(string a, string b)
    {
        var members = (a[1..^1] + "," + b[1..^1]).Split(',', StringSplitOptions.RemoveEmptyEntries).Distinct().Order(StringComparer.Ordinal);
        return $"[{string.Join(',', members)}]";
    }
}

/// <summary>One opening of a <see cref="MemoryDatabase"/>.</summary>
sealed class MemoryStore(MemoryDatabase database) : ITableStore
{
    LogPosition _known = database.Position; // what its loader knows of

    public ValueTask<StoredTable?> ReadStateAsync(CancellationToken cancellation)
    {
        var state = database.Read();
        _known = database.Position;
        return new(state);
    }

    public ValueTask ApplySchemaAsync(TableSchema schema, LogPosition position, CancellationToken cancellation) => Run(() => Move(position, () => database.ApplySchema(schema, position)));

    public ValueTask LoadAsync(LoadBatch batch, CancellationToken cancellation) => Run(() => Move(batch.UpTo, () => database.Load(batch)));

    public ValueTask<DeletionOutcome> DeleteAsync(TableSchema schema, Deletion deletion, LogPosition position, CancellationToken cancellation)
    {
        DeletionOutcome? outcome = null;
        var run = Run(() => Move(position, () => outcome = database.Delete(deletion, position)));
        return run.IsCompletedSuccessfully ? new(outcome!) : ValueTask.FromException<DeletionOutcome>(run.AsTask().Exception!.InnerException!);
    }

    public ValueTask CheckAsync(LoadBatch batch, CancellationToken cancellation) => Run(() => database.Check(batch));

    public async ValueTask<ExpiryStep> ExpireAsync(RowExpiry expiry, CancellationToken cancellation)
    {
        await Task.Yield();
        return database.Expire(expiry);
    }

    public ValueTask<KeyState[]> ReadKeysAsync(TableSchema schema, ColumnBuffer keys, long tombstonesFromMicroseconds, CancellationToken cancellation) =>
        new(database.ReadKeys(keys, tombstonesFromMicroseconds));

    public ValueTask DropAsync(CancellationToken cancellation) => Run(database.Drop);

    public ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(Guid sinkId, int limit, CancellationToken cancellation) => new(database.ReadErrors(sinkId, limit));

    public ValueTask<QuarantineOverview> ReadQuarantineAsync(Guid sinkId, long fromMicroseconds, CancellationToken cancellation) =>
        new(database.Quarantine.ReadOverview(sinkId, fromMicroseconds));

    public ValueTask<IReadOnlyList<QuarantineEntry>> ReadQuarantinedAsync(QuarantineSelection selection, int limit, CancellationToken cancellation) =>
        new(database.Quarantine.Read(selection, limit));

    public ValueTask<IReadOnlySet<ulong>> ReadReplayedAsync(IReadOnlyList<ulong> positions, CancellationToken cancellation) =>
        new(database.Quarantine.Replayed(positions));

    public ValueTask<long> DiscardAsync(QuarantineSelection selection, CancellationToken cancellation) => new(database.Quarantine.Discard(selection));

    public ValueTask<IReadOnlyList<int>> FindChangedSinceAsync(TableSchema schema, ColumnBuffer keys, IReadOnlyList<ulong> origins, CancellationToken cancellation) =>
        new([.. Enumerable.Range(0, origins.Count).Where(row => database.PositionOf(SampleTable.Cell(keys, row)) > origins[row])]);

    public ValueTask<KeptFate> ReadFateAsync(Guid sinkId, string requestId, ulong sequence, CancellationToken cancellation) => new(database.ReadFate(sinkId, requestId, sequence));

    public ValueTask<KeptRequest?> FindRequestAsync(ulong sequence, CancellationToken cancellation) =>
        new(database.ReadRequests().SingleOrDefault(request => request.Sequence == sequence));

    public ValueTask ReadRequestKeysAsync(long fromMicroseconds, Action<KeptKey> visit, CancellationToken cancellation)
    {
        foreach (var request in database.ReadRequests().Where(request => request.ReceivedAtMicroseconds >= fromMicroseconds))
            visit(KeptKey.Of(request.SinkId, request.Key, request.Sequence, request.ReceivedAtMicroseconds));
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>As a real store does, it only goes on from the position that its loader knows of.</summary>
    void Move(LogPosition position, Action write)
    {
        if (database.Position != _known && database.Position != position) throw new StoreException(isTransient: true, "its state must be read again");
        write();
        _known = database.Position;
    }

    /// <summary>Faults the task instead of throwing, as a store that does real work does.</summary>
    static ValueTask Run(Action call)
    {
        try
        {
            call();
            return ValueTask.CompletedTask;
        }
        catch (Exception e)
        {
            return ValueTask.FromException(e);
        }
    }
}
