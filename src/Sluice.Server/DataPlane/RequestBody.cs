using System.Buffers;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http.Features;

namespace Sluice.Server.DataPlane;

/// <summary>
/// Reads a request body with records into one contiguous pooled buffer, decompressed. The only place that decides on too large
/// (413) and on an encoding that is not known (415).
/// </summary>
static class RequestBody
{
    /// <summary>What <c>Content-Encoding</c> may be; sent with 415 as RFC 7694 has it.</summary>
    const string Encodings = "gzip, br, zstd";

    // what a sender only announces costs at most this much
    const int FirstBufferBytes = 1024 * 1024;
    const int SmallBufferBytes = 16 * 1024;

    /// <summary>Reads the whole body. Nothing of it outlives the returned value's <see cref="PooledBody.Dispose"/>.</summary>
    /// <param name="maxBytes">After decompression.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.RequestTooLarge"/>; <see cref="ErrorCode.UnsupportedEncoding"/>; <see cref="ErrorCode.InvalidBody"/>: what came does not decompress.
    /// </exception>
    /// <exception cref="RefusedException">Multipart, or no memory for it now.</exception>
    public static async ValueTask<PooledBody> ReadAsync(HttpContext context, int maxBytes, BodyBudget budget, CancellationToken cancellation)
    {
        var request = context.Request;
        ControlBody.ThrowIfMultipart(request);
        var encoding = ReadEncoding(context);

        // the limit here is the sink's, and on what comes out of the decompressor; the server's own limit is for other requests
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = null;

        if (encoding is null)
            return await FillAsync(request.Body, request.ContentLength, maxBytes, budget, cancellation);

        await using var decompressed = Decompress(request.Body, encoding);
        try
        {
            return await FillAsync(decompressed, contentLength: null, maxBytes, budget, cancellation);
        }
        catch (Exception e) when (e is InvalidDataException or InvalidOperationException or ZstdSharp.ZstdException or EndOfStreamException)
        {
            throw new SluiceException(ErrorCode.InvalidBody, $"The body is not valid {encoding}.", e);
        }
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

    static Stream Decompress(Stream body, string encoding) => encoding switch
    {
        "gzip" => new GZipStream(body, CompressionMode.Decompress, leaveOpen: true),
        "br" => new BrotliStream(body, CompressionMode.Decompress, leaveOpen: true),
        _ => new ZstdSharp.DecompressionStream(body, checkEndOfStream: true, leaveOpen: true),
    };

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    static async ValueTask<PooledBody> FillAsync(Stream source, long? contentLength, int maxBytes, BodyBudget budget, CancellationToken cancellation)
    {
        if (contentLength > maxBytes)
            throw TooLarge(maxBytes);

        var body = PooledBody.Rent((int)Math.Min(contentLength ?? SmallBufferBytes, FirstBufferBytes), budget);
        try
        {
            while (body.Length < maxBytes)
            {
                if (body.Length == body.Capacity)
                    body = body.Grow(maxBytes, budget);

                var room = Math.Min(body.Capacity, maxBytes) - body.Length;
                var count = await source.ReadAsync(body.Free(room), cancellation);
                if (count == 0)
                    return body;

                body = body.Extend(count);
            }

            if (await IsAtEndAsync(source, cancellation))
                return body;

            throw TooLarge(maxBytes);
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    static async ValueTask<bool> IsAtEndAsync(Stream source, CancellationToken cancellation)
    {
        var probe = ArrayPool<byte>.Shared.Rent(1);
        try
        {
            return await source.ReadAsync(probe.AsMemory(0, 1), cancellation) == 0;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(probe);
        }
    }

    static SluiceException TooLarge(int maxBytes) =>
        new(ErrorCode.RequestTooLarge, $"The request body is larger than the limit of {maxBytes} bytes after decompression.");
}
