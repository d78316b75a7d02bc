using System.Buffers;

namespace Sluice.Records;

/// <summary>Bytes in a buffer of the shared pool. Dispose exactly once, and use nothing of it after.</summary>
/// <remarks>A value, so that a request allocates nothing for its body: <see cref="Grow"/> and <see cref="Extend"/> replace the one they are called on.</remarks>
public readonly struct PooledBody : IDisposable
{
    readonly byte[] _buffer;
    readonly BodyBudget _budget;

    PooledBody(byte[] buffer, int length, BodyBudget budget)
    {
        _buffer = buffer;
        _budget = budget;
        Length = length;
    }

    public int Length { get; }

    public int Capacity => _buffer.Length;

    public ReadOnlyMemory<byte> Memory => _buffer.AsMemory(0, Length);

    /// <exception cref="SluiceException"><see cref="ErrorCode.MemoryLow"/>.</exception>
    public static PooledBody Rent(int minBytes, BodyBudget budget)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(minBytes);
        try
        {
            budget.Take(buffer.Length);
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }

        return new PooledBody(buffer, 0, budget);
    }

    /// <summary>The same bytes in a buffer of so many <paramref name="times"/> the size, but no more than <paramref name="maxBytes"/> asks for.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MemoryLow"/>.</exception>
    public PooledBody Grow(int maxBytes, int times = 2)
    {
        var larger = Rent((int)Math.Min((long)times * Capacity, maxBytes), _budget);
        Memory.CopyTo(larger._buffer);
        var grown = new PooledBody(larger._buffer, Length, _budget);
        Dispose();
        return grown;
    }

    /// <summary>Room behind the bytes.</summary>
    public Memory<byte> Free(int count) => _buffer.AsMemory(Length, count);

    /// <summary>With so many bytes of <see cref="Free"/> more.</summary>
    public PooledBody Extend(int count) => new(_buffer, Length + count, _budget);

    /// <summary>Without the first bytes; the others move to the front.</summary>
    public PooledBody Without(int count)
    {
        Memory[count..].CopyTo(_buffer);
        return new PooledBody(_buffer, Length - count, _budget);
    }

    public void Dispose()
    {
        _budget.Give(_buffer.Length);
        ArrayPool<byte>.Shared.Return(_buffer);
    }
}
