namespace Sluice.Log;

/// <summary>
/// Which parts of requests the log must keep: those of requests that are still being received, and of complete ones until the loader has passed
/// their last part. Any thread.
/// </summary>
sealed class PartPins
{
    readonly Lock _lock = new();
    readonly Dictionary<ulong, ulong> _lastParts = []; // by first part; 0: not there yet. Under _lock

    /// <summary>Takes notice of a frame, before anybody can be told that it is durable.</summary>
    public void Note(in FrameHeader header)
    {
        if (header.FirstPart == 0 && !header.IsFirstPart) return;
        lock (_lock)
        {
            if (header.IsFirstPart) _lastParts.Add(header.Position.Sequence, 0);
            else if (header.IsLastPart) _lastParts[header.FirstPart] = header.Position.Sequence;
        }
    }

    /// <summary>The request will never be complete: its parts mean nothing.</summary>
    public void Abandon(ulong firstPart)
    {
        lock (_lock) _lastParts.Remove(firstPart);
    }

    /// <summary>After a recovery nobody is left to complete what is not complete.</summary>
    public void AbandonIncomplete()
    {
        lock (_lock)
        {
            foreach (var (first, last) in _lastParts)
                if (last == 0) _lastParts.Remove(first);
        }
    }

    /// <summary>The lowest sequence that is still needed when everything up to <paramref name="loaded"/> is in the store; never 0.</summary>
    public ulong OldestNeeded(ulong loaded) => Oldest(loaded, onlyComplete: false);

    /// <summary>The lowest sequence that the loader has still to load.</summary>
    public ulong OldestWaiting(ulong loaded) => Oldest(loaded, onlyComplete: true);

    ulong Oldest(ulong loaded, bool onlyComplete)
    {
        lock (_lock)
        {
            var oldest = loaded + 1;
            foreach (var (first, last) in _lastParts)
            {
                if (last != 0 && last <= loaded) _lastParts.Remove(first);
                else if (last != 0 || !onlyComplete) oldest = Math.Min(oldest, first);
            }
            return oldest;
        }
    }
}
