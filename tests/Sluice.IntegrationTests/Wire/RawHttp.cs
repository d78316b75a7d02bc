using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Sluice.IntegrationTests.Wire;

/// <summary>An HTTP answer as it came over the wire.</summary>
sealed record RawAnswer(int Status, IReadOnlyDictionary<string, string> Headers, string Body);

/// <summary>HTTP/1.1 over a bare socket: what is sent is exactly what the test says, with no client library in between.</summary>
static class RawHttp
{
    /// <summary>Sends a request head (request line and headers, without Host and Content-Length) and a body on a connection of its own.</summary>
    public static async Task<RawAnswer> SendAsync(int port, string head, byte[] body, CancellationToken cancellation)
    {
        var text = new StringBuilder();
        var lines = head.Split('\n');
        text.Append(lines[0].TrimEnd()).Append(" HTTP/1.1\r\nHost: localhost:").Append(port).Append("\r\nConnection: close\r\n");
        foreach (var header in lines.Skip(1)) text.Append(header.TrimEnd()).Append("\r\n");
        text.Append(CultureInfo.InvariantCulture, $"Content-Length: {body.Length}\r\n\r\n");

        using var socket = new TcpClient();
        await socket.ConnectAsync("127.0.0.1", port, cancellation);
        await using var stream = socket.GetStream();
        await stream.WriteAsync(Encoding.UTF8.GetBytes(text.ToString()), cancellation);
        await stream.WriteAsync(body, cancellation);
        using var answer = new MemoryStream();
        await stream.CopyToAsync(answer, cancellation);
        return Parse(answer.ToArray());
    }

    /// <summary>An answer that is there to its end.</summary>
    public static RawAnswer Parse(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOf("\r\n\r\n"u8);
        var lines = Encoding.ASCII.GetString(bytes[..end]).Split("\r\n");
        var headers = lines.Skip(1).Select(line => line.Split(':', 2)).ToLookup(pair => pair[0], pair => pair[1].Trim(), StringComparer.OrdinalIgnoreCase)
            .ToDictionary(header => header.Key, header => string.Join(", ", header), StringComparer.OrdinalIgnoreCase);
        var body = bytes[(end + 4)..];
        if (headers.TryGetValue("Transfer-Encoding", out var encoding) && encoding == "chunked") body = Unchunk(body);
        return new RawAnswer(int.Parse(lines[0].Split(' ')[1], CultureInfo.InvariantCulture), headers, Encoding.UTF8.GetString(body));
    }

    static byte[] Unchunk(ReadOnlySpan<byte> chunks)
    {
        var body = new List<byte>();
        while (true)
        {
            var line = chunks.IndexOf("\r\n"u8);
            var length = int.Parse(Encoding.ASCII.GetString(chunks[..line]), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            if (length == 0) return [.. body];
            body.AddRange(chunks.Slice(line + 2, length));
            chunks = chunks[(line + 2 + length + 2)..];
        }
    }
}
