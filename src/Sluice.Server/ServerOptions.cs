using Sluice.Server.Audit;
using Sluice.Server.Backup;
using Sluice.Server.Operations;
using Sluice.Stores.DuckDb;

namespace Sluice.Server;

/// <summary>
/// Everything an operator can set. The key of <c>Tls.CertificateFile</c> is <c>Sluice:Tls:CertificateFile</c> in appsettings.json and on
/// the command line, <c>Sluice__Tls__CertificateFile</c> in the environment. Read once at start; immutable after.
/// </summary>
public sealed record ServerOptions
{
    /// <summary>Everything the server keeps is in this directory. Defaults to <c>data</c> in the working directory.</summary>
    public string Data { get; init; } = "data";

    /// <summary>HTTPS, on all addresses. Defaults to 7443; 0 takes any free port.</summary>
    public int HttpsPort { get; init; } = 7443;

    /// <summary>Plain HTTP, on loopback addresses only. Defaults to 7480; 0 takes any free port.</summary>
    public int HttpPort { get; init; } = 7480;

    public AdministratorOptions Administrator { get; init; } = new();
    public TlsOptions Tls { get; init; } = new();
    public LimitOptions Limits { get; init; } = new();
    public QuotaOptions Quotas { get; init; } = new();
    public AuditOptions Audit { get; init; } = new();
    public LogOutputOptions Log { get; init; } = new();
    public StorageOptions Storage { get; init; } = new();
    public BackupOptions Backup { get; init; } = new();
    public ControlPlaneOptions ControlPlane { get; init; } = new();
    public DuckDbOptions Store { get; init; } = new();
    public QueryLimits Query { get; init; } = new();
    public MetricsOptions Metrics { get; init; } = new();
}

/// <summary>The first administrator; read only while the catalogue has no user.</summary>
public sealed record AdministratorOptions
{
    /// <summary>Defaults to <c>admin@localhost</c>. SLUICE_ADMIN_EMAIL sets it too.</summary>
    public string Email { get; init; } = "admin@localhost";

    /// <summary><c>null</c>: one is generated and printed once. SLUICE_ADMIN_PASSWORD sets it too.</summary>
    public string? Password { get; init; }
}

public sealed record TlsOptions
{
    /// <summary>
    /// Host names and IP addresses that the server's own certificate is for, beside localhost, the machine's name and the loopback
    /// addresses. A name that the local authority may not certify makes a new authority, which clients have to trust anew.
    /// </summary>
    public IReadOnlyList<string> Names { get; init; } = [];

    /// <summary>
    /// Adds the host names of the original (<c>id.</c>, <c>api.</c>, <c>data.</c>, <c>query.featurebase.com</c>, their <c>molecula.cloud</c> forms) to
    /// <see cref="Names"/>, for clients that have them built in. Defaults to false: whoever trusts the authority would trust it for them.
    /// </summary>
    public bool OriginalHosts { get; init; }

    /// <summary>A certificate of your own, PEM, with its intermediates. <c>null</c>: the server makes one. Read again when it changes.</summary>
    public string? CertificateFile { get; init; }

    /// <summary>The private key of <see cref="CertificateFile"/>, PEM, not encrypted.</summary>
    public string? KeyFile { get; init; }
}

public sealed record LimitOptions
{
    // two file descriptors a connection at most; a usual hard limit is 20,000
    /// <summary>Open connections; more are refused. Defaults to 9,000, or what the process's limit of open files leaves room for.</summary>
    public int MaxConnections { get; init; } = 9_000;

    /// <summary>All headers of a request together. Defaults to 32,768 bytes (32 KiB), at most 1,048,576 (1 MiB).</summary>
    public int MaxHeaderBytes { get; init; } = 32 * 1024;

    /// <summary>From the first byte of a request to the end of its headers. Defaults to 15 s, at most an hour.</summary>
    public TimeSpan HeaderTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>An idle connection is closed after this time. Defaults to 130 s, above the 120 s of common proxies; at most an hour.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(130);

    /// <summary>A body or an answer that moves slower, after 5 s of grace, ends its connection. Defaults to 240 bytes a second.</summary>
    public int MinBytesPerSecond { get; init; } = 240;

    /// <summary>Requests under way on one HTTP/2 connection. Defaults to 100.</summary>
    public int MaxStreamsPerConnection { get; init; } = 100;

    /// <summary>Longest body of a request that does not send records. Defaults to 8,388,608 bytes (8 MiB).</summary>
    public int MaxControlBodyBytes { get; init; } = 8 * 1024 * 1024;

    // eight bodies of the largest default size; keeps the server below 1 GiB whatever clients do
    /// <summary>Memory that bodies with records may take together; beyond it a request is refused with 503. Defaults to 268,435,456 bytes (256 MiB).</summary>
    public long MaxBodyBytesInFlight { get; init; } = 256L * 1024 * 1024;

    /// <summary>How long a stopping server waits for the requests under way. Defaults to 30 s, at most a day.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>What the logs of accepted records may take; durations and bytes per table, but for the reserve.</summary>
public sealed record StorageOptions
{
    static readonly EngineOptions Engine = new() { DataDirectory = "" };

    /// <inheritdoc cref="EngineOptions.DiskReserveBytes"/>
    public long DiskReserveBytes { get; init; } = Engine.DiskReserveBytes;

    /// <inheritdoc cref="Sluice.Log.LogOptions.SegmentBytes"/>
    public long SegmentBytes { get; init; } = Engine.Log.SegmentBytes;

    /// <inheritdoc cref="Sluice.Log.LogOptions.RetainedBytes"/>
    public long RetainedBytes { get; init; } = Engine.Log.RetainedBytes;

    /// <inheritdoc cref="Sluice.Log.LogOptions.RetainedAge"/>
    public TimeSpan RetainedAge { get; init; } = Engine.Log.RetainedAge;

    /// <inheritdoc cref="Sluice.Log.LogOptions.MaxBacklogBytes"/>
    public long MaxBacklogBytes { get; init; } = Engine.Log.MaxBacklogBytes;

    /// <inheritdoc cref="Sluice.Log.LogOptions.MaxReceiveTime"/>
    public TimeSpan MaxReceiveTime { get; init; } = Engine.Log.MaxReceiveTime;

    /// <inheritdoc cref="Sluice.Load.LoadOptions.TombstoneWindow"/>
    public TimeSpan TombstoneWindow { get; init; } = Engine.Load.TombstoneWindow;

    /// <inheritdoc cref="Sluice.Idempotency.IdempotencyOptions.MaxKeys"/>
    public int MaxIdempotencyKeys { get; init; } = Engine.Idempotency.MaxKeys;

    internal EngineOptions For(string dataDirectory) => Engine with
    {
        DataDirectory = dataDirectory,
        DiskReserveBytes = DiskReserveBytes,
        Log = Engine.Log with { SegmentBytes = SegmentBytes, RetainedBytes = RetainedBytes, RetainedAge = RetainedAge, MaxBacklogBytes = MaxBacklogBytes, MaxReceiveTime = MaxReceiveTime },
        Load = Engine.Load with { TombstoneWindow = TombstoneWindow },
        Idempotency = Engine.Idempotency with { MaxKeys = MaxIdempotencyKeys },
    };
}

public sealed record LogOutputOptions
{
    /// <summary>One JSON object a line instead of text. Defaults to false.</summary>
    public bool Json { get; init; }
}
