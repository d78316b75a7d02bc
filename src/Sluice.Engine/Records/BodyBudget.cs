namespace Sluice.Records;

/// <summary>
/// The memory that bodies with records may take together. Without it, many connections that each send a large body would take
/// connections x limit. Any thread.
/// </summary>
public sealed class BodyBudget(long maxBytes)
{
    long _used;
    long _highest;

    public long UsedBytes => Interlocked.Read(ref _used);

    /// <summary>The most that was in use at a time.</summary>
    public long HighestUsedBytes => Interlocked.Read(ref _highest);

    /// <exception cref="SluiceException"><see cref="ErrorCode.MemoryLow"/>: there is not that much left now; retry.</exception>
    public void Take(int bytes)
    {
        var used = Interlocked.Add(ref _used, bytes);
        if (used > maxBytes)
        {
            Give(bytes);
            throw new SluiceException(ErrorCode.MemoryLow, "The server has too many request bodies in memory; send the request again.");
        }
        for (var highest = HighestUsedBytes; used > highest; highest = HighestUsedBytes)
            Interlocked.CompareExchange(ref _highest, used, highest);
    }

    public void Give(int bytes) => Interlocked.Add(ref _used, -bytes);
}
