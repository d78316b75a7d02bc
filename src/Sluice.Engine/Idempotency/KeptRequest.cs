using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Records;

namespace Sluice.Idempotency;

/// <summary>A request that was sent with a key, and all that its answer needs.</summary>
/// <param name="Key">As it was sent.</param>
/// <param name="BodyHash">SHA-256 of the decompressed body and of what changes its meaning.</param>
public sealed record KeptRequest(Guid SinkId, ulong Sequence, string Key, ReadOnlyMemory<byte> BodyHash, long ReceivedAtMicroseconds, BatchOutcome Outcome)
{
    /// <summary>Most bytes of errors that a store keeps of one request: 1 MiB. The records beyond are kept without their errors.</summary>
    public const int MaxErrorBytes = 1 << 20;

    /// <summary>The outcome as a store keeps it.</summary>
    public string OutcomeJson() => JsonSerializer.Serialize(Bounded(Outcome), KeptRequestJson.Default.BatchOutcome);

    public static BatchOutcome ReadOutcome(string json) => JsonSerializer.Deserialize(json, KeptRequestJson.Default.BatchOutcome) ?? throw new InvalidDataException("a kept answer is JSON null");

    static BatchOutcome Bounded(BatchOutcome outcome)
    {
        var bytes = 0;
        return outcome.Rejected.Count == 0 ? outcome : outcome with
        {
            Rejected = [.. outcome.Rejected.Select(record =>
            {
                bytes += record.Errors.Sum(error => 64 + error.Column.Length + error.Path.Length + error.Expected.Length + error.Got.Length);
                return bytes <= MaxErrorBytes ? record : record with { Errors = [] };
            })],
        };
    }
}

/// <summary>What a load keeps of requests with keys, in the transaction that moves the position.</summary>
/// <param name="ForgetBeforeMicroseconds">Requests received earlier are too old to be kept.</param>
public sealed record IdempotencyBatch(IReadOnlyList<KeptRequest> Requests, long ForgetBeforeMicroseconds);

/// <summary>Where the request of a key stands.</summary>
/// <param name="Hash">Of sink and key, XXH3 of 128 bits.</param>
public readonly record struct KeptKey(UInt128 Hash, ulong Sequence, long ReceivedAtMicroseconds)
{
    public static KeptKey Of(Guid sinkId, string key, ulong sequence, long receivedAtMicroseconds) =>
        new(IdempotencyKeys.HashOf(sinkId, IdempotencyKey.Bytes(key)), sequence, receivedAtMicroseconds);
}

[JsonSourceGenerationOptions(UseStringEnumConverter = true, IgnoreReadOnlyProperties = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(BatchOutcome))]
sealed partial class KeptRequestJson : JsonSerializerContext;
