using System.Net.Security;

namespace Sluice.Cli.Bench;

/// <param name="Loaded">Rows, or changes of rows, that are visible to SQL.</param>
/// <param name="Pending">Rows that are acknowledged and not visible yet.</param>
readonly record struct LoadProgress(long Loaded, long Pending);

/// <summary>A server that the same load is put on: a table of its own in a database of its own, gone when disposed.</summary>
abstract class BenchTarget : IAsyncDisposable
{
    public abstract string Name { get; }

    public abstract Uri Origin { get; }

    /// <summary><c>null</c>: plain HTTP.</summary>
    public virtual SslClientAuthenticationOptions? Tls => null;

    /// <summary>How this server reads a time fastest.</summary>
    public abstract string TimeFormat { get; }

    /// <summary>Whether a row with a known key takes the place of the old one.</summary>
    public abstract bool ReplacesRows { get; }

    /// <summary>Whether rows become visible after they are acknowledged.</summary>
    public abstract bool LoadsLater { get; }

    public virtual BodyForm FormOf(BenchLoad load) => load.Form;

    public abstract Task CreateAsync(BenchLoad load, CancellationToken cancellation);

    /// <summary>Request line and headers, without the body's length.</summary>
    public abstract string RequestHead(BodyForm form, bool waitLoaded);

    /// <summary><c>null</c>: what is acknowledged is visible.</summary>
    public virtual Task<LoadProgress?> ReadProgressAsync(CancellationToken cancellation) => Task.FromResult<LoadProgress?>(null);

    public abstract Task<long> CountRowsAsync(CancellationToken cancellation);

    public abstract ValueTask DisposeAsync();

    /// <summary>A name that no earlier run has left behind.</summary>
    protected static string FreshName(string prefix) => FormattableString.Invariant($"{prefix}{TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()}");
}
