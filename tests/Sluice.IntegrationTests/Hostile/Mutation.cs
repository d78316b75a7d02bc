using System.Text;

namespace Sluice.IntegrationTests.Hostile;

/// <summary>Valid bytes made wrong in one to four places; the same random numbers give the same bytes.</summary>
static class Mutation
{
    /// <summary>Pieces that parsers have stumbled over: of HTTP/1.1, and of JSON.</summary>
    static readonly byte[][] Pieces =
    [
        .. new[]
        {
            "\n", "\r", "\r\n\r\n", "\0", "\r\n ", "\r\n\t", " ", ":", "Content-Length: 0\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: -1\r\n", "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding : chunked\r\n", "Expect: 100-continue\r\n",
            "Upgrade: websocket\r\nConnection: Upgrade\r\n", "X-Long: " + new string('x', 40_000) + "\r\n", "Host: a\r\nHost: b\r\n", "X-Fold: a\r\n b\r\n", "Content-Encoding: gzip, br\r\n", "Idempotency-Key: \u00a0\r\n",
            "/../", "%2e%2e%2f", "%00", "%zz", "%c0%af", "?a=b&a=c", "#", "HTTP/9.9", "ffffffffffffffff\r\n", "0\r\n\r\n", "GET http://[::1/ HTTP/1.1\r\n", "\u001b[31m", "\u2028",
            "{", "}", "[", "]", "\"", "\\", ",", "\"\\ud800\"", "\"\\u0000\"", "1e999999999", "-0", "NaN", "123456789012345678901234567890123456789012345678901234567890", "null", "true", "{}", "[]",
            new string('[', 200), new string('{', 200), string.Concat(Enumerable.Repeat("{\"a\":", 100)), "\"value\":1,", "\"id\":1,\"id\":2,", "/**/", "\ufeff", "\u202e",
        }.Select(Encoding.UTF8.GetBytes),
        [0xff, 0xfe], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80],
    ];

    public static byte[] Mutate(byte[] valid, Random random)
    {
        var bytes = new List<byte>(valid);
        for (var places = random.Next(1, 5); places > 0; places--)
        {
            var at = random.Next(bytes.Count + 1);
            var length = Math.Min(random.Next(1, 9), bytes.Count - at);
            switch (random.Next(7))
            {
                case 0 when at < bytes.Count: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1 when at < bytes.Count: bytes[at] = (byte)random.Next(256); break;
                case 2: bytes.RemoveRange(at, length); break;
                case 3: bytes.InsertRange(at, bytes.GetRange(at, length)); break;
                case 4: bytes.RemoveRange(at, bytes.Count - at); break;
                default: bytes.InsertRange(at, Pieces[random.Next(Pieces.Length)]); break;
            }
        }
        return [.. bytes];
    }
}
