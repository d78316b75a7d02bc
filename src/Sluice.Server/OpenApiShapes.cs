using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Sluice.Server;

// What the server reads and writes by hand, so that it has no type of its own elsewhere: these exist for the API's description only.

/// <param name="Code">Stable; see docs/http-api.md.</param>
/// <param name="Outcome"><c>not_stored</c>, or <c>unknown</c>: the records may be found, once, after a restart.</param>
/// <param name="Cause">With 503: log_backlog, loader_stalled, disk_low, log_failed, draining, unavailable or memory. With 429 of a quota: quota.</param>
sealed record RefusalShape(string Code, string Message, string RequestId, string Outcome, string? Cause);

/// <summary>Either a user name and password, or a refresh token.</summary>
sealed record LoginShape(
    [property: JsonPropertyName("USERNAME")] string? UserName,
    [property: JsonPropertyName("PASSWORD")] string? Password,
    [property: JsonPropertyName("REFRESH_TOKEN")] string? RefreshToken);

sealed record SessionShape([property: JsonPropertyName("AuthenticationResult")] SessionTokensShape AuthenticationResult);

sealed record SessionTokensShape(
    [property: JsonPropertyName("AccessToken")] string AccessToken,
    [property: JsonPropertyName("ExpiresIn")] int ExpiresIn,
    [property: JsonPropertyName("IdToken")] string IdToken,
    [property: JsonPropertyName("RefreshToken")] string RefreshToken,
    [property: JsonPropertyName("TokenType")] string TokenType);

sealed record RecordsShape(IReadOnlyList<RecordShape> Records);

/// <param name="Value">The sink's mapping says where in it each column's value stands.</param>
/// <param name="Op">Default: that of the request, <c>upsert</c>.</param>
/// <param name="Version">A record below the version of its key is passed over.</param>
sealed record RecordShape(JsonObject Value, string? Op, long? Version);

/// <param name="Records">One entry a record, in their order.</param>
sealed record OutcomeShape(int SuccessCount, int ErrorCount, string RequestId, IReadOnlyList<RecordOutcomeShape> Records);

/// <param name="Status"><c>success</c>: durable. <c>error</c>: not stored.</param>
/// <param name="Index">With <c>return=errors</c> only.</param>
sealed record RecordOutcomeShape(
    string Status, int? Index, string? ErrorCode, string? ErrorMessage, IReadOnlyList<FieldErrorShape>? Errors, IReadOnlyList<WarningShape>? Warnings);

sealed record FieldErrorShape(string Column, string Path, string Code, string Expected, string Got);

sealed record WarningShape(string Column, string Code);
