namespace Sluice.Server.DataPlane;

/// <summary>How long a body may take to arrive, from now on: what has come of it takes memory all the while.</summary>
readonly struct ReceiveTime(TimeProvider time, TimeSpan longest)
{
    readonly long _started = time.GetTimestamp();

    /// <exception cref="SluiceException"><see cref="ErrorCode.RequestTimeout"/>.</exception>
    public void ThrowIfOver()
    {
        if (time.GetElapsedTime(_started) > longest) throw new SluiceException(ErrorCode.RequestTimeout, $"The body did not arrive within {longest}.");
    }
}
