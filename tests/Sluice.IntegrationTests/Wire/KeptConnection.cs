using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Sluice.IntegrationTests.Wire;

/// <summary>
/// A connection to the server, kept from one request to the next, for senders that must cost little: a request is bytes that were made before, and an answer is
/// bytes, too. One request at a time.
/// </summary>
sealed class KeptConnection(int port) : IDisposable
{
    readonly byte[] _answer = new byte[16 * 1024];
    Socket? _socket;

    /// <summary>Sends a request whole and reads its answer to the end. Connects when it must.</summary>
    /// <returns>Until the next call.</returns>
    /// <exception cref="SocketException">The connection was lost; the next call makes another.</exception>
    /// <exception cref="IOException">The same, or the answer is longer than 16 KiB.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> ExchangeAsync(ReadOnlyMemory<byte> request, CancellationToken cancellation)
    {
        try
        {
            var socket = _socket ??= await ConnectAsync(cancellation);
            for (var sent = 0; sent < request.Length;) sent += await socket.SendAsync(request[sent..], cancellation);
            var length = 0;
            do
            {
                var count = await socket.ReceiveAsync(_answer.AsMemory(length), cancellation);
                if (count == 0) throw new IOException("The server closed the connection, or its answer is too long.");
                length += count;
            }
            while (!IsWhole(_answer.AsSpan(0, length)));
            return _answer.AsMemory(0, length);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _socket?.Dispose();
        _socket = null;
    }

    async Task<Socket> ConnectAsync(CancellationToken cancellation)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync("127.0.0.1", port, cancellation);
        return socket;
    }

    static bool IsWhole(ReadOnlySpan<byte> answer)
    {
        var end = answer.IndexOf("\r\n\r\n"u8);
        if (end < 0) return false;
        var head = answer[..(end + 2)];
        var length = head.IndexOf("\r\nContent-Length: "u8);
        if (length < 0) return answer.EndsWith("\r\n0\r\n\r\n"u8); // in chunks
        var digits = head[(length + "\r\nContent-Length: ".Length)..];
        return answer.Length - end - 4 == int.Parse(Encoding.ASCII.GetString(digits[..digits.IndexOf((byte)'\r')]), CultureInfo.InvariantCulture);
    }
}
