using System.Collections.Concurrent;
using Sluice.Log;

namespace Sluice.Load;

/// <summary>
/// Collects the failures of one request for whoever waits until it is loaded: all of them, however few errors the store keeps. Made before the
/// request is appended; ends with Dispose.
/// </summary>
public sealed class LoadWatch : IDisposable
{
    readonly LoadWatches _watches;
    readonly List<LateError> _failures = [];
    readonly Lock _lock = new();
    string? _requestId; // written under _lock
    bool _hasEnded; // under _lock

    internal LoadWatch(LoadWatches watches) => _watches = watches;

    /// <summary>False: the request was not appended, for example because it was answered before.</summary>
    public bool IsBegun => _requestId is not null;

    /// <summary>Complete when the request is loaded, and not to be read before.</summary>
    public IReadOnlyList<LateError> Failures => _failures;

    public void Dispose()
    {
        lock (_lock)
        {
            _hasEnded = true;
            if (_requestId is not null) _watches.Remove(_requestId);
        }
    }

    /// <summary>Called when the request is durable, before the loader can have it.</summary>
    internal void Begin(LogPosition position)
    {
        lock (_lock)
        {
            if (_hasEnded) return; // whoever waited has gone: nobody would take it out again
            _requestId = FrameHeader.FormatRequestId(position);
            _watches.Add(_requestId, this);
        }
    }

    /// <summary>Called on the loader's thread, before the request counts as loaded.</summary>
    internal void Note(LateError failure) => _failures.Add(failure);
}

/// <summary>The requests of a table that somebody waits for. Any thread.</summary>
sealed class LoadWatches
{
    readonly ConcurrentDictionary<string, LoadWatch> _watches = [];

    public bool IsEmpty => _watches.IsEmpty;

    public void Add(string requestId, LoadWatch watch) => _watches[requestId] = watch;

    public void Remove(string requestId) => _watches.TryRemove(requestId, out _);

    /// <summary>Hands each failure to whoever waits for its request.</summary>
    public void Note(IReadOnlyList<LateError> failures)
    {
        if (failures.Count == 0 || _watches.IsEmpty) return;
        foreach (var failure in failures)
            if (_watches.TryGetValue(failure.RequestId, out var watch)) watch.Note(failure);
    }
}
