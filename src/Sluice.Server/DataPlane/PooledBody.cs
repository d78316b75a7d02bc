using System.Buffers;

namespace Sluice.Server.DataPlane;

/// <summary>Bytes in a buffer of the shared pool. Dispose exactly once, and use nothing of it after.</summary>
/// <remarks>A value, so that a request allocates nothing for its body: <see cref="Grow"/> and <see cref="Extend"/> replace the one they are called on.</remarks>
readonly struct PooledBody : IDisposable
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

    /// <summary>The same bytes in a buffer of twice the size, but no more than <paramref name="maxBytes"/> asks for.</summary>
    public PooledBody Grow(int maxBytes, BodyBudget budget)
    {
        var larger = Rent((int)Math.Min(2L * Capacity, maxBytes), budget);
        Memory.CopyTo(larger._buffer);
        var grown = new PooledBody(larger._buffer, Length, budget);
        Dispose();
        return grown;
    }

    public Memory<byte> Free(int count) => _buffer.AsMemory(Length, count);

    public PooledBody Extend(int count) => new(_buffer, Length + count, _budget);

    public void Dispose()
    {
        _budget.Give(_buffer.Length);
        ArrayPool<byte>.Shared.Return(_buffer);
    }
}
