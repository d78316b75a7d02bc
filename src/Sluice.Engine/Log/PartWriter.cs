namespace Sluice.Log;

/// <summary>
/// Appends one request in parts, while it is still being received: only the last part is waited for, and until it is durable nothing of the request
/// counts. Dispose it in any case: then the parts of a request that was not completed are given up. One thread at a time.
/// </summary>
sealed class PartWriter(TableLog log) : IAsyncDisposable
{
    /// <summary>Parts that wait for the disk at a time: one is written while the next is decoded.</summary>
    const int MaxUnderWay = 2;

    readonly Queue<Task<LogPosition>> _underWay = [];
    ulong _first;
    int _acceptedCount;
    bool _isComplete;

    /// <summary>What the next frame must be encoded with. Waits until there is room for it, and for the sequence of the first part.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.LogFailed"/>: nothing of the request is stored.</exception>
    public async ValueTask<RecordsFrame.Part> NextAsync(bool hasMore)
    {
        while (_underWay.Count >= MaxUnderWay || (_first == 0 && _underWay.Count > 0))
        {
            var position = await DurableAsync(_underWay.Dequeue());
            if (_first == 0) _first = position.Sequence;
        }
        return new RecordsFrame.Part(_first, _acceptedCount, hasMore);
    }

    /// <summary>Appends a part that is not the last; does not wait for the disk.</summary>
    /// <exception cref="SluiceException">As of <see cref="TableLog.AppendAsync"/>; nothing of the request is stored.</exception>
    public void Append(FrameBuffer frame, int acceptedCount)
    {
        var append = log.AppendAsync(frame);
        if (append.IsFaulted) append.GetAwaiter().GetResult();
        _underWay.Enqueue(append);
        _acceptedCount += acceptedCount;
    }

    /// <summary>Appends the last part; returns its position, that of the request, when all of the request is durable.</summary>
    /// <exception cref="SluiceException">As of <see cref="TableLog.AppendAsync"/>.</exception>
    public async Task<LogPosition> CompleteAsync(FrameBuffer frame)
    {
        var append = log.AppendAsync(frame);
        if (append.IsFaulted) append.GetAwaiter().GetResult();
        _isComplete = true;
        return await append; // a log that failed before it fails it too
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var append in _underWay)
        {
            try
            {
                var position = await append;
                if (_first == 0) _first = position.Sequence;
            }
            catch (SluiceException)
            {
                // the log has failed, and everybody was told
            }
        }
        _underWay.Clear();
        if (!_isComplete && _first != 0) log.Abandon(_first);
    }

    /// <summary>The request's last part was not handed to the disk, so that what became of this one does not matter.</summary>
    static async Task<LogPosition> DurableAsync(Task<LogPosition> append)
    {
        try
        {
            return await append;
        }
        catch (SluiceException e)
        {
            throw new SluiceException(e.Code, "The log could not be written to disk; the server must restart and recover. Nothing of the request was stored.", e);
        }
    }
}
