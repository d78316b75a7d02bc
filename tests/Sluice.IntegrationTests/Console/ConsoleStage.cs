using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>A database, a table and a source that took a right and a wrong record: every page has something to show.</summary>
/// <param name="GroupId">Of the errors.</param>
sealed record ConsoleStage(string DatabaseId, string TableId, string SinkId, string GroupId)
{
    /// <param name="name">Of the database and of the source.</param>
    /// <param name="text">Stands wherever texts of others do.</param>
    public static async Task<ConsoleStage> MakeAsync(int httpPort, string name, string text)
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var api = await ApiClient.LoginAsync(httpPort, cancellation);
        var literal = JsonSerializer.Serialize(text);
        var databaseId = await api.CreateAsync("v2/databases", $$"""{"name":"{{name}}"}""", cancellation);
        var tableId = await api.CreateAsync($"v2/tables/{databaseId}", $$$"""
            {"name":"orders","description":{{{literal}}},"options":{"keys":false,"trackExistence":true},
             "fields":[{"name":"price","options":{"type":"decimal","scale":2}},{"name":"note","options":{"type":"string"}},{"name":"tags","options":{"type":"stringset"}}]}
            """, cancellation);
        var sinkId = await api.CreateAsync("v2/sinks", $$$"""
            {"name":"{{{name}}}-stream","sink_details":{"database_id":"{{{databaseId}}}","table":"orders"},
             "schema":{"type":"json","id_field":"_id","allow_missing_fields":true,
              "definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]},{"name":"note","path":["note"]},{"name":"tags","path":["tags"]}]}}
            """, cancellation);
        await api.CreateAsync("v2/users/current/keys", $$"""{"description":{{literal}},"role":"IngestKey","sinks":["{{sinkId}}"]}""", cancellation);
        await api.PostAsync($"v2/sinks/{sinkId}?wait=loaded", $$$"""
            {"records":[{"value":{"id":1,"price":1.5,"note":{{{literal}}},"tags":[{{{literal}}},"b"],"extra":{{{literal}}}}},{"value":{"id":2,"price":{{{literal}}}}}]}
            """, cancellation);
        var groups = (await api.GetAsync($"v2/sinks/{sinkId}/quarantine", cancellation)).Json["resources"]!.AsArray();
        return new ConsoleStage(databaseId, tableId, sinkId, Assert.Single(groups)!["id"]!.GetValue<string>());
    }
}
