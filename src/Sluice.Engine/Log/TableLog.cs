using System.Collections.ObjectModel;
using System.Diagnostics;
using Sluice.Metrics;

namespace Sluice.Log;

/// <summary>
/// The durable log of one table: append a frame, get its position when it is on the disk, read frames in order, drop what is no longer needed.
/// </summary>
/// <remarks>
/// Design constraints (docs/log-format.md has the bytes):
/// <list type="bullet">
/// <item>Group commit: one writer; all frames that wait share one write and one fdatasync. Order of acknowledgement is order of position.</item>
/// <item>A frame is checked by CRC32C, header and payload apart; a group is kept whole or not at all.</item>
/// <item>The first failed write or fsync poisons the log: every append from then on is refused until the process has recovered from disk.</item>
/// <item>Sequences start at 1 and are never reused. Only <see cref="TrimTo"/> deletes segments, and only after the caller has summarised them.</item>
/// </list>
/// Any thread.
/// </remarks>
public sealed class TableLog : IDisposable
{
    /// <summary>Longest frame. The largest request of 32 MiB makes less; the rest is room for raised limits.</summary>
    public const int MaxFrameBytes = 256 * 1024 * 1024;

    const int MaxGroupBytes = 512 * 1024 * 1024;

    readonly LogFiles _files;
    readonly string _directory;
    readonly LogOptions _options;
    readonly FrameVisitor _onDurable;
    readonly Watermark _watermark;
    readonly PartPins _pins;
    readonly IReadOnlySet<ulong> _torn;
    readonly IngestMeters? _meters;
    readonly uint _incarnation;
    readonly Lock _lock = new();
    readonly TaskCompletionSource<SluiceException> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // under _lock
    readonly List<LogSegment> _segments;
    List<Append> _waiting = [];
    bool _isWriting;
    bool _isClosed;
    SluiceException? _failure;
    readonly List<TaskCompletionSource> _waitingForMore = [];
    TaskCompletionSource? _idle;

    // owned by the writer
    List<Append> _group = [];
    readonly List<ReadOnlyMemory<byte>> _parts = [];
    readonly byte[] _groupHeader = new byte[GroupHeader.Size];
    ulong _nextSequence;

    long _waitingBytes;
    long _durableSequence;

    TableLog(LogFiles files, string directory, LogOptions options, FrameVisitor onDurable, Watermark watermark, PartPins pins, IReadOnlySet<ulong> torn, IngestMeters? meters, RecoveredLog recovered)
    {
        (_files, _directory, _options, _onDurable, _watermark, _pins, _torn, _meters) = (files, directory, options, onDurable, watermark, pins, torn, meters);
        _incarnation = watermark.Position.Incarnation;
        _segments = recovered.Segments;
        _nextSequence = recovered.NextSequence;
        DroppedBytes = recovered.DroppedBytes;
        _durableSequence = (long)Math.Max(recovered.Segments.LastOrDefault()?.LastSequence ?? 0, watermark.Position.Sequence);
    }

    /// <summary>Identity of the log; the store's position carries the same.</summary>
    public Guid Id => _watermark.Position.LogId;

    /// <summary>Everything up to here is on the disk.</summary>
    public LogPosition DurablePosition => OwnPosition((ulong)Volatile.Read(ref _durableSequence));

    /// <summary>No sequence up to here will be given out: that of the last frame, or higher in a log that was repaired or restored.</summary>
    internal ulong ClosedSequence => Math.Max(DurablePosition.Sequence, _watermark.Lineage.Next - 1);

    /// <summary>Unacknowledged bytes that recovery cut from the tail.</summary>
    public long DroppedBytes { get; }

    /// <summary>Bytes of the frames that wait for the disk.</summary>
    public long WaitingBytes => Volatile.Read(ref _waitingBytes);

    /// <summary>Called when the log fails, before anybody learns of it. Must not throw and not wait.</summary>
    internal Action? OnFailed { get; set; }

    /// <summary>Completes with the reason when the log takes nothing more for good.</summary>
    public Task<SluiceException> Failed => _failed.Task;

    /// <summary>Makes an empty log with a new identity.</summary>
    /// <exception cref="IOException">The directory cannot be written.</exception>
    public static void Create(LogFiles files, string directory)
    {
        files.CreateDirectory(directory);
        Watermark.Create(files, directory, new LogPosition(Guid.NewGuid(), 1, 0));
    }

    /// <summary>
    /// Makes another incarnation of a log that was copied: it goes on behind every sequence that the original may have given out since, and neither
    /// frames nor stores of the original fit it any more.
    /// </summary>
    /// <returns>The end of the log; its store must be told of the incarnation.</returns>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: the log is damaged; nothing was changed.</exception>
    public static LogPosition BeginIncarnation(LogFiles files, string directory)
    {
        LogPosition end;
        LogLineage lineage;
        using (var watermark = Watermark.Open(files, directory, writable: false))
        {
            var recovered = LogRecovery.Run(files, directory, watermark, LogSummary.Read(files, directory).Sequence, (in FrameHeader _, ReadOnlySpan<byte> _) => { }, writable: false);
            recovered.Segments.ForEach(segment => segment.Dispose());
            var last = Math.Max(recovered.Segments.LastOrDefault()?.LastSequence ?? 0, watermark.Position.Sequence);
            // at random, so that two logs that go on from one copy differ
            end = watermark.Position with { Incarnation = watermark.Position.Incarnation + 1 + (uint)Random.Shared.Next(1 << 20), Sequence = last };
            lineage = LogLineage.Above(last, recovered.NextSequence - 1);
        }
        Watermark.Create(files, directory, end, lineage with { SkippedBlocks = lineage.SkippedBlocks + LogLineage.RestoredBlocks });
        return end;
    }

    /// <summary>False too for what an interrupted <see cref="Create"/> left.</summary>
    public static bool Exists(LogFiles files, string directory) =>
        files.DirectoryExists(directory) && files.List(directory).Any(name => name == Watermark.FileName || name.StartsWith(LogSegment.Prefix, StringComparison.Ordinal));

    /// <summary>Recovers a log from disk.</summary>
    /// <param name="summarised">Frames up to this sequence are summarised elsewhere and may be missing.</param>
    /// <param name="onDurable">
    /// Called for every frame found, and from then on for every frame that becomes durable, in order, before its append returns. Must
    /// not throw and not wait.
    /// </param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: something acknowledged is missing or damaged; nothing was changed.</exception>
    /// <param name="torn">Sequences of requests that a repair or a rebuild took parts from: they take no effect.</param>
    /// <param name="writable">False: only looks. Nothing on the disk changes, and nothing can be appended.</param>
    /// <param name="meters">Are told of every group; <c>null</c>: nobody is.</param>
    public static TableLog Open(
        LogFiles files, string directory, LogOptions options, ulong summarised, FrameVisitor onDurable, IReadOnlySet<ulong>? torn = null, bool writable = true, IngestMeters? meters = null)
    {
        torn ??= ReadOnlySet<ulong>.Empty;
        var watermark = Watermark.Open(files, directory, writable);
        try
        {
            var pins = new PartPins();
            FrameVisitor visit = (in FrameHeader header, ReadOnlySpan<byte> payload) =>
            {
                if (!torn.Contains(header.Position.Sequence)) pins.Note(header);
                onDurable(header, payload);
            };
            var recovered = LogRecovery.Run(files, directory, watermark, summarised, visit, writable);
            if (writable) watermark.Mend();
            pins.AbandonIncomplete();
            return new TableLog(files, directory, options, visit, watermark, pins, torn, meters, recovered);
        }
        catch
        {
            watermark.Dispose();
            throw;
        }
    }

    /// <summary>Appends a frame; returns its position once it is on the disk.</summary>
    /// <param name="frame">An encoded frame (<see cref="RecordsFrame"/>, <see cref="BarrierFrame"/>); the log disposes it.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.LogBacklog"/>: too much waits for the disk, not stored. <see cref="ErrorCode.LogFailed"/>: the disk refused; the
    /// outcome says whether the frame may be found after a restart. <see cref="ErrorCode.Draining"/>: closed, not stored.
    /// </exception>
    public Task<LogPosition> AppendAsync(FrameBuffer frame)
    {
        var append = new Append(frame);
        lock (_lock)
        {
            if (Refusal(frame.Length) is { } refusal)
            {
                frame.Dispose();
                return Task.FromException<LogPosition>(refusal);
            }
            Interlocked.Add(ref _waitingBytes, frame.Length); // the writer takes away without the lock
            _waiting.Add(append);
            if (!_isWriting)
            {
                _isWriting = true;
                // the scheduler of whoever appends: the thread pool, or that of a test which runs a whole engine on one thread
                _ = Task.Factory.StartNew(
                    static log => ((TableLog)log!).WriteGroups(), this, CancellationToken.None, TaskCreationOptions.PreferFairness | TaskCreationOptions.DenyChildAttach, TaskScheduler.Current);
            }
        }
        return append.Done.Task;
    }

    /// <summary>A position that the table's store has: whatever incarnation wrote the frame, the store belongs to the present one.</summary>
    internal LogPosition OwnPosition(ulong sequence) => new(Id, _incarnation, sequence);

    internal bool IsTorn(ulong sequence) => _torn.Count > 0 && _torn.Contains(sequence);

    /// <summary>Whether the log has no frame of the sequence and none before it: it was trimmed, or a number that was left out.</summary>
    internal bool IsTrimmed(ulong sequence) => FindSegmentAfter(sequence - 1) is not { } segment || segment.PreviousSequence >= sequence;

    /// <summary>A repair or a restore has left the number out: no frame had it, or none that this log knows of.</summary>
    internal bool IsLeftOut(ulong sequence) => sequence > _watermark.Lineage.Inherited && sequence < _watermark.Lineage.Next;

    /// <summary>The last request between two sequences that takes no effect; <c>null</c>: there is none.</summary>
    internal ulong? LastTornBetween(ulong after, ulong before)
    {
        if (_torn.Count == 0) return null;
        var last = _torn.Where(sequence => sequence > after && sequence < before).DefaultIfEmpty().Max();
        return last > 0 ? last : null;
    }

    /// <summary>Returns when the log is durable beyond the sequence, or failed, or closed.</summary>
    public async Task WaitForMoreAsync(ulong sequence, CancellationToken cancellation)
    {
        var more = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if ((ulong)_durableSequence > sequence || _failure is not null || _isClosed) return;
            _waitingForMore.Add(more);
        }
        await using var stop = cancellation.UnsafeRegister(static (more, cancellation) => ((TaskCompletionSource)more!).TrySetCanceled(cancellation), more);
        await more.Task;
    }

    /// <summary>The request that begins with this part will get no last part: its parts need not be kept.</summary>
    internal void Abandon(ulong firstPart) => _pins.Abandon(firstPart);

    /// <summary>The lowest sequence that the loader will read when everything up to <paramref name="loaded"/> is in the store: parts of later requests may lie below it.</summary>
    internal ulong OldestWaiting(ulong loaded) => _pins.OldestWaiting(loaded);

    /// <summary>A reader that begins with the first frame after the sequence.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: frames after the sequence have been trimmed.</exception>
    internal LogReader OpenReader(ulong after) => new(this, after);

    /// <summary>The segment that holds the first frame after the sequence; <c>null</c> when there is no such frame.</summary>
    internal LogSegment? FindSegmentAfter(ulong sequence)
    {
        lock (_lock)
        {
            foreach (var segment in _segments)
                if (segment.LastSequence > sequence) return segment;
            return null;
        }
    }

    /// <summary>An upper bound of what is not loaded when everything up to the sequence is: bytes of the segments that loading still reads.</summary>
    public long BacklogBytes(ulong loaded) => BytesAfter(_pins.OldestWaiting(loaded) - 1);

    /// <summary>Bytes of the segments that hold frames after the sequence.</summary>
    public long BytesAfter(ulong sequence)
    {
        lock (_lock)
        {
            var bytes = 0L;
            foreach (var segment in _segments)
                if (segment.LastSequence > sequence) bytes += segment.DurableBytes;
            return bytes;
        }
    }

    /// <summary>
    /// The oldest complete segments that may be deleted: all frames at or below <paramref name="loaded"/> and no parts of later requests, and too old or the
    /// log too large.
    /// </summary>
    internal List<LogSegment> FindTrimmable(ulong loaded, long nowMicroseconds)
    {
        var unneeded = _pins.OldestNeeded(loaded) - 1;
        lock (_lock)
        {
            var trimmable = new List<LogSegment>();
            var retainedBytes = _segments.Sum(segment => segment.DurableBytes);
            var oldest = nowMicroseconds - (long)_options.RetainedAge.TotalMicroseconds;
            for (var i = 0; i < _segments.Count - 1 && _segments[i].LastSequence <= unneeded; i++)
            {
                if (retainedBytes <= _options.RetainedBytes && _segments[i].LastReceivedAtMicroseconds > oldest) break;
                retainedBytes -= _segments[i].DurableBytes;
                trimmable.Add(_segments[i]);
            }
            return trimmable;
        }
    }

    /// <summary>Deletes the segments that end at or below the sequence; the summary must be durable before.</summary>
    internal void TrimTo(ulong sequence)
    {
        List<LogSegment> trimmed;
        lock (_lock)
        {
            trimmed = _segments.TakeWhile((segment, i) => i < _segments.Count - 1 && segment.LastSequence <= sequence).ToList();
            _segments.RemoveRange(0, trimmed.Count);
        }
        foreach (var segment in trimmed) segment.Dispose(); // also of those that cannot be deleted: they come again at the next start
        foreach (var segment in trimmed) _files.Delete(segment.Path);
        if (trimmed.Count > 0) _files.SyncDirectory(_directory);
    }

    /// <summary>Copies everything acknowledged before the call into a directory that holds no log, with a watermark of its own. The caller keeps the log from being trimmed.</summary>
    /// <returns>The last position that is in the copy for certain; what became durable meanwhile may be in it too.</returns>
    internal LogPosition CopyTo(string directory)
    {
        _files.CreateDirectory(directory);
        List<LogSegment> segments;
        LogPosition last;
        lock (_lock) (segments, last) = ([.. _segments], DurablePosition);
        foreach (var segment in segments) Copy(segment, directory);
        _files.SyncDirectory(directory);
        Watermark.Create(_files, directory, last, _watermark.Lineage);
        return last;
    }

    void Copy(LogSegment segment, string directory)
    {
        using var to = _files.Create(Path.Combine(directory, Path.GetFileName(segment.Path)));
        var buffer = new byte[1 << 20];
        for (var (offset, end) = (0L, segment.DurableBytes); offset < end;)
        {
            var read = segment.File.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - offset)), offset);
            if (read == 0) throw new IOException($"{segment.Path}: ends at offset {offset}, before what is durable in it ({end})");
            to.Write(buffer.AsSpan(0, read), offset);
            offset += read;
        }
        to.Sync();
    }

    /// <summary>Takes no more appends; returns when those under way are answered.</summary>
    public Task CloseAsync()
    {
        lock (_lock)
        {
            _isClosed = true;
            WakeWaiting();
            if (!_isWriting) return Task.CompletedTask;
            _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _idle.Task;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _isClosed = true;
            foreach (var segment in _segments) segment.Dispose();
            _watermark.Dispose();
        }
    }

    SluiceException? Refusal(int frameBytes)
    {
        if (_failure is not null) return new SluiceException(_failure.Code, _failure.Message);
        if (_isClosed) return new SluiceException(ErrorCode.Draining, "The server is stopping and takes no more records.");
        if (frameBytes > MaxFrameBytes) return new SluiceException(ErrorCode.RequestTooLarge, $"The request needs {frameBytes} bytes of log; the limit is {MaxFrameBytes}.");
        // no measured time to wait: every group that is written makes room, and a disk that works writes many a second
        return _waitingBytes + frameBytes > _options.MaxWaitingBytes && _waiting.Count > 0
            ? new SluiceException(ErrorCode.LogBacklog, "Too many requests wait for the disk.")
            : null;
    }

    /// <summary>The writer: takes all that waits, writes and syncs it as one group, answers, until nothing waits.</summary>
    void WriteGroups()
    {
        while (TakeGroup())
        {
            // what was never handed to the disk is not stored for certain
            var failure = _failure is null ? TryWriteGroup() : new SluiceException(_failure.Code, _failure.Message);
            foreach (var append in _group)
            {
                Interlocked.Add(ref _waitingBytes, -append.Frame.Length);
                append.Frame.Dispose();
                if (failure is null) append.Done.SetResult(append.Position);
                else append.Done.SetException(failure);
            }
            _group.Clear();
        }
    }

    /// <summary>Returns why the group cannot be answered for; <c>null</c>: it is durable.</summary>
    SluiceException? TryWriteGroup()
    {
        try
        {
            WriteGroup();
            return null;
        }
        catch (Exception e)
        {
            return Poison(e); // whatever it is: a writer that ended would leave everyone waiting
        }
    }

    bool TakeGroup()
    {
        lock (_lock)
        {
            if (_waiting.Count == 0)
            {
                _isWriting = false;
                _idle?.TrySetResult();
                return false;
            }
            var bytes = 0L;
            var count = 0;
            while (count < _waiting.Count && count < LogRecovery.MaxFramesPerGroup && (count == 0 || bytes + _waiting[count].Frame.Length <= MaxGroupBytes))
                bytes += _waiting[count++].Frame.Length;
            if (count == _waiting.Count)
            {
                (_group, _waiting) = (_waiting, _group);
            }
            else
            {
                _group.AddRange(_waiting.Take(count));
                _waiting.RemoveRange(0, count);
            }
            return true;
        }
    }

    void WriteGroup()
    {
        var segment = SegmentForNextGroup();
        var groupBytes = GroupHeader.Size;
        _parts.Clear();
        _parts.Add(_groupHeader);
        foreach (var append in _group)
        {
            append.Position = new LogPosition(Id, _incarnation, _nextSequence++);
            FrameHeader.Seal(append.Frame.Span[..FrameHeader.Size], append.Position);
            _parts.Add(append.Frame.Memory);
            groupBytes += append.Frame.Length;
        }
        new GroupHeader(groupBytes, _group.Count, segment.LastSequence).Write(_groupHeader);

        var offset = segment.DurableBytes;
        segment.File.Write(_parts, offset);
        var started = Stopwatch.GetTimestamp();
        segment.File.Sync();
        _meters?.GroupSynced(_group.Count, Stopwatch.GetElapsedTime(started));
        var last = _group[^1].Position;
        _watermark.Write(last, offset + groupBytes);
        PublishGroup(segment, offset + groupBytes, last.Sequence);
    }

    LogSegment SegmentForNextGroup()
    {
        LogSegment? last;
        lock (_lock) last = _segments.LastOrDefault();
        if (last is not null && last.NextSequence == _nextSequence && (last.IsEmpty || last.DurableBytes < _options.SegmentBytes)) return last;
        var previous = Math.Max(last?.LastSequence ?? 0, (ulong)_durableSequence);
        var segment = LogSegment.Create(_files, _directory, new LogPosition(Id, _incarnation, _nextSequence), previous);
        lock (_lock) _segments.Add(segment);
        return segment;
    }

    void PublishGroup(LogSegment segment, long durableBytes, ulong lastSequence)
    {
        var receivedAt = 0L;
        foreach (var append in _group)
        {
            FrameHeader.TryRead(append.Frame.Span, out var header);
            receivedAt = header.ReceivedAtMicroseconds;
            _onDurable(header, append.Frame.Span.Slice(FrameHeader.Size, header.PayloadBytes));
            append.Frame.OnDurable?.Invoke(append.Position);
        }
        segment.Advance(durableBytes, lastSequence, receivedAt);
        lock (_lock)
        {
            Volatile.Write(ref _durableSequence, (long)lastSequence);
            WakeWaiting();
        }
    }

    /// <summary>Under the lock: what waits goes on elsewhere.</summary>
    void WakeWaiting()
    {
        foreach (var more in _waitingForMore) more.TrySetResult();
        _waitingForMore.Clear();
    }

    /// <summary>After a failed write or sync nothing on this log can be trusted until it has been read back from disk.</summary>
    SluiceException Poison(Exception cause)
    {
        var failure = new SluiceException(
            ErrorCode.LogFailed, "The log could not be written to disk; the server must restart and recover. The records may or may not have been stored.", cause)
        {
            Outcome = RefusalOutcome.Unknown,
        };
        OnFailed?.Invoke();
        lock (_lock)
        {
            _failure ??= new SluiceException(ErrorCode.LogFailed, $"The log takes no records after a failed write: {cause.Message}", cause);
            _failed.TrySetResult(_failure); // before the loader learns of it
            WakeWaiting();
        }
        return failure;
    }

    sealed class Append(FrameBuffer frame)
    {
        public FrameBuffer Frame { get; } = frame;
        public LogPosition Position { get; set; }
        public TaskCompletionSource<LogPosition> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
