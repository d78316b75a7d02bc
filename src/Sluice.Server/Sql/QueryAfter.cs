using Microsoft.Extensions.Primitives;

namespace Sluice.Server.Sql;

/// <summary>Requests whose rows a statement must see.</summary>
/// <param name="Timeout">How long it waits for them.</param>
sealed record QueryAfter(IReadOnlyList<string> RequestIds, TimeSpan Timeout)
{
    /// <summary>A wait for more costs more than it is worth: the newest request of each table is enough.</summary>
    const int MaxRequestIds = 100;

    /// <summary>The parameter <c>after</c> and the header <c>X-Sluice-After</c>, both together; <c>null</c>: neither is there.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static QueryAfter? Of(HttpRequest request)
    {
        var texts = StringValues.Concat(request.Query["after"], request.Headers["X-Sluice-After"]);
        if (texts.Count == 0)
            return null;

        string[] ids = [.. texts.SelectMany(text => text!.Split(',', StringSplitOptions.TrimEntries)).Distinct()];
        return ids.Length <= MaxRequestIds
            ? new QueryAfter(ids, WaitTimeout.Of(request))
            : throw new SluiceException(ErrorCode.InvalidParameter, $"A statement can wait for {MaxRequestIds} requests at most: the newest of each table is enough.");
    }
}
