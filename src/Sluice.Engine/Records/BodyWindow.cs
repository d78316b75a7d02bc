namespace Sluice.Records;

/// <summary>Reads the next bytes of a body; 0: it has ended.</summary>
public delegate ValueTask<int> ReadBody(Memory<byte> room, CancellationToken cancellation);

/// <summary>
/// A body that is decoded while it arrives: the bytes that were read and not yet taken, in a buffer that does not grow with the body. It grows only for one
/// record that is larger, up to <see cref="MaxBytes"/>. One thread at a time.
/// </summary>
public sealed class BodyWindow : IDisposable
{
    /// <summary>Bodies up to this size are read whole and make one frame; larger ones are read through a window of this size: 4,194,304 bytes (4 MiB).</summary>
    public const int DefaultBytes = 4 << 20;

    /// <summary>Longest record of a body that is not read whole, and longest text of a member that is passed over: 134,217,728 bytes (128 MiB).</summary>
    public const int MaxBytes = 128 << 20;

    /// <summary>Memory that a window takes beside its buffer for what is decoded of it and waits for the disk, in sizes of the window.</summary>
    const int DecodedWindows = 2;

    readonly ReadBody _read;
    readonly BodyBudget? _budget;
    readonly ReadOnlyMemory<byte> _whole;
    readonly long _maxBodyBytes;
    PooledBody _buffer;
    int _taken;
    bool _isStuck;
    int _reserved;

    /// <param name="start">What was read of the body already; the window owns it from here on.</param>
    /// <param name="maxBodyBytes">Longest body.</param>
    /// <param name="read">Reads what follows.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MemoryLow"/>; <paramref name="start"/> is given back.</exception>
    public BodyWindow(PooledBody start, long maxBodyBytes, BodyBudget budget, ReadBody read)
    {
        (_buffer, _maxBodyBytes, _budget, _read) = (start, maxBodyBytes, budget, read);
        BodyBytes = start.Length;
        try
        {
            Reserve();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>A body that is in memory already.</summary>
    public BodyWindow(ReadOnlyMemory<byte> whole)
    {
        (_whole, _maxBodyBytes, _read) = (whole, whole.Length, static (_, _) => new ValueTask<int>(0));
        BodyBytes = whole.Length;
        IsComplete = true;
    }

    /// <summary>The bytes that were read and not taken.</summary>
    public ReadOnlyMemory<byte> Bytes => (_budget is null ? _whole : _buffer.Memory)[_taken..];

    /// <summary>Nothing follows <see cref="Bytes"/>.</summary>
    public bool IsComplete { get; private set; }

    /// <summary>Bytes of the body so far.</summary>
    public long BodyBytes { get; private set; }

    /// <summary>Reads until the window is full or the body ends; a window whose bytes nobody could take grows.</summary>
    /// <param name="afterRead">Called after each read, also while the window is not full: at a slow sender's pace that takes hours.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.RequestTooLarge"/>: the body, or one record of it; <see cref="ErrorCode.MemoryLow"/>; and what the source and <paramref name="afterRead"/> throw.
    /// </exception>
    public async ValueTask FillAsync(CancellationToken cancellation, Action? afterRead = null)
    {
        if (IsComplete) return;
        MakeRoom();
        while (_buffer.Length < _buffer.Capacity)
        {
            var count = await _read(_buffer.Free(_buffer.Capacity - _buffer.Length), cancellation);
            if (count == 0)
            {
                IsComplete = true;
                return;
            }
            _buffer = _buffer.Extend(count);
            BodyBytes += count;
            if (BodyBytes > _maxBodyBytes) throw TooLarge(_maxBodyBytes);
            afterRead?.Invoke();
        }
    }

    /// <summary>The first bytes are done with; none: more are needed to take any.</summary>
    public void Take(int count)
    {
        _taken += count;
        _isStuck = count == 0;
    }

    public void Dispose()
    {
        if (_budget is null) return;
        _buffer.Dispose();
        _budget.Give(_reserved);
    }

    /// <summary>Why a body is refused that is longer than its sink allows.</summary>
    public static SluiceException TooLarge(long maxBodyBytes) =>
        new(ErrorCode.RequestTooLarge, $"The request body is larger than the limit of {maxBodyBytes} bytes after decompression.");

    void MakeRoom()
    {
        if (_taken > 0)
        {
            _buffer = _buffer.Without(_taken);
            _taken = 0;
        }
        else if (_isStuck && _buffer.Length == _buffer.Capacity)
        {
            if (_buffer.Capacity >= MaxBytes) throw new SluiceException(ErrorCode.RequestTooLarge, $"A record of the body, or a text in it, is longer than {MaxBytes} bytes.");
            _buffer = _buffer.Grow(MaxBytes);
            Reserve();
        }
    }

    void Reserve()
    {
        var more = (DecodedWindows * _buffer.Capacity) - _reserved;
        _budget!.Take(more);
        _reserved += more;
    }
}
