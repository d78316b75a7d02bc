using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;

namespace Sluice.Cli.Bench;

/// <param name="RejectedRecords">Records that were refused one by one, as the answer's header says.</param>
/// <param name="RetryAfter">When a refusal says to come again; <c>null</c>: it does not.</param>
/// <param name="Text">The answer's body, when it is a refusal.</param>
readonly record struct BenchAnswer(int Status, int RejectedRecords, TimeSpan? RetryAfter, string? Text);

/// <summary>
/// One HTTP/1.1 connection that sends requests whose bytes are ready, and blocks for their answers: two system calls a request, where a general
/// client costs as much as the server under test. Connects when first used, and again when the server has closed. One thread at a time.
/// </summary>
sealed class BenchConnection(Uri origin, SslClientAuthenticationOptions? tls) : IDisposable
{
    static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    Stream? _stream;
    byte[] _buffer = new byte[16 * 1024];
    int _start; // unread bytes of the buffer
    int _end;

    /// <exception cref="IOException">The connection broke, or the answer is not HTTP: what became of the request is not known.</exception>
    public BenchAnswer Send(ReadOnlySpan<byte> request)
    {
        try
        {
            _stream ??= Connect();
            _stream.Write(request);
            return ReadAnswer(_stream);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            Dispose();
            throw e as IOException ?? new IOException(e.Message, e);
        }
    }

    /// <summary>Ends a call of <see cref="Send"/> that another thread is in.</summary>
    public void Abort() => _stream?.Dispose();

    public void Dispose()
    {
        _stream?.Dispose();
        _stream = null;
        _start = _end = 0;
    }

    Stream Connect()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = (int)Patience.TotalMilliseconds };
        try
        {
            socket.Connect(origin.Host, origin.Port);
            var plain = new NetworkStream(socket, ownsSocket: true);
            if (tls is null) return plain;
            var secure = new SslStream(plain);
            secure.AuthenticateAsClient(tls);
            return secure;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    BenchAnswer ReadAnswer(Stream stream)
    {
        var status = Status(ReadLine(stream));
        var (length, isChunked, closes, rejected) = (0L, false, false, 0);
        TimeSpan? retryAfter = null;
        while (ReadLine(stream) is { IsEmpty: false } line)
        {
            var colon = line.IndexOf((byte)':');
            if (colon < 0) throw new IOException("the answer is not HTTP");
            var name = line[..colon];
            var value = line[(colon + 1)..].Trim((byte)' ');
            if (Is(name, "Content-Length"u8)) length = Number(value, NumberStyles.None);
            else if (Is(name, "Transfer-Encoding"u8)) isChunked = Is(value, "chunked"u8);
            else if (Is(name, "Connection"u8)) closes = Is(value, "close"u8);
            else if (Is(name, "Retry-After"u8)) retryAfter = long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var wait) ? TimeSpan.FromSeconds(Math.Min(wait, int.MaxValue)) : null; // or a date
            else if (Is(name, "X-Error-Count"u8)) rejected = (int)Number(value, NumberStyles.None);
        }
        var text = status < 400 ? null : new StringBuilder();
        if (isChunked) ReadChunks(stream, text);
        else Skip(stream, length, text);
        if (closes) Dispose();
        return new BenchAnswer(status, rejected, retryAfter, text?.ToString());
    }

    void ReadChunks(Stream stream, StringBuilder? text)
    {
        while (true)
        {
            var size = ReadLine(stream);
            var semicolon = size.IndexOf((byte)';');
            var length = Number(semicolon < 0 ? size : size[..semicolon], NumberStyles.AllowHexSpecifier);
            Skip(stream, length, text);
            if (!ReadLine(stream).IsEmpty) throw new IOException("the answer is not HTTP");
            if (length == 0) return; // trailers are sent by neither side
        }
    }

    /// <summary>A line without its end; valid until the next read.</summary>
    ReadOnlySpan<byte> ReadLine(Stream stream)
    {
        while (true)
        {
            var unread = _buffer.AsSpan(_start.._end);
            var length = unread.IndexOf("\r\n"u8);
            if (length >= 0)
            {
                _start += length + 2;
                return unread[..length];
            }
            if (_start > 0)
            {
                unread.CopyTo(_buffer);
                (_start, _end) = (0, unread.Length);
            }
            if (_end == _buffer.Length) Array.Resize(ref _buffer, _buffer.Length * 2);
            Fill(stream);
        }
    }

    void Skip(Stream stream, long bytes, StringBuilder? text)
    {
        while (bytes > 0)
        {
            if (_start == _end)
            {
                _start = _end = 0;
                Fill(stream);
            }
            var taken = (int)Math.Min(bytes, _end - _start);
            text?.Append(Encoding.UTF8.GetString(_buffer, _start, taken));
            _start += taken;
            bytes -= taken;
        }
    }

    void Fill(Stream stream)
    {
        var read = stream.Read(_buffer, _end, _buffer.Length - _end);
        if (read == 0) throw new IOException("the server closed the connection without an answer");
        _end += read;
    }

    static int Status(ReadOnlySpan<byte> line) =>
        line.Length >= 12 && line.StartsWith("HTTP/1."u8) ? (int)Number(line.Slice(9, 3), NumberStyles.None) : throw new IOException("the answer is not HTTP");

    static long Number(ReadOnlySpan<byte> text, NumberStyles style) =>
        long.TryParse(text, style, CultureInfo.InvariantCulture, out var number) ? number : throw new IOException("the answer is not HTTP");

    static bool Is(ReadOnlySpan<byte> text, ReadOnlySpan<byte> expected) => Ascii.EqualsIgnoreCase(text, expected);
}
