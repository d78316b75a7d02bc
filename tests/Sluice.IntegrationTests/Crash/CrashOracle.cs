using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Xunit;

namespace Sluice.IntegrationTests.Crash;

/// <summary>What the oracle found in both tables; everything behind <see cref="Stored"/> must be zero.</summary>
/// <param name="Acknowledged">Batches that were answered 200.</param>
/// <param name="Unknown">Batches whose answer was lost: they may be there once or not at all.</param>
/// <param name="Stored">Batches of the table with keys that were found, whole or not.</param>
/// <param name="Lost">Acknowledged batches that are not all there.</param>
/// <param name="Partial">Batches of which some records are there and some not.</param>
/// <param name="Phantom">Batches that nobody has sent.</param>
/// <param name="Duplicated">Rows beyond one per key, and loads the ledger counted twice.</param>
/// <param name="Corrupt">Batches whose values are not those that were sent.</param>
/// <param name="Stale">Keys that hold an older value than the last acknowledged one.</param>
/// <param name="Pending">Records that a ledger says are neither loaded nor failed when nothing moves any more.</param>
/// <param name="Unbalanced">Times that a ledger did not add up, had less than was acknowledged, or went back.</param>
sealed record Verdict(int Acknowledged, int Unknown, int Stored, int Lost, int Partial, int Phantom, int Duplicated, int Corrupt, int Stale, long Pending, int Unbalanced)
{
    public bool IsClean => Lost == 0 && Partial == 0 && Phantom == 0 && Duplicated == 0 && Corrupt == 0 && Stale == 0 && Pending == 0 && Unbalanced == 0;
}

/// <summary>
/// The sender's side of a crash test: sends batches to a table with keys and to one whose ids the server makes, keeps a journal of what was answered, watches
/// the ledgers meanwhile, and afterwards holds the tables against the journal. Upserts would hide a batch that is accepted twice; the second table does not. One that
/// is loaded twice from the log has the same ids in both: there the ledgers tell.
/// </summary>
/// <param name="hasAppends">False: the table with keys alone.</param>
/// <param name="recordsPerBatch">One more, the hot key's, goes to the table with keys.</param>
/// <param name="asLines">Sends lines of about 150 bytes: large bodies, which are taken in parts.</param>
sealed class CrashOracle(bool hasAppends = true, int recordsPerBatch = 50, bool asLines = false)
{
    const long KeysPerBatch = 1_000_000;
    const long FirstHotKey = 1_000_000_000_000;

    readonly ConcurrentDictionary<int, bool> _batches = []; // batch -> acknowledged
    readonly ConcurrentDictionary<int, bool> _appended = []; // the same, of the table without keys
    readonly LedgerWatch _ledgers = new();
    readonly ConcurrentDictionary<int, int> _lastAcknowledged = []; // sender -> batch
    readonly ConcurrentDictionary<int, int> _lastSent = [];
    int _nextBatch;
    long _firstRefusal;
    int _acknowledgedAfterRefusal;
    int _unanswered;

    public string DatabaseId { get; private set; } = "";

    public string SinkId { get; private set; } = "";

    /// <summary>Of the table without keys.</summary>
    public string AppendSinkId { get; private set; } = "";

    /// <summary>Requests that reached a server and got no answer from it.</summary>
    public int Unanswered => Volatile.Read(ref _unanswered);

    /// <summary>Records of one batch of a sink.</summary>
    public int RecordsOf(string sinkId) => recordsPerBatch + (sinkId == SinkId ? 1 : 0);

    string[] SinkIds => hasAppends ? [SinkId, AppendSinkId] : [SinkId];

    /// <summary>What was wrong with the ledgers, and when.</summary>
    public IReadOnlyCollection<string> LedgerFaults => _ledgers.Faults;

    /// <summary>Batches answered 200 that were sent after a server's first answer of 5xx, since <see cref="Forget"/>: a log that has failed must take nothing.</summary>
    public int AcknowledgedAfterRefusal => _acknowledgedAfterRefusal;

    /// <summary>Whether any batch has been refused with 5xx since <see cref="Forget"/>.</summary>
    public bool HasRefusal => Volatile.Read(ref _firstRefusal) != 0;

    public int AcknowledgedCount => _batches.Count(batch => batch.Value);

    /// <summary>Begins with another server process: what it refuses counts anew.</summary>
    public void Forget() => (_firstRefusal, _acknowledgedAfterRefusal) = (0, 0);

    public async Task CreateAsync(ApiClient api, CancellationToken cancellation)
    {
        DatabaseId = await api.CreateAsync("v2/databases", """{"name":"crash"}""", cancellation);
        await api.CreateAsync($"v2/tables/{DatabaseId}", """{"name":"events","options":{"keys":false,"trackExistence":true}}""", cancellation);
        await api.CreateAsync($"v2/tables/{DatabaseId}/events/fields/batch", """{"options":{"type":"int"}}""", cancellation);
        await api.CreateAsync($"v2/tables/{DatabaseId}/events/fields/val", """{"options":{"type":"int"}}""", cancellation);
        SinkId = await CreateSinkAsync(api, "crash", "events", """ "id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},""", cancellation);
        if (!hasAppends) return;
        await api.CreateAsync($"v2/tables/{DatabaseId}", """{"name":"appends","options":{"keys":false,"auto_id":true},"fields":[{"name":"batch","options":{"type":"int"}},{"name":"val","options":{"type":"int"}}]}""", cancellation);
        AppendSinkId = await CreateSinkAsync(api, "appends", "appends", """ "allow_missing_fields":true,"definition":[""", cancellation);
    }

    async Task<string> CreateSinkAsync(ApiClient api, string name, string table, string start, CancellationToken cancellation) => await api.CreateAsync("v2/sinks", $$"""
        {"name":"{{name}}","sink_details":{"database_id":"{{DatabaseId}}","table":"{{table}}"},
         "schema":{ {{start}}{"name":"batch","path":["batch"]},{"name":"val","path":["val"]}] } }
        """, cancellation);

    /// <summary>Sends with several senders while the ledgers are watched, until every sender has ended.</summary>
    public async Task SendAllAsync(int senders, int httpPort, string token, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var watch = _ledgers.RunAsync(SinkIds, httpPort, token, stop.Token);
        await Task.WhenAll(Enumerable.Range(0, senders).Select(sender => Task.Run(() => SendAsync(sender, httpPort, token, stop.Token), CancellationToken.None)));
        await stop.CancelAsync();
        await watch;
    }

    /// <summary>What is known at this moment, to hold a table against that is of this moment or later: what was under way may be there or not.</summary>
    public CrashOracle Copy()
    {
        var copy = new CrashOracle(hasAppends, recordsPerBatch, asLines) { DatabaseId = DatabaseId, SinkId = SinkId, AppendSinkId = AppendSinkId };
        foreach (var (sender, batch) in _lastAcknowledged) copy._lastAcknowledged[sender] = batch;
        foreach (var (batch, isAcknowledged) in _batches) copy._batches[batch] = isAcknowledged;
        foreach (var (batch, isAcknowledged) in _appended) copy._appended[batch] = isAcknowledged;
        for (var sender = 0; sender < 100; sender++) copy._lastSent[sender] = int.MaxValue; // later batches may have come in
        copy._nextBatch = _nextBatch;
        return copy;
    }

    /// <summary>Sends batch after batch, each once, until the server is gone or time is up.</summary>
    public async Task SendAsync(int sender, int httpPort, string token, CancellationToken cancellation)
    {
        using var api = new ApiClient(httpPort);
        api.UseToken(token);
        while (!cancellation.IsCancellationRequested)
        {
            var batch = Interlocked.Increment(ref _nextBatch);
            _batches[batch] = false;
            _lastSent[sender] = batch;
            if (!await SendAsync(api, SinkId, _batches, batch, Body(sender, batch, recordsPerBatch), cancellation)) return;
            _lastAcknowledged[sender] = batch;
            if (!hasAppends) continue;
            _appended[batch] = false;
            if (!await SendAsync(api, AppendSinkId, _appended, batch, Body(sender: null, batch, recordsPerBatch), cancellation)) return;
        }
    }

    /// <summary>A batch that somebody else sends, to one sink; it may be there or not until <see cref="Acknowledge"/>.</summary>
    public (int Batch, string Body) Begin(string sinkId, int sender = 0)
    {
        var batch = Interlocked.Increment(ref _nextBatch);
        JournalOf(sinkId)[batch] = false;
        if (sinkId != SinkId) return (batch, Body(sender: null, batch, recordsPerBatch));
        _lastSent[sender] = batch;
        return (batch, Body(sender, batch, recordsPerBatch));
    }

    /// <summary>The batch was answered 200.</summary>
    public void Acknowledge(string sinkId, int batch, int sender = 0)
    {
        JournalOf(sinkId)[batch] = true;
        if (sinkId == SinkId) _lastAcknowledged[sender] = batch;
        _ledgers.Acknowledge(sinkId, RecordsOf(sinkId));
    }

    /// <summary>For a control: a batch of which half is sent and stored, to both tables, as if the whole had been.</summary>
    public async Task SendHalfAsync(ApiClient api, CancellationToken cancellation)
    {
        foreach (var sinkId in SinkIds)
        {
            var (batch, _) = Begin(sinkId);
            await StoreAsync(api, sinkId, Body(sender: null, batch, recordsPerBatch / 2), cancellation);
            JournalOf(sinkId)[batch] = true;
        }
    }

    /// <summary>For a control: a batch that is in no journal, to both tables.</summary>
    public async Task SendUnknownAsync(ApiClient api, CancellationToken cancellation)
    {
        var batch = Interlocked.Increment(ref _nextBatch);
        foreach (var sinkId in SinkIds) await StoreAsync(api, sinkId, Body(sender: null, batch, recordsPerBatch), cancellation);
    }

    async Task StoreAsync(ApiClient api, string sinkId, string body, CancellationToken cancellation)
    {
        var answer = await api.PostAsync($"v2/sinks/{sinkId}?wait=loaded&timeout=60{Form}", body, cancellation);
        Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
    }

    string Form => asLines ? "&format=ndjson&return=summary" : "";

    ConcurrentDictionary<int, bool> JournalOf(string sinkId) => sinkId == SinkId ? _batches : _appended;

    /// <returns>Whether the batch was acknowledged.</returns>
    async Task<bool> SendAsync(ApiClient api, string sinkId, ConcurrentDictionary<int, bool> journal, int batch, string body, CancellationToken cancellation)
    {
        var records = RecordsOf(sinkId);
        var started = TimeProvider.System.GetTimestamp();
        try
        {
            var answer = await api.PostAsync($"v2/sinks/{sinkId}?{Form}", body, cancellation);
            if ((int)answer.Status >= 500)
            {
                Interlocked.CompareExchange(ref _firstRefusal, TimeProvider.System.GetTimestamp(), 0);
                return false; // the outcome may be unknown: counted as such
            }
            Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
            if (Volatile.Read(ref _firstRefusal) is var refused and not 0 && started > refused) Interlocked.Increment(ref _acknowledgedAfterRefusal);
            Assert.Equal(records, answer.Json["success_count"]!.GetValue<int>());
            journal[batch] = true;
            _ledgers.Acknowledge(sinkId, records);
            return true;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
        {
            if (e is not OperationCanceledException and not HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError }) Interlocked.Increment(ref _unanswered);
            return false; // the answer is lost
        }
    }

    /// <summary>Whether a server knows the account and the sink that were made with another.</summary>
    public async Task<bool> IsKnownAsync(int httpPort, CancellationToken cancellation)
    {
        using var anonymous = new ApiClient(httpPort);
        var login = await anonymous.PostAsync("", $$"""{"USERNAME":"{{ServerProcess.Email}}","PASSWORD":"{{ServerProcess.Password}}"}""", cancellation);
        if (login.Status != HttpStatusCode.OK) return false;
        using var api = await ApiClient.LoginAsync(httpPort, cancellation);
        return (await api.GetAsync($"v2/sinks/{SinkId}", cancellation)).Status == HttpStatusCode.OK;
    }

    /// <summary>Waits until the table is loaded and compares it with the journal.</summary>
    public async Task<Verdict> JudgeAsync(ApiClient api, CancellationToken cancellation)
    {
        var ledger = await api.WaitLoadedAsync(SinkId, cancellation);
        long[] pending = [Pending(ledger), hasAppends ? Pending(await api.WaitLoadedAsync(AppendSinkId, cancellation)) : 0];
        await _ledgers.CheckAsync(api, SinkIds, cancellation);
        var stored = new Dictionary<int, (int Count, long Sum)>();
        foreach (var range in await RangesAsync(api, "events", cancellation))
        {
            var sql = string.Create(CultureInfo.InvariantCulture, $"SELECT batch, COUNT(*) AS n, SUM(val) AS total FROM events WHERE _id < {FirstHotKey} AND {range} GROUP BY batch");
            foreach (var row in await api.QueryAsync(DatabaseId, sql, cancellation))
                stored.Add(Int(row![0]), (Int(row[1]), row[2]!.GetValue<long>()));
        }
        var (lost, partial, corrupt, unknown) = (0, 0, 0, 0);
        foreach (var (batch, isAcknowledged) in _batches)
        {
            if (!isAcknowledged) unknown++;
            if (!stored.TryGetValue(batch, out var found))
            {
                if (isAcknowledged) lost++;
            }
            else if (found.Count != recordsPerBatch)
            {
                partial++;
            }
            else if (found.Sum != Enumerable.Range(0, recordsPerBatch).Sum(i => Value(batch, i)))
            {
                corrupt++;
            }
        }
        var appends = await JudgeAppendsAsync(api, cancellation);
        return new Verdict(
            _batches.Count(batch => batch.Value) + _appended.Count(batch => batch.Value), unknown + _appended.Count(batch => !batch.Value), stored.Count, lost + appends.Lost, partial + appends.Partial,
            stored.Keys.Count(batch => !_batches.ContainsKey(batch)) + appends.Phantom,
            await CountDuplicatesAsync(api, cancellation) + appends.Duplicated + (int)pending.Sum(count => Math.Max(0, -count)), corrupt + appends.Corrupt, await CountStaleAsync(api, cancellation),
            pending.Sum(count => Math.Max(0, count)), _ledgers.Faults.Count);
    }

    /// <summary>Each batch is in the table without keys once, whole and as it was sent, or not at all.</summary>
    async Task<(int Lost, int Partial, int Phantom, int Duplicated, int Corrupt)> JudgeAppendsAsync(ApiClient api, CancellationToken cancellation)
    {
        var stored = new Dictionary<int, (int Count, int Distinct, long Sum)>();
        foreach (var range in hasAppends ? await RangesAsync(api, "appends", cancellation) : [])
        {
            var sql = string.Create(CultureInfo.InvariantCulture, $"SELECT batch, COUNT(*) AS n, COUNT(DISTINCT val) AS vals, SUM(val) AS total FROM appends WHERE {range} GROUP BY batch");
            foreach (var row in await api.QueryAsync(DatabaseId, sql, cancellation))
                stored.Add(Int(row![0]), (Int(row[1]), Int(row[2]), row[3]!.GetValue<long>()));
        }
        var (lost, partial, duplicated, corrupt) = (0, 0, 0, 0);
        foreach (var (batch, isAcknowledged) in _appended)
        {
            if (!stored.TryGetValue(batch, out var found)) lost += isAcknowledged ? 1 : 0;
            else if (found.Count > recordsPerBatch) duplicated += found.Count - recordsPerBatch;
            else if (found.Count < recordsPerBatch) partial++;
            else if (found.Distinct != recordsPerBatch || found.Sum != Enumerable.Range(0, recordsPerBatch).Sum(i => Value(batch, i))) corrupt++;
        }
        return (lost, partial, stored.Keys.Count(batch => !_appended.ContainsKey(batch)), duplicated, corrupt);
    }

    /// <summary>Conditions that take all batches of a table together, and each few enough for one answer.</summary>
    async Task<List<string>> RangesAsync(ApiClient api, string table, CancellationToken cancellation)
    {
        const int page = 5_000;
        var last = (await api.QueryAsync(DatabaseId, $"SELECT MAX(batch) AS last FROM {table}", cancellation))[0]![0]?.GetValue<long>() ?? 0;
        return [.. Enumerable.Range(0, (int)(Math.Max(last, _nextBatch) / page) + 1).Select(n => string.Create(CultureInfo.InvariantCulture, $"batch >= {n * page} AND batch < {(n + 1) * page}"))];
    }

    static long Pending(JsonNode ledger) => ledger["pending"]!.GetValue<long>();

    async Task<int> CountDuplicatesAsync(ApiClient api, CancellationToken cancellation)
    {
        var rows = (await api.QueryAsync(DatabaseId, "SELECT COUNT(*) AS n, COUNT(DISTINCT _id) AS keys FROM events", cancellation))[0]!;
        return Int(rows[0]) - Int(rows[1]);
    }

    async Task<int> CountStaleAsync(ApiClient api, CancellationToken cancellation)
    {
        var stale = 0;
        foreach (var row in await api.QueryAsync(DatabaseId, $"SELECT _id, batch FROM events WHERE _id >= {FirstHotKey}", cancellation))
        {
            var sender = (int)(row![0]!.GetValue<long>() - FirstHotKey);
            var batch = Int(row[1]);
            if (batch < _lastAcknowledged.GetValueOrDefault(sender) || batch > _lastSent[sender]) stale++;
        }
        return stale;
    }

    /// <summary>Records of a batch have keys of their own; one more record overwrites the sender's hot key. Without a sender there is none.</summary>
    string Body(int? sender, int batch, int count)
    {
        var records = Enumerable.Range(0, count).Select(i => Record((batch * KeysPerBatch) + i, batch, Value(batch, i)));
        if (sender is { } hot) records = records.Append(Record(FirstHotKey + hot, batch, 0));
        return asLines ? string.Concat(records.Select(record => record + "\n")) : $$"""{"records":[{{string.Join(',', records.Select(record => $$"""{"value":{{record}} }"""))}}]}""";
    }

    string Record(long id, int batch, long value) =>
        string.Create(CultureInfo.InvariantCulture, $$"""{"id":{{id}},"batch":{{batch}},"val":{{value}}{{(asLines ? $",\"pad\":\"{new string('x', 100)}\"" : "")}} }""");

    static long Value(int batch, int index) => ((long)batch * 7_919 % 100_003 * 31) + index;

    static int Int(JsonNode? node) => (int)node!.GetValue<long>();
}
