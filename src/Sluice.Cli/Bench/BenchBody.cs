using System.Globalization;
using System.Text;

namespace Sluice.Cli.Bench;

/// <summary>
/// The body of a request, made once and used again with other keys: the generator shares the machine with the server, so it must cost little.
/// One thread at a time.
/// </summary>
sealed class BenchBody
{
    /// <summary>Keys have twelve digits, so that they can be written over in place.</summary>
    public const long FirstKey = 100_000_000_000;

    const int KeyDigits = 12;
    const int WideColumns = 32;

    readonly byte[] _utf8;
    readonly int[] _keyAt;

    public BenchBody(RecordShape shape, int records)
    {
        var text = new StringBuilder("{\"records\":[");
        _keyAt = new int[records];
        for (var i = 0; i < records; i++)
        {
            text.Append(i == 0 ? "" : ",").Append("{\"value\":{\"id\":");
            _keyAt[i] = text.Length; // ASCII: characters are bytes
            text.Append(CultureInfo.InvariantCulture, $"{FirstKey},\"name\":\"sensor-{i % 97}\",\"n\":{(i * 37) % 1000},\"price\":{i % 500}.{i % 90 + 10},\"at\":\"2026-01-02T03:{i % 60:00}:05Z\",\"ok\":{(i % 2 == 0 ? "true" : "false")},\"kind\":\"k{i % 7}\"");
            if (shape == RecordShape.Sets) text.Append(CultureInfo.InvariantCulture, $",\"tags\":[\"t{i % 11}\",\"t{i % 13}\",\"u{i % 3}\"]");
            if (shape == RecordShape.Wide)
                for (var column = 0; column < WideColumns; column++) text.Append(CultureInfo.InvariantCulture, $",\"w{column}\":{(i + column) % 100_000}");
            text.Append("}}");
        }
        _utf8 = Encoding.ASCII.GetBytes(text.Append("]}").ToString());
    }

    public ReadOnlyMemory<byte> Utf8 => _utf8;

    public int RecordCount => _keyAt.Length;

    public void SetKey(int record, long key)
    {
        for (var digit = KeyDigits - 1; digit >= 0; digit--, key /= 10) _utf8[_keyAt[record] + digit] = (byte)('0' + (key % 10));
    }

    public static string TableColumns(RecordShape shape) => "_id ID, name STRING, n INT, price DECIMAL(2), at TIMESTAMP, ok BOOL, kind STRING"
        + (shape == RecordShape.Sets ? ", tags STRINGSET" : "")
        + (shape == RecordShape.Wide ? string.Concat(Enumerable.Range(0, WideColumns).Select(column => $", w{column} INT")) : "");

    public static IEnumerable<string> Columns(RecordShape shape) =>
        TableColumns(shape).Split(", ").Select(column => column[..column.IndexOf(' ', StringComparison.Ordinal)]);
}
