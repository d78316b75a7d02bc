using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Bodies that are decoded while they arrive and stored in parts: to the sender a request like every other.</summary>
public sealed class LargeBodyTests(IngestServer server) : IClassFixture<IngestServer>
{
    const int Count = 60_000; // of about 100 bytes: more than a window
    static readonly int[] Bad = [0, 20_000, Count - 1];

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string, string?> FormatsAndEncodings()
    {
        var all = new TheoryData<string, string?>();
        foreach (var format in new[] { "json", "array", "ndjson" })
            foreach (var encoding in new[] { null, "gzip", "br", "zstd" })
                all.Add(format, encoding);
        return all;
    }

    [Theory, MemberData(nameof(FormatsAndEncodings))]
    public async Task A_large_body_is_one_request_in_every_format_and_encoding(string format, string? encoding)
    {
        var sink = await server.MakeSinkAsync();
        using var response = await SendAsync(sink, Body(format, Count), encoding, $"?format={format}&return=errors&wait=loaded&timeout=60");

        var answer = await IngestServer.ReadJsonAsync(response);
        Assert.Equal((HttpStatusCode.OK, Count - 3, 3), (response.StatusCode, answer.GetProperty("success_count").GetInt32(), answer.GetProperty("error_count").GetInt32()));
        Assert.Equal(Bad, answer.GetProperty("records").EnumerateArray().Select(record => record.GetProperty("index").GetInt32()));
        Assert.All(answer.GetProperty("records").EnumerateArray(), record => Assert.Equal("NotADecimal", record.GetProperty("errors")[0].GetProperty("code").GetString()));
        Assert.Equal((1, Count, Count - 3, Count - 3), await LedgerAsync(sink));
        Assert.Equal($"[[{Count - 3},{Enumerable.Range(0, Count).Except(Bad).Sum(id => (long)id)}]]", await QueryAsync(sink, "count(*), sum(_id)"));
    }

    [Fact]
    public async Task Every_record_of_a_large_body_is_answered()
    {
        var sink = await server.MakeSinkAsync();
        using var response = await SendAsync(sink, Body("ndjson", Count), null, "?format=ndjson");
        var records = (await IngestServer.ReadJsonAsync(response)).GetProperty("records");
        Assert.Equal(Count, records.GetArrayLength());
        Assert.Equal(Bad, records.EnumerateArray().Index().Where(record => record.Item.GetProperty("status").GetString() == "error").Select(record => record.Index));
    }

    [Fact]
    public async Task What_is_refused_midway_leaves_nothing()
    {
        var sink = await server.MakeSinkAsync();
        var good = Body("json", Count);
        await AssertRefusedAsync(HttpStatusCode.BadRequest, "InvalidBody", good[..^3], null, "?format=json");
        await AssertRefusedAsync(HttpStatusCode.BadRequest, "InvalidBody", [.. good, (byte)'x'], "gzip", "?format=json");
        await AssertRefusedAsync(HttpStatusCode.BadRequest, "InvalidBody", good, null, "?format=array");
        await AssertRefusedAsync(HttpStatusCode.RequestEntityTooLarge, "PayloadTooLarge", Body("ndjson", 100_001), null, "?format=ndjson");
        await AssertRefusedAsync(HttpStatusCode.RequestEntityTooLarge, "PayloadTooLarge", [.. Body("ndjson", Count), .. Enumerable.Repeat((byte)'\n', 32 << 20)], "zstd", "?format=ndjson");
        foreach (var encoding in new[] { "gzip", "br", "zstd" })
        {
            var cut = await CompressAsync(good, encoding);
            using var refused = await server.SendAsync(sink, cut[..^50], null, "?format=json", request => request.Content!.Headers.ContentEncoding.Add(encoding));
            Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        }
        Assert.Equal((0, 0, 0, 0), await LedgerAsync(sink));

        // and the log goes on as if it had not been
        using var response = await server.SendAsync(sink, IngestServer.Records(1, 2), query: "?wait=loaded&timeout=60");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal((1, 2, 2, 2), await LedgerAsync(sink));
        Assert.Equal("[[2,3]]", await QueryAsync(sink, "count(*), sum(_id)"));

        async Task AssertRefusedAsync(HttpStatusCode status, string code, byte[] body, string? encoding, string query)
        {
            using var refused = await SendAsync(sink, body, encoding, query);
            var refusal = await IngestServer.ReadJsonAsync(refused);
            Assert.Equal((status, code, "not_stored"), (refused.StatusCode, refusal.GetProperty("code").GetString(), refusal.GetProperty("outcome").GetString()));
        }
    }

    [Fact]
    public async Task A_sender_that_goes_away_midway_leaves_nothing()
    {
        var sink = await server.MakeSinkAsync();
        using (var client = new TcpClient())
        {
            await client.ConnectAsync(IPAddress.Loopback, server.Process.HttpPort, Cancellation);
            var head = $"POST /v2/sinks/{sink}?format=ndjson HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.Api.Token}\r\nContent-Length: 100000000\r\n\r\n";
            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head), Cancellation);
            for (var i = 0; i < 3; i++) await client.GetStream().WriteAsync(Body("ndjson", Count), Cancellation);
            client.LingerState = new LingerOption(enable: true, 0);
        }
        using var response = await server.SendAsync(sink, IngestServer.Records(1, 2), query: "?wait=loaded&timeout=60");
        Assert.Equal((1, 2, 2, 2), await LedgerAsync(sink));
        Assert.Equal("[[2,3]]", await QueryAsync(sink, "count(*), sum(_id)"));
    }

    [Fact]
    public async Task A_record_that_lacks_a_field_discards_a_large_request_as_a_whole()
    {
        var sink = await server.MakeSinkAsync();
        await PatchAsync(sink, """{"schema":{"type":"json","id_field":"_id","allow_missing_fields":false,"definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]}]}}""");
        var body = Encoding.UTF8.GetString(Body("ndjson", Count)).Replace($"\"id\":{Count - 100},\"price\":1.25", $"\"id\":{Count - 100}", StringComparison.Ordinal);

        using var response = await SendAsync(sink, Encoding.UTF8.GetBytes(body), null, "?format=ndjson&wait=loaded&timeout=60");
        var answer = await IngestServer.ReadJsonAsync(response);
        Assert.Equal((0, Count), (answer.GetProperty("success_count").GetInt32(), answer.GetProperty("error_count").GetInt32()));
        var codes = answer.GetProperty("records").EnumerateArray().Select(record => record.GetProperty("error_code").GetString()!).ToList();
        Assert.Equal(Count, codes.Count);
        Assert.Equal([.. Bad.Append(Count - 100).Order()], codes.Index().Where(code => code.Item == "InvalidBody").Select(code => code.Index));
        Assert.Equal(Count - 4, codes.Count(code => code == "BatchDiscarded"));
        Assert.Equal((1, Count, 0, 0), await LedgerAsync(sink));
        Assert.Equal("[[0,null]]", await QueryAsync(sink, "count(*), sum(_id)"));
        var errors = (await server.Api.GetAsync($"v2/sinks/{sink}/errors", Cancellation)).Json["resources"]!.AsArray();
        Assert.Equal(answer.GetProperty("request_id").GetString(), Assert.Single(errors)!["request_id"]!.GetValue<string>());
    }

    [Fact]
    public async Task Of_very_many_wrong_records_each_is_told_and_the_first_ten_thousand_in_detail()
    {
        var sink = await server.MakeSinkAsync();
        var lines = Enumerable.Range(0, Count).Select(i => $"{{\"id\":{i},\"price\":\"no\",\"pad\":\"{new string('x', 80)}\"}}");
        using var response = await SendAsync(sink, Encoding.UTF8.GetBytes(string.Join('\n', lines)), null, "?format=ndjson&return=errors");
        var answer = await IngestServer.ReadJsonAsync(response);
        Assert.Equal((0, Count, Count - 10_000), (answer.GetProperty("success_count").GetInt32(), answer.GetProperty("error_count").GetInt32(), answer.GetProperty("errors_omitted").GetInt32()));
        var records = answer.GetProperty("records").EnumerateArray().ToList();
        Assert.Equal(Enumerable.Range(0, Count), records.Select(record => record.GetProperty("index").GetInt32()));
        Assert.All(records, (record, i) => Assert.Equal(i < 10_000 ? 1 : 0, record.GetProperty("errors").GetArrayLength()));
        Assert.Contains("left out", records[^1].GetProperty("error_message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_sink_may_take_more_records_than_a_frame_holds_however_short_they_are()
    {
        const int count = 300_000;
        var sink = await server.MakeSinkAsync();
        await PatchAsync(sink, """{"max_records":10000000,"max_bytes":4294967296}""");
        var body = Encoding.ASCII.GetBytes(string.Join('\n', Enumerable.Range(0, count).Select(id => $"{{\"id\":{id}}}"))); // below a window
        Assert.InRange(body.Length, 1, 5_000_000);
        using var response = await SendAsync(sink, body, null, "?format=ndjson&return=summary&wait=loaded&timeout=60");
        Assert.Equal(count, (await IngestServer.ReadJsonAsync(response)).GetProperty("success_count").GetInt32());
        Assert.Equal((1, count, count, count), await LedgerAsync(sink));
    }

    async Task PatchAsync(string sink, string body)
    {
        var answer = await server.Api.SendAsync(HttpMethod.Patch, $"v2/sinks/{sink}", Encoding.UTF8.GetBytes(body), Cancellation);
        Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
    }

    async Task<(int Requests, int Received, int Accepted, int Loaded)> LedgerAsync(string sink)
    {
        var ledger = await server.Api.WaitLoadedAsync(sink, Cancellation);
        return (Int(ledger["requests"]), Int(ledger["received"]), Int(ledger["accepted"]), Int(ledger["loaded"]));
        static int Int(JsonNode? node) => node!.GetValue<int>();
    }

    async Task<string> QueryAsync(string sink, string what)
    {
        var details = (await server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json["sink_details"]!;
        return (await server.Api.QueryAsync(server.DatabaseId, $"select {what} from {details["table"]!.GetValue<string>()}", Cancellation)).ToJsonString();
    }

    async Task<HttpResponseMessage> SendAsync(string sink, byte[] body, string? encoding, string query)
    {
        var sent = encoding is null ? body : await CompressAsync(body, encoding);
        return await server.SendAsync(sink, sent, null, query, request =>
        {
            request.Headers.TransferEncodingChunked = true;
            if (encoding is not null)
                request.Content!.Headers.ContentEncoding.Add(encoding);
        });
    }

    static byte[] Body(string format, int count)
    {
        var body = new StringBuilder(format switch { "json" => """{"source":{"records":[]},"records":[""", "array" => "[", _ => "" });
        for (var i = 0; i < count; i++)
        {
            if (i > 0) body.Append(format == "ndjson" ? '\n' : ',');
            var value = string.Create(CultureInfo.InvariantCulture, $"{{\"id\":{i},\"price\":{(Bad.Contains(i) ? "\"no\"" : "1.25")},\"pad\":\"{i:D60}\"}}");
            body.Append(format == "json" ? $"{{\"value\":{value}}}" : value);
        }
        return Encoding.UTF8.GetBytes(body.Append(format switch { "json" => """],"end":null}""", "array" => "]", _ => "" }).ToString());
    }

    static async Task<byte[]> CompressAsync(byte[] bytes, string encoding)
    {
        using var output = new MemoryStream();
        await using (Stream stream = encoding switch
        {
            "gzip" => new GZipStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "br" => new BrotliStream(output, CompressionLevel.Fastest, leaveOpen: true),
            _ => new ZstdSharp.CompressionStream(output, leaveOpen: true),
        })
        {
            await stream.WriteAsync(bytes, Cancellation);
        }
        return output.ToArray();
    }
}
