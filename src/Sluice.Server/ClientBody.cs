using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;

namespace Sluice.Server;

/// <summary>
/// The body of a request, as the client sends it. When it stops coming because the client is gone, reading throws <see cref="ConnectionAbortedException"/>: the
/// server throws an <see cref="IOException"/>, as the disk does, and may do so before it cancels the request.
/// </summary>
sealed class ClientBody(Stream body) : InputStream
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            return await body.ReadAsync(buffer, cancellationToken);
        }
        catch (IOException e) when (e is not BadHttpRequestException) // which is what is wrong with the body
        {
            throw new ConnectionAbortedException("the client left while its request was read", e);
        }
    }
}
