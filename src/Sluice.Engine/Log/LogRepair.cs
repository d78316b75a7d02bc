using Sluice.Load;
using Sluice.Metrics;

namespace Sluice.Log;

/// <summary>Bytes of a log that a repair takes out.</summary>
public sealed record DroppedRange(string Path, long Offset, long Bytes, string Reason);

/// <summary>
/// A plan to make a damaged log one that a server starts on: every intact group stays, what is between them goes, and numbering goes on above everything
/// that was ever given out. Nothing changes before <see cref="Apply"/>.
/// </summary>
/// <remarks>
/// What goes is known by more than its bytes. Frame headers in it that are intact say how many records they had: those count as received, and as lost unless
/// the store has them. What a sender sent is never taken for a group, as far as headers show where it stands (<see cref="DamagedSegment"/>). What the store has settled and no frame is left to say counts as received too: the ledger adds up in any case.
/// </remarks>
public sealed class LogRepair
{
    readonly LogFiles _files;
    readonly string _directory;
    readonly StoredTable? _stored;
    readonly List<string> _faults = [];
    readonly List<DroppedRange> _dropped = [];
    readonly List<Piece> _pieces = [];
    readonly TableLedger _summaryLedger = new();
    readonly Dictionary<Guid, long> _settled = []; // accepted records up to the store's position, by what is left
    readonly HashSet<ulong> _droppedFrames = [];
    readonly HashSet<ulong> _torn = [];
    readonly List<ulong[]> _missing = [];
    readonly RequestParts _parts = new();
    readonly long _now;
    Ahead? _ahead; // the request of which the store has the first records
    readonly Dictionary<ulong, long> _acceptedAhead = []; // by first part: accepted records among the first so many
    Guid _logId;
    uint _incarnation = 1;
    LogLineage _lineage;
    LogSummary _summary = LogSummary.Empty;
    ulong _highest; // sequence that is known to have been given out
    ulong _last; // kept

    LogRepair(LogFiles files, string directory, StoredTable? stored, long now)
    {
        (_files, _directory, _stored, _now) = (files, directory, stored, now);
        _highest = stored?.Position.Sequence ?? 0;
    }

    /// <summary>What is wrong, in sentences.</summary>
    public IReadOnlyList<string> Faults => _faults;

    /// <summary>What goes, in the order of the files.</summary>
    public IReadOnlyList<DroppedRange> Dropped => _dropped;

    /// <summary>Accepted records that are known to go, and that no store has.</summary>
    public long LostRecords { get; private set; }

    /// <summary>The end of the log after the repair.</summary>
    public LogPosition End => new(_logId, _incarnation, Math.Max(_last, _summary.Sequence));

    /// <summary>Numbering goes on here or higher.</summary>
    public ulong Next => Lineage.Next;

    LogLineage Lineage => LogLineage.Above(End.Sequence, Math.Max(_highest, _lineage.Next - 1));

    /// <param name="stored">What the table's store says; <c>null</c>: it has no such table, or cannot be read.</param>
    /// <param name="nowMicroseconds">Microseconds since 1970-01-01 UTC.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.Corrupt"/>: nothing of the log is left, or a newer version wrote it. <see cref="ErrorCode.DatabaseDamaged"/>: the store is of another log,
    /// or of another life of this one, so that nothing it says tells of what is here.
    /// </exception>
    public static LogRepair Plan(LogFiles files, string directory, StoredTable? stored, long nowMicroseconds)
    {
        if (!files.DirectoryExists(directory)) throw new SluiceException(ErrorCode.Corrupt, $"{directory}: the log is missing: restore a backup");
        UnfinishedRepair.ThrowIfExists(files, directory);
        var repair = new LogRepair(files, directory, stored, nowMicroseconds);
        var names = files.List(directory).Where(LogSegment.IsName).ToList();
        repair.ReadWatermark(names);
        repair.ReadSummary();
        for (var i = 0; i < names.Count; i++) repair.ScanSegment(names[i], i + 1 < names.Count ? LogSegment.FirstSequenceOf(names[i + 1]) : null);
        if (repair._logId == Guid.Empty) throw new SluiceException(ErrorCode.Corrupt, $"{directory}: neither watermark nor segments say which log this is: restore a backup");
        repair.Conclude();
        return repair;
    }

    /// <summary>
    /// Carries the plan out. Everything is copied before. Interrupted, it leaves the log as it was, so that it can be planned and applied again, or a
    /// repair that <see cref="UnfinishedRepair"/> finishes.
    /// </summary>
    /// <param name="aside">A directory that does not exist: where the files are kept as they were.</param>
    public void Apply(string aside)
    {
        KeepAside(aside);
        var prepared = UnfinishedRepair.Prepare(_files, _directory);
        List<string> names = [Watermark.FileName, LogSummary.FileName];
        var before = _summary.Sequence;
        foreach (var piece in _pieces)
        {
            var name = LogSegment.NameOf(piece.First.Sequence);
            names.Add(name);
            WriteSegment(Path.Combine(prepared, name), piece, piece.PreviousSequence <= before ? null : before);
            before = piece.LastSequence;
        }
        (_summary.With(_logId, _summary.Sequence, _summaryLedger) with { Torn = LogSummary.TornOf(_torn), Missing = _missing.Count > 0 ? _missing : null }).Write(_files, prepared);
        Watermark.Create(_files, prepared, End, Lineage);
        UnfinishedRepair.Run(_files, _directory, names);
    }

    void ReadWatermark(List<string> names)
    {
        try
        {
            using var watermark = Watermark.Open(_files, _directory, writable: false);
            (_logId, _incarnation, _lineage) = (watermark.Position.LogId, watermark.Position.Incarnation, watermark.Lineage);
            _highest = Math.Max(_highest, watermark.Position.Sequence);
        }
        catch (SluiceException e)
        {
            _faults.Add(e.Message);
            ReadIdentity(names);
        }
        if (_stored is { Position: var position } && (position.LogId != _logId || position.Incarnation != _incarnation))
        {
            throw new SluiceException(
                ErrorCode.DatabaseDamaged,
                $"{_directory}: the database was loaded from incarnation {position.Incarnation} of log {position.LogId}, and this is incarnation {_incarnation} of log {_logId}: put those in place that belong together; the log is not touched");
        }
    }

    /// <summary>Without a watermark: as the first segment says, in a life that the store may know of better.</summary>
    void ReadIdentity(List<string> names)
    {
        foreach (var name in names)
        {
            try
            {
                using var segment = LogSegment.TryOpen(_files, Path.Combine(_directory, name), writable: false);
                if (segment is null || (_logId != Guid.Empty && segment.FirstPosition.LogId != _logId)) continue;
                (_logId, _incarnation) = (segment.FirstPosition.LogId, Math.Max(_incarnation, segment.FirstPosition.Incarnation));
            }
            catch (SluiceException)
            {
                // its header is damaged; the next one's says it too
            }
        }
        if (_stored is { Position: var position } && (_logId == Guid.Empty || (position.LogId == _logId && position.Incarnation > _incarnation)))
            (_logId, _incarnation) = (position.LogId, position.Incarnation);
    }

    void ReadSummary()
    {
        try
        {
            var summary = LogSummary.Read(_files, _directory);
            if (summary.Sequence > 0 && _logId != Guid.Empty && summary.LogId != _logId) _faults.Add($"{Path.Combine(_directory, LogSummary.FileName)}: is of log {summary.LogId}, not {_logId}");
            else _summary = summary;
        }
        catch (SluiceException e)
        {
            _faults.Add(e.Message);
        }
        _torn.UnionWith(_summary.Torn ?? []);
        _missing.AddRange(_summary.Missing ?? []);
        _summaryLedger.AddSummary(_summary.Sinks);
        _highest = Math.Max(_highest, _summary.Sequence);
    }

    /// <param name="next">The first sequence of the segment after it; <c>null</c>: there is none.</param>
    void ScanSegment(string name, ulong? next)
    {
        var path = Path.Combine(_directory, name);
        using var segment = LogSegment.OpenDamaged(_files, path);
        using var reader = new SegmentReader(segment);
        var damaged = new DamagedSegment(segment, reader, _logId);
        var length = segment.File.Length;
        var before = LogSegment.FirstSequenceOf(name) is > 0 and var first ? first - 1 : _last;
        Piece? piece = null;
        for (long offset = LogSegment.HeaderSize; offset < length;)
        {
            reader.SeekTo(offset);
            if (TryReadGroup(reader, length))
            {
                piece = Take(reader, path, offset, piece);
                (before, offset) = (_last, reader.NextOffset);
                continue;
            }
            piece = null;
            var start = before;
            var end = damaged.EndOfGroup(offset, ref before, next ?? ulong.MaxValue);
            Drop(path, offset, end, damaged.FramesOf(offset, end, start));
            offset = end;
        }
    }

    /// <summary>An intact group that comes later than everything kept.</summary>
    bool TryReadGroup(SegmentReader reader, long length)
    {
        if (!reader.TryReadGroup(length)) return false;
        var first = reader.Frames[0].Header.Position;
        for (var i = 0; i < reader.Frames.Count; i++)
            if (reader.Frames[i].Header.Position != first with { Sequence = first.Sequence + (ulong)i }) return false;
        return first.LogId == _logId && first.Sequence > _last;
    }

    Piece Take(SegmentReader reader, string path, long offset, Piece? piece)
    {
        foreach (var frame in reader.Frames) Count(frame.Header);
        var first = reader.Frames[0].Header.Position;
        if (piece is null || first != piece.First with { Sequence = piece.LastSequence + 1 }) _pieces.Add(piece = new Piece(path, offset, offset, first, 0, reader.Group.PreviousSequence));
        _last = reader.Frames[^1].Header.Position.Sequence;
        _highest = Math.Max(_highest, _last);
        return _pieces[^1] = piece with { End = reader.NextOffset, LastSequence = _last };
    }

    void Count(in FrameHeader header)
    {
        _incarnation = Math.Max(_incarnation, header.Position.Incarnation);
        NoteAhead(header);
        if (header.Position.Sequence <= _summary.Sequence) return;
        var isWhole = _parts.IsWhole(header);
        if (!header.IsLastPart) return;
        if (header.Kind == FrameKind.Records) Settle(header, isWhole);
        else if (IsNextBehindStore(header.Position.Sequence)) _ahead = new Ahead(header, IsWhole: true);
    }

    /// <summary>Counts a request as what the store has made of it, or as lost when it is not whole.</summary>
    void Settle(in FrameHeader header, bool isWhole)
    {
        var (sequence, accepted) = (header.Position.Sequence, header.RequestAcceptedCount);
        if (IsSettled(sequence) || _torn.Contains(sequence)) AddSettled(header.SinkId, accepted); // what a repair before has found lost stands in the summary
        else if (IsNextBehindStore(sequence)) _ahead = new Ahead(header, isWhole);
        else if (!isWhole) Lose(header, accepted);
    }

    /// <summary>Whether the store may have the first records of the request that ends here: nothing that ended before it is behind the store's position.</summary>
    bool IsNextBehindStore(ulong sequence) => RecordsAhead > 0 && _ahead is null && !IsSettled(sequence) && _torn.All(torn => IsSettled(torn) || torn > sequence);

    int RecordsAhead => _stored?.Position.RecordsAhead ?? 0;

    void AddSettled(Guid sinkId, long accepted) => _settled[sinkId] = _settled.GetValueOrDefault(sinkId) + accepted;

    bool IsSettled(ulong sequence) => sequence <= (_stored?.Position.Sequence ?? 0);

    void Lose(in FrameHeader header, long records)
    {
        if (!_droppedFrames.Contains(header.Position.Sequence)) _torn.Add(header.Position.Sequence);
        LostRecords += records;
        _summaryLedger.AddSummary([new SummarisedSink(header.SinkId, 0, 0, 0, []) { Lost = records, LostAt = records > 0 ? _now : 0 }]);
    }

    void Drop(string path, long from, long to, IEnumerable<(long Offset, FrameHeader Header)> frames)
    {
        _dropped.Add(new DroppedRange(path, from, to - from, "no intact group that follows what is before it"));
        foreach (var (offset, frame) in frames)
        {
            if (frame.Position.Sequence <= Math.Max(_last, _summary.Sequence)) continue;
            _highest = Math.Max(_highest, frame.Position.Sequence);
            if (!_droppedFrames.Add(frame.Position.Sequence)) continue;
            NoteAhead(frame);
            if (frame.Kind == FrameKind.Records && frame.IsLastPart) CountDropped(frame);
            else if (frame.Kind != FrameKind.Records && !IsSettled(frame.Position.Sequence)) _faults.Add($"{path}: offset {offset}: sequence {frame.Position.Sequence} is no request but a {frame.Kind}, and the table does not have it yet");
        }
    }

    void CountDropped(in FrameHeader header)
    {
        var (records, accepted) = (header.RequestRecordCount, header.RequestAcceptedCount);
        _summaryLedger.AddSummary([new SummarisedSink(header.SinkId, 1, records, accepted, [[header.ReceivedAtMicroseconds / 60_000_000, 1, accepted, records - accepted]])]);
        Settle(header, isWhole: false);
    }

    /// <summary>A part that ends or begins where the store's records of its request end says how many of them were accepted.</summary>
    void NoteAhead(in FrameHeader header)
    {
        if (RecordsAhead == 0 || header.Kind != FrameKind.Records) return;
        var request = header.IsFirstPart ? header.Position.Sequence : header.FirstPart;
        if (header.FirstRecordIndex == RecordsAhead) _acceptedAhead[request] = header.AcceptedBefore;
        else if (header.RequestRecordCount == RecordsAhead) _acceptedAhead[request] = header.RequestAcceptedCount;
    }

    /// <summary>
    /// The store has the first records of the request that ends next. Where that one is not whole any more, they are all that is left of it, and where it may be
    /// gone without a trace, those of the next one are loaded from the first.
    /// </summary>
    void ConcludeAhead(ulong position)
    {
        if (RecordsAhead == 0 || _torn.Any(torn => !IsSettled(torn) && (_ahead is null || torn < _ahead.Last.Position.Sequence))) return;
        if (_ahead is null)
        {
            _torn.Add(position + 1);
            return;
        }
        var last = _ahead.Last;
        var unknown = FindUnknown(position, last.Position.Sequence);
        if (unknown > 0) _torn.Add(unknown);
        if (unknown > 0 || last.FirstPart == 0) // of another request, then
        {
            if (_ahead.IsWhole) return;
            _torn.Add(last.Position.Sequence);
            Lose(last, last.RequestAcceptedCount);
            return;
        }
        var accepted = Math.Min(last.RequestAcceptedCount, _acceptedAhead.TryGetValue(last.FirstPart, out var known) ? known : CountUnexplained(last.SinkId));
        AddSettled(last.SinkId, accepted);
        if (_ahead.IsWhole) return;
        Lose(last, last.RequestAcceptedCount - accepted);
        _torn.Add(last.Position.Sequence); // known also when its last part is gone: what is ahead is not of the next request
    }

    /// <summary>The first sequence between two that this repair finds missing, without a header that says what it was; 0: none.</summary>
    ulong FindUnknown(ulong after, ulong before)
    {
        foreach (var range in _missing)
        {
            for (var sequence = Math.Max(range[0], after + 1); sequence <= range[1] && sequence < before; sequence++)
                if (!_droppedFrames.Contains(sequence) && !_summary.IsLost(sequence)) return sequence;
        }
        return 0;
    }

    /// <summary>Records that the store has settled, and no frame is left that says so.</summary>
    long CountUnexplained(Guid sinkId)
    {
        var counts = _stored?.Counts.GetValueOrDefault(sinkId) ?? default;
        var known = _settled.GetValueOrDefault(sinkId) + _summary.Sinks.Where(sink => sink.SinkId == sinkId).Sum(sink => sink.Accepted - sink.Lost);
        return Math.Max(0, counts.Loaded + counts.Failed - known);
    }

    void Conclude()
    {
        // the beginning is gone, and with it the schema: the store has both, or the table has to be rebuilt
        if (_summary.IsEmpty && _pieces is [{ First.Sequence: > 1 } first, ..] && (_stored is null || IsSettled(first.PreviousSequence)))
            _summary = _summary with { Sequence = first.PreviousSequence };
        if (_highest > End.Sequence) _faults.Add($"{_directory}: the log ends at sequence {End.Sequence}, and {_highest} was given out");
        var (before, settled) = (_summary.Sequence, _stored?.Position.Sequence ?? 0);
        foreach (var piece in _pieces)
        {
            if (piece.PreviousSequence > before)
            {
                _faults.Add($"{piece.Path}: offset {piece.Start}: sequences {before + 1} to {piece.PreviousSequence} are missing before it");
                LogSummary.AddGap(_missing, Math.Max(before, settled), piece.PreviousSequence + 1);
            }
            before = piece.LastSequence;
        }
        LogSummary.AddGap(_missing, Math.Max(before, settled), _highest + 1);
        ConcludeAhead(settled);
        foreach (var sinkId in _stored?.Counts.Keys ?? [])
            if (CountUnexplained(sinkId) is > 0 and var unexplained) _summaryLedger.AddSummary([new SummarisedSink(sinkId, 0, unexplained, unexplained, [])]);
    }

    void KeepAside(string aside)
    {
        _files.CreateDirectory(aside);
        foreach (var name in _files.List(_directory))
        {
            using var from = _files.Open(Path.Combine(_directory, name), writable: false);
            using var to = _files.Create(Path.Combine(aside, name));
            Copy(from, 0, from.Length, to, 0);
            to.Sync();
        }
        _files.SyncDirectory(aside);
    }

    /// <summary>A segment that is the piece already stays where it is.</summary>
    void WriteSegment(string path, Piece piece, ulong? presentBefore)
    {
        var header = LogSegment.EncodeHeader(piece.First, piece.PreviousSequence, presentBefore);
        using var from = _files.Open(piece.Path, writable: false);
        var present = new byte[LogSegment.HeaderSize];
        if (Path.GetFileName(piece.Path) == Path.GetFileName(path) && (piece.Start, piece.End) == (LogSegment.HeaderSize, from.Length) && from.Read(present, 0) == present.Length && present.AsSpan().SequenceEqual(header)) return;
        using var to = _files.Create(path);
        to.Write(header, 0);
        Copy(from, piece.Start, piece.End, to, LogSegment.HeaderSize);
        to.Sync();
    }

    static void Copy(LogFile from, long start, long end, LogFile to, long at)
    {
        var buffer = new byte[1 << 20];
        while (start < end)
        {
            var read = from.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - start)), start);
            if (read == 0) throw new IOException("a file became shorter while it was copied");
            to.Write(buffer.AsSpan(0, read), at);
            (start, at) = (start + read, at + read);
        }
    }

    /// <summary>Groups that follow each other in one file.</summary>
    sealed record Piece(string Path, long Start, long End, LogPosition First, ulong LastSequence, ulong PreviousSequence);

    /// <param name="IsWhole">All of its frames are kept.</param>
    sealed record Ahead(FrameHeader Last, bool IsWhole);
}
