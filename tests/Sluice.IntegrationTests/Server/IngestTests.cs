using System.IO.Compression;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class IngestTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Good_and_bad_records_are_answered_each_and_the_good_ones_can_be_queried()
    {
        var sink = await server.MakeSinkAsync();

        using var response = await server.SendAsync(sink, """{"records":[{"value":{"id":1,"price":2.5}},{"value":{"id":2,"price":"abc"}},{"value":{"id":3,"price":1.239}}]}""");

        Assert.Equal((HttpStatusCode.OK, "application/json"), (response.StatusCode, response.Content.Headers.ContentType!.ToString()));
        Assert.Equal(("2", "1"), (response.Headers.GetValues("X-Success-Count").Single(), response.Headers.GetValues("X-Error-Count").Single()));
        var answer = await IngestServer.ReadJsonAsync(response);
        Assert.Equal(["success_count", "error_count", "request_id", "records"], answer.EnumerateObject().Select(member => member.Name));
        Assert.Equal(
            """
            [{"status":"success"},
            {"status":"error","error_code":"InvalidBody",
            "error_message":"Incorrect values for one or more of record fields: price: expected decimal(2), got string \"abc\"",
            "errors":[{"column":"price","path":"/price","code":"NotADecimal","expected":"decimal(2)","got":"string \"abc\""}]},
            {"status":"success","warnings":[{"column":"price","code":"Truncated"}]}]
            """.ReplaceLineEndings(""), answer.GetProperty("records").GetRawText());
        await server.Api.WaitLoadedAsync(sink, Cancellation);
        var table = await TableOfAsync(sink);
        Assert.Equal("""[[1,2.50],[3,1.23]]""", (await server.Api.QueryAsync(server.DatabaseId, $"select _id, price from {table} order by _id", Cancellation)).ToJsonString());
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("tapplication/json")]
    [InlineData("text/plain")]
    [InlineData("Content-Type: application/json")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData("application/json; charset=utf-8")]
    [InlineData(null)]
    public async Task Every_content_type_that_clients_send_is_taken(string? contentType)
    {
        using var response = await server.SendAsync(await server.MakeSinkAsync(), IngestServer.Records(1, 3), contentType);

        Assert.Equal(3, (await IngestServer.ReadJsonAsync(response)).GetProperty("success_count").GetInt32());
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("zstd")]
    public async Task Compressed_bodies_are_taken_with_and_without_a_length(string encoding)
    {
        var sink = await server.MakeSinkAsync();

        foreach (var isChunked in new[] { false, true })
        {
            using var response = await server.SendAsync(sink, Compress(IngestServer.Records(1, 2_000), encoding), change: request =>
            {
                request.Content!.Headers.ContentEncoding.Add(encoding);
                request.Headers.TransferEncodingChunked = isChunked;
            });
            Assert.Equal(2_000, (await IngestServer.ReadJsonAsync(response)).GetProperty("success_count").GetInt32());
        }
    }

    [Theory]
    [InlineData("gzip", null, 0)]
    [InlineData("br", null, 0)]
    [InlineData("zstd", null, 0)]
    [InlineData("br", "br", 0)]
    [InlineData("gzip", "gzip", 15)]
    [InlineData("zstd", "zstd", 15)]
    public async Task Records_behind_the_end_of_compressed_ones_are_stored_or_all_are_refused(string encoding, string? second, int stored)
    {
        var sink = await server.MakeSinkAsync();
        var rest = Lines(11, 5);

        using var response = await server.SendAsync(sink, [.. Compress(Lines(1, 10), encoding), .. second is null ? Encoding.UTF8.GetBytes(rest) : Compress(rest, second)], query: "?format=ndjson",
            change: request => request.Content!.Headers.ContentEncoding.Add(encoding));

        var answer = await IngestServer.ReadJsonAsync(response);
        if (stored > 0)
            Assert.Equal((HttpStatusCode.OK, stored), (response.StatusCode, answer.GetProperty("success_count").GetInt32()));
        else
            Assert.Equal((HttpStatusCode.BadRequest, "InvalidBody", "not_stored"), (response.StatusCode, answer.GetProperty("code").GetString(), answer.GetProperty("outcome").GetString()));
        Assert.Equal(stored, (await server.Api.WaitLoadedAsync(sink, Cancellation))["loaded"]!.GetValue<int>());

        static string Lines(int first, int count) => string.Concat(Enumerable.Range(first, count).Select(id => $$"""{"id":{{id}},"price":1.25}""" + "\n"));
    }

    [Theory]
    [InlineData("?return=summary", new[] { "success_count", "error_count", "request_id" })]
    [InlineData("?return=all&wait=durable&dry_run=false&format=json", new[] { "success_count", "error_count", "request_id", "records" })]
    public async Task The_answer_is_as_wholeas_asked_for(string query, string[] members)
    {
        using var response = await server.SendAsync(await server.MakeSinkAsync(), IngestServer.Records(1, 2), query: query);

        Assert.Equal(members, (await IngestServer.ReadJsonAsync(response)).EnumerateObject().Select(member => member.Name));
    }

    [Fact]
    public async Task What_does_not_authenticate_or_does_not_exist_is_refused_and_an_ingest_key_may_send()
    {
        var sink = await server.MakeSinkAsync();
        var key = (await server.Api.PostAsync("v2/users/current/keys", $$"""{"role":"IngestKey","sinks":["{{sink}}"]}""", Cancellation)).Json["secret"]!.GetValue<string>();
        using var anonymous = new HttpClient { BaseAddress = server.Http.BaseAddress };

        Assert.Equal("MissingAuthenticationToken", await CodeAsync(401, await anonymous.PostAsync($"v2/sinks/{sink}", new StringContent(IngestServer.Records(1, 1)), Cancellation)));
        Assert.Equal("ResourceNotFound", await CodeAsync(404, await server.SendAsync(Guid.NewGuid().ToString(), "{}")));
        Assert.Equal("ResourceNotFound", await CodeAsync(404, await server.SendAsync("no-id", "{}")));

        anonymous.DefaultRequestHeaders.Add("X-API-Key", key);
        using var sent = await anonymous.PostAsync($"v2/sinks/{sink}", new StringContent(IngestServer.Records(1, 1)), Cancellation);
        Assert.Equal(HttpStatusCode.OK, sent.StatusCode);
        Assert.Equal("Forbidden", await CodeAsync(403, await anonymous.GetAsync($"v2/sinks/{sink}/errors", Cancellation)));
        Assert.Equal("Forbidden", await CodeAsync(403, await anonymous.DeleteAsync($"v2/sinks/{sink}", Cancellation)));
    }

    [Theory]
    [InlineData("application/x-ndjson", "", "{\"id\":1,\"price\":1}\r\n\n{\"id\":2,\"price\":\n{\"id\":3,\"price\":3}", "NotJson")]
    [InlineData(null, "?format=ndjson", "{\"id\":1,\"price\":1}\n[4]\n{\"id\":3,\"price\":3}\n", "ValueNotAnObject")]
    [InlineData("application/vnd.sluice.values+json", "", "[{\"id\":1,\"price\":1},4,{\"id\":3,\"price\":3}]", "ValueNotAnObject")]
    [InlineData("application/json", "?format=array", "[{\"id\":1,\"price\":1},{\"id\":1.5},{\"id\":3,\"price\":3}]", "NotAnId")]
    public async Task Bare_values_are_taken_a_line_each_or_as_an_array_and_a_bad_one_costs_itself(string? contentType, string query, string body, string code)
    {
        var sink = await server.MakeSinkAsync();

        using var response = await server.SendAsync(sink, body, contentType, query: query);

        var records = (await IngestServer.ReadJsonAsync(response)).GetProperty("records");
        Assert.Equal(["success", "error", "success"], records.EnumerateArray().Select(record => record.GetProperty("status").GetString()));
        Assert.Equal(code, records[1].GetProperty("errors")[0].GetProperty("code").GetString());
        await server.Api.WaitLoadedAsync(sink, Cancellation);
        Assert.Equal("[[1],[3]]", (await server.Api.QueryAsync(server.DatabaseId, $"select _id from {await TableOfAsync(sink)} order by _id", Cancellation)).ToJsonString());
    }

    [Fact]
    public async Task An_answer_that_waited_for_loading_is_followed_by_queries_that_see_the_records()
    {
        var sink = await server.MakeSinkAsync();
        var table = await TableOfAsync(sink);

        for (var i = 1; i <= 5; i++)
        {
            using var response = await server.SendAsync(sink, IngestServer.Records(i, 1), query: "?wait=loaded&timeout=30s");
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal($"[[{i}]]", (await server.Api.QueryAsync(server.DatabaseId, $"select count(*) from {table}", Cancellation)).ToJsonString());
        }

        using var impatient = await server.SendAsync(sink, IngestServer.Records(6, 1), query: "?wait=loaded&timeout=0");
        Assert.Equal(HttpStatusCode.Accepted, impatient.StatusCode);
        var answer = await IngestServer.ReadJsonAsync(impatient);
        Assert.Equal(("pending", 1), (answer.GetProperty("state").GetString(), answer.GetProperty("success_count").GetInt32()));
    }

    [Fact]
    public async Task A_refused_request_counts_nowhere()
    {
        var sink = await server.MakeSinkAsync();

        Assert.Equal("InvalidBody", await CodeAsync(400, await server.SendAsync(sink, """{"records":[""")));
        Assert.Equal("InvalidContentType", await CodeAsync(400, await server.SendAsync(sink, "--x", "multipart/form-data; boundary=x")));
        Assert.Equal("InvalidContentType", await CodeAsync(415, await server.SendAsync(sink, "x", change: request => request.Content!.Headers.ContentEncoding.Add("deflate"))));
        Assert.Equal("PayloadTooLarge", await CodeAsync(413, await server.SendAsync(sink, new string(' ', 32 * 1024 * 1024) + "{}")));
        Assert.Equal("PayloadTooLarge", await CodeAsync(413, await server.SendAsync(sink, IngestServer.Records(1, 100_001))));
        Assert.Equal("InvalidParameter", await CodeAsync(400, await server.SendAsync(sink, "{}", query: "?return=some")));
        Assert.Equal("InvalidParameter", await CodeAsync(400, await server.SendAsync(sink, "{}", query: "?wait=long")));
        Assert.Equal("InvalidParameter", await CodeAsync(400, await server.SendAsync(sink, "{}", query: "?wait=loaded&timeout=-1")));
        Assert.Equal("InvalidParameter", await CodeAsync(400, await server.SendAsync(sink, "{}", query: "?dry_run=yes")));
        Assert.Equal("InvalidParameter", await CodeAsync(400, await server.SendAsync(sink, IngestServer.Records(1, 1), change: request => request.Headers.Add("Idempotency-Key", new string('k', 256)))));
        Assert.Equal("InvalidParameter", await CodeAsync(400, await server.SendAsync(sink, IngestServer.Records(1, 1), query: "?dry_run=true", change: request => request.Headers.Add("Idempotency-Key", "k"))));

        Assert.Equal(0, (await server.Api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json["requests"]!.GetValue<int>());
    }

    [Fact]
    public async Task A_key_makes_one_request_of_many_that_run_beside_each_other_and_of_one_sent_later()
    {
        var sink = await server.MakeSinkAsync();
        const string body = """{"records":[{"value":{"id":1,"price":1.999}},{"value":{"id":-1}}]}""";
        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => SendAsync("all")));
        Assert.Single(answers, answer => !answer.IsRepeated);
        Assert.Single(answers.Select(answer => answer.Text).Distinct());

        await server.Api.WaitLoadedAsync(sink, Cancellation);
        Assert.Equal((answers[0].Text, true), await SendAsync("all"));
        Assert.Equal("""{"success_count":1,"error_count":1""", (await SendAsync("summary")).Text[..34]);
        Assert.Contains("\"index\":0,\"status\":\"success\",\"warnings\"", (await SendAsync("errors")).Text, StringComparison.Ordinal);
        Assert.Equal("IdempotencyKeyReused", await CodeAsync(409, await server.SendAsync(sink, body + " ", change: WithKey)));
        Assert.Equal("IdempotencyKeyReused", await CodeAsync(409, await server.SendAsync(sink, body, query: "?op=patch", change: WithKey)));
        Assert.False((await SendAsync("all", await server.MakeSinkAsync())).IsRepeated); // a key belongs to its sink
        Assert.Equal(1, (await server.Api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json["requests"]!.GetValue<int>());

        async Task<(string Text, bool IsRepeated)> SendAsync(string returned, string? to = null)
        {
            using var answer = await server.SendAsync(to ?? sink, body, query: $"?return={returned}", change: WithKey);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            return (await answer.Content.ReadAsStringAsync(Cancellation), answer.Headers.Contains("Idempotency-Replayed"));
        }

        static void WithKey(HttpRequestMessage request) => request.Headers.Add("Idempotency-Key", "one and only");
    }

    [Fact]
    public async Task A_dry_run_tells_what_would_become_of_each_record_and_changes_nothing()
    {
        var sink = await server.MakeSinkAsync();
        using var answer = await server.SendAsync(sink, """{"records":[{"value":{"id":-1}},{"value":{"id":1,"price":"1.999"}},{"value":{"id":2}},{"value":{"id":3,"price":null}}]}""", query: "?dry_run=true");
        var json = await IngestServer.ReadJsonAsync(answer);
        Assert.Equal((3, 1, 0), (json.GetProperty("success_count").GetInt32(), json.GetProperty("error_count").GetInt32(), json.GetProperty("values_left_out").GetInt32()));
        var records = json.GetProperty("records").EnumerateArray().ToList();
        Assert.Equal("error", records[0].GetProperty("status").GetString());
        Assert.Equal(
            ["""{"_id":1,"price":1.99}""", """{"_id":2}""", """{"_id":3,"price":null}"""], records[1..].Select(record => record.GetProperty("value").GetRawText()));
        Assert.Equal("Truncated", records[1].GetProperty("warnings")[0].GetProperty("code").GetString());

        using var many = await server.SendAsync(sink, IngestServer.Records(1, 1_500), query: "?dry_run=true");
        var whole = await IngestServer.ReadJsonAsync(many);
        Assert.Equal((1_500, 500, 1_500), (whole.GetProperty("success_count").GetInt32(), whole.GetProperty("values_left_out").GetInt32(), whole.GetProperty("records").GetArrayLength()));
        Assert.Equal(0, (await server.Api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json["received"]!.GetValue<int>());
    }

    [Fact]
    public async Task Ledger_and_metrics_add_up_and_errors_are_empty_while_nothing_failed()
    {
        var sink = await server.MakeSinkAsync();
        for (var i = 0; i < 3; i++)
            (await server.SendAsync(sink, """{"records":[{"value":{"id":1}},{"value":{"id":-1}}]}""")).Dispose();

        var ledger = await server.Api.WaitLoadedAsync(sink, Cancellation);
        var minutes = JsonElement.Parse((await server.Api.GetAsync($"v2/sinks/{sink}/metrics", Cancellation)).Text).GetProperty("resources").EnumerateArray().ToList();
        var errors = await server.Api.GetAsync($"v2/sinks/{sink}/errors", Cancellation);

        Assert.StartsWith(
            $$"""{"sink_id":"{{sink}}","requests":3,"received":6,"accepted":3,"rejected":3,"loaded":3,"superseded":0,"failed":0,"lost":0,"pending":0,"replayed":0,"bytes_received":156,"pending_bytes":0,"oldest_pending_age_seconds":0,""",
            ledger.ToJsonString(), StringComparison.Ordinal);
        Assert.Equal((3, 3, 3), (Sum("request_rate"), Sum("ingest_rate"), Sum("error_rate")));
        Assert.All(minutes, minute => Assert.Equal(0, minute.GetProperty("timestamp").GetDateTimeOffset().Second));
        Assert.Equal("""{"resources":[]}""", errors.Json.ToJsonString());
        Assert.Equal(HttpStatusCode.BadRequest, (await server.Api.GetAsync($"v2/sinks/{sink}/errors?limit=0", Cancellation)).Status);
        foreach (var report in new[] { "errors", "metrics", "ledger" })
            Assert.Equal(HttpStatusCode.NotFound, (await server.Api.GetAsync($"v2/sinks/{Guid.NewGuid()}/{report}", Cancellation)).Status);

        long Sum(string member) => minutes.Sum(minute => minute.GetProperty(member).GetInt64());
    }

    [Fact]
    public async Task A_deleted_sink_takes_no_records()
    {
        var sink = await server.MakeSinkAsync();
        (await server.Http.DeleteAsync($"v2/sinks/{sink}", Cancellation)).Dispose();

        using var response = await server.SendAsync(sink, IngestServer.Records(1, 1));

        Assert.Contains(response.StatusCode, new[] { HttpStatusCode.NotFound, HttpStatusCode.Conflict });
    }

    [Fact]
    public async Task A_client_that_leaves_half_way_is_no_error_and_stores_nothing()
    {
        var sink = await server.MakeSinkAsync();
        var body = IngestServer.Records(1, 100);

        for (var i = 0; i < 10; i++)
        {
            using var tcp = new TcpClient();
            await tcp.ConnectAsync(IPAddress.Loopback, server.Process.HttpPort, Cancellation);
            var head = $"POST /v2/sinks/{sink} HTTP/1.1\r\nHost: x\r\nAuthorization: {server.Api.Token}\r\nContent-Length: {body.Length}\r\n\r\n";
            await tcp.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head + body[..(body.Length / 2)]), Cancellation);
            tcp.Client.LingerState = new LingerOption(i % 2 == 0, 0); // every other one by a reset
        }

        using var after = await server.SendAsync(sink, IngestServer.Records(1, 1));
        Assert.Equal(HttpStatusCode.OK, after.StatusCode);
        Assert.Equal(1, (await server.Api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json["requests"]!.GetValue<int>());
        Assert.DoesNotContain("fail:", server.Process.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_body_that_does_not_arrive_is_given_up_and_said_so()
    {
        var sink = await server.MakeSinkAsync();
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, server.Process.HttpPort, Cancellation);
        var head = $"POST /v2/sinks/{sink} HTTP/1.1\r\nHost: x\r\nAuthorization: {server.Api.Token}\r\nContent-Length: 1000\r\n\r\n{{";
        await tcp.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head), Cancellation);

        using var reader = new StreamReader(tcp.GetStream());
        var answer = await reader.ReadToEndAsync(Cancellation); // ends, because the server closes the connection

        Assert.StartsWith("HTTP/1.1 408", answer, StringComparison.Ordinal);
        Assert.Contains("\"RequestTimeout\"", answer, StringComparison.Ordinal);
    }

    static async Task<string?> CodeAsync(int status, HttpResponseMessage response)
    {
        using (response)
        {
            var body = await response.Content.ReadAsStringAsync(Cancellation);
            Assert.True((int)response.StatusCode == status, $"expected {status}, got {(int)response.StatusCode}: {body}");
            var refusal = JsonElement.Parse(body);
            Assert.Equal("not_stored", refusal.GetProperty("outcome").GetString());
            return refusal.GetProperty("code").GetString();
        }
    }

    async Task<string> TableOfAsync(string sink) =>
        (await server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json["sink_details"]!["table"]!.GetValue<string>();

    static byte[] Compress(string text, string encoding)
    {
        using var output = new MemoryStream();
        using (Stream stream = encoding switch
        {
            "gzip" => new GZipStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "br" => new BrotliStream(output, CompressionLevel.Fastest, leaveOpen: true),
            _ => new ZstdSharp.CompressionStream(output, leaveOpen: true),
        })
        {
            stream.Write(Encoding.UTF8.GetBytes(text));
        }

        return output.ToArray();
    }
}
