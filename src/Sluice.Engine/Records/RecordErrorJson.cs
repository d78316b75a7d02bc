using System.Text.Json.Serialization;

namespace Sluice.Records;

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true)]
[JsonSerializable(typeof(IReadOnlyList<FieldError>))]
sealed partial class RecordErrorJson : JsonSerializerContext;
