using System.Net;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class SecurityHeaderTests
{
    [Fact]
    public async Task Every_answer_has_them_also_when_it_is_a_refusal()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();
        var answers = new[]
        {
            await server.SendAsync(HttpMethod.Get, "/v2/users/current", token),
            await server.SendAsync(HttpMethod.Get, "/health"),
            await server.SendAsync(HttpMethod.Get, "/openapi/v2.json"),
            await server.SendAsync(HttpMethod.Post, "/v2/databases", token, body: "["),
            await server.SendAsync(HttpMethod.Get, "/v2/databases"),
            await server.SendAsync(HttpMethod.Get, "/v2/nowhere"),
            await server.SendAsync(HttpMethod.Delete, "/v2/login"),
            await server.PostAsync("/", "--x", "multipart/form-data; boundary=x"),
            await server.PostAsync("/", new string(' ', 20_000)),
            await server.SendAsync(HttpMethod.Get, $"/v2/sinks/{Guid.NewGuid()}/ledger", token), // no engine: 503
        };

        Assert.Equal([200, 200, 200, 400, 401, 404, 401, 400, 413, 503], answers.Select(answer => (int)answer.StatusCode));
        foreach (var answer in answers)
        {
            Assert.Equal("nosniff", Header(answer, "X-Content-Type-Options"));
            Assert.Equal("no-referrer", Header(answer, "Referrer-Policy"));
            Assert.Equal("default-src 'none'; frame-ancestors 'none'", Header(answer, "Content-Security-Policy"));
            Assert.Equal("", Header(answer, "Strict-Transport-Security"));
            Assert.Equal("", Header(answer, "Server"));
            answer.Dispose();
        }
    }

    [Theory]
    [InlineData("ingest.example.org", "max-age=31536000")]
    [InlineData("localhost", "")]
    [InlineData("id.localhost", "")]
    [InlineData("127.0.0.1", "")]
    public async Task Https_is_made_lasting_for_names_that_are_not_this_machine(string host, string expected)
    {
        await using var server = await ServerUnderTest.StartAsync("--Sluice:Tls:Names:0", "ingest.example.org");
        using var client = new HttpClient(server.TrustingHandler());

        using var answer = await client.GetAsync(new Uri($"https://{host}:{server.HttpsAddress.Port}/health"), TestContext.Current.CancellationToken);

        Assert.Equal((HttpStatusCode.OK, expected), (answer.StatusCode, Header(answer, "Strict-Transport-Security")));
    }

    static string Header(HttpResponseMessage answer, string name) => answer.Headers.TryGetValues(name, out var values) ? string.Join(',', values) : "";
}
