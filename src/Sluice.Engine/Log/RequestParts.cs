namespace Sluice.Log;

/// <summary>Finds out which requests in parts are complete, from the frames that are left of a log. Fed in the order of the log; one thread.</summary>
sealed class RequestParts
{
    readonly Dictionary<ulong, int> _nextIndexes = []; // by first part

    /// <returns>False: the frame is the last part of a request of which other parts are not there.</returns>
    public bool IsWhole(in FrameHeader header)
    {
        if (header.IsFirstPart) _nextIndexes[header.Position.Sequence] = header.RecordCount;
        if (header.FirstPart == 0) return true;
        var isNext = _nextIndexes.TryGetValue(header.FirstPart, out var index) && index == header.FirstRecordIndex;
        if (isNext) _nextIndexes[header.FirstPart] = index + header.RecordCount;
        else _nextIndexes.Remove(header.FirstPart);
        if (!header.IsLastPart) return true;
        _nextIndexes.Remove(header.FirstPart);
        return isNext;
    }
}
