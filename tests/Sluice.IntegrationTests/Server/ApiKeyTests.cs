using System.Net;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class ApiKeyTests
{
    [Fact]
    public async Task A_key_stands_for_its_user_until_it_is_revoked()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();
        var made = await MakeAsync(server, token, """{"description":"loader"}""");
        var secret = made.GetProperty("secret").GetString()!;

        using (var current = await server.SendAsync(HttpMethod.Get, "/v2/users/current", key: secret))
            Assert.Equal(ServerUnderTest.Email, (await ServerUnderTest.ReadJsonAsync(current)).GetProperty("email").GetString());

        using (var list = await server.SendAsync(HttpMethod.Get, "/v2/users/current/keys", token))
        {
            var key = (await ServerUnderTest.ReadJsonAsync(list)).GetProperty("resources").EnumerateArray().Single();
            Assert.Equal("loader", key.GetProperty("description").GetString());
            Assert.False(key.TryGetProperty("secret", out _));
        }

        using (var revoked = await server.SendAsync(HttpMethod.Delete, $"/v2/users/current/keys/{made.GetProperty("id").GetString()}", token))
            Assert.Equal(HttpStatusCode.Accepted, revoked.StatusCode);

        using var refused = await server.SendAsync(HttpMethod.Get, "/v2/users/current", key: secret);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
    }

    [Fact]
    public async Task A_secret_is_nowhere_in_the_data_directory()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var made = await MakeAsync(server, await server.IdTokenAsync(), "{}");
        var secret = made.GetProperty("secret").GetString()!;

        foreach (var file in Directory.EnumerateFiles(server.Data.Path, "*", SearchOption.AllDirectories).Where(file => Path.GetFileName(file) != "lock"))
        {
            await using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var reader = new StreamReader(stream, Encoding.Latin1);
            var text = await reader.ReadToEndAsync(TestContext.Current.CancellationToken);
            Assert.DoesNotContain(secret[^20..], text, StringComparison.Ordinal);
            Assert.DoesNotContain(ServerUnderTest.Password, text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_changed_secret_is_refused()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var secret = (await MakeAsync(server, await server.IdTokenAsync(), "{}")).GetProperty("secret").GetString()!;
        var changed = secret[^1] == 'A' ? 'E' : 'A';

        foreach (var forgery in new[] { secret[..^1] + changed, secret + "x", "slk_x", "slk_" + Guid.NewGuid().ToString("n") + "_abc", new string('x', 5_000) })
        {
            using var response = await server.SendAsync(HttpMethod.Get, "/v2/users/current", key: forgery);
            Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        }
    }

    [Fact]
    public async Task A_key_makes_no_keys()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var full = (await MakeAsync(server, await server.IdTokenAsync(), "{}")).GetProperty("secret").GetString()!;

        using var make = await server.SendAsync(HttpMethod.Post, "/v2/users/current/keys", key: full, body: "{}");

        Assert.Equal(HttpStatusCode.Forbidden, make.StatusCode);
    }

    [Fact]
    public async Task Other_users_and_unknown_keys_do_not_exist()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();

        foreach (var path in new[] { $"/v2/users/{Guid.NewGuid()}/keys", "/v2/users/..%2f/keys", "/v2/users/x/keys" })
        {
            using var response = await server.SendAsync(HttpMethod.Get, path, token);
            Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        }

        using var delete = await server.SendAsync(HttpMethod.Delete, $"/v2/users/current/keys/{Guid.NewGuid()}", token);
        Assert.Equal(HttpStatusCode.NotFound, delete.StatusCode);
    }

    [Theory]
    [InlineData("""{"role":"Emperor"}""", "InvalidParameter")]
    [InlineData("""{"description":5}""", "InvalidParameter")]
    [InlineData("""{"role":"IngestKey"}""", "MissingParameter")]
    [InlineData("""{"role":"IngestKey","sinks":[]}""", "InvalidParameter")]
    [InlineData("""{"role":"IngestKey","sinks":["x"]}""", "InvalidParameter")]
    [InlineData("""{"role":"IngestKey","sinks":["00000000-0000-4000-8000-000000000000"]}""", "RelatedResourceNotFound")]
    [InlineData("""{"sinks":["00000000-0000-4000-8000-000000000000"]}""", "InvalidParameter")]
    [InlineData("""{"expires_at":"2020-01-01T00:00:00Z"}""", "InvalidParameter")]
    [InlineData("""{"expires_at":"soon"}""", "InvalidParameter")]
    [InlineData("""{"quota":{"records_per_second":-1}}""", "InvalidParameter")]
    [InlineData("""{"quota":{"burst_seconds":0}}""", "InvalidParameter")]
    [InlineData("""{"quota":{"records":5}}""", "InvalidParameter")]
    [InlineData("[", "InvalidBody")]
    public async Task A_malformed_key_request_is_refused(string body, string code)
    {
        await using var server = await ServerUnderTest.StartAsync();

        using var response = await server.SendAsync(HttpMethod.Post, "/v2/users/current/keys", await server.IdTokenAsync(), body: body);

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal(code, (await ServerUnderTest.ReadJsonAsync(response)).GetProperty("code").GetString());
    }

    [Fact]
    public async Task A_key_shows_its_quota_and_what_it_leaves_out_is_the_servers()
    {
        await using var server = await ServerUnderTest.StartAsync("--Sluice:Quotas:Key:BytesPerSecond", "5000");
        var token = await server.IdTokenAsync();
        var made = await MakeAsync(server, token, """{"quota":{"records_per_second":70}}""");
        const string expected = """{"records_per_second":70,"bytes_per_second":5000,"burst_seconds":10}""";

        Assert.True(JsonElement.DeepEquals(JsonElement.Parse(expected), made.GetProperty("quota")), made.GetRawText());
        foreach (var path in new[] { $"/v2/users/current/keys/{made.GetProperty("id").GetString()}", "/v2/users/current/keys", "/v2/keys" })
        {
            var shown = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, path, token);
            var key = shown.TryGetProperty("resources", out var list) ? list.EnumerateArray().Single() : shown;
            Assert.True(JsonElement.DeepEquals(JsonElement.Parse(expected), key.GetProperty("quota")), key.GetRawText());
        }
    }

    [Theory]
    [InlineData("""{"quota":{"records_per_second":100}}""", true)]
    [InlineData("""{"quota":{"records_per_second":99,"bytes_per_second":1,"burst_seconds":1}}""", true)]
    [InlineData("{}", true)]
    [InlineData("""{"quota":{"records_per_second":101}}""", false)]
    [InlineData("""{"quota":{"records_per_second":0}}""", false)]
    [InlineData("""{"quota":{"burst_seconds":11}}""", false)]
    public async Task Only_an_administrator_gives_a_key_more_than_the_server_does(string body, bool isAllowed)
    {
        await using var server = await ServerUnderTest.StartAsync("--Sluice:Quotas:Key:RecordsPerSecond", "100");
        var administrator = await server.IdTokenAsync();
        var (_, user) = await server.AddUserAsync(administrator, "ann@example.com");

        await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", administrator, body);
        await server.JsonAsync(isAllowed ? HttpStatusCode.Created : HttpStatusCode.Forbidden, HttpMethod.Post, "/v2/users/current/keys", user, body);
    }

    static async Task<JsonElement> MakeAsync(ServerUnderTest server, string token, string body)
    {
        using var response = await server.SendAsync(HttpMethod.Post, "/v2/users/current/keys", token, body: body);
        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        return await ServerUnderTest.ReadJsonAsync(response);
    }
}
