using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Sluice.Load;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;
using Sluice.Server.Maintenance;
using Sluice.Server.Operations;
using Sluice.Server.Tls;

namespace Sluice.Server;

/// <summary>
/// The server: options, host, and the order of starting and stopping. What it is made of is in ServerApp.Parts.cs, the engine in
/// ServerApp.Engine.cs.
/// </summary>
/// <remarks>One caller: build, start, stop, dispose.</remarks>
public sealed partial class ServerApp : IAsyncDisposable
{
    readonly WebApplication _host;
    readonly TextWriter _console;
    readonly OpenEngine _openEngine;
    readonly ILogger _logger;

    ServerApp(WebApplication host, TextWriter console, OpenEngine openEngine)
    {
        _host = host;
        _console = console;
        _openEngine = openEngine;
        _logger = host.Services.GetRequiredService<ILogger<ServerApp>>();
    }

    public IServiceProvider Services => _host.Services;

    /// <summary>Where HTTPS is served, with the port in use. After <see cref="StartAsync"/>.</summary>
    public Uri HttpsAddress => new($"https://localhost:{Address(Uri.UriSchemeHttps).Port}");

    /// <summary>Where plain HTTP is served, on loopback. After <see cref="StartAsync"/>.</summary>
    public Uri HttpAddress => new($"http://127.0.0.1:{Address(Uri.UriSchemeHttp).Port}");

    /// <summary>The whole life of the process. Does not throw.</summary>
    /// <returns>An exit code, as listed in Program.cs.</returns>
    public static async Task<int> RunAsync(string[] args, WrapTableStore? wrapStore = null)
    {
        if (CommandLine.AsksForHelp(args))
        {
            await Console.Out.WriteLineAsync(CommandLine.Usage);
            return (int)ExitCode.Stopped;
        }

        // before anything is opened: a stop during recovery is a stop too
        using var signal = new StopSignal();
        try
        {
            if (MaintenanceCommand.IsAskedFor(args)) return (int)await MaintenanceCommand.RunAsync(args, Console.Out, signal.Token);
            await using var app = Build(args, wrapStore);
            await app.StartAsync(signal.Token);
            return (int)await app.RunUntilAsync(signal.Token);
        }
        catch (OperationCanceledException) when (signal.Token.IsCancellationRequested)
        {
            return (int)ExitCode.Stopped;
        }
        catch (Exception e)
        {
            var (code, message) = Explain(e);
            await Console.Error.WriteLineAsync(message);
            return (int)code;
        }
    }

    /// <summary>Reads and checks the options, and builds the host. Opens nothing.</summary>
    /// <exception cref="StartupException"><see cref="ExitCode.BadOptions"/>: all faults, one a line.</exception>
    public static ServerApp Build(string[] args, WrapTableStore? wrapStore = null) => Build(
        args, TimeProvider.System, Console.Out, (services, cancellation) => OpenEngineAsync(services, wrapStore ?? ((open, _) => open), cancellation));

    /// <summary>Opens everything, in this order, and then serves.</summary>
    /// <exception cref="StartupException">With the exit code.</exception>
    public async Task StartAsync(CancellationToken cancellation)
    {
        var options = Services.GetRequiredService<ServerOptions>();
        var data = Services.GetRequiredService<DataDirectory>(); // locked from here on
        if (data.IsOpenToOthers)
            _logger.DataDirectoryOpenToOthers(data.Path);

        data.ThrowIfIncomplete();
        CatalogSeal.Verify(data);
        CatalogSeal.Break(data);
        _ = Services.GetRequiredService<AuditLog>();
        await OpenCatalogueAsync(data, options.Administrator, cancellation);
        _ = Services.GetRequiredService<ServerCertificate>();
        _ = Services.GetRequiredService<TokenKey>();
        _ = Services.GetRequiredService<MeteredSeries>(); // listens before there is anything to hear

        if (await _openEngine(Services, cancellation) is { } engine)
            Services.GetRequiredService<EngineSlot>().Set(engine);

        await ListenAsync(options, cancellation);
        _logger.Listening(HttpsAddress.ToString());
        _logger.Listening(HttpAddress.ToString());
    }

    /// <summary>
    /// Lets no more requests in, answers those under way, drains the engine, and closes. What is still waiting to be loaded is durable
    /// and goes on after the next start.
    /// </summary>
    public async Task StopAsync()
    {
        var timeout = Services.GetRequiredService<ServerOptions>().Limits.DrainTimeout;
        using var patience = new CancellationTokenSource(timeout, Services.GetRequiredService<TimeProvider>());
        try
        {
            await Services.GetRequiredService<Drain>().Begin().WaitAsync(patience.Token);
            if (Services.GetRequiredService<EngineSlot>() is { IsUsable: true, Engine: var engine })
                await engine.DrainAsync(patience.Token);
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested)
        {
            _logger.DrainTimedOut(timeout);
        }

        await _host.StopAsync(CancellationToken.None);
        if (!patience.IsCancellationRequested) SealCatalogue(); // else a request may change it still
    }

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    async Task OpenCatalogueAsync(DataDirectory data, AdministratorOptions administrator, CancellationToken cancellation)
    {
        var catalog = Services.GetRequiredService<IDbContextFactory<CatalogContext>>();
        try
        {
            await CatalogFile.OpenAsync(catalog, Services.GetRequiredService<CatalogMark>(), data, cancellation);
            await FirstAdministrator.EnsureAsync(
                catalog, administrator, Services.GetRequiredService<Passwords>(), _console, Services.GetRequiredService<TimeProvider>(), _logger, cancellation);
        }
        catch (Exception e) when (CatalogFile.IsDiskFull(e))
        {
            throw new StartupException(ExitCode.DamagedData, $"the catalogue {data.CatalogFile} cannot be written: its disk is full; make room, and start again", e);
        }
    }

    async Task ListenAsync(ServerOptions options, CancellationToken cancellation)
    {
        try
        {
            await _host.StartAsync(cancellation);
        }
        catch (SocketException e) // a port in use is an IOException, which names it
        {
            throw new StartupException(
                ExitCode.AddressNotBound,
                $"cannot listen on port {options.HttpsPort} of all addresses (HTTPS) and {options.HttpPort} of 127.0.0.1 (HTTP): {e.Message}; a port below 1024 needs CAP_NET_BIND_SERVICE, 127.0.0.1 needs the loopback interface",
                e);
        }
    }

    void SealCatalogue()
    {
        try
        {
            CatalogSeal.Write(Services.GetRequiredService<DataDirectory>());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or SqliteException)
        {
            _logger.CatalogueNotSealed(e); // it is checked less closely at the next start
        }
    }

    /// <summary>Serves until asked to stop, or until the log has failed.</summary>
    async Task<ExitCode> RunUntilAsync(CancellationToken stop)
    {
        var failed = Services.GetRequiredService<EngineSlot>().Engine.Failed;
        await Task.WhenAny(failed, Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, stop));

        if (failed.IsCompleted)
        {
            _logger.EngineFailed(await failed);
            Services.GetRequiredService<EngineSlot>().Fail();
        }
        else
        {
            _logger.Stopping("asked to");
        }

        await StopAsync();
        return failed.IsCompleted ? ExitCode.LogFailed : ExitCode.Stopped;
    }

    static (ExitCode, string) Explain(Exception e) => e switch
    {
        StartupException fault => (fault.Code, fault.Message),
        SluiceException { Code: ErrorCode.Corrupt } => (ExitCode.DamagedData, e.Message),
        StoreException => (ExitCode.DamagedData, $"a database cannot be opened: {e.Message}"),
        SluiceException { Code: ErrorCode.LogFailed } => (ExitCode.LogFailed, e.Message),
        IOException { InnerException: AddressInUseException } => (ExitCode.AddressNotBound, e.Message),
        _ => (ExitCode.Unexpected, e.ToString()),
    };

    Uri Address(string scheme)
    {
        var addresses = Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses ?? throw new InvalidOperationException("the server has no addresses");
        // "https://[::]:7443" and "http://127.0.0.1:7480"; only the port is asked for
        return new Uri(addresses.First(address => address.StartsWith(scheme + "://", StringComparison.Ordinal)));
    }
}
