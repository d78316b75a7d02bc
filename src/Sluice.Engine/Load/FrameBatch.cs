using Sluice.Idempotency;
using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>Where the rows of one frame lie in a <see cref="FrameBatch"/>.</summary>
/// <param name="Header">Of the frame itself; the request may have others.</param>
/// <param name="Request">Position of the request's last part, which names the request.</param>
/// <param name="UpTo">Where the table is when the frame is loaded and everything before it.</param>
/// <param name="RowCount">The accepted records of the frame; 0 when its request was discarded.</param>
/// <param name="RejectedIndexes">Indexes of the records that made no row, ascending.</param>
/// <param name="FirstRejected">Where those records begin in <see cref="FrameBatch.Rejected"/>.</param>
readonly record struct BatchedFrame(FrameHeader Header, LogPosition Request, LogPosition UpTo, int FirstRow, int RowCount, int[] RejectedIndexes, int FirstRejected)
{
    public int EndRow => FirstRow + RowCount;

    public string RequestId => FrameHeader.FormatRequestId(Request);

    /// <summary>The place in its request of the record that made a row.</summary>
    public int RecordIndexOf(int row)
    {
        var index = Header.FirstRecordIndex + row - FirstRow;
        foreach (var rejected in RejectedIndexes)
        {
            if (rejected > index) break;
            index++;
        }
        return index;
    }
}

/// <summary>Frames gathered into one large set of rows, in log order, every record still a row of its own. Reused; one thread at a time.</summary>
sealed class FrameBatch
{
    readonly List<BatchedFrame> _frames = [];
    readonly Dictionary<int, ColumnBuffer> _columns = [];
    readonly Dictionary<int, ColumnBuffer> _recordColumns;
    readonly List<KeptRequest> _keyed = [];
    readonly RowBatch _folded;

    public FrameBatch(TableSchema schema)
    {
        Schema = schema;
        (Rows, _folded) = (new RowBatch(schema.Key), new RowBatch(schema.Key));
        if (!schema.IsAutoId) _columns.Add(Rows.Key.ColumnId, Rows.Key);
        _recordColumns = new() { [Operations.ColumnId] = Operations, [Versions.ColumnId] = Versions };
        foreach (var column in schema.Columns)
        {
            var buffer = ColumnBuffer.For(column);
            _columns.Add(column.Id, buffer);
            Rows.AddColumn(buffer);
            _folded.AddColumn(ColumnBuffer.For(column));
        }
    }

    public TableSchema Schema { get; }

    public RowBatch Rows { get; }

    /// <summary>What each row does, as a <see cref="RecordOperation"/>; absent is an upsert. Empty when no frame has operations.</summary>
    public ColumnBuffer Operations { get; } = new(RecordOperations.OperationColumnId, PhysicalKind.Bool, hasTimes: false, vectorLength: 0);

    /// <summary>The version of each row that has one. Empty when no frame has operations.</summary>
    public ColumnBuffer Versions { get; } = new(RecordOperations.VersionColumnId, PhysicalKind.Int64, hasTimes: false, vectorLength: 0);

    /// <summary>Whether any row is more than an upsert without version.</summary>
    public bool HasOperations { get; private set; }

    /// <summary>
    /// Whether a fold has to know which keys the table has: rows are more than upserts, or a record may bring members to a set that an earlier one of the
    /// batch left to its default, which only a new row has.
    /// </summary>
    public bool FoldsByKeyState => HasOperations || Schema.Columns.Any(
        column => column is { Type.IsSet: true, Default: not null } && _columns[column.Id].States is var states && states.Contains(CellState.Absent) && states.Contains(CellState.Value));

    public RecordOperation OperationOf(int row) =>
        HasOperations && Operations.States[row] == CellState.Value ? (RecordOperation)Operations.Bytes[row] : RecordOperation.Upsert;

    /// <returns><see cref="RecordOperations.NoVersion"/>: it has none.</returns>
    public long VersionOf(int row) => HasOperations && Versions.States[row] == CellState.Value ? Versions.Int64s[row] : RecordOperations.NoVersion;

    /// <summary>The records that made no row.</summary>
    public RejectedRecords Rejected { get; } = new();

    /// <summary>Of a replay, which is alone in its batch: the position of the record that each row comes from.</summary>
    public ColumnBuffer ReplayOrigins { get; } = new(RecordOperations.OriginColumnId, PhysicalKind.Int64, hasTimes: false, vectorLength: 0);

    public bool IsReplay => _frames.Count > 0 && IsReplayed(_frames[0]);

    public IReadOnlyList<BatchedFrame> Frames => _frames;

    /// <summary>The requests of these frames that have keys and end here, in log order.</summary>
    public IReadOnlyList<KeptRequest> Keyed => _keyed;

    public long FrameBytes { get; private set; }

    public void Add(in LoadableFrame loadable)
    {
        var header = loadable.Header;
        var payload = loadable.Payload.Span;
        var firstRejected = Rejected.Count;
        var frame = new BatchedFrame(
            header, loadable.Request, loadable.UpTo, Rows.RowCount, loadable.IsDiscarded ? 0 : header.AcceptedCount,
            Rejected.Add(header, payload), firstRejected);
        if (frame.RowCount > 0)
        {
            HasOperations |= header.Flags.HasFlag(FrameFlags.Operations);
            if (HasOperations)
                foreach (var column in _recordColumns.Values) column.FillAbsent(frame.FirstRow);
            RecordsFrame.ReadColumns(payload, frame.RowCount, id => id == ReplayOrigins.ColumnId ? ReplayOrigins : _columns.GetValueOrDefault(id) ?? _recordColumns.GetValueOrDefault(id));
            foreach (var column in _columns.Values) column.FillAbsent(frame.EndRow);
            if (HasOperations)
                foreach (var column in _recordColumns.Values) column.FillAbsent(frame.EndRow);
            AddOrigins(frame);
        }
        _frames.Add(frame);
        FrameBytes += header.FrameBytes;
    }

    /// <summary>For what the rows are folded to: without rows, with the same columns and origins. Of what was folded before nothing is left.</summary>
    public RowBatch BeginFolded()
    {
        _folded.Clear();
        _folded.Origins.AddRange(Rows.Origins);
        return _folded;
    }

    public void Clear()
    {
        Rows.Clear();
        Operations.Clear();
        Versions.Clear();
        HasOperations = false;
        Rejected.Clear();
        ReplayOrigins.Clear();
        _frames.Clear();
        _keyed.Clear();
        FrameBytes = 0;
    }

    /// <summary>Keeps what the answer to a request needs, if the request has a key and ends with the last frame added.</summary>
    public void KeepKeyed(in LoadableFrame loadable, TableLog log)
    {
        var header = loadable.Header;
        if (header.Kind != FrameKind.Records || !header.IsLastPart || RecordsFrame.ReadKey(loadable.Payload.Span).IsEmpty) return;
        var (_, meta, outcome) = LoggedRequest.Read(log, header, loadable.Payload.Span);
        _keyed.Add(new KeptRequest(header.SinkId, header.Position.Sequence, meta.IdempotencyKey, meta.BodyHash, header.ReceivedAtMicroseconds, outcome));
    }

    static bool IsReplayed(in BatchedFrame frame) => frame.Header.Kind == FrameKind.Replay;

    void AddOrigins(in BatchedFrame frame)
    {
        var origin = Rows.Origins.Count;
        Rows.Origins.Add(new RowOrigin(frame.Header.SinkId, frame.Header.ReceivedAtMicroseconds));
        var rejected = frame.RejectedIndexes.AsSpan();
        var index = frame.Header.FirstRecordIndex;
        for (var row = frame.FirstRow; row < frame.EndRow; row++, index++)
        {
            for (; !rejected.IsEmpty && rejected[0] == index; rejected = rejected[1..]) index++;
            var position = LogPosition.OfRecord(frame.Header.Position.Sequence, index - frame.Header.FirstRecordIndex);
            Rows.AddRowOrigin(position, origin);
            if (Schema.IsAutoId) Rows.Key.AddInt64(IsReplayed(frame) ? ReplayOrigins.Int64s[row] : (long)position); // a replay keeps the id of its origin
        }
    }
}
