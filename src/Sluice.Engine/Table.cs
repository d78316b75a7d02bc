using Sluice.Records;
using Sluice.Schema;

namespace Sluice;

/// <summary>One table: its log, its loader, and its store.</summary>
public sealed class Table
{
    public Guid DatabaseId => throw new NotImplementedException();

    /// <summary>The schema that new requests are decoded with.</summary>
    public TableSchema Schema => throw new NotImplementedException();

    /// <summary>
    /// Appends rows written with SQL and returns when they are loaded; all or nothing. <paramref name="values"/> is a JSON array of
    /// objects whose members are column names; the rules for values are those of a sink, but numbers for timestamps are seconds.
    /// </summary>
    /// <returns>The outcome; when any record is rejected nothing was stored.</returns>
    public ValueTask<BatchOutcome> InsertAsync(ReadOnlyMemory<byte> values, IReadOnlyList<string> columns, string caller, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Returns when everything up to and including the sequence is in the store.</summary>
    public Task WaitLoadedAsync(ulong sequence, CancellationToken cancellation) => throw new NotImplementedException();
}
