using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary><c>sluice send</c> when files are not what they should be, and when runs are cut short or meet.</summary>
public sealed class SendTests(IngestServer server) : CommandLineTest(server)
{
    /// <summary>The tests' own process has the switch too.</summary>
    [Fact]
    public void The_command_runs_with_the_switch_that_refuses_cut_files() => Assert.Contains(
        "\"System.IO.Compression.UseStrictValidation\": true", File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "sluice.runtimeconfig.json")), StringComparison.Ordinal);

    [Fact]
    public async Task Only_the_records_that_cannot_be_stored_are_rejected()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        await WriteAsync("a.csv", "id,price\n1,1\n2,2,surplus\n\n#3,3\n4,4\n");
        Assert.Equal(2, (await RunAsync("send", sink, "a.csv")).ExitCode);
        var rejected = await ReadRejectedAsync("a.csv.rejected.ndjson");
        Assert.Equal([1, 2], rejected.Select(line => line.GetProperty("record").GetInt32()));
        Assert.Equal("CSV row 3 has 3 fields, the header 2: 2,2,surplus", rejected[0].GetProperty("text").GetString());
        Assert.Equal("#3", rejected[1].GetProperty("sent").GetProperty("id").GetString());

        foreach (var (name, text) in new[] { ("b.json", "[{\"id\":5},\n{\"id\":\"\\ud800\"},\n{\"id\":6}]"), ("b.ndjson", "{\"id\":7}\n{\"id\":\"\\ud800\"}\n{\"id\":8}\n") })
        {
            await WriteAsync(name, text);
            Assert.Contains("2 accepted, 1 rejected", (await RunAsync("send", sink, name)).Output, StringComparison.Ordinal);
            Assert.Equal("{\"id\":\"\\ud800\"}", Assert.Single(await ReadRejectedAsync($"{name}.rejected.ndjson")).GetProperty("text").GetString());
        }
        Assert.Equal((10, 4), await LedgerAsync(sink));
    }

    [Fact]
    public async Task What_standard_input_had_rejected_is_kept_when_the_run_is_ended()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        using var run = CommandLineRun.Start(Home, "send", sink, "-");
        await run.StandardInput.WriteAsync("{\"id\":\"x\"}\n");
        await run.StandardInput.FlushAsync(Cancellation);
        await UntilAsync(() => Rejected() is [{ Length: > 0 }]);
        run.Kill();
        await run.WaitForExitAsync(Cancellation);
        Assert.Equal("x", Assert.Single(await ReadRejectedAsync(Rejected()[0].Name)).GetProperty("sent").GetProperty("id").GetString());
    }

    [Fact]
    public async Task Standard_input_that_is_interrupted_ends_with_what_became_of_it()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        using var run = CommandLineRun.Start(Home, "send", sink, "-", "--max-delay", "0");
        var output = run.StandardOutput.ReadToEndAsync(Cancellation);
        await run.StandardInput.WriteAsync("{\"id\":1}\n");
        await run.StandardInput.FlushAsync(Cancellation);
        while ((await LedgerAsync(sink)).Received < 1) await WaitAsync();
        using (var kill = Process.Start("kill", $"-TERM {run.Id}")) await kill.WaitForExitAsync(Cancellation);
        await run.WaitForExitAsync(Cancellation); // its input is still open
        Assert.Equal(130, run.ExitCode);
        Assert.Contains("1 accepted, 0 rejected", await output, StringComparison.Ordinal);
        Assert.Contains("Give again what follows the first 1 records", await output, StringComparison.Ordinal);
        Assert.Empty(Rejected());
    }

    [Fact]
    public async Task Runs_side_by_side_do_not_write_over_what_the_other_had_rejected()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        using var other = CommandLineRun.Start(Home, "send", sink, "-");
        await other.StandardInput.WriteAsync("{\"id\":\"x\"}\n");
        await other.StandardInput.FlushAsync(Cancellation);
        await UntilAsync(() => Rejected() is [{ Length: > 0 }]);
        var taken = Rejected()[0].Name;

        await WriteAsync("a.ndjson", "{\"id\":\"y\"}\n");
        var refused = await RunAsync("send", sink, "a.ndjson", "--rejected", taken);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains($"{taken} is in use", refused.Errors, StringComparison.Ordinal);
        Assert.Equal(2, (await CommandLineRun.RunAsync(Home, "{\"id\":\"z\"}\n", Cancellation, "send", sink, "-")).ExitCode);

        other.StandardInput.Close();
        await other.WaitForExitAsync(Cancellation);
        Assert.Equal(2, Rejected().Length);
        Assert.Equal("x", Assert.Single(await ReadRejectedAsync(taken)).GetProperty("sent").GetProperty("id").GetString());
        Assert.Equal((2, 2), await LedgerAsync(sink)); // what was refused has sent nothing
    }

    [Fact]
    public async Task A_pipe_by_its_name_is_sent_like_standard_input()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        var run = await CommandLineRun.RunAsync(Home, "{\"id\":1}\n{\"id\":\"x\"}\n", Cancellation, "send", sink, "/dev/stdin", "--format", "ndjson");
        Assert.Equal((2, ""), (run.ExitCode, run.Errors));
        Assert.Single(await ReadRejectedAsync(Assert.Single(Rejected()).Name));
    }

    [Fact]
    public async Task A_run_that_goes_on_with_another_file_of_rejected_records_begins_that_one()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        var (first, second) = await CutShortAsync(sink);
        await ChangeProgressAsync(progress =>
        {
            (progress["requests"], progress["records"], progress["rejected"], progress["rejected_bytes"]) = (1, 1, 1, first.Length + 1); // as if it had not come further
        });
        var run = await RunAsync("send", sink, "a.csv", "--batch", "1", "--rejected", "other.ndjson");
        Assert.Contains("What was rejected of those is in", run.Errors, StringComparison.Ordinal);
        Assert.Equal($"{second}\n", await File.ReadAllTextAsync(Path.Combine(Home, "other.ndjson"), Cancellation));
        Assert.Equal((2, 2), await LedgerAsync(sink));
    }

    [Fact]
    public async Task A_run_goes_on_behind_a_file_of_rejected_records_that_is_gone()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        var (first, second) = await CutShortAsync(sink);
        await ChangeProgressAsync(progress =>
        {
            (progress["requests"], progress["records"], progress["rejected"], progress["rejected_bytes"]) = (1, 1, 1, first.Length + 1);
        });
        File.Delete(Path.Combine(Home, "a.csv.rejected.ndjson"));
        await RunAsync("send", sink, "a.csv", "--batch", "1");
        Assert.Equal($"{second}\n", await File.ReadAllTextAsync(Path.Combine(Home, "a.csv.rejected.ndjson"), Cancellation));
    }

    [Fact]
    public async Task A_run_that_was_cut_short_longer_ago_than_the_server_knows_does_not_go_on()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        await CutShortAsync(sink);
        await ChangeProgressAsync(progress => progress["kept_at"] = progress["kept_at"]!.GetValue<DateTime>().AddHours(-25));
        var refused = await RunAsync("send", sink, "a.csv", "--batch", "1");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("answered for the first 2 records and was cut short more than 24 hours ago", refused.Errors, StringComparison.Ordinal);
        Assert.Contains("--restart", refused.Errors, StringComparison.Ordinal);
        Assert.Equal((2, 2), await LedgerAsync(sink));
        await RunAsync("send", sink, "a.csv", "--batch", "1", "--restart");
        Assert.Equal((4, 4), await LedgerAsync(sink));
    }

    [Theory]
    [InlineData("a.csv, row 2: ", "a.csv", "id\n\"x\n")]
    [InlineData("a.ndjson.gz cannot be decompressed", "a.ndjson.gz", "{}")]
    [InlineData("--max-delay must be at least 0", "-", "", "--max-delay", "-5")]
    public async Task What_cannot_be_sent_is_a_sentence_and_exit_code_1(string sentence, string file, string text, params string[] options)
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        if (file != "-") await WriteAsync(file, text);
        var run = await RunAsync(["send", sink, file, .. options]);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains(sentence, run.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", run.Errors, StringComparison.Ordinal);
    }

    /// <summary>Sends two records that are rejected, and stops at the third row.</summary>
    /// <returns>The lines that tell of the two.</returns>
    async Task<(string First, string Second)> CutShortAsync(string sink)
    {
        await WriteAsync("a.csv", "id\nx\ny\n\"broken\n");
        var run = await RunAsync("send", sink, "a.csv", "--batch", "1");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("Run the same command again", run.Output, StringComparison.Ordinal);
        var lines = await File.ReadAllLinesAsync(Path.Combine(Home, "a.csv.rejected.ndjson"), Cancellation);
        Assert.Equal(2, lines.Length);
        return (lines[0], lines[1]);
    }

    async Task ChangeProgressAsync(Action<JsonNode> change)
    {
        var path = Assert.Single(Directory.GetFiles(Home, "*.progress"));
        var progress = JsonNode.Parse(await File.ReadAllTextAsync(path, Cancellation))!;
        change(progress);
        await File.WriteAllTextAsync(path, progress.ToJsonString(), Cancellation);
    }

    FileInfo[] Rejected() => new DirectoryInfo(Home).GetFiles("stdin.*.rejected.ndjson");

    async Task<List<JsonElement>> ReadRejectedAsync(string name) =>
        [.. (await File.ReadAllLinesAsync(Path.Combine(Home, name), Cancellation)).Select(line => JsonElement.Parse(line))];

    async Task<(int Received, int Rejected)> LedgerAsync(string sink)
    {
        var ledger = (await Server.Api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json;
        return (ledger["received"]!.GetValue<int>(), ledger["rejected"]!.GetValue<int>());
    }

    static async Task UntilAsync(Func<bool> isSo)
    {
        while (!isSo()) await WaitAsync();
    }

    static Task WaitAsync() => Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);
}
