using System.Diagnostics.Metrics;
using Sluice.Load;
using Sluice.Server.Backup;
using Sluice.Server.Catalog;
using Sluice.Server.DataPlane;
using Sluice.Server.Sql;
using Sluice.Stores.DuckDb;

namespace Sluice.Server;

/// <summary>Opens the engine on what the catalogue defines; <c>null</c>: the host runs without one.</summary>
delegate Task<Engine?> OpenEngine(IServiceProvider services, CancellationToken cancellation);

/// <summary>Makes the store of a table from the one the server uses; tests put something around it.</summary>
public delegate OpenTableStore WrapTableStore(OpenTableStore open, string dataDirectory);

/// <summary>The engine, and what stands on it: the control plane, SQL and the stores.</summary>
public sealed partial class ServerApp
{
    /// <summary>Opens the engine in recovery order: definitions, logs and stores, then what a crash interrupted.</summary>
    internal static async Task<Engine?> OpenEngineAsync(IServiceProvider services, WrapTableStore wrapStore, CancellationToken cancellation)
    {
        var plane = services.GetRequiredService<ControlPlane>();
        var data = services.GetRequiredService<DataDirectory>();
        var definitions = await plane.LoadDefinitionsAsync(cancellation);
        if (data.FindUnknownLogs(await plane.ListKnownTablesAsync(cancellation)) is [var unknown, ..])
            throw new StartupException(ExitCode.DamagedData, $"{unknown} belongs to no table of the catalogue: the catalogue is older than the log. Restore a newer one, or move the log out of the directory");
        var engine = await Engine.OpenAsync(
            services.GetRequiredService<ServerOptions>().Storage.For(data.Path),
            definitions.Tables,
            definitions.Sinks,
            wrapStore(services.GetRequiredService<DuckDbDatabases>().OpenTableAsync, data.Path),
            services.GetRequiredService<TimeProvider>(),
            services.GetRequiredService<ILoggerFactory>(),
            services.GetRequiredService<IMeterFactory>(),
            cancellation);
        try
        {
            await plane.ThrowIfOlderThanAsync(engine, cancellation);
            await plane.ResumeAsync(engine, cancellation);
            return engine;
        }
        catch
        {
            await engine.DisposeAsync();
            throw;
        }
    }

    static void AddPlanes(IServiceCollection services, ServerOptions options)
    {
        services.AddSingleton(options.ControlPlane);
        services.AddSingleton(options.Query);
        services.AddSingleton(provider => new DuckDbDatabases(
            provider.GetRequiredService<DataDirectory>().Path, options.Store, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILoggerFactory>()));
        services.AddSingleton<DropDatabaseStore>(provider => provider.GetRequiredService<DuckDbDatabases>().DropDatabaseAsync);
        services.AddSingleton<ControlPlane>();
        services.AddSingleton<Backups>();
        services.AddSingleton<SinkGate>(provider =>
        {
            var plane = provider.GetRequiredService<ControlPlane>();
            return id => Admission(plane.FindSinkStatus(id));
        });
        services.AddSingleton<UserQuery>();
        services.AddSingleton(SqlWiring.Build);
        services.AddSingleton<SqlStatements>();
    }

    static SinkAdmission Admission(SinkStatus? status) => status switch
    {
        null or SinkStatus.Deleted => SinkAdmission.Unknown,
        SinkStatus.Creating => SinkAdmission.Creating,
        SinkStatus.Active or SinkStatus.Restarting => SinkAdmission.Open,
        _ => SinkAdmission.Closed,
    };
}
