using System.Globalization;
using System.Text;

namespace Sluice.Cli.Bench;

/// <summary>
/// The bytes of a whole HTTP request, made once and sent again with other keys written over the old ones: the generator shares the machine
/// with the server, so it must cost little. One thread at a time.
/// </summary>
sealed class BenchRequest
{
    /// <summary>Keys have twelve digits, so that they can be written over in place.</summary>
    public const long FirstKey = 100_000_000_000;

    const int KeyDigits = 12;
    const int WideColumns = 32;

    readonly byte[] _utf8;
    readonly int[] _keyAt;

    /// <param name="head">Request line and headers, each line with its end, without the body's length.</param>
    /// <param name="timeFormat">How times are written: the two sides read the same moments in the form that each reads fastest.</param>
    public BenchRequest(string head, RecordShape shape, BodyForm form, string timeFormat, int records)
    {
        _keyAt = new int[records];
        var body = new StringBuilder();
        if (form == BodyForm.Records) body.Append("{\"records\":[");
        for (var i = 0; i < records; i++)
        {
            if (i > 0) body.Append(form == BodyForm.Records ? ',' : '\n');
            if (form == BodyForm.Records) body.Append("{\"value\":");
            body.Append("{\"id\":");
            _keyAt[i] = body.Length; // ASCII: characters are bytes
            AppendRecord(body, shape, timeFormat, i);
            body.Append(form == BodyForm.Records ? "}}" : "}");
        }
        if (form == BodyForm.Records) body.Append("]}");
        BodyBytes = body.Length;
        var start = string.Create(CultureInfo.InvariantCulture, $"{head}Content-Length: {BodyBytes}\r\n\r\n");
        _utf8 = new byte[start.Length + BodyBytes];
        Encoding.ASCII.GetBytes(start, _utf8);
        var at = start.Length;
        foreach (var chunk in body.GetChunks()) at += Encoding.ASCII.GetBytes(chunk.Span, _utf8.AsSpan(at));
        for (var i = 0; i < records; i++) _keyAt[i] += start.Length;
    }

    public ReadOnlySpan<byte> Utf8 => _utf8;

    public int BodyBytes { get; }

    public int RecordCount => _keyAt.Length;

    /// <summary>Gives the records the keys from <paramref name="first"/> on.</summary>
    public void SetKeys(long first)
    {
        Span<byte> digits = stackalloc byte[KeyDigits];
        Write(first, digits);
        foreach (var at in _keyAt)
        {
            digits.CopyTo(_utf8.AsSpan(at));
            var digit = KeyDigits - 1;
            while (digits[digit] == '9') digits[digit--] = (byte)'0';
            digits[digit]++;
        }
    }

    public void SetKey(int record, long key) => Write(key, _utf8.AsSpan(_keyAt[record], KeyDigits));

    /// <summary>The columns after the key, in the words of Sluice's SQL.</summary>
    public static IEnumerable<(string Name, string Type)> Columns(RecordShape shape) =>
    [
        ("name", "STRING"), ("n", "INT"), ("price", "DECIMAL(2)"), ("at", "TIMESTAMP"), ("ok", "BOOL"), ("kind", "STRING"),
        .. shape == RecordShape.Sets ? [("tags", "STRINGSET")] : Array.Empty<(string, string)>(),
        .. shape == RecordShape.Wide ? Enumerable.Range(0, WideColumns).Select(column => ($"w{column}", "INT")) : [],
    ];

    static void AppendRecord(StringBuilder body, RecordShape shape, string timeFormat, int i)
    {
        var at = DateTime.UnixEpoch.AddSeconds(1_767_323_000 + (i % 3_600)).ToString(timeFormat, CultureInfo.InvariantCulture);
        body.Append(CultureInfo.InvariantCulture, $"{FirstKey},\"name\":\"sensor-{i % 97}\",\"n\":{(i % 1000) * 37 % 1000},\"price\":{i % 500}.{(i % 90) + 10},\"at\":\"{at}\",\"ok\":{(i % 2 == 0 ? "true" : "false")},\"kind\":\"group-{i % 7}\"");
        if (shape == RecordShape.Sets) body.Append(CultureInfo.InvariantCulture, $",\"tags\":[\"t{i % 11}\",\"t{i % 13}\",\"u{i % 3}\"]");
        if (shape == RecordShape.Wide)
            for (var column = 0; column < WideColumns; column++) body.Append(CultureInfo.InvariantCulture, $",\"w{column}\":{(i + column) % 100_000}");
    }

    static void Write(long key, Span<byte> digits)
    {
        for (var digit = KeyDigits - 1; digit >= 0; digit--, key /= 10) digits[digit] = (byte)('0' + (key % 10));
    }
}
