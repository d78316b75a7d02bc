using System.Diagnostics.Metrics;
using Sluice.Load;
using Sluice.Schema;

namespace Sluice.Server;

/// <summary>Opens the engine on what the catalogue defines; <c>null</c>: the host runs without one.</summary>
delegate Task<Engine?> OpenEngine(IServiceProvider services, CancellationToken cancellation);

/// <summary>What the catalogue defines when the server starts.</summary>
sealed record EngineDefinitions(IReadOnlyCollection<TableDefinition> Tables, IReadOnlyCollection<SinkDefinition> Sinks);

/// <summary>Reads the tables and sinks that exist.</summary>
delegate Task<EngineDefinitions> ReadEngineDefinitions(IServiceProvider services, CancellationToken cancellation);

public sealed partial class ServerApp
{
    static async Task<Engine?> OpenEngineAsync(IServiceProvider services, CancellationToken cancellation)
    {
        var definitions = await services.GetRequiredService<ReadEngineDefinitions>()(services, cancellation);
        var data = services.GetRequiredService<DataDirectory>();

        return await Engine.OpenAsync(
            new EngineOptions { DataDirectory = data.Path },
            definitions.Tables,
            definitions.Sinks,
            StoresIn(data),
            services.GetRequiredService<TimeProvider>(),
            services.GetRequiredService<ILoggerFactory>(),
            services.GetRequiredService<IMeterFactory>(),
            cancellation);
    }

    /// <summary>Where tables are stored.</summary>
    static OpenTableStore StoresIn(DataDirectory data) => throw new NotImplementedException($"no store is wired yet for {data.Path}");
}
