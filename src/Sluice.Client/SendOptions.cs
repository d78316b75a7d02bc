namespace Sluice.Client;

/// <summary>How one request with records is sent.</summary>
public sealed record SendOptions
{
    /// <summary>The server's own defaults: one answer a record, as soon as they are durable.</summary>
    public static SendOptions Default { get; } = new();

    /// <summary>How the records stand in the body. Defaults to <c>{"records":[{"value":{...}}, ...]}</c>.</summary>
    public string ContentType { get; init; } = "application/json";

    /// <summary><c>gzip</c>, <c>br</c> or <c>zstd</c>, when the body is so compressed; <c>null</c>: it is plain.</summary>
    public string? ContentEncoding { get; init; }

    /// <summary>The same key with the same body gets the same answer and is loaded once, for 24 hours. <c>null</c>: none.</summary>
    public string? IdempotencyKey { get; init; }

    /// <summary>Which records the answer lists: <c>all</c>, <c>errors</c> or <c>summary</c>.</summary>
    public string Return { get; init; } = "all";

    /// <summary>What is done with records that name no operation; <c>null</c>: upsert.</summary>
    public string? Operation { get; init; }

    /// <summary>Answer when the records are visible to SQL.</summary>
    public bool WaitLoaded { get; init; }

    /// <summary>How long to wait for that; <c>null</c>: the server's 10 s.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Validate only: nothing is stored.</summary>
    public bool DryRun { get; init; }

    internal string Query()
    {
        var query = new List<string>();
        if (Return != "all") query.Add($"return={Return}");
        if (Operation is not null) query.Add($"op={Operation}");
        if (WaitLoaded) query.Add("wait=loaded");
        if (Timeout is { } timeout) query.Add(FormattableString.Invariant($"timeout={timeout.TotalSeconds}"));
        if (DryRun) query.Add("dry_run=true");
        return query.Count == 0 ? "" : "?" + string.Join('&', query);
    }
}
