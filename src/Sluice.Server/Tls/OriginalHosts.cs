namespace Sluice.Server.Tls;

/// <summary>The host names that clients of the original have built in. Whoever points them here (hosts file, DNS) needs a certificate for them.</summary>
static class OriginalHosts
{
    /// <summary>Login, control plane, data plane, queries, console; and what the first version called them.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "id.featurebase.com", "api.featurebase.com", "data.featurebase.com", "query.featurebase.com", "cloud.featurebase.com",
        "id.molecula.cloud", "api.molecula.cloud", "data.molecula.cloud", "app.molecula.cloud",
    ];
}
