using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Sluice.Server;

/// <summary>What <c>/health/ready</c> answers. <paramref name="Reasons"/> is empty when the server is ready.</summary>
/// <param name="Degraded">What does not work although the server is ready; left out when there is nothing.</param>
sealed record HealthAnswer(
    string Status, IReadOnlyList<string> Reasons, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<string>? Degraded = null);

/// <summary>Whether the process lives, and whether it takes records. Answers without a token, and while draining.</summary>
static class Health
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        var health = routes.MapGroup("/health").AllowAnonymous().WithTags("Operations");

        health.MapGet("", () => new HealthAnswer("ok", [])).WithName("getHealth").WithSummary("The process answers.");
        health.MapGet("/live", () => new HealthAnswer("live", [])).WithName("getLiveness").WithSummary("The process answers.");
        health.MapGet("/ready", Ready).WithName("getReadiness").WithSummary("The server takes records; 503 says why not.");
    }

    static JsonHttpResult<HealthAnswer> Ready(Drain drain, EngineSlot slot)
    {
        var reasons = drain.IsDraining ? ["the server is stopping"] : slot.Health.Reasons;

        return reasons.Count == 0
            ? TypedResults.Json(new HealthAnswer("ready", [], slot.Degraded is { Count: > 0 } degraded ? degraded : null))
            : TypedResults.Json(new HealthAnswer("not_ready", reasons), statusCode: Refusals.For(ErrorCode.Unavailable).Status);
    }
}
