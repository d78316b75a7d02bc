using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Clients that have the names of the original built in, on a machine whose hosts file leads them here.</summary>
public sealed class OriginalHostTests
{
    [Fact]
    public async Task Every_plane_of_the_original_is_reached_under_its_own_name_over_https()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync("--Sluice:Tls:OriginalHosts", "true");
        using var client = ClientOf(server);

        var login = await AskAsync(client, HttpStatusCode.OK, "POST https://id.featurebase.com/", $$"""{"USERNAME":"{{ServerUnderTest.Email}}","PASSWORD":"{{ServerUnderTest.Password}}"}""");
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", login.GetProperty("AuthenticationResult").GetProperty("IdToken").GetString());
        var database = Id(await AskAsync(client, HttpStatusCode.Created, "POST https://api.featurebase.com/v2/databases", """{"name":"db","database_options":{"shape":"8GB-Development"}}"""));
        await AskAsync(client, HttpStatusCode.Created, $"POST https://api.featurebase.com/v2/tables/{database}", """{"name":"t","options":{"keys":false,"trackExistence":true}}""");
        var sink = await AskAsync(client, HttpStatusCode.Created, "POST https://api.featurebase.com/v2/sinks", $$$"""
            {"name":"s","sink_details":{"database_id":"{{{database}}}","table":"t"},"schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
            """);
        Assert.Equal($"https://api.featurebase.com/v2/sinks/{Id(sink)}", sink.GetProperty("ingest_endpoint").GetString());
        var sent = await AskAsync(client, HttpStatusCode.OK, $"POST https://data.featurebase.com/v2/sinks/{Id(sink)}?wait=loaded", """{"records":[{"value":{"id":1}}]}""");
        Assert.Equal(1, sent.GetProperty("success_count").GetInt32());
        var counted = await AskAsync(client, HttpStatusCode.OK, $"POST https://query.featurebase.com/v2/databases/{database}/query/sql", "SELECT COUNT(*) FROM t");
        Assert.Equal(1, counted.GetProperty("data")[0][0].GetInt32());

        // the first version's names
        await AskAsync(client, HttpStatusCode.OK, "POST https://id.molecula.cloud/", $$"""{"USERNAME":"{{ServerUnderTest.Email}}","PASSWORD":"{{ServerUnderTest.Password}}"}""");
        var deployment = await AskAsync(client, HttpStatusCode.OK, $"GET https://api.molecula.cloud/v1/deployments/{database}");
        Assert.Equal("RUNNING", deployment.GetProperty("deployment_status").GetString());
        await AskAsync(client, HttpStatusCode.OK, $"POST https://data.molecula.cloud/v1/sinks/{Id(sink)}", """{"records":[]}""");
        var legacy = await AskAsync(client, HttpStatusCode.OK, $"POST https://data.molecula.cloud/v1/{database}/query", """{"language":"sql","statement":"SELECT COUNT(*) FROM t"}""");
        Assert.Equal(1, legacy.GetProperty("results").GetProperty("rows")[0].GetProperty("columns")[0].GetProperty("ColumnVal").GetProperty("Uint64Val").GetInt32());
        foreach (var name in new[] { "cloud.featurebase.com", "app.molecula.cloud" })
            await AskAsync(client, HttpStatusCode.OK, $"GET https://{name}/health");
    }

    [Fact]
    public async Task Without_the_option_the_certificate_is_for_none_of_these_names()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var client = ClientOf(server);

        var fault = await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync(new Uri("https://data.featurebase.com/health"), TestContext.Current.CancellationToken));
        Assert.IsType<AuthenticationException>(fault.InnerException);
    }

    /// <summary>Every name and port 443 is this server, as with a hosts file and a forwarded port; its authority is trusted and no other.</summary>
    static HttpClient ClientOf(ServerUnderTest server)
    {
        var handler = server.TrustingHandler();
        handler.ConnectCallback = async (context, cancellation) =>
        {
            Assert.Equal(443, context.DnsEndPoint.Port);
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(IPAddress.Loopback, server.HttpsAddress.Port, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        };
        return new HttpClient(handler);
    }

    static async Task<JsonElement> AskAsync(HttpClient client, HttpStatusCode expected, string call, string? body = null)
    {
        var parts = call.Split(' ');
        using var request = new HttpRequestMessage(new HttpMethod(parts[0]), parts[1]) { Content = body is null ? null : new StringContent(body) };
        using var response = await client.SendAsync(request, TestContext.Current.CancellationToken);
        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(response.StatusCode == expected, $"{call}: {(int)response.StatusCode} {text}");
        return JsonElement.Parse(text);
    }

    static string Id(JsonElement resource) => resource.GetProperty("id").GetString()!;
}
