using System.Runtime.CompilerServices;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>Where a record stands in the request body, in bytes.</summary>
public readonly record struct RawRecord(int Start, int Length);

/// <summary>
/// The rows of one request, or of one part of it, while it is decoded: a column buffer a mapped column, and what is wrong with the records that make no row.
/// Kept by <see cref="RecordDecoder"/> and used again, so that a request allocates nothing for records that are right.
/// </summary>
/// <remarks>One thread at a time.</remarks>
public sealed class RecordRows
{
    // above this a buffer is given up instead of kept, so that one large request does not hold its memory for ever
    const long KeptBytes = 4L << 20;

    // so many more records of a request that are not plain than are: no more are tried, it costs time
    const int MostVainTries = 8;

    readonly List<RawRecord> _records = [];
    readonly List<RejectedRecord> _rejected = [];
    readonly List<TruncationWarning> _warnings = [];
    List<FieldError>? _errors;
    int _warningsBefore;
    bool _wasDiscarded;
    int _vainTries;

    /// <param name="buffers">The columns, the key first, then the parts of a key that is joined.</param>
    internal RecordRows(ColumnBuffer[] buffers, int columnCount, int nodeCount, DriftCounts? drift = null)
    {
        Drift = drift;
        Buffers = buffers;
        Columns = new ArraySegment<ColumnBuffer>(buffers, 0, columnCount);
        NodeSeen = new int[nodeCount];
        FieldSeen = new int[buffers.Length];
    }

    /// <summary>One a mapped column, the key first; as many rows each as records were accepted.</summary>
    public IReadOnlyList<ColumnBuffer> Columns { get; }

    /// <summary>Index in the request of the first record here: how many were in the parts before.</summary>
    public int FirstRecordIndex { get; private set; }

    /// <summary>Records read so far.</summary>
    public int RecordCount => _records.Count;

    public int AcceptedCount => Buffers[0].RowCount;

    /// <summary>Every record's place in the bytes it was decoded from, rejected or not.</summary>
    public IReadOnlyList<RawRecord> Records => _records;

    /// <summary>The records that made no row, by their index in the request.</summary>
    public IReadOnlyList<RejectedRecord> Rejected => _rejected;

    public IReadOnlyList<TruncationWarning> Warnings => _warnings;

    /// <summary>A record lacks a mapped field and the sink discards such requests as a whole.</summary>
    public bool IsDiscarded { get; private set; }

    /// <summary>For the decoder, which looks one up for every cell: <see cref="Columns"/>, then the parts of a key that is joined.</summary>
    internal ColumnBuffer[] Buffers { get; }

    /// <summary>Scratch space for text with escapes.</summary>
    internal byte[] Scratch { get; set; } = new byte[256];

    /// <summary>Per node and field of the mapping: <see cref="Stamp"/> of the last record that had it.</summary>
    internal int[] NodeSeen { get; }

    /// <inheritdoc cref="NodeSeen"/>
    internal int[] FieldSeen { get; }

    /// <summary>
    /// What each row does, one byte a row; <see cref="CellState.Absent"/> is an upsert. Without rows: all are upserts. As many rows as accepted records else.
    /// </summary>
    internal ColumnBuffer Operations { get; } = new(RecordOperations.OperationColumnId, PhysicalKind.Bool, hasTimes: false, vectorLength: 0);

    /// <summary>The version of each row that has one. Without rows: none has one. As many rows as accepted records else.</summary>
    internal ColumnBuffer Versions { get; } = new(RecordOperations.VersionColumnId, PhysicalKind.Int64, hasTimes: false, vectorLength: 0);

    /// <summary>In replays: the position of the record that each row comes from. Without rows else.</summary>
    internal ColumnBuffer Origins { get; } = new(RecordOperations.OriginColumnId, PhysicalKind.Int64, hasTimes: false, vectorLength: 0);

    /// <summary>The operation of records that name none.</summary>
    internal RecordOperation DefaultOperation => Form.Operation;

    /// <summary>Members that no path names; <c>null</c>: they are not counted.</summary>
    internal DriftCounts? Drift { get; }

    /// <summary>How the records stand in what they are decoded from.</summary>
    internal RecordForm Form { get; set; }

    /// <summary>The operation of the present record.</summary>
    internal RecordOperation Operation { get; set; }

    /// <summary>The version of the present record, or <see cref="RecordOperations.NoVersion"/>.</summary>
    internal long Version { get; set; }

    /// <summary>Whether the present record has a value that was decoded.</summary>
    internal bool HasValue { get; set; }

    /// <summary>The row that the present record makes if nothing is wrong with it.</summary>
    internal int NextRow => _records.Count - _rejected.Count;

    /// <summary>Number of the present try to decode a record, from 1.</summary>
    internal int Stamp { get; private set; }

    /// <summary>Time of the present record for quantum sets, seconds since 1970-01-01.</summary>
    internal long RecordTime { get; set; }

    /// <summary>Whether it is worth trying to read the next record as a plain one: most of the request's were.</summary>
    internal bool MayBePlain => _vainTries < MostVainTries;

    internal void NotePlain(bool isPlain)
    {
        if (!isPlain) _vainTries++;
        else if (_vainTries > 0) _vainTries--;
    }

    internal void Begin()
    {
        Stamp++;
        _warningsBefore = _warnings.Count;
        _wasDiscarded = IsDiscarded;
        RecordTime = ColumnBuffer.NoTime;
        Operation = DefaultOperation;
        Version = RecordOperations.NoVersion;
        HasValue = false;
    }

    /// <summary>Something is wrong with the present record: its cells are incomplete and will be dropped.</summary>
    internal bool HasFailed => _errors is not null;

    internal FieldError? FirstError => _errors?[0];

    internal void Fail(FieldError error) => (_errors ??= []).Add(error);

    /// <summary>Fails the record for a missing field, and with it the request.</summary>
    internal void FailRequest(FieldError error)
    {
        IsDiscarded = true;
        Fail(error);
    }

    /// <summary>Takes errors back that the operation of the present record passes over.</summary>
    internal void ForgetErrors(Predicate<FieldError> isPassedOver)
    {
        if (_errors is null) return;
        _errors.RemoveAll(isPassedOver);
        if (_errors.Count == 0) _errors = null;
    }

    /// <summary>Takes the warnings of the present record back.</summary>
    internal void ForgetWarnings() => _warnings.RemoveRange(_warningsBefore, _warnings.Count - _warningsBefore);

    /// <summary>Makes the present record say nothing of a column, whatever was decoded for it.</summary>
    internal void ReplaceByAbsent(int column)
    {
        Buffers[column].TruncateTo(NextRow);
        Buffers[column].AddAbsent();
    }

    internal void Warn(string column) => _warnings.Add(new TruncationWarning(FirstRecordIndex + _records.Count, column));

    /// <summary>Ends a record: it is a row, or, when anything failed, none of its cells stay.</summary>
    internal void End(RawRecord record)
    {
        if (_errors is not null)
        {
            var errors = _errors;
            DropPresent();
            _rejected.Add(new RejectedRecord(FirstRecordIndex + _records.Count, IsDiscarded: false, errors));
        }
        else if (Operation != RecordOperation.Upsert || Version != RecordOperations.NoVersion)
        {
            NoteOperation();
        }
        Drift?.EndRecord();
        _records.Add(record);
    }

    /// <summary>Ends the request, or its part: no record follows.</summary>
    internal void Complete()
    {
        if (IsDiscarded) Discard();
        if (Operations.RowCount > 0) Operations.FillAbsent(AcceptedCount);
        if (Versions.RowCount > 0) Versions.FillAbsent(AcceptedCount);
    }

    void NoteOperation()
    {
        if (Operation != RecordOperation.Upsert)
        {
            Operations.FillAbsent(NextRow);
            Operations.AddByte((byte)Operation);
        }
        if (Version != RecordOperations.NoVersion)
        {
            Versions.FillAbsent(NextRow);
            Versions.AddInt64(Version);
        }
    }

    /// <summary>Forgets the present record, whose text goes on beyond the bytes at hand: it will be begun again.</summary>
    internal void Cancel()
    {
        DropPresent();
        Drift?.CancelRecord();
        IsDiscarded = _wasDiscarded;
    }

    void DropPresent()
    {
        foreach (var buffer in Buffers) buffer.TruncateTo(NextRow);
        ForgetWarnings();
        _errors = null;
    }

    /// <summary>Makes a request in which a record lacks a field one in which every record is rejected.</summary>
    void Discard()
    {
        var wrong = _rejected.ToDictionary(record => record.Index);
        _rejected.Clear();
        _warnings.Clear();
        for (var i = FirstRecordIndex; i < FirstRecordIndex + _records.Count; i++)
            _rejected.Add(wrong.TryGetValue(i, out var record) ? record : new RejectedRecord(i, IsDiscarded: true, []));
        foreach (var buffer in Buffers) buffer.TruncateTo(0);
        Operations.Clear();
        Versions.Clear();
    }

    /// <summary>Ends records that have nothing to do with each other: one that lacks a field fails alone.</summary>
    internal void CompleteEachAlone()
    {
        IsDiscarded = false;
        Complete();
    }

    /// <summary>Goes on to the next part of the same request.</summary>
    internal void BeginPart()
    {
        FirstRecordIndex += _records.Count;
        foreach (var buffer in Buffers) buffer.Clear();
        Operations.Clear();
        Versions.Clear();
        _records.Clear();
        _rejected.Clear();
        _warnings.Clear();
    }

    /// <summary>Makes the buffers ready for another request. False: they have grown too large to keep.</summary>
    internal bool TryReset()
    {
        if (Buffers.Sum(column => column.CapacityBytes) + Operations.CapacityBytes + Versions.CapacityBytes + Scratch.Length + ((long)_records.Capacity * Unsafe.SizeOf<RawRecord>()) > KeptBytes) return false;
        BeginPart();
        Origins.Clear();
        Drift?.Clear();
        Array.Clear(NodeSeen);
        Array.Clear(FieldSeen);
        FirstRecordIndex = Stamp = _vainTries = 0;
        _errors = null;
        IsDiscarded = false;
        return true;
    }
}
