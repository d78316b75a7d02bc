using System.Buffers;

namespace Sluice.Client;

/// <summary>The records of one request while it is filled: bare values, one a line, or elements of <c>records</c>.</summary>
sealed class Batch(long request, long firstRecord, bool isLines)
{
    readonly ArrayBufferWriter<byte> _body = new();
    readonly List<Range> _records = [];
    bool _isClosed;
    int? _total;

    public long Request => request;
    public long FirstRecord => firstRecord;
    public bool IsLines => isLines;
    public int RecordCount => _records.Count;

    /// <summary>Records of the request before it was halved.</summary>
    public int TotalCount => _total ?? RecordCount;

    public int Bytes => _body.WrittenCount;

    public void Add(ReadOnlySpan<byte> record)
    {
        if (!isLines) _body.Write(RecordCount == 0 ? "{\"records\":["u8 : ",\n"u8);
        else if (RecordCount > 0) _body.Write("\n"u8);
        var start = _body.WrittenCount;
        _body.Write(record);
        _records.Add(start.._body.WrittenCount);
    }

    public ReadOnlyMemory<byte> Close()
    {
        if (!_isClosed && !isLines) _body.Write("]}"u8);
        _isClosed = true;
        return _body.WrittenMemory;
    }

    public ReadOnlyMemory<byte> Record(int index) => _body.WrittenMemory[_records[index]];

    public (Batch First, Batch Second) Halve()
    {
        var middle = RecordCount / 2;
        var (first, second) = (new Batch(request, firstRecord, isLines) { _total = TotalCount }, new Batch(request, firstRecord + middle, isLines) { _total = TotalCount });
        for (var i = 0; i < RecordCount; i++) (i < middle ? first : second).Add(Record(i).Span);
        return (first, second);
    }
}
