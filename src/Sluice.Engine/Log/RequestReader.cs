namespace Sluice.Log;

/// <summary>A frame when its turn to be loaded has come.</summary>
/// <param name="Header">Of the frame itself.</param>
/// <param name="Payload">Valid until the next frame is asked for.</param>
/// <param name="Request">Position of the request's last part, which names the request and gives it its place in the order.</param>
/// <param name="UpTo">Where the table is when this frame is loaded and everything before it.</param>
/// <param name="IsDiscarded">None of the frame's rows is loaded, because the request was discarded.</param>
readonly record struct LoadableFrame(FrameHeader Header, ReadOnlyMemory<byte> Payload, LogPosition Request, LogPosition UpTo, bool IsDiscarded);

/// <summary>
/// Reads the durable frames of a log in the order in which they take effect: a request in parts takes effect where its last part stands, with its parts in
/// their order, and parts without a last part never do. One thread at a time.
/// </summary>
/// <remarks>
/// Parts are passed over where they stand and read again from the first one when the last is met: they may be older than the position the table had at
/// the start, so remembering them would not be enough.
/// </remarks>
sealed class RequestReader(TableLog log, LogPosition after) : IDisposable
{
    readonly LogReader _reader = log.OpenReader(after.Sequence);
    LogReader? _parts; // of the request whose last part _reader stands on
    LogPosition _taken = after;

    /// <summary>Everything up to here was taken or passed over: what comes next lies behind it.</summary>
    public ulong Sequence { get; private set; } = after.Sequence;

    /// <summary>Bytes of the parts passed over since the last frame that was taken.</summary>
    public long PassedBytes { get; private set; }

    /// <summary>Requests were passed over since then that a repair or a rebuild has counted as lost: nobody needs to wait for them.</summary>
    public bool HasPassedTorn { get; private set; }

    /// <summary>Where the table is when it moves past the parts passed over. Only while there is nothing to peek.</summary>
    public LogPosition Passed => _taken with { Sequence = Sequence };

    /// <summary>The next frame, without taking it; valid until the one after it is asked for. False: nothing more is durable yet.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: a durable frame cannot be read any more, or parts of a complete request are missing.</exception>
    public bool TryPeek(out LoadableFrame frame)
    {
        frame = default;
        while (_reader.TryPeek(out var stored))
        {
            if (stored.Header.IsLastPart && !log.IsTorn(stored.Header.Position.Sequence))
            {
                frame = stored.Header.FirstPart == 0 ? Loadable(stored, stored.Header) : NextPart(stored.Header);
                return true;
            }
            Sequence = stored.Header.Position.Sequence;
            if (stored.Header.IsLastPart)
            {
                _taken = Without(Sequence);
                HasPassedTorn = true;
            }
            PassedBytes += stored.Header.FrameBytes;
            _reader.Take();
        }
        return false;
    }

    /// <summary>Goes on to the frame after the one that was peeked.</summary>
    public void Take()
    {
        if (!TryPeek(out var frame)) throw new InvalidOperationException("there is no frame to take");
        _taken = frame.UpTo;
        _parts?.Take();
        if (frame.UpTo.RecordsAhead > 0) return;
        EndParts();
        Sequence = frame.UpTo.Sequence;
        (PassedBytes, HasPassedTorn) = (0, false);
        _reader.Take();
    }

    /// <summary>The table has moved to <see cref="Passed"/>.</summary>
    public void TakePassed() => (_taken, PassedBytes, HasPassedTorn) = (Passed, 0, false);

    public void Dispose()
    {
        EndParts();
        _reader.Dispose();
    }

    /// <summary>The first part of the request that was not taken; its last part when all others were.</summary>
    LoadableFrame NextPart(in FrameHeader last)
    {
        if (log.LastTornBetween(_taken.Sequence, last.Position.Sequence) is { } torn) _taken = Without(torn); // its last part went with the repair
        _parts ??= log.OpenReader(last.FirstPart - 1);
        while (_parts.TryPeek(out var stored))
        {
            var header = stored.Header;
            var isOfRequest = header.Position.Sequence == last.FirstPart || header.FirstPart == last.FirstPart;
            if (isOfRequest && header.FirstRecordIndex == _taken.RecordsAhead && (header.IsLastPart || header.RecordCount > 0)) return Loadable(stored, last);
            if (header.Position.Sequence >= last.Position.Sequence || (isOfRequest && header.FirstRecordIndex > _taken.RecordsAhead)) break;
            _parts.Take();
        }
        throw new SluiceException(
            ErrorCode.Corrupt, $"request {last.RequestId} is complete, but the part with its record {_taken.RecordsAhead} is not in the log");
    }

    LoadableFrame Loadable(in StoredFrame stored, in FrameHeader last) => new(
        stored.Header, stored.Payload, last.Position,
        stored.Header.IsLastPart ? log.OwnPosition(last.Position.Sequence) : _taken with { RecordsAhead = stored.Header.RequestRecordCount },
        last.Flags.HasFlag(FrameFlags.Discarded));

    /// <summary>Behind a request that takes no effect; records of it that the table has are none of the next one.</summary>
    LogPosition Without(ulong torn) => _taken with { Sequence = torn, RecordsAhead = 0 };

    void EndParts()
    {
        _parts?.Dispose();
        _parts = null;
    }
}
