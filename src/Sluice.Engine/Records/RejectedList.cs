using System.Collections;

namespace Sluice.Records;

/// <summary>
/// The rejected records of a request, by index. Of the first ones it keeps all errors, of the others only that they were rejected: four bytes each, so that a
/// request of which everything is wrong does not take much memory, however large it is and however slowly its answer is read. One thread at a time.
/// </summary>
sealed class RejectedList : IReadOnlyList<RejectedRecord>
{
    /// <summary>Wrong fields of one request that are kept; those of records beyond are left out of the answer. The log has them.</summary>
    public const int MaxErrors = 10_000;

    readonly List<int> _indexes = [];
    readonly Dictionary<int, RejectedRecord> _detailed = [];
    int _errorCount;
    int? _discardedCount;

    public int Count => _discardedCount ?? _indexes.Count;

    /// <summary>Records whose errors were left out.</summary>
    public int UndetailedCount => _indexes.Count - _detailed.Count;

    public RejectedRecord this[int index]
    {
        get
        {
            var record = _discardedCount is null ? _indexes[index] : index;
            if (_detailed.TryGetValue(record, out var detailed)) return detailed;
            return new RejectedRecord(record, IsDiscarded: _discardedCount is not null && _indexes.BinarySearch(record) < 0, []);
        }
    }

    /// <summary>Those of a request that was read as a whole.</summary>
    /// <param name="isDiscarded">All its records are rejected because of those that lack a field.</param>
    public static RejectedList Of(IReadOnlyList<RejectedRecord> rejected, bool isDiscarded, int recordCount)
    {
        var list = new RejectedList();
        list.Add(rejected);
        if (isDiscarded) list.DiscardAll(recordCount);
        return list;
    }

    /// <summary>Adds the rejected records of the next part.</summary>
    public void Add(IReadOnlyList<RejectedRecord> rejected)
    {
        foreach (var record in rejected)
        {
            if (record.IsDiscarded) continue; // known when the request is
            _indexes.Add(record.Index);
            if (_errorCount >= MaxErrors) continue;
            _errorCount += record.Errors.Count;
            _detailed.Add(record.Index, record);
        }
    }

    /// <summary>All records are rejected: those with errors for them, the others because of those.</summary>
    public void DiscardAll(int recordCount) => _discardedCount = recordCount;

    public IEnumerator<RejectedRecord> GetEnumerator()
    {
        for (var i = 0; i < Count; i++) yield return this[i];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
