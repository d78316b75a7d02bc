using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Client;
using Sluice.Schema;
using Sluice.Server.Accounts;

namespace Sluice.Server;

/// <param name="Type"><c>null</c>: the path is left out.</param>
sealed record InferredColumn(string? Name, IReadOnlyList<WirePathStep> Path, string? Type, string Reason);

/// <param name="Table">May be posted to <c>/v2/tables/{database}</c> as it is.</param>
/// <param name="Sink">May be posted to <c>/v2/sinks</c> as it is, when the table is there.</param>
sealed record InferAnswer(int Samples, TableRequest Table, SinkRequest Sink, IReadOnlyList<InferredColumn> Columns);

/// <summary><c>POST /v2/databases/{id}/infer</c>: a table and a sink that fit samples.</summary>
static class InferEndpoint
{
    const int MaxSamples = 10_000;

    static readonly JsonSerializerOptions s_json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        WriteIndented = true,
    };

    public static void Map(IEndpointRouteBuilder routes)
    {
        foreach (var version in Api.Versions)
        {
            foreach (var noun in version == "/v1" ? new[] { "deployments", "databases" } : ["databases"])
                routes.MapPost($"{version}/{noun}/{{id}}/infer", InferAsync)
                    .WithTags("Tables")
                    .DescribesBody<RecordsShape>()
                    .Produces<InferAnswer>()
                    .Describe(version, "inferSchema", "Proposes a table and a sink from samples: records, an array, or an object a line; name=NAME names both.");
        }
    }

    static async Task<IResult> InferAsync(string id, HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation, string name = "records")
    {
        var databaseId = Api.IdFrom(id, "database");
        ResourceNames.Check(name, "name");
        await plane.GetDatabaseAsync(Caller.Of(http), databaseId, cancellation);
        var samples = SampleBody.Read(await ControlBody.ReadAsync(http.Request, options.Limits.MaxControlBodyBytes, cancellation), MaxSamples);
        return Results.Json(Answer(databaseId, name, SchemaInference.Propose(samples)), s_json);
    }

    public static InferAnswer Answer(Guid databaseId, string name, SchemaProposal proposal)
    {
        var isAuto = proposal.Key is null;
        var isText = proposal.KeyKind == KeyKind.String;
        var fields = proposal.Chosen.Select(column => new SinkField(column.Name, column.Path, null, column.Config));
        var key = isAuto ? Array.Empty<SinkField>() : [new SinkField(TableSchema.KeyColumnName, proposal.Key!)];
        return new InferAnswer(
            proposal.Samples,
            new TableRequest(name, null, new TableOptions(isText) { AutoId = isAuto ? true : null }, [.. proposal.Chosen.Select(column => new ColumnRequest(column.Name, ColumnOptions.Write(column.Type!)))]),
            new SinkRequest(name, new SinkDetails(databaseId, name), new SinkSchema(
                "json", isAuto || isText ? null : TableSchema.KeyColumnName, isAuto || !isText ? null : [TableSchema.KeyColumnName], AllowMissingFields: true, [.. key, .. fields])),
            [
                new InferredColumn(TableSchema.KeyColumnName, proposal.Key ?? [], isText ? "string" : "id", proposal.KeyReason),
                .. proposal.Columns.Select(column => new InferredColumn(column.Type is null ? null : column.Name, column.Path, column.Type?.ToString(), column.Reason)),
            ]);
    }
}
