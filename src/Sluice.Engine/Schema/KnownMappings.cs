using System.Collections.Concurrent;
using System.Collections.Immutable;

namespace Sluice.Schema;

/// <summary>The newest mappings of every sink: frames name the version they were decoded with, and may be loaded long after it was replaced. Any thread.</summary>
sealed class KnownMappings
{
    /// <summary>Most versions kept of one sink: 100.</summary>
    public const int MostPerSink = 100;

    static readonly QuarantinePolicy s_defaultQuarantine = new();

    readonly ConcurrentDictionary<Guid, ImmutableSortedDictionary<int, SinkDefinition>> _versions = [];

    public void Add(SinkDefinition mapping) => _versions.AddOrUpdate(
        mapping.Id,
        (_, added) => ImmutableSortedDictionary<int, SinkDefinition>.Empty.Add(added.MappingVersion, added),
        (_, present, added) =>
        {
            var versions = present.SetItem(added.MappingVersion, added);
            return versions.Count > MostPerSink ? versions.Remove(versions.Keys.First()) : versions;
        },
        mapping);

    /// <returns><c>null</c>: there was none, or it is too old.</returns>
    public SinkDefinition? Find(Guid sinkId, int version) => _versions.GetValueOrDefault(sinkId)?.GetValueOrDefault(version);

    /// <summary>What a sink keeps in quarantine now, whatever version a frame was decoded with; the default for a sink that is not known.</summary>
    public QuarantinePolicy FindQuarantine(Guid sinkId) => _versions.GetValueOrDefault(sinkId)?.Values.Last().Quarantine ?? s_defaultQuarantine;

    /// <summary>The table is gone, and with it all frames of its sinks.</summary>
    public void RemoveTable(Guid tableId)
    {
        foreach (var (sinkId, versions) in _versions)
            if (versions.Values.First().TableId == tableId) _versions.TryRemove(sinkId, out _);
    }
}
