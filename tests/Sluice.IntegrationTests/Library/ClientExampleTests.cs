using System.Text.RegularExpressions;
using Sluice.IntegrationTests.Server;
using Thermometers;
using Xunit;

namespace Sluice.IntegrationTests.Library;

/// <summary>The example of docs/client.md: it is the file beside this one, and it works.</summary>
public sealed partial class ClientExampleTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_sends_says_what_is_wrong_and_reads_back()
    {
        await server.Api.QueryAsync(server.DatabaseId, "CREATE TABLE readings (_id ID, sensor STRING, celsius DECIMAL(1))", Cancellation);
        await server.Api.CreateAsync(
            "v2/sinks",
            $$$"""
            {"name":"readings","sink_details":{"database_id":"{{{server.DatabaseId}}}","table":"readings"},"schema":{"type":"json","id_field":"_id","allow_missing_fields":true,
             "definition":[{"name":"_id","path":["_id"]},{"name":"sensor","path":["sensor"]},{"name":"celsius","path":["celsius"]}]}}
            """,
            Cancellation);
        var key = (await server.Api.PostAsync("v2/users/current/keys", """{"description":"example"}""", Cancellation)).Json["secret"]!.GetValue<string>();
        var https = new Uri($"https://localhost:{HttpsPort().Match(server.Process.Output).Groups[1].Value}");
        using var log = new StringWriter();
        var average = await Thermometer.SendAsync(
            https, Path.Combine(server.DataDirectory, "tls", "ca.crt"), key, "readings", [new Reading(1, "roof", 20.5m), new Reading(-2, "cellar", 3m), new Reading(3, null, 21.5m)], log, Cancellation);
        Assert.Equal(21.0, double.Parse(average, System.Globalization.CultureInfo.InvariantCulture));
        Assert.Contains("\"_id\":-2", Assert.Single(log.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact]
    public void It_is_what_the_document_shows()
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "Sluice.slnx"))) root = root.Parent!;
        var example = File.ReadAllText(Path.Combine(root.FullName, "tests", "Sluice.IntegrationTests", "Library", "ClientExample.cs"));
        Assert.Contains($"```csharp\n{example}```\n", File.ReadAllText(Path.Combine(root.FullName, "docs", "client.md")), StringComparison.Ordinal);
    }

    [GeneratedRegex(@"listening on https://\S+?:(\d+)")]
    private static partial Regex HttpsPort();
}
