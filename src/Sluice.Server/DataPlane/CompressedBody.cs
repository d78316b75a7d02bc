using System.Buffers;
using System.IO.Compression;

namespace Sluice.Server.DataPlane;

/// <summary>
/// What a decompressor reads. It asks for more only when it has used all that it has, so one that ends before <see cref="HasEnded"/> has left a part of the body over.
/// </summary>
sealed class CompressedBody(Stream body) : InputStream
{
    /// <summary>Whoever reads was told that there is no more.</summary>
    public bool HasEnded { get; private set; }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var count = await body.ReadAsync(buffer, cancellationToken);
        HasEnded = count == 0;
        return count;
    }
}

/// <summary>Decompresses brotli. <see cref="BrotliStream"/> reads ahead and does not tell whether anything follows the end; this reads the end of the body.</summary>
sealed class BrotliBody(CompressedBody body) : InputStream
{
    byte[]? _buffer = ArrayPool<byte>.Shared.Rent(ReceiveBuffers.Bytes);
    BrotliDecoder _decoder;
    int _start;
    int _end;
    bool _hasBegun;
    bool _isDone;

    /// <exception cref="InvalidDataException">It is no brotli, or cut.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_buffer is null, this);
        while (true)
        {
            var written = _isDone ? 0 : Decompress(buffer.Span);
            if (written > 0) return written;
            if (_start < _end) return 0; // what is left stands behind the end

            (_start, _end) = (0, await body.ReadAsync(_buffer, cancellationToken));
            if (_end == 0) return _isDone || !_hasBegun ? 0 : throw new InvalidDataException("the compressed data is cut");
            if (_isDone) return 0;
            _hasBegun = true;
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && _buffer is { } buffer)
        {
            _buffer = null;
            _decoder.Dispose();
            ArrayPool<byte>.Shared.Return(buffer);
        }
        base.Dispose(disposing);
    }

    int Decompress(Span<byte> room)
    {
        var status = _decoder.Decompress(_buffer.AsSpan(_start.._end), room, out var consumed, out var written);
        if (status == OperationStatus.InvalidData) throw new InvalidDataException("not brotli");
        _start += consumed;
        _isDone = status == OperationStatus.Done;
        return written;
    }
}
