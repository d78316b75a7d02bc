namespace Sluice.Server;

/// <summary>
/// The body of a request that does not send records. Any content type is taken, for real clients send <c>text/plain</c>, form types,
/// misspelt ones and none; only multipart is refused, which cannot be what is asked for.
/// </summary>
static class ControlBody
{
    /// <exception cref="RefusedException">The body is multipart.</exception>
    /// <exception cref="SluiceException"><see cref="ErrorCode.RequestTooLarge"/>.</exception>
    public static async ValueTask<byte[]> ReadAsync(HttpRequest request, int maxBytes, CancellationToken cancellation)
    {
        ThrowIfMultipart(request);
        using var body = new MemoryStream();
        var chunk = new byte[4_096];
        int count;

        while ((count = await request.Body.ReadAsync(chunk, cancellation)) > 0)
        {
            if (body.Length + count > maxBytes)
                throw new SluiceException(ErrorCode.RequestTooLarge, $"The request body is larger than {maxBytes} bytes.");
            body.Write(chunk, 0, count);
        }

        return body.ToArray();
    }

    /// <exception cref="RefusedException">The body is multipart.</exception>
    public static void ThrowIfMultipart(HttpRequest request)
    {
        if (request.ContentType?.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase) == true)
            throw new RefusedException(Refusals.MultipartBody, "A multipart body is not taken here; send the JSON as the body.");
    }
}
