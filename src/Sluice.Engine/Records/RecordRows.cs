using System.Runtime.CompilerServices;

namespace Sluice.Records;

/// <summary>Where a record stands in the request body, in bytes.</summary>
public readonly record struct RawRecord(int Start, int Length);

/// <summary>
/// The rows of one request while it is decoded: a column buffer a mapped column, and what is wrong with the records that make no row.
/// Kept by <see cref="RecordDecoder"/> and used again, so that a request allocates nothing for records that are right.
/// </summary>
/// <remarks>One thread at a time.</remarks>
public sealed class RecordRows
{
    // above this a buffer is given up instead of kept, so that one large request does not hold its memory for ever
    const long KeptBytes = 4L << 20;

    readonly List<RawRecord> _records = [];
    readonly List<RejectedRecord> _rejected = [];
    readonly List<TruncationWarning> _warnings = [];
    List<FieldError>? _errors;
    int _warningsBefore;

    internal RecordRows(ColumnBuffer[] columns, int nodeCount)
    {
        Buffers = columns;
        NodeSeen = new int[nodeCount];
        FieldSeen = new int[columns.Length];
    }

    /// <summary>One a mapped column, the key first; as many rows each as records were accepted.</summary>
    public IReadOnlyList<ColumnBuffer> Columns => Buffers;

    /// <summary>Elements of <c>records</c> read so far.</summary>
    public int RecordCount => _records.Count;

    public int AcceptedCount => Columns[0].RowCount;

    /// <summary>Every record's place in the body, rejected or not.</summary>
    public IReadOnlyList<RawRecord> Records => _records;

    /// <summary>The records that made no row, by index.</summary>
    public IReadOnlyList<RejectedRecord> Rejected => _rejected;

    public IReadOnlyList<TruncationWarning> Warnings => _warnings;

    /// <summary>A record lacks a mapped field and the sink discards such requests as a whole.</summary>
    public bool IsDiscarded { get; private set; }

    /// <summary><see cref="Columns"/> for the decoder, which looks one up for every cell.</summary>
    internal ColumnBuffer[] Buffers { get; }

    /// <summary>Scratch space for text with escapes.</summary>
    internal byte[] Scratch { get; set; } = new byte[256];

    /// <summary>Per node and field of the mapping: <see cref="Stamp"/> of the last record that had it.</summary>
    internal int[] NodeSeen { get; }

    /// <inheritdoc cref="NodeSeen"/>
    internal int[] FieldSeen { get; }

    /// <summary>Number of the present record, from 1.</summary>
    internal int Stamp { get; private set; }

    /// <summary>Time of the present record for quantum sets, seconds since 1970-01-01.</summary>
    internal long RecordTime { get; set; }

    internal void Begin()
    {
        Stamp = _records.Count + 1;
        _warningsBefore = _warnings.Count;
        RecordTime = ColumnBuffer.NoTime;
    }

    /// <summary>Something is wrong with the present record: its cells are incomplete and will be dropped.</summary>
    internal bool HasFailed => _errors is not null;

    internal void Fail(FieldError error) => (_errors ??= []).Add(error);

    /// <summary>Fails the record for a missing field, and with it the request.</summary>
    internal void FailRequest(FieldError error)
    {
        IsDiscarded = true;
        Fail(error);
    }

    internal void Warn(string column) => _warnings.Add(new TruncationWarning(_records.Count, column));

    /// <summary>Ends a record: it is a row, or, when anything failed, none of its cells stay.</summary>
    internal void End(RawRecord record)
    {
        if (_errors is not null)
        {
            var rows = _records.Count - _rejected.Count;
            foreach (var column in Columns) column.TruncateTo(rows);
            _warnings.RemoveRange(_warningsBefore, _warnings.Count - _warningsBefore);
            _rejected.Add(new RejectedRecord(_records.Count, IsDiscarded: false, _errors));
            _errors = null;
        }
        _records.Add(record);
    }

    /// <summary>Makes a request in which a record lacks a field one in which every record is rejected.</summary>
    internal void Discard()
    {
        var wrong = _rejected.ToDictionary(record => record.Index);
        _rejected.Clear();
        _warnings.Clear();
        for (var i = 0; i < _records.Count; i++)
            _rejected.Add(wrong.TryGetValue(i, out var record) ? record : new RejectedRecord(i, IsDiscarded: true, []));
        foreach (var column in Columns) column.TruncateTo(0);
    }

    /// <summary>Makes the buffers ready for another request. False: they have grown too large to keep.</summary>
    internal bool TryReset()
    {
        if (Buffers.Sum(column => column.CapacityBytes) + Scratch.Length + ((long)_records.Capacity * Unsafe.SizeOf<RawRecord>()) > KeptBytes) return false;
        foreach (var column in Columns) column.Clear();
        Array.Clear(NodeSeen);
        Array.Clear(FieldSeen);
        _records.Clear();
        _rejected.Clear();
        _warnings.Clear();
        _errors = null;
        IsDiscarded = false;
        return true;
    }
}
