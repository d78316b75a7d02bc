namespace Sluice.Log;

/// <summary>Reads the durable frames of a log in order, over segments. One thread at a time.</summary>
sealed class LogReader : IDisposable
{
    readonly TableLog _log;
    SegmentReader? _segment;
    ulong _sequence;
    int _frame;

    public LogReader(TableLog log, ulong after) => (_log, _sequence) = (log, after);

    /// <summary>The next frame, without taking it; valid until the one after it is asked for. False: nothing more is durable yet.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: a durable frame cannot be read any more.</exception>
    public bool TryPeek(out StoredFrame frame)
    {
        frame = default;
        if (_log.DurablePosition.Sequence <= _sequence) return false;
        while (true)
        {
            if (_segment is not null && _frame < _segment.Frames.Count)
            {
                frame = _segment.Frames[_frame];
                if (frame.Header.Position.Sequence > _sequence) return true;
                _frame++;
                continue;
            }
            if (_segment is not null && _segment.TryReadGroup(_segment.Segment.DurableBytes))
            {
                _frame = 0;
                continue;
            }
            if (!TryMoveToNextSegment()) return false;
        }
    }

    /// <summary>Goes on to the frame after the one that was peeked.</summary>
    public void Take()
    {
        _sequence = _segment!.Frames[_frame].Header.Position.Sequence;
        _frame++;
    }

    public void Dispose() => _segment?.Dispose();

    bool TryMoveToNextSegment()
    {
        var next = _log.FindSegmentAfter(_sequence);
        if (next is null) return false;
        if (_segment is not null && _segment.Segment == next)
            throw new SluiceException(ErrorCode.Corrupt, $"{next.Path}: offset {_segment.NextOffset}: a durable group cannot be read back");
        if (next.PresentBefore > _sequence && _segment is null)
            throw new SluiceException(ErrorCode.Corrupt, $"{next.Path}: frames after sequence {_sequence} up to {next.PresentBefore} are needed and were trimmed");
        _segment?.Dispose();
        _segment = new SegmentReader(next);
        _frame = 0;
        return true;
    }
}
