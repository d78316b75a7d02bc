using System.Buffers.Binary;
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
/// the store has them. What the store has settled and no frame is left to say counts as received too: the ledger adds up in any case.
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
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: nothing of the log is left, or a newer version wrote it.</exception>
    public static LogRepair Plan(LogFiles files, string directory, StoredTable? stored, long nowMicroseconds)
    {
        var repair = new LogRepair(files, directory, stored, nowMicroseconds);
        repair.ReadWatermark();
        repair.ReadSummary();
        foreach (var name in files.List(directory).Where(IsSegment)) repair.ScanSegment(Path.Combine(directory, name));
        if (repair._logId == Guid.Empty) throw new SluiceException(ErrorCode.Corrupt, $"{directory}: neither watermark nor segments say which log this is: restore a backup");
        repair.Conclude();
        return repair;
    }

    /// <summary>Carries the plan out. Every file that changes is copied before. Interrupted, it can be planned and applied again.</summary>
    /// <param name="aside">A directory that does not exist: where the files are kept as they were.</param>
    public void Apply(string aside)
    {
        KeepAside(aside);
        var wanted = new HashSet<string>(StringComparer.Ordinal);
        var before = _summary.Sequence;
        foreach (var piece in _pieces)
        {
            var name = LogSegment.NameOf(piece.First.Sequence);
            wanted.Add(name);
            ulong? presentBefore = piece.PreviousSequence <= before ? null : before;
            WriteSegment(Path.Combine(_directory, name), piece with { Path = Path.Combine(aside, Path.GetFileName(piece.Path)) }, presentBefore);
            before = piece.LastSequence;
        }
        foreach (var name in _files.List(_directory).Where(name => IsSegment(name) && !wanted.Contains(name))) _files.Delete(Path.Combine(_directory, name));
        _files.SyncDirectory(_directory);
        (_summary.With(_logId, _summary.Sequence, _summaryLedger) with { Torn = LogSummary.TornOf(_torn), Missing = _missing.Count > 0 ? _missing : null }).Write(_files, _directory);
        Watermark.Create(_files, _directory, End, Lineage);
    }

    static bool IsSegment(string name) => name.StartsWith(LogSegment.Prefix, StringComparison.Ordinal) && name.EndsWith(LogSegment.Suffix, StringComparison.Ordinal);

    void ReadWatermark()
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
            if (_stored is { Position: var position }) (_logId, _incarnation) = (position.LogId, position.Incarnation);
        }
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

    void ScanSegment(string path)
    {
        using var segment = LogSegment.OpenDamaged(_files, path);
        using var reader = new SegmentReader(segment);
        var length = segment.File.Length;
        Piece? piece = null;
        for (long offset = LogSegment.HeaderSize; offset < length;)
        {
            reader.SeekTo(offset);
            if (TryReadGroup(reader, length, piece))
            {
                piece = Take(reader, path, offset, piece);
                offset = reader.NextOffset;
                continue;
            }
            piece = null;
            var next = FindGroup(segment, reader, offset + 1, length);
            Drop(segment, offset, next);
            offset = next;
        }
    }

    /// <summary>An intact group that follows the piece, or, after a gap, comes later than everything kept.</summary>
    bool TryReadGroup(SegmentReader reader, long length, Piece? piece)
    {
        if (!reader.TryReadGroup(length)) return false;
        var first = reader.Frames[0].Header.Position;
        if (_logId == Guid.Empty) (_logId, _incarnation) = (first.LogId, first.Incarnation);
        for (var i = 0; i < reader.Frames.Count; i++)
            if (reader.Frames[i].Header.Position != first with { Sequence = first.Sequence + (ulong)i }) return false;
        if (first.LogId != _logId || first.Sequence <= _last) return false;
        return piece is null || (first.Sequence == piece.LastSequence + 1 && first.Incarnation == piece.First.Incarnation);
    }

    Piece Take(SegmentReader reader, string path, long offset, Piece? piece)
    {
        foreach (var frame in reader.Frames) Count(frame.Header);
        _last = reader.Frames[^1].Header.Position.Sequence;
        _highest = Math.Max(_highest, _last);
        if (piece is null) _pieces.Add(piece = new Piece(path, offset, offset, reader.Frames[0].Header.Position, _last, reader.Group.PreviousSequence));
        return _pieces[^1] = piece with { End = reader.NextOffset, LastSequence = _last };
    }

    void Count(in FrameHeader header)
    {
        _incarnation = Math.Max(_incarnation, header.Position.Incarnation);
        if (header.Position.Sequence <= _summary.Sequence) return;
        var isWhole = _parts.IsWhole(header);
        if (header.Kind != FrameKind.Records || !header.IsLastPart) return;
        if (IsSettled(header.Position.Sequence)) _settled[header.SinkId] = _settled.GetValueOrDefault(header.SinkId) + header.RequestAcceptedCount;
        else if (!isWhole && _torn.Add(header.Position.Sequence)) Lose(header.SinkId, header.RequestAcceptedCount);
    }

    bool IsSettled(ulong sequence) => sequence <= (_stored?.Position.Sequence ?? 0);

    void Lose(Guid sinkId, long records)
    {
        LostRecords += records;
        _summaryLedger.AddSummary([new SummarisedSink(sinkId, 0, 0, 0, []) { Lost = records, LostAt = records > 0 ? _now : 0 }]);
    }

    static long FindGroup(LogSegment segment, SegmentReader reader, long from, long length)
    {
        foreach (var offset in FindMagic(segment.File, GroupHeader.Magic, from, length))
        {
            reader.SeekTo(offset);
            if (reader.TryReadGroup(length)) return offset;
        }
        return length;
    }

    void Drop(LogSegment segment, long from, long to)
    {
        _dropped.Add(new DroppedRange(segment.Path, from, to - from, "no intact group that follows what is before it"));
        Span<byte> header = stackalloc byte[FrameHeader.Size];
        foreach (var offset in FindMagic(segment.File, FrameHeader.Magic, from, to))
        {
            segment.File.Read(header, offset);
            if (!FrameHeader.TryRead(header, out var frame) || frame.Position.LogId != _logId || frame.Position.Sequence <= Math.Max(_last, _summary.Sequence)) continue;
            _highest = Math.Max(_highest, frame.Position.Sequence);
            if (!_droppedFrames.Add(frame.Position.Sequence)) continue;
            if (frame.Kind == FrameKind.Records && frame.IsLastPart) CountDropped(frame);
            else if (frame.Kind != FrameKind.Records && !IsSettled(frame.Position.Sequence)) _faults.Add($"{segment.Path}: offset {offset}: sequence {frame.Position.Sequence} is no request but a {frame.Kind}, and the table does not have it yet");
        }
    }

    void CountDropped(in FrameHeader header)
    {
        var (records, accepted) = (header.RequestRecordCount, header.RequestAcceptedCount);
        _summaryLedger.AddSummary([new SummarisedSink(header.SinkId, 1, records, accepted, [[header.ReceivedAtMicroseconds / 60_000_000, 1, accepted, records - accepted]])]);
        if (IsSettled(header.Position.Sequence)) _settled[header.SinkId] = _settled.GetValueOrDefault(header.SinkId) + accepted;
        else Lose(header.SinkId, accepted);
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
        // settled, and no frame is left that says so
        foreach (var (sinkId, counts) in _stored?.Counts ?? new Dictionary<Guid, SinkCounts>())
        {
            var known = _settled.GetValueOrDefault(sinkId) + _summary.Sinks.Where(sink => sink.SinkId == sinkId).Sum(sink => sink.Accepted - sink.Lost);
            if (counts.Loaded + counts.Failed - known is > 0 and var missing) _summaryLedger.AddSummary([new SummarisedSink(sinkId, 0, missing, missing, [])]);
        }
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

    void WriteSegment(string path, Piece piece, ulong? presentBefore)
    {
        var temporary = path + ".new";
        if (_files.Exists(temporary)) _files.Delete(temporary);
        using (var from = _files.Open(piece.Path, writable: false))
        using (var to = _files.Create(temporary))
        {
            to.Write(LogSegment.EncodeHeader(piece.First, piece.PreviousSequence, presentBefore), 0);
            Copy(from, piece.Start, piece.End, to, LogSegment.HeaderSize);
            to.Sync();
        }
        _files.Rename(temporary, path);
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

    static IEnumerable<long> FindMagic(LogFile file, uint magic, long from, long to)
    {
        const int blockBytes = 1 << 20;
        var wanted = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(wanted, magic);
        var block = new byte[blockBytes + wanted.Length - 1];
        for (var offset = from; offset < to; offset += blockBytes)
        {
            var read = file.Read(block.AsSpan(0, (int)Math.Min(block.Length, to - offset)), offset);
            for (var at = 0; block.AsSpan(at, Math.Max(0, read - at)).IndexOf(wanted) is >= 0 and var found; at += found + 1) yield return offset + at + found;
        }
    }

    /// <summary>Groups that follow each other in one file.</summary>
    sealed record Piece(string Path, long Start, long End, LogPosition First, ulong LastSequence, ulong PreviousSequence);
}
