using System.IO.Compression;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http.Features;
using Sluice.Records;

namespace Sluice.Server.DataPlane;

/// <summary>
/// A request body with records, decompressed: whole in one pooled buffer, or, when it is large, its beginning and a window through which the rest is read while
/// it is decoded. The only place that decides on too large (413) and on an encoding that is not known (415).
/// </summary>
/// <remarks>A value, so that a request allocates nothing for a body that is read whole. Dispose exactly once.</remarks>
readonly struct RequestBody : IDisposable
{
    /// <summary>What <c>Content-Encoding</c> may be; sent with 415 as RFC 7694 has it.</summary>
    const string Encodings = "gzip, br, zstd";

    // whatever is announced: more is taken for what has come
    const int FirstBufferBytes = 16 * 1024;

    // up to here it grows in larger steps, so that a body of this size is copied a third as often
    const int QuickBufferBytes = 1024 * 1024;

    readonly PooledBody _whole;

    RequestBody(PooledBody whole) => _whole = whole;

    RequestBody(BodyWindow window) => Window = window;

    /// <summary>The whole body, when there is no <see cref="Window"/>.</summary>
    public ReadOnlyMemory<byte> Memory => _whole.Memory;

    /// <summary>The body when it is too large to be read whole; else <c>null</c>.</summary>
    public BodyWindow? Window { get; }

    /// <summary>Reads the whole body, or as much of it as tells that it is large. Nothing of it outlives <see cref="Dispose"/>.</summary>
    /// <param name="maxBytes">After decompression.</param>
    /// <param name="time">For what is read here; a large body has as much again.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.RequestTooLarge"/>; <see cref="ErrorCode.UnsupportedEncoding"/>; <see cref="ErrorCode.InvalidBody"/>: what came does not decompress, or not
    /// to its end; <see cref="ErrorCode.MemoryLow"/>; <see cref="ErrorCode.RequestTimeout"/>.
    /// </exception>
    /// <exception cref="RefusedException">Multipart.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<RequestBody> ReadAsync(HttpContext context, long maxBytes, BodyBudget budget, ReceiveTime time, CancellationToken cancellation)
    {
        var request = context.Request;
        ControlBody.ThrowIfMultipart(request);
        var encoding = ReadEncoding(context);

        // the limit here is the sink's, and on what comes out of the decompressor; the server's own limit is for other requests
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = null;

        var announced = encoding is null ? request.ContentLength : null;
        if (announced > maxBytes)
            throw BodyWindow.TooLarge(maxBytes);

        var source = encoding is null ? new BodySource(request.Body) : Decompress(context, encoding);
        var (body, isWhole) = await FillAsync(source, (int)Math.Min(announced ?? FirstBufferBytes, FirstBufferBytes), maxBytes, budget, time, cancellation);

        return isWhole ? new RequestBody(body) : new RequestBody(new BodyWindow(body, maxBytes, budget, source.ReadAsync));
    }

    public void Dispose()
    {
        if (Window is null)
            _whole.Dispose();
        else
            Window.Dispose();
    }

    static string? ReadEncoding(HttpContext context)
    {
        var header = context.Request.Headers.ContentEncoding;
        if (header.Count == 0)
            return null;

        switch (header.ToString().Trim().ToLowerInvariant())
        {
            case "" or "identity": return null;
            case "gzip" or "x-gzip": return "gzip";
            case "br": return "br";
            case "zstd": return "zstd";
            default:
                context.Response.Headers.AcceptEncoding = Encodings;
                throw new SluiceException(ErrorCode.UnsupportedEncoding, $"Content-Encoding must be one of {Encodings}, or absent.");
        }
    }

    static BodySource Decompress(HttpContext context, string encoding)
    {
        var body = new CompressedBody(context.Request.Body);
        Stream decompressed = encoding switch
        {
            "gzip" => new GZipStream(body, CompressionMode.Decompress, leaveOpen: true),
            "br" => new BrotliBody(body),
            _ => new ZstdSharp.DecompressionStream(body, checkEndOfStream: true, leaveOpen: true),
        };
        context.Response.RegisterForDisposeAsync(decompressed); // the rest of a large body is read through it
        return new BodySource(decompressed, encoding, body);
    }

    /// <summary>Reads to the end, or until the body turns out to be large.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    static async ValueTask<(PooledBody Body, bool IsWhole)> FillAsync(BodySource source, int firstBytes, long maxBytes, BodyBudget budget, ReceiveTime time, CancellationToken cancellation)
    {
        var body = PooledBody.Rent(firstBytes, budget);
        try
        {
            while (true)
            {
                if (body.Length == body.Capacity)
                {
                    if (body.Length >= BodyWindow.DefaultBytes)
                        return (body, false);

                    body = body.Grow(BodyWindow.DefaultBytes, times: body.Capacity < QuickBufferBytes ? 4 : 2);
                }

                var count = await source.ReadAsync(body.Free(body.Capacity - body.Length), cancellation);
                if (count == 0)
                    return (body, true);

                body = body.Extend(count);
                if (body.Length > maxBytes)
                    throw BodyWindow.TooLarge(maxBytes);
                time.ThrowIfOver();
            }
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    /// <summary>Where the bytes come from: what does not decompress is the sender's fault, and what is left over could be records.</summary>
    readonly struct BodySource(Stream stream, string? encoding = null, CompressedBody? compressed = null)
    {
        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
        public async ValueTask<int> ReadAsync(Memory<byte> room, CancellationToken cancellation)
        {
            try
            {
                var count = await stream.ReadAsync(room, cancellation);
                return count > 0 || compressed is null or { HasEnded: true }
                    ? count
                    : throw new SluiceException(ErrorCode.InvalidBody, $"Something follows the {encoding} data of the body, which has ended; nothing was stored.");
            }
            catch (Exception e) when (encoding is not null && e is InvalidDataException or InvalidOperationException or ZstdSharp.ZstdException or EndOfStreamException)
            {
                throw new SluiceException(ErrorCode.InvalidBody, $"The body is not valid {encoding}.", e);
            }
        }
    }
}
