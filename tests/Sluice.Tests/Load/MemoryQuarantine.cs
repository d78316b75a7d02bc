using Sluice.Quarantine;
using Sluice.Schema;

namespace Sluice.Tests.Load;

/// <summary>A quarantine in memory, without budgets: of age it knows what reads ask for. Any thread.</summary>
sealed class MemoryQuarantine
{
    readonly Lock _lock = new();
    readonly SortedDictionary<ulong, (Guid SinkId, QuarantineEntry Entry)> _entries = [];
    readonly Dictionary<(Guid SinkId, ErrorSignature Signature), QuarantineGroup> _groups = [];

    /// <summary>What the last batch said of its sinks.</summary>
    public IReadOnlyDictionary<Guid, QuarantinePolicy> Policies { get; private set; } = new Dictionary<Guid, QuarantinePolicy>();

    public void Add(QuarantineBatch batch)
    {
        lock (_lock)
        {
            Policies = batch.Policies;
            foreach (var record in batch.Records)
            {
                _entries[record.Position] = (record.SinkId, new QuarantineEntry(
                    record.Position, record.RequestId, record.RecordIndex, record.GroupId, record.Form, record.Key, record.Errors, record.Raw.Length == 0 ? null : record.Raw,
                    IsReplayed: false, record.TimeMicroseconds));
            }
            foreach (var added in batch.Groups)
            {
                var group = _groups.GetValueOrDefault((added.SinkId, added.Signature)) ?? new(added.Signature, 0, 0, 0, 0, 0, added.FirstMicroseconds, 0, null);
                _groups[(added.SinkId, added.Signature)] = group with
                {
                    Count = group.Count + added.Count,
                    RawOmitted = group.RawOmitted + added.RawOmitted,
                    LastMicroseconds = Math.Max(group.LastMicroseconds, added.LastMicroseconds),
                };
            }
            foreach (var position in batch.Replayed)
            {
                if (!_entries.TryGetValue(position, out var present) || present.Entry.IsReplayed) continue;
                _entries[position] = present with { Entry = present.Entry with { IsReplayed = true, Raw = null } };
                Change(present.SinkId, present.Entry.GroupId, group => group with { Replayed = group.Replayed + 1 });
            }
        }
    }

    public QuarantineOverview ReadOverview(Guid sinkId, long fromMicroseconds)
    {
        lock (_lock)
        {
            var waiting = Select(new QuarantineSelection(sinkId) { OnlyWaiting = true, FromMicroseconds = fromMicroseconds }).ToLookup(entry => entry.GroupId);
            var groups = _groups.Where(group => group.Key.SinkId == sinkId).Select(group => group.Value with
            {
                Waiting = waiting[group.Key.Signature.Id].Count(),
                Sample = waiting[group.Key.Signature.Id].LastOrDefault(),
            });
            return new QuarantineOverview([.. groups.OrderByDescending(group => group.Count)], waiting.SelectMany(entries => entries).Sum(entry => (long)(entry.Raw?.Length ?? 0) + entry.Errors.Length));
        }
    }

    public IReadOnlyList<QuarantineEntry> Read(QuarantineSelection selection, int limit)
    {
        lock (_lock) return [.. Select(selection).Take(limit)];
    }

    /// <summary>By index.</summary>
    public IReadOnlyList<(Guid SinkId, QuarantineEntry Entry)> ReadRequest(string requestId)
    {
        lock (_lock) return [.. _entries.Values.Where(present => present.Entry.RequestId == requestId).Select(present => (present.SinkId, present.Entry)).OrderBy(present => present.Entry.RecordIndex)];
    }

    public HashSet<ulong> Replayed(IReadOnlyList<ulong> positions)
    {
        lock (_lock) return [.. positions.Where(position => _entries.TryGetValue(position, out var present) && present.Entry.IsReplayed)];
    }

    public long Discard(QuarantineSelection selection)
    {
        lock (_lock)
        {
            var discarded = Select(selection with { OnlyWaiting = true }).ToList();
            foreach (var entry in discarded)
            {
                _entries.Remove(entry.Position);
                Change(selection.SinkId, entry.GroupId, group => group with { Discarded = group.Discarded + 1 });
            }
            return discarded.Count;
        }
    }

    void Change(Guid sinkId, ulong groupId, Func<QuarantineGroup, QuarantineGroup> change)
    {
        var key = _groups.Keys.Single(key => key.SinkId == sinkId && key.Signature.Id == groupId);
        _groups[key] = change(_groups[key]);
    }

    IEnumerable<QuarantineEntry> Select(QuarantineSelection selection) => _entries.Values
        .Where(present => present.SinkId == selection.SinkId)
        .Select(present => present.Entry)
        .Where(entry => (selection.GroupId is null || entry.GroupId == selection.GroupId) && (selection.Positions is null || selection.Positions.Contains(entry.Position))
            && entry.Position > selection.After && !(selection.OnlyWaiting && entry.IsReplayed) && entry.TimeMicroseconds >= selection.FromMicroseconds);
}
