using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging.Console;
using Sluice.Records;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Backup;
using Sluice.Server.Catalog;
using Sluice.Server.Components;
using Sluice.Server.DataPlane;
using Sluice.Server.Operations;
using Sluice.Server.Sql;
using Sluice.Server.Tls;

namespace Sluice.Server;

/// <summary>What the host is made of.</summary>
public sealed partial class ServerApp
{
    /// <param name="console">Gets what only the operator may see, once: a generated password, how to trust the certificate.</param>
    internal static ServerApp Build(string[] args, TimeProvider time, TextWriter console, OpenEngine openEngine)
    {
        // the directory of the program, not the working directory: the server behaves the same wherever it is started
        var (settings, options, unknownKeys) = OptionSources.Read(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), args);
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions
        {
            ApplicationName = typeof(ServerApp).Assembly.GetName().Name,
            ContentRootPath = AppContext.BaseDirectory,
        });
        // the files of the console's packages stand beside the program once it is published, and in the package cache before
        builder.WebHost.UseStaticWebAssets();
        builder.Configuration.Sources.Clear();
        builder.Configuration.AddConfiguration(settings);
        // as it is once published: looking for changed files takes GET of every address, so that none would answer 405
        builder.Configuration["ReloadStaticAssetsAtRuntime"] = "false";

        ConfigureLogging(builder.Logging, options.Log);
        builder.WebHost.ConfigureKestrel(kestrel => ConfigureKestrel(kestrel, options));
        builder.Services.AddSingleton<IMemoryPoolFactory<byte>, ReceiveBuffers>();
        AddParts(builder.Services, options, time, console);
        AddSurface(builder.Services);

        var host = builder.Build();
        Map(host);

        var app = new ServerApp(host, console, openEngine);
        foreach (var key in unknownKeys)
            app._logger.UnknownOption(key);
        return app;
    }

    static void ConfigureLogging(ILoggingBuilder logging, LogOutputOptions options)
    {
        logging.ClearProviders();
        // of the provider itself, so that no setting brings them back; this one tells of every request without a token
        logging.AddFilter<ConsoleLoggerProvider>(typeof(BearerTokens).FullName, LogLevel.Warning);
        // it tells of every request with its query, where a careless caller may have put a password or a key
        logging.AddFilter<ConsoleLoggerProvider>("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.Warning);
        // the files of the console's keys are closed to others, as all of the data directory is
        logging.AddFilter<ConsoleLoggerProvider>("Microsoft.AspNetCore.DataProtection", LogLevel.Error);
        if (options.Json)
            logging.AddJsonConsole(console => console.UseUtcTimestamp = true);
        else
            logging.AddConsole(console => console.FormatterName = LogLineFormatter.FormatterName).AddConsoleFormatter<LogLineFormatter, ConsoleFormatterOptions>();
    }

    static void ConfigureKestrel(KestrelServerOptions kestrel, ServerOptions options)
    {
        var limits = options.Limits;
        var rate = new MinDataRate(limits.MinBytesPerSecond, gracePeriod: TimeSpan.FromSeconds(5));

        var maxConnections = FileHandles.LimitConnections(limits.MaxConnections);

        // a line ends with CR LF: where a proxy in front sees another end than we do, a request can be smuggled past it
        AppContext.SetSwitch("Microsoft.AspNetCore.Server.Kestrel.DisableHttp1LineFeedTerminators", true);
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxConcurrentConnections = maxConnections;
        kestrel.Limits.MaxConcurrentUpgradedConnections = maxConnections;
        kestrel.Limits.MaxRequestHeadersTotalSize = limits.MaxHeaderBytes;
        kestrel.Limits.RequestHeadersTimeout = limits.HeaderTimeout;
        kestrel.Limits.KeepAliveTimeout = limits.KeepAliveTimeout;
        kestrel.Limits.MinRequestBodyDataRate = rate;
        kestrel.Limits.MinResponseDataRate = rate;
        kestrel.Limits.MaxRequestBodySize = limits.MaxControlBodyBytes;
        kestrel.Limits.Http2.MaxStreamsPerConnection = limits.MaxStreamsPerConnection;

        kestrel.ListenAnyIP(options.HttpsPort, listen =>
        {
            var certificate = listen.ApplicationServices.GetRequiredService<ServerCertificate>();
            listen.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => ValueTask.FromResult(certificate.Handshake) });
        });

        kestrel.Listen(IPAddress.Loopback, options.HttpPort);
        // a free port is looked for once, so that both would not be the same
        if (options.HttpPort != 0 && HasIPv6Loopback())
            kestrel.Listen(IPAddress.IPv6Loopback, options.HttpPort);
    }

    /// <summary>The system may know IPv6 and have it switched off: then no interface has the address.</summary>
    static bool HasIPv6Loopback()
    {
        if (!Socket.OSSupportsIPv6)
            return false;

        try
        {
            using var probe = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
            probe.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Our own parts. Singletons are closed in the reverse order of their first use: the data directory's lock goes last.</summary>
    static void AddParts(IServiceCollection services, ServerOptions options, TimeProvider time, TextWriter console)
    {
        services.AddSingleton(options);
        services.AddSingleton(time);
        services.AddSingleton<Drain>();
        services.AddSingleton<RefusalMeter>();
        services.AddSingleton<MeteredSeries>();
        services.AddSingleton<ServerSeries>();
        services.AddSingleton<EngineSlot>();
        services.AddSingleton(_ => DataDirectory.Open(options.Data));
        services.AddCatalog();

        services.AddSingleton<Passwords>();
        services.AddSingleton<LoginThrottle>();
        services.AddSingleton<RefreshTokens>();
        services.AddSingleton<Sessions>();
        services.AddSingleton<Users>();
        services.AddSingleton<Invites>();
        services.AddSingleton<ApiKeys>();
        services.AddSingleton<OrganizationRecord>();
        services.AddSingleton(provider => AuditLog.Open(
            provider.GetRequiredService<DataDirectory>().AuditDirectory, options.Audit, time, provider.GetRequiredService<ILogger<AuditLog>>()));
        services.AddSingleton(options.Quotas);
        services.AddSingleton<KeyQuotas>();
        services.AddSingleton<Callers>();
        services.AddSingleton<Tokens>();
        services.AddSingleton(provider => TokenKey.Open(provider.GetRequiredService<DataDirectory>().KeysDirectory));

        services.AddSingleton(provider => ServerCertificate.Open(CertificateSource(provider, options, console), time));
        services.AddHostedService<CertificateRenewal>();

        services.AddSingleton(new BodyBudget(options.Limits.MaxBodyBytesInFlight));
        AddPlanes(services, options);
    }

    static ServerCertificateSource CertificateSource(IServiceProvider provider, ServerOptions options, TextWriter console)
    {
        var logger = provider.GetRequiredService<ILogger<ServerCertificate>>();
        var tls = options.Tls;
        var names = tls.OriginalHosts ? [.. tls.Names, .. OriginalHosts.Names] : tls.Names;
        return tls is { CertificateFile: { } certificate, KeyFile: { } key }
            ? new OperatorCertificateSource(certificate, key, logger)
            : new LocalCertificateSource(provider.GetRequiredService<DataDirectory>().TlsDirectory, names, options.HttpsPort, console, logger);
    }

    /// <summary>What ASP.NET adds: authentication, authorisation, JSON, the API's description.</summary>
    static void AddSurface(IServiceCollection services)
    {
        services.Replace(ServiceDescriptor.Singleton<IHostLifetime, UnattendedLifetime>());
        services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(5)); // all requests are answered by then
        services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        services.ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.WriteIndented = true;
            json.SerializerOptions.PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower;
        });

        services.AddAuthentication(BearerTokens.SchemeName)
            .AddScheme<AuthenticationSchemeOptions, BearerTokens>(BearerTokens.SchemeName, null)
            .AddCookie(ConsoleCookie.SchemeName);
        services.AddAuthorization(Policies.Add);
        services.AddOpenApi("v2", OpenApiDescription.Configure);
        ConsoleWiring.Add(services);
    }

    static void Map(WebApplication host)
    {
        host.UseMiddleware<RequestEdge>();
        // RFC 9110 9.3.2: as GET without the content, which HeadAnswer leaves out
        host.Use((context, next) =>
        {
            if (HttpMethods.IsHead(context.Request.Method))
                context.Request.Method = HttpMethods.Get;
            return next(context);
        });
        host.UseRouting();
        // before authentication: an address that leads nowhere does so for everybody
        host.Use((context, next) => context.GetEndpoint() is null ? throw new SluiceException(ErrorCode.NotFound, "There is nothing at this address.") : next(context));
        ConsoleWiring.Use(host);
        host.UseAuthentication();
        host.UseAuthorization();
        host.UseAntiforgery();

        Health.Map(host);
        MetricsEndpoint.Map(host, host.Services.GetRequiredService<ServerOptions>().Metrics);
        host.MapOpenApi("/openapi/{documentName:regex(^v2$)}.json").AllowAnonymous(); // others would be answered in plain text
        ApiReference.Map(host);
        LoginEndpoint.Map(host);
        UserEndpoints.Map(host);
        KeyEndpoints.Map(host);
        InviteEndpoints.Map(host);
        OrganizationEndpoints.Map(host);
        AuditEndpoint.Map(host);
        BackupEndpoints.Map(host);
        DatabaseEndpoints.Map(host);
        TableEndpoints.Map(host);
        SinkEndpoints.Map(host);
        SqlEndpoint.Map(host);
        IngestEndpoint.Map(host);
        SinkReports.Map(host);
        QuarantineEndpoints.Map(host);
        WatchEndpoints.Map(host);
        InferEndpoint.Map(host);
        ConsoleWiring.Map(host);
    }
}
