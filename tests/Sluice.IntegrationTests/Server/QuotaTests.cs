using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Quotas over HTTP, against the real server: refused, told so, and over by themselves.</summary>
public sealed class QuotaTests(IngestServer server) : IClassFixture<IngestServer>
{
    const int Records = 200;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("""{"records_per_second":100,"burst_seconds":1}""")]
    [InlineData("""{"bytes_per_second":4000,"burst_seconds":1}""")]
    public async Task A_sink_over_its_quota_refuses_until_it_is_made_up_for(string quota)
    {
        var sink = await MakeSinkAsync(quota);
        using (var first = await server.SendAsync(sink, IngestServer.Records(0, Records)))
            Assert.Equal(HttpStatusCode.OK, first.StatusCode);

        using (var refused = await server.SendAsync(sink, IngestServer.Records(1_000, 1)))
            await AssertRefusedAsync(refused, "The sink takes ");
        await UntilTakenAsync(sink, change: null);
        var ledger = await server.Api.WaitLoadedAsync(sink, Cancellation);
        Assert.Equal((Records + 1, Records + 1, 0), (ledger["received"]!.GetValue<int>(), ledger["loaded"]!.GetValue<int>(), ledger["pending"]!.GetValue<int>()));
    }

    [Fact]
    public async Task A_key_over_its_quota_is_refused_at_every_sink_and_nobody_else_is()
    {
        var (sink, other) = (await server.MakeSinkAsync(), await server.MakeSinkAsync());
        var made = await server.Api.PostAsync("v2/users/current/keys", """{"quota":{"records_per_second":100,"burst_seconds":1}}""", Cancellation);
        var secret = made.Json["secret"]!.GetValue<string>();
        using (var first = await server.SendAsync(sink, IngestServer.Records(0, Records), change: WithKey))
            Assert.Equal(HttpStatusCode.OK, first.StatusCode);

        using (var refused = await server.SendAsync(other, IngestServer.Records(0, 1), change: WithKey))
            await AssertRefusedAsync(refused, "The key may send ");
        using (var login = await server.SendAsync(sink, IngestServer.Records(0, 1)))
            Assert.Equal(HttpStatusCode.OK, login.StatusCode);
        await UntilTakenAsync(other, WithKey);

        void WithKey(HttpRequestMessage request)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", secret);
        }
    }

    [Fact]
    public async Task A_changed_quota_of_a_key_holds_at_once_and_what_is_left_out_stays()
    {
        var sink = await server.MakeSinkAsync();
        var made = await server.Api.PostAsync("v2/users/current/keys", """{"description":"k","quota":{"records_per_second":1000000,"burst_seconds":1}}""", Cancellation);
        var (path, secret) = ($"v2/users/current/keys/{made.Json["id"]}", made.Json["secret"]!.GetValue<string>());
        for (var request = 0; request < 2; request++)
        {
            using var taken = await server.SendAsync(sink, IngestServer.Records(request * Records, Records), change: WithKey);
            Assert.Equal(HttpStatusCode.OK, taken.StatusCode);
        }

        var limited = await server.Api.PutAsync(path, """{"quota":{"records_per_second":100}}""", Cancellation);
        Assert.Equal((HttpStatusCode.OK, "k"), (limited.Status, limited.Json["description"]!.GetValue<string>()));
        Assert.Equal("""{"records_per_second":100,"bytes_per_second":0,"burst_seconds":1}""", limited.Json["quota"]!.ToJsonString());
        using (var last = await server.SendAsync(sink, IngestServer.Records(2 * Records, Records), change: WithKey)) Assert.Contains(last.StatusCode, new[] { HttpStatusCode.OK, HttpStatusCode.TooManyRequests });
        using (var refused = await server.SendAsync(sink, IngestServer.Records(3 * Records, 1), change: WithKey)) await AssertRefusedAsync(refused, "The key may send ");

        Assert.Equal(HttpStatusCode.OK, (await server.Api.PutAsync(path, """{"description":"free","quota":{"records_per_second":0}}""", Cancellation)).Status);
        using (var free = await server.SendAsync(sink, IngestServer.Records(3 * Records, 1), change: WithKey)) Assert.Equal(HttpStatusCode.OK, free.StatusCode);
        Assert.Equal("free", (await server.Api.GetAsync(path, Cancellation)).Json["description"]!.GetValue<string>());
        Assert.Contains("key.limit", (await server.Api.GetAsync("v2/audit?limit=20", Cancellation)).Text, StringComparison.Ordinal);
        foreach (var wrong in new[] { "{}", """{"quota":{}}""", """{"quota":{"records_per_second":-1}}""", """{"quota":{"records":1}}""" })
            Assert.Equal(HttpStatusCode.BadRequest, (await server.Api.PutAsync(path, wrong, Cancellation)).Status);
        var half = await server.Api.PutAsync(path, $$$"""{"description":"{{{new string('x', 100_000)}}}","quota":{"records_per_second":7}}""", Cancellation);
        Assert.Equal(HttpStatusCode.BadRequest, half.Status);
        Assert.Equal(0, (await server.Api.GetAsync(path, Cancellation)).Json["quota"]!["records_per_second"]!.GetValue<int>());

        void WithKey(HttpRequestMessage request)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", secret);
        }
    }

    /// <summary>Whoever is still sending must hear the refusal, not a connection that is cut.</summary>
    [Theory]
    [InlineData(20 << 20)]
    [InlineData(200 << 20)]
    public async Task A_large_body_that_is_refused_before_it_is_read_gets_its_answer(int bytes)
    {
        var sink = await MakeSinkAsync("""{"bytes_per_second":1,"burst_seconds":1}""");
        using (var first = await server.SendAsync(sink, IngestServer.Records(0, Records)))
            Assert.Equal(HttpStatusCode.OK, first.StatusCode);

        using var refused = await server.SendAsync(sink, new byte[bytes]);
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.Equal("quota", (await IngestServer.ReadJsonAsync(refused)).GetProperty("cause").GetString());
    }

    [Fact]
    public async Task A_sink_shows_its_quota_and_keeps_it_when_other_things_change()
    {
        var sink = await MakeSinkAsync("""{"records_per_second":100,"burst_seconds":1}""");
        const string expected = """{"records_per_second":100,"bytes_per_second":0,"burst_seconds":1}""";
        await AssertQuotaAsync(expected);
        await PatchAsync(sink, """{"max_records":10}""");
        await AssertQuotaAsync(expected);
        await PatchAsync(sink, """{"quota":{"bytes_per_second":7}}""");
        await AssertQuotaAsync("""{"records_per_second":100,"bytes_per_second":7,"burst_seconds":1}""");

        async Task AssertQuotaAsync(string quota)
        {
            var shown = JsonElement.Parse((await server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Text).GetProperty("quota");
            Assert.True(JsonElement.DeepEquals(JsonElement.Parse(quota), shown), shown.GetRawText());
        }
    }

    [Theory]
    [InlineData("""{"quota":{"records_per_second":-1}}""", "quota.records_per_second")]
    [InlineData("""{"quota":{"bytes_per_second":1.5}}""", "quota.bytes_per_second")]
    [InlineData("""{"quota":{"burst_seconds":3601}}""", "quota.burst_seconds")]
    [InlineData("""{"quota":{"rate":1}}""", "quota.rate")]
    [InlineData("""{"quota":5}""", "quota")]
    public async Task A_quota_that_is_none_is_refused(string body, string parameter)
    {
        var answer = await server.Api.SendAsync(HttpMethod.Patch, $"v2/sinks/{await server.MakeSinkAsync()}", Encoding.UTF8.GetBytes(body), Cancellation);
        Assert.Equal((HttpStatusCode.BadRequest, "InvalidParameter"), (answer.Status, answer.Json["code"]!.GetValue<string>()));
        Assert.Contains($"'{parameter}'", answer.Json["message"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    static async Task AssertRefusedAsync(HttpResponseMessage refused, string sentence)
    {
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 5);
        var body = await IngestServer.ReadJsonAsync(refused);
        Assert.Equal(["code", "message", "request_id", "outcome", "cause", "success_count", "error_count", "records"], body.EnumerateObject().Select(member => member.Name));
        Assert.Equal(("ResourceThroughputExceeded", "not_stored", "quota"), (body.GetProperty("code").GetString(), body.GetProperty("outcome").GetString(), body.GetProperty("cause").GetString()));
        Assert.StartsWith(sentence, body.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal((0, 1), (body.GetProperty("success_count").GetInt32(), body.GetProperty("error_count").GetInt32()));
        Assert.Equal("ProvisionedThroughputExceededException", body.GetProperty("records").EnumerateArray().Single().GetProperty("error_code").GetString());
    }

    /// <summary>Sends one record until it is taken, and no sooner than the refusal says.</summary>
    async Task UntilTakenAsync(string sink, Action<HttpRequestMessage>? change)
    {
        for (var tries = 0; ; tries++)
        {
            using var answer = await server.SendAsync(sink, IngestServer.Records(5_000, 1), change: change);
            if (answer.StatusCode == HttpStatusCode.OK) return;
            Assert.True(tries < 3, "what Retry-After asks for is not enough");
            await Task.Delay(answer.Headers.RetryAfter!.Delta!.Value, TimeProvider.System, Cancellation);
        }
    }

    async Task<string> MakeSinkAsync(string quota)
    {
        var sink = await server.MakeSinkAsync();
        await PatchAsync(sink, $$"""{"quota":{{quota}}}""");
        return sink;
    }

    async Task PatchAsync(string sink, string body)
    {
        var answer = await server.Api.SendAsync(HttpMethod.Patch, $"v2/sinks/{sink}", Encoding.UTF8.GetBytes(body), Cancellation);
        Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
    }
}
