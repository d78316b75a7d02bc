using System.Net;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Keys that send to the sinks they name, and do nothing else.</summary>
public sealed class IngestKeyTests : IAsyncLifetime
{
    ServerUnderTest _server = null!;
    string _token = "";
    string _database = "";

    public async ValueTask InitializeAsync()
    {
        _server = await ServerUnderTest.StartWithEngineAsync();
        _token = await _server.IdTokenAsync();
        _database = Text(await _server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/databases", _token, """{"name":"db"}"""), "id");
        await _server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, $"/v2/tables/{_database}", _token, """{"name":"t","options":{"keys":false}}""");
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task It_sends_to_its_sinks_and_to_no_other_and_reads_nothing()
    {
        var (own, second, other) = (await SinkAsync("own"), await SinkAsync("second"), await SinkAsync("other"));
        var secret = await KeyAsync($$"""{"description":"loader","role":"IngestKey","sinks":["{{own}}","{{second}}"]}""");

        await SendAsync(HttpStatusCode.OK, own, secret);
        await SendAsync(HttpStatusCode.OK, second, secret);
        Assert.Equal("ResourceNotFound", await SendAsync(HttpStatusCode.NotFound, other, secret));
        Assert.Equal("ResourceNotFound", await SendAsync(HttpStatusCode.NotFound, Guid.NewGuid().ToString(), secret));

        foreach (var (method, path) in new[]
        {
            (HttpMethod.Get, $"/v2/sinks/{own}"), (HttpMethod.Get, $"/v2/sinks/{own}/errors"), (HttpMethod.Put, $"/v2/sinks/{own}"), (HttpMethod.Delete, $"/v2/sinks/{own}"),
            (HttpMethod.Get, "/v2/sinks"), (HttpMethod.Get, "/v2/users/current"), (HttpMethod.Post, $"/v2/databases/{_database}/query/sql"), (HttpMethod.Get, "/v2/audit"),
        })
            await _server.JsonAsync(HttpStatusCode.Forbidden, method, path, key: secret, body: "{}");
    }

    [Theory]
    [InlineData("Bearer ")]
    [InlineData("bearer ")]
    [InlineData("")]
    public async Task A_key_may_stand_where_a_token_stands(string scheme)
    {
        var sink = await SinkAsync("s");
        var secret = await KeyAsync($$"""{"role":"IngestKey","sinks":["{{sink}}"]}""");
        await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/sinks/{sink}", scheme + secret, """{"records":[]}""");
    }

    [Fact]
    public async Task It_survives_its_own_rename_and_changes_of_its_sink_and_ends_with_its_revocation()
    {
        var sink = await SinkAsync("s");
        var secret = await KeyAsync($$"""{"description":"old","role":"IngestKey","sinks":["{{sink}}"]}""");
        var keyId = await OnlyKeyIdAsync();
        await SendAsync(HttpStatusCode.OK, sink, secret);

        Assert.Equal("new", Text(await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/current/keys/{keyId}", _token, """{"description":"new"}"""), "description"));
        await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Patch, $"/v2/sinks/{sink}", _token, """{"max_records":5}""");
        await SendAsync(HttpStatusCode.OK, sink, secret);

        await _server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Delete, $"/v2/users/current/keys/{keyId}", _token);
        Assert.Equal("Unauthorized", await SendAsync(HttpStatusCode.Unauthorized, sink, secret));
    }

    [Fact]
    public async Task It_ends_when_its_time_is_over_and_is_listed_as_expired()
    {
        var sink = await SinkAsync("s");
        var secret = await KeyAsync($$"""{"role":"IngestKey","sinks":["{{sink}}"],"expires_at":"2999-01-01T00:00:00+01:00"}""");
        await SendAsync(HttpStatusCode.OK, sink, secret);
        var key = await OnlyKeyAsync();
        Assert.Equal(("Active", "2998-12-31T23:00:00Z"), (Text(key, "status"), Text(key, "expires_at")));
        Assert.NotEqual(JsonValueKind.Null, key.GetProperty("last_used_at").ValueKind);

        await using (var context = await _server.Services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(TestContext.Current.CancellationToken))
            await context.ApiKeys.ExecuteUpdateAsync(set => set.SetProperty(row => row.ExpiresAt, TimeProvider.System.GetUtcNow()), TestContext.Current.CancellationToken);
        _server.Services.GetRequiredService<Callers>().ForgetKey(Guid.Parse(Text(key, "id")));

        Assert.Equal("Unauthorized", await SendAsync(HttpStatusCode.Unauthorized, sink, secret));
        Assert.Equal("Expired", Text(await OnlyKeyAsync(), "status"));
    }

    [Fact]
    public async Task An_administrator_sees_the_keys_of_all_users_and_a_user_their_own()
    {
        var (annId, ann) = await _server.AddUserAsync(_token, "ann@x.org");
        var annsKey = await _server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", ann, """{"description":"ann's"}""");
        await KeyAsync("""{"description":"administrator's"}""");

        await _server.JsonAsync(HttpStatusCode.Forbidden, HttpMethod.Get, "/v2/keys", ann);
        var all = await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/keys", _token);
        Assert.Equal(["ann's", "administrator's"], all.GetProperty("resources").EnumerateArray().Select(key => Text(key, "description")));
        Assert.DoesNotContain("secret", all.GetRawText(), StringComparison.Ordinal);

        await _server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Delete, $"/v2/users/{annId}/keys/{Text(annsKey, "id")}", _token);
        await _server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/users/current", key: Text(annsKey, "secret"));
    }

    async Task<string> SinkAsync(string name) => Text(
        await _server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/sinks", _token, $$$"""
            {"name":"{{{name}}}","sink_details":{"database_id":"{{{_database}}}","table":"t"},
             "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
            """),
        "id");

    async Task<string> KeyAsync(string body) => Text(await _server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", _token, body), "secret");

    async Task<JsonElement> OnlyKeyAsync() =>
        (await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current/keys", _token)).GetProperty("resources").EnumerateArray().Single();

    async Task<string> OnlyKeyIdAsync() => Text(await OnlyKeyAsync(), "id");

    async Task<string?> SendAsync(HttpStatusCode expected, string sink, string secret)
    {
        var answer = await _server.JsonAsync(expected, HttpMethod.Post, $"/v2/sinks/{sink}", key: secret, body: """{"records":[{"value":{"id":1}}]}""");
        return answer.TryGetProperty("code", out var code) ? code.GetString() : null;
    }

    static string Text(JsonElement element, string member) => element.GetProperty(member).GetString()!;
}
