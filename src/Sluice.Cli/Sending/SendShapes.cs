using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Client;

namespace Sluice.Cli.Sending;

/// <summary>A line of the file of rejected records.</summary>
/// <param name="Record">Its number among the records of the file, from 0.</param>
/// <param name="Sent">The record as it was sent; <c>null</c>: see <paramref name="Text"/>.</param>
/// <param name="Text">The line, when it is not JSON that can be written.</param>
sealed record RejectedLine(long Record, string? ErrorCode, string? ErrorMessage, IReadOnlyList<FieldErrorBody>? Errors, JsonElement? Sent, string? Text);

/// <summary>What <c>sluice send --json</c> prints.</summary>
sealed record SendSummary(long Records, long Accepted, long Rejected, double Seconds, string? RejectedFile, bool IsComplete);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RejectedLine))]
[JsonSerializable(typeof(SendSummary))]
sealed partial class SendJson : JsonSerializerContext;
