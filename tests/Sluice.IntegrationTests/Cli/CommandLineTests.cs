using System.IO.Compression;
using System.Text.Json;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary>The command line as people type it, against the real Server.</summary>
public sealed class CommandLineTests(IngestServer server) : CommandLineTest(server)
{
    [Fact]
    public async Task From_login_to_a_query()
    {
        await LoginAsync();
        var login = new FileInfo(Path.Combine(Home, "login.json"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, login.UnixFileMode);
        Assert.DoesNotContain(ServerProcess.Password, await File.ReadAllTextAsync(login.FullName, Cancellation), StringComparison.Ordinal);

        await DoneAsync("databases", "create", "cli-shop");
        await DoneAsync("tables", "create", "cli-shop", "orders", "price:decimal(2)", "tags:stringset");
        await DoneAsync("sinks", "create", "cli-orders", "cli-shop", "orders", "--map", "_id=order.id", "price=order.price");
        Assert.Contains("_id=order.id, price=order.price, tags=tags", (await DoneAsync("sinks", "show", "cli-orders")).Output, StringComparison.Ordinal);
        Assert.Contains("cli-orders", (await DoneAsync("sinks", "list")).Output, StringComparison.Ordinal);

        await DoneAsync("query", "cli-shop", "INSERT INTO orders (_id, price, tags) VALUES (1, 12.5, ['a','b,c'])");
        Assert.Equal("_id,price,tags\n1,12.50,\"[\"\"a\"\",\"\"b,c\"\"]\"\n", (await DoneAsync("query", "cli-shop", "SELECT * FROM orders", "--format", "csv")).Output.Replace("\r", "", StringComparison.Ordinal));
        var json = JsonElement.Parse((await DoneAsync("query", "cli-shop", "SELECT price FROM orders", "--json")).Output);
        Assert.Equal("12.50", json.GetProperty("data")[0][0].GetRawText());

        await DoneAsync("tables", "delete", "cli-shop", "orders");
        await DoneAsync("databases", "delete", "cli-shop", "--force");
    }

    [Fact]
    public async Task A_key_is_shown_once_and_opens_the_server()
    {
        await LoginAsync();
        var key = JsonElement.Parse((await DoneAsync("keys", "create", "for a test", "--json")).Output);
        var secret = key.GetProperty("secret").GetString()!;
        Assert.DoesNotContain(secret, (await DoneAsync("keys", "list")).Output, StringComparison.Ordinal);

        await DoneAsync("login", "--forget");
        Assert.Equal(1, (await RunAsync("databases", "list")).ExitCode);
        await DoneAsync("databases", "list", "--api-key", secret, "--url", Url);
        await LoginAsync();
        await DoneAsync("keys", "delete", key.GetProperty("id").GetString()!);
        await DoneAsync("login", "--forget");
        Assert.Contains("Unauthorized", (await RunAsync("databases", "list", "--api-key", secret, "--url", Url)).Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Log in first", "databases", "list")]
    [InlineData("cannot be reached", "databases", "list", "--url", "http://127.0.0.1:1", "--api-key", "x")]
    [InlineData("not an absolute URL", "databases", "list", "--url", "nonsense")]
    [InlineData("not an absolute URL with http or https", "databases", "list", "--url", "ftp://localhost")]
    [InlineData("not an absolute URL with http or https", "demo", "--samples", ".", "--url", "file:///tmp")]
    [InlineData("is the API key one? New-line", "databases", "list", "--url", "http://127.0.0.1:1", "--api-key", "x\n")]
    [InlineData("--days must be from 1 to 36500", "keys", "create", "x", "--days", "99999999")]
    [InlineData("--since: 2000000000d is neither", "replay", "x", "--since", "2000000000d")]
    [InlineData("nowhere", "demo", "--samples", "nowhere")]
    [InlineData("as it was at login) cannot be read: Could not find file", "databases", "list", "--api-key", "x", "--ca", "missing.crt")]
    public async Task What_goes_wrong_is_a_sentence_and_exit_code_1(string sentence, params string[] arguments)
    {
        var run = await RunAsync(arguments);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains(sentence, run.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_API_key_that_no_header_can_hold_does_not_make_the_server_unreachable()
    {
        var run = await RunAsync("databases", "list", "--url", Url, "--api-key", "schl\u00fcssel");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("is the API key one?", run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_is_no_certificate_is_told_by_its_name()
    {
        await WriteAsync("wrong.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        var run = await RunAsync("databases", "list", "--api-key", "x", "--ca", "wrong.crt");
        Assert.Equal((1, true), (run.ExitCode, run.Errors.Contains("wrong.crt is not a certificate", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task What_a_login_trusts_says_nothing_about_another_server()
    {
        await LoginAsync();
        var key = JsonElement.Parse((await DoneAsync("keys", "create", "for another server", "--json")).Output).GetProperty("secret").GetString()!;
        await WriteAsync("login.json", """{"url":"https://localhost:1","ca_file":"/gone/ca.crt","id_token":"x","refresh_token":"y"}""");

        Assert.Contains("/gone/ca.crt", (await RunAsync("databases", "list")).Errors, StringComparison.Ordinal);
        await DoneAsync("databases", "list", "--url", Url, "--api-key", key);
        Assert.Contains("The login is for https://localhost:1", (await RunAsync("databases", "list", "--url", Url)).Errors, StringComparison.Ordinal);
        await LoginAsync();
        await DoneAsync("databases", "list");
    }

    [Fact]
    public async Task A_damaged_login_is_told_and_can_be_forgotten()
    {
        await WriteAsync("login.json", """{"url":""");
        Assert.Contains("Forget it (sluice login --forget)", (await RunAsync("databases", "list")).Errors, StringComparison.Ordinal);
        await DoneAsync("login", "--forget");
        await LoginAsync();
        await DoneAsync("databases", "list");
    }

    [Fact]
    public async Task A_sink_can_be_made_for_a_table_whose_ids_the_server_makes()
    {
        await LoginAsync();
        await DoneAsync("databases", "create", "cli-auto");
        await DoneAsync("tables", "create", "cli-auto", "events", "_id:id auto", "kind:string");
        Assert.Contains("kind=kind", (await DoneAsync("sinks", "create", "cli-events", "cli-auto", "events")).Output, StringComparison.Ordinal);
        await DoneWithInputAsync("{\"kind\":\"a\"}\n", "send", "cli-events", "-");
        await DoneAsync("databases", "delete", "cli-auto", "--force");
    }

    [Fact]
    public async Task A_command_whose_output_nobody_reads_ends_without_a_word()
    {
        await LoginAsync();
        using var query = CommandLineRun.Start(Home, "query", "ingest", "SELECT 1 AS one");
        query.StandardOutput.Close();
        Assert.DoesNotContain("roken", await query.StandardError.ReadToEndAsync(Cancellation), StringComparison.Ordinal);
        await query.WaitForExitAsync(Cancellation);
        Assert.Equal(141, query.ExitCode);
    }

    [Fact]
    public async Task A_wrong_statement_fails_with_the_servers_words()
    {
        await LoginAsync();
        var run = await RunAsync("query", "ingest", "SELECT nothing FROM nowhere");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("nowhere", run.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Files_of_every_kind_are_sent_and_rejected_records_come_back_with_their_reasons()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        await WriteAsync("a.ndjson", "{\"id\":1,\"price\":1.5}\n{\"id\":\"x\"}\n\n{broken\n{\"id\":2}");
        await WriteAsync("b.json", """{"records":[{"value":{"id":3}},{"op":"delete","value":{"id":1}}]}""");
        await WriteAsync("c.json", "[{\"id\":4},\n {\"id\":5}]");
        await WriteAsync("d.csv", "id,price\n6,2.25\n7,\n8,much\n");
        await using (var file = File.Create(Path.Combine(Home, "e.ndjson.gz")))
        await using (var gzip = new GZipStream(file, CompressionLevel.Fastest))
            await gzip.WriteAsync("{\"id\":9}\n"u8.ToArray(), Cancellation);

        Assert.Equal(2, (await RunAsync("send", sink, "a.ndjson")).ExitCode);
        Assert.Equal(0, (await RunAsync("send", sink, "b.json")).ExitCode);
        Assert.Equal(0, (await RunAsync("send", sink, "c.json")).ExitCode);
        Assert.Equal(2, (await RunAsync("send", sink, "d.csv", "--rejected", "wrong.ndjson")).ExitCode);
        Assert.Equal(0, (await RunAsync("send", sink, "e.ndjson.gz")).ExitCode);
        await DoneWithInputAsync("{\"id\":10}\n", "send", sink, "-");

        var rejected = await ReadRejectedAsync("a.ndjson.rejected.ndjson");
        Assert.Equal(["NotAnId", "NotJson"], rejected.Select(line => line.GetProperty("errors")[0].GetProperty("code").GetString()));
        Assert.Equal([1, 2], rejected.Select(line => line.GetProperty("record").GetInt32()));
        Assert.Equal("x", rejected[0].GetProperty("sent").GetProperty("id").GetString());
        Assert.Equal("{broken", rejected[1].GetProperty("text").GetString());
        Assert.Equal("NotADecimal", Assert.Single(await ReadRejectedAsync("wrong.ndjson")).GetProperty("errors")[0].GetProperty("code").GetString());
        Assert.Empty(Directory.GetFiles(Home, "*.progress"));

        await Server.Api.WaitLoadedAsync(sink, Cancellation);
        var table = (await Server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json["sink_details"]!["table"]!.GetValue<string>();
        var rows = await Server.Api.QueryAsync(Server.DatabaseId, $"SELECT _id FROM {table} ORDER BY _id", Cancellation);
        Assert.Equal([2, 3, 4, 5, 6, 7, 9, 10], rows.Select(row => row![0]!.GetValue<int>()));
    }

    [Fact]
    public async Task A_run_that_is_cut_short_goes_on_where_it_stopped_and_stores_nothing_twice()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        const int records = 60_000;
        await WriteAsync("many.ndjson", string.Join('\n', Enumerable.Range(0, records).Select(id => $$"""{"id":{{id}},"price":{{(id % 1000 == 7 ? "\"bad\"" : "1")}}}""")));
        using (var run = CommandLineRun.Start(Home, "send", sink, "many.ndjson", "--batch", "100", "--connections", "3"))
        {
            while ((await LedgerAsync(sink)).Received < records / 10) await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);
            run.Kill();
            await run.WaitForExitAsync(Cancellation);
        }
        Assert.True((await LedgerAsync(sink)).Received < records, "it was over before it was cut short");

        var again = await RunAsync("send", sink, "many.ndjson", "--batch", "100", "--connections", "3", "--json");
        Assert.Equal(2, again.ExitCode);
        var ledger = await LedgerAsync(sink);
        Assert.Equal((records, records / 1000), (ledger.Received, ledger.Rejected));
        Assert.Equal(records / 1000, (await ReadRejectedAsync("many.ndjson.rejected.ndjson")).Select(line => line.GetProperty("record").GetInt32()).Distinct().Count());
        Assert.Equal(records / 1000, (await ReadRejectedAsync("many.ndjson.rejected.ndjson")).Count);
    }

    [Fact]
    public async Task A_sink_over_its_quota_is_waited_for_until_all_is_sent()
    {
        await LoginAsync();
        await DoneAsync("databases", "create", "cli-quota");
        await DoneAsync("tables", "create", "cli-quota", "slow");
        await DoneAsync("sinks", "create", "cli-slow", "cli-quota", "slow", "--records-per-second", "200");
        var sink = JsonElement.Parse((await DoneAsync("sinks", "show", "cli-slow", "--json")).Output);
        Assert.Equal(200, sink.GetProperty("quota").GetProperty("records_per_second").GetInt64());
        await WriteAsync("quota.ndjson", string.Join('\n', Enumerable.Range(0, 2_600).Select(id => $$"""{"_id":{{id}}}""")));

        // the third request is over what ten seconds allow, so that the fourth has to wait
        await DoneAsync("send", "cli-slow", "quota.ndjson", "--batch", "800");
        Assert.Equal((2_600, 0), await LedgerAsync(sink.GetProperty("id").GetString()!));
        await DoneAsync("databases", "delete", "cli-quota", "--force");
    }

    [Theory]
    [InlineData("--keys", "New")]
    [InlineData("--keys", "Half", "--rows", "77", "--max-backlog", "100")]
    [InlineData("--keys", "Known", "--rows", "500", "--max-backlog", "100")]
    [InlineData("--keys", "Same", "--form", "Ndjson")]
    [InlineData("--wait", "Loaded", "--shape", "Wide")]
    [InlineData("--rate", "20", "--shape", "Sets")]
    public async Task Bench_counts_what_it_sent_in_the_table_and_leaves_nothing_behind(params string[] options)
    {
        await LoginAsync();
        var run = await DoneAsync(["bench", "--seconds", "1", "--warmup", "0", "--connections", "2", "--batch", "10", "--server-pid", $"{Server.Process.Id}", "--json", .. options]);
        var report = JsonElement.Parse(run.Output);
        Assert.True(report.GetProperty("rows_per_second").GetDouble() > 0);
        Assert.True(report.GetProperty("durable").GetProperty("count").GetInt64() > 0);
        Assert.Equal(options.Contains("Loaded"), report.GetProperty("loaded").ValueKind == JsonValueKind.Null);
        Assert.Equal(0, report.GetProperty("rejected_records").GetInt64());
        Assert.Equal(report.GetProperty("rows_expected").GetInt64(), report.GetProperty("rows_in_table").GetInt64());
        Assert.True(report.GetProperty("server").GetProperty("cpu_seconds").GetDouble() > 0);
        if (options.Contains("--rate")) Assert.InRange(report.GetProperty("durable").GetProperty("count").GetInt64(), 1, 20);
        Assert.DoesNotContain("bench-", (await DoneAsync("databases", "list")).Output, StringComparison.Ordinal);
    }

    /// <summary>A server whose sinks take 50 records a second, so that a closed loop is refused most of the time.</summary>
    [Fact]
    public async Task Bench_comes_again_when_a_refusal_says_and_counts_it()
    {
        using var data = new TemporaryDirectory();
        await using var limited = await ServerProcess.StartAsync(
            data.Path, "Sluice.Server", Cancellation, ("Sluice__Quotas__Sink__RecordsPerSecond", "50"), ("Sluice__Quotas__Sink__BurstSeconds", "1"));
        await DoneWithInputAsync(ServerProcess.Password + "\n", "login", ServerProcess.Email, "--password-stdin", "--url", $"http://127.0.0.1:{limited.HttpPort}");
        var run = await RunAsync("bench", "--seconds", "4", "--warmup", "0", "--probes", "0", "--connections", "2", "--batch", "100", "--json");
        Assert.Equal(1, run.ExitCode); // what is refused is not what was asked for
        var report = JsonElement.Parse(run.Output);
        Assert.Contains("429", report.GetProperty("first_error").GetString(), StringComparison.Ordinal);
        Assert.InRange(report.GetProperty("errors").GetInt64(), 1, 12); // each waits a second or more; without that there would be some 60
        Assert.InRange(report.GetProperty("seconds").GetDouble(), 3, 30);
        Assert.True(report.GetProperty("durable").GetProperty("count").GetInt64() > 0);
    }

    /// <summary>A server whose tables load far less than is sent: the last probe waits for all the backlog, which is no time of sending.</summary>
    [Fact]
    public async Task Bench_counts_the_time_of_sending_without_that_of_its_last_probe()
    {
        using var data = new TemporaryDirectory();
        await using var slow = await ServerProcess.StartAsync(data.Path, "Sluice.FaultyServer", Cancellation, ("SLUICE_FAULT_RECORDS_PER_SECOND", "2000"));
        await DoneWithInputAsync(ServerProcess.Password + "\n", "login", ServerProcess.Email, "--password-stdin", "--url", $"http://127.0.0.1:{slow.HttpPort}");
        var report = JsonElement.Parse((await DoneAsync("bench", "--seconds", "2", "--warmup", "0", "--rate", "20", "--batch", "500", "--connections", "2", "--json")).Output);
        Assert.InRange(report.GetProperty("backlog_rows").GetInt64(), 5_000, 20_000); // nothing of it would be left when the last probe has been answered
        Assert.True(report.GetProperty("drain_seconds").GetDouble() > report.GetProperty("seconds").GetDouble(), report.ToString());
    }

    [Fact]
    public async Task Bench_says_what_answers_where_ClickHouse_should()
    {
        await LoginAsync();
        var run = await RunAsync("bench", "--clickhouse", Url);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("ClickHouse:", run.Errors, StringComparison.Ordinal);
    }

    async Task<List<JsonElement>> ReadRejectedAsync(string name) =>
        [.. (await File.ReadAllLinesAsync(Path.Combine(Home, name), Cancellation)).Select(line => JsonElement.Parse(line))];

    async Task<(int Received, int Rejected)> LedgerAsync(string sink)
    {
        var ledger = (await Server.Api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json;
        return (ledger["received"]!.GetValue<int>(), ledger["rejected"]!.GetValue<int>());
    }
}
