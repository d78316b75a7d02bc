using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Sluice.Load;
using Sluice.Schema;

namespace Sluice;

public sealed record EngineOptions
{
    public required string DataDirectory { get; init; }
}

/// <summary>A table as the catalogue knows it.</summary>
public sealed record TableDefinition(Guid DatabaseId, TableSchema Schema);

/// <summary>Whether the engine takes records. <paramref name="Reasons"/> says why not.</summary>
public sealed record EngineHealth(bool IsReady, IReadOnlyList<string> Reasons);

/// <summary>All tables and sinks of one data directory.</summary>
public sealed class Engine : IAsyncDisposable
{
    public static Task<Engine> OpenAsync(
        EngineOptions options,
        IReadOnlyCollection<TableDefinition> tables,
        IReadOnlyCollection<SinkDefinition> sinks,
        OpenTableStore openStore,
        TimeProvider time,
        ILoggerFactory loggers,
        IMeterFactory meters,
        CancellationToken cancellation) => throw new NotImplementedException();

    public EngineHealth Health => throw new NotImplementedException();

    /// <summary>Completes when a log has failed for good: the process must end and recover from disk.</summary>
    public Task<SluiceException> Failed => throw new NotImplementedException();

    /// <summary>Makes the table; returns when its store has it.</summary>
    public Task CreateTableAsync(TableDefinition table, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Appends a schema barrier; returns when the store has the new schema. The version must be above the present one.</summary>
    public Task ChangeTableAsync(TableSchema schema, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Ends the table's sinks, drops its data and its log. Does nothing when there is no such table.</summary>
    public Task DropTableAsync(Guid tableId, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Adds a sink or replaces its mapping in one step; requests under way finish with the mapping they began with.</summary>
    public void PutSink(SinkDefinition sink) => throw new NotImplementedException();

    public void RemoveSink(Guid sinkId) => throw new NotImplementedException();

    public Sink? FindSink(Guid sinkId) => throw new NotImplementedException();

    public Table? FindTable(Guid tableId) => throw new NotImplementedException();

    /// <summary>Takes no more requests, waits for those under way and for the loaders.</summary>
    public Task DrainAsync(CancellationToken cancellation) => throw new NotImplementedException();

    public ValueTask DisposeAsync() => throw new NotImplementedException();
}
