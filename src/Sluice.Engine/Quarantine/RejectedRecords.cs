using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;

namespace Sluice.Quarantine;

/// <summary>
/// The records of a batch that were rejected at the door: each in a group, counted exactly, and as many as a load may keep with their errors and text.
/// A flood costs a few bytes a record. Reused; one thread at a time.
/// </summary>
sealed class RejectedRecords
{
    /// <summary>Most records of one load that are kept one by one; the others are counted. So a flood slows no load.</summary>
    const int MaxKept = 10_000;

    /// <summary>Most bytes of errors and texts of one load that are kept: 8 MiB.</summary>
    const int MaxKeptBytes = 8 << 20;

    /// <summary>So many of each group are kept all the same.</summary>
    const int AlwaysKept = 10;

    readonly List<Row> _rows = [];
    readonly List<Kept> _kept = [];
    readonly List<Group> _groups = [];
    readonly Dictionary<ErrorSignature, int> _groupOfSignature = [];
    readonly Dictionary<ulong, int> _groupOfPrefix = []; // XxHash3 of an error's JSON up to the kind that came
    long _keptBytes;

    public int Count => _rows.Count;

    /// <summary>Reads the rejected records of a frame; returns their indexes in the request, ascending.</summary>
    public int[] Add(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (header.RejectedCount == 0) return [];
        var indexes = new int[header.RejectedCount];
        var reader = new RejectedReader(payload, header.AcceptedCount);
        for (var i = 0; i < indexes.Length; i++)
        {
            reader.Read();
            indexes[i] = reader.Index;
            var group = GroupOf(reader.Errors);
            _rows.Add(new Row(group, Keep(group, reader), reader.Raw.IsEmpty));
        }
        return indexes;
    }

    /// <summary>Adds the rejected records of a frame to what a load hands to its store.</summary>
    public void Collect(in BatchedFrame frame, List<QuarantinedRecord> records, Dictionary<(Guid, ErrorSignature), GroupCount> groups)
    {
        var header = frame.Header;
        for (var i = 0; i < frame.RejectedIndexes.Length; i++)
        {
            var row = _rows[frame.FirstRejected + i];
            var signature = _groups[row.Group].Signature;
            AddCount(groups, header.SinkId, signature, 1, row.HasNoText || row.Kept < 0 ? 1 : 0, header.ReceivedAtMicroseconds);
            if (row.Kept < 0) continue;
            var kept = _kept[row.Kept];
            var index = frame.RejectedIndexes[i];
            records.Add(new QuarantinedRecord(
                header.SinkId, LogPosition.OfRecord(header.Position.Sequence, index - header.FirstRecordIndex), frame.RequestId, index, signature.Id, kept.Form, "",
                kept.Errors, kept.Raw, header.ReceivedAtMicroseconds));
        }
        // rows of a request that was discarded after they were written: there is no text of them
        if (frame.RowCount == 0 && header.AcceptedCount > 0)
            AddCount(groups, header.SinkId, ErrorSignature.Of([]), header.AcceptedCount, header.AcceptedCount, header.ReceivedAtMicroseconds);
    }

    /// <summary>Adds to the count of a group.</summary>
    public static void AddCount(Dictionary<(Guid, ErrorSignature), GroupCount> groups, Guid sinkId, ErrorSignature signature, long count, long rawOmitted, long timeMicroseconds)
    {
        var before = groups.GetValueOrDefault((sinkId, signature)) ?? new GroupCount(sinkId, signature, 0, 0, timeMicroseconds, timeMicroseconds);
        groups[(sinkId, signature)] = before with
        {
            Count = before.Count + count,
            RawOmitted = before.RawOmitted + rawOmitted,
            FirstMicroseconds = Math.Min(before.FirstMicroseconds, timeMicroseconds),
            LastMicroseconds = Math.Max(before.LastMicroseconds, timeMicroseconds),
        };
    }

    public void Clear()
    {
        _rows.Clear();
        _kept.Clear();
        _groups.Clear();
        _groupOfSignature.Clear();
        _groupOfPrefix.Clear();
        _keptBytes = 0;
    }

    int Keep(int group, in RejectedReader record)
    {
        var bytes = record.Errors.Length + record.Raw.Length;
        if ((_kept.Count >= MaxKept || _keptBytes + bytes > MaxKeptBytes) && _groups[group].KeptCount >= AlwaysKept) return -1;
        _groups[group].KeptCount++;
        _keptBytes += bytes;
        _kept.Add(new Kept(record.Form, Encoding.UTF8.GetString(record.Errors), record.Raw.ToArray()));
        return _kept.Count - 1;
    }

    int GroupOf(ReadOnlySpan<byte> errors)
    {
        var prefix = XxHash3.HashToUInt64(PrefixOf(errors));
        if (_groupOfPrefix.TryGetValue(prefix, out var known)) return known;
        var signature = errors.IsEmpty
            ? new ErrorSignature("", ErrorSignature.ErrorsOmitted, "", "")
            : ErrorSignature.Of(JsonSerializer.Deserialize(errors, RecordErrorJson.Default.IReadOnlyListFieldError) ?? []);
        if (!_groupOfSignature.TryGetValue(signature, out var group))
        {
            group = _groups.Count;
            _groups.Add(new Group(signature));
            _groupOfSignature.Add(signature, group);
        }
        _groupOfPrefix.Add(prefix, group);
        return group;
    }

    /// <summary>The first error up to the kind of what came: all that its signature depends on. Quotes within values are escaped, so the name cannot be part of one.</summary>
    static ReadOnlySpan<byte> PrefixOf(ReadOnlySpan<byte> errors)
    {
        var got = errors.IndexOf("\"got\":\""u8);
        if (got < 0) return errors;
        var end = got + "\"got\":\""u8.Length;
        while (end < errors.Length && errors[end] is >= (byte)'a' and <= (byte)'z') end++;
        return errors[..end];
    }

    readonly record struct Row(int Group, int Kept, bool HasNoText);

    sealed record Kept(RecordForm Form, string Errors, byte[] Raw);

    sealed class Group(ErrorSignature signature)
    {
        public ErrorSignature Signature { get; } = signature;

        public int KeptCount { get; set; }
    }
}
