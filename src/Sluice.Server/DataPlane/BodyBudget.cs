namespace Sluice.Server.DataPlane;

/// <summary>
/// The memory that bodies with records may take together. Without it, many connections that each send a large body would take
/// connections x limit. Any thread.
/// </summary>
sealed class BodyBudget(long maxBytes)
{
    long _used;

    public long UsedBytes => Interlocked.Read(ref _used);

    /// <exception cref="RefusedException">There is not that much left now; retry.</exception>
    public void Take(int bytes)
    {
        if (Interlocked.Add(ref _used, bytes) <= maxBytes)
            return;

        Give(bytes);
        throw new RefusedException(Refusals.TooBusy, "The server has too many request bodies in memory; send the request again.");
    }

    public void Give(int bytes) => Interlocked.Add(ref _used, -bytes);
}
