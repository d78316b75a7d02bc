using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary><c>sluice tail</c> and <c>sluice replay</c> against the real server.</summary>
public sealed class TailAndReplayTests(IngestServer server) : CommandLineTest(server)
{
    [Fact]
    public async Task The_tail_shows_records_as_they_come_a_line_each()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        var lines = (await TailAsync(sink, "[{\"id\":1,\"price\":2},{\"id\":2,\"price\":\"a\\u001bb\"}]", "--count", "2")).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains(lines, line => line.EndsWith(" accepted 1 {\"id\":1,\"price\":2}", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains(" rejected ", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains("/price: NotADecimal, expected decimal(2)", StringComparison.Ordinal));
        Assert.DoesNotContain(lines, line => line.Contains('\u001b', StringComparison.Ordinal)); // nothing steers the terminal
    }

    [Theory]
    [InlineData("2", "--filter", "\"id\":2")]
    [InlineData("3", "--errors")]
    public async Task The_tail_shows_what_is_asked_for_and_as_json(string id, params string[] choice)
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        var run = await TailAsync(sink, """[{"id":1},{"id":2,"price":2},{"id":3,"price":"x"}]""", ["--json", "--count", "1", .. choice]);
        var record = JsonElement.Parse(Assert.Single(run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries)));
        Assert.Equal(id, JsonElement.Parse(record.GetProperty("raw").GetString()!).GetProperty("id").ToString());
    }

    [Fact]
    public async Task The_tail_ends_when_nobody_reads_it_any_more()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        using var tail = CommandLineRun.Start(Home, "tail", sink);
        tail.StandardOutput.Close(); // as head does
        var errors = tail.StandardError.ReadToEndAsync(Cancellation);
        while (!tail.HasExited) await SendAsync(sink, "[{\"id\":1}]");
        Assert.Equal(141, tail.ExitCode);
        Assert.DoesNotContain("The connection has ended", await errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_tail_whose_connection_breaks_goes_on()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        var key = JsonElement.Parse((await DoneAsync("keys", "create", "tail", "--json")).Output).GetProperty("secret").GetString()!;
        await using var line = TcpLine.To(Server.Process.HttpPort);
        using var tail = CommandLineRun.Start(Home, "tail", sink, "--json", "--url", $"http://127.0.0.1:{line.Port}", "--api-key", key);
        await SendUntilShownAsync(1);
        line.Cut();
        await SendUntilShownAsync(2);
        tail.Kill();
        Assert.Contains("The connection has ended", await tail.StandardError.ReadToEndAsync(Cancellation), StringComparison.Ordinal);

        async Task SendUntilShownAsync(int id)
        {
            var shown = Task.Run(
                async () =>
                {
                    while (!(await tail.StandardOutput.ReadLineAsync(Cancellation))!.Contains($"\"_id\":\"{id}\"", StringComparison.Ordinal)) { }
                },
                Cancellation);
            while (!shown.IsCompleted) await SendAsync(sink, $$"""[{"id":{{id}}}]""");
            await shown;
        }
    }

    [Fact]
    public async Task Replay_lists_what_waits_tries_it_and_sends_it_when_told_to()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        await SendAsync(sink, """[{"id":1,"price":"x","cost":2.5},{"id":2,"price":"y","cost":"z"},{"id":"three","price":1}]""");

        var listed = await DoneAsync("replay", sink);
        Assert.Contains("/price expected decimal(2), got string", listed.Output, StringComparison.Ordinal);
        Assert.Contains("NotAnId", listed.Output, StringComparison.Ordinal);

        var untouched = await RunAsync("replay", sink, "--all");
        Assert.Equal(2, untouched.ExitCode);
        Assert.Contains("0 would pass, 3 would fail again", untouched.Output, StringComparison.Ordinal);

        await PutMappingAsync(sink, "cost");
        Assert.Equal((1, 1), await TriedAsync(sink, "--code", "NotADecimal"));
        Assert.Equal((0, 1), await TriedAsync(sink, "--column", "_id"));
        Assert.Equal((1, 2), await TriedAsync(sink, "--since", "1h"));
        Assert.Equal((0, 0), await TriedAsync(sink, "--until", "2026-01-02T03:04:05Z"));
        Assert.Equal((0, 2), await TriedAsync(sink, "--code", "NotADecimal", "--mapping", "1"));

        var unasked = await RunAsync("replay", sink, "--code", "NotADecimal"); // nobody can be asked: nothing is sent
        Assert.Contains("1 would pass, 1 would fail again.", unasked.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("passed", unasked.Output, StringComparison.Ordinal);

        var sent = await RunAsync("replay", sink, "--code", "NotADecimal", "--yes");
        Assert.Equal(2, sent.ExitCode);
        Assert.Contains("1 passed, 1 failed again.", sent.Output, StringComparison.Ordinal);
        Assert.Contains("/cost", sent.Output, StringComparison.Ordinal);
        Assert.Equal((0, 1), await TriedAsync(sink, "--code", "NotADecimal")); // each at most once
        var table = (await Server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json["sink_details"]!["table"]!.GetValue<string>();
        var rows = await Server.Api.QueryAsync(Server.DatabaseId, $"SELECT _id, price FROM {table}", Cancellation);
        Assert.Equal("1:2.50", Assert.Single(rows.Select(row => $"{row![0]}:{row[1]}")));
    }

    [Theory]
    [InlineData("no mapping v9; it has v1", "--all", "--mapping", "9")]
    [InlineData("leave --mapping out", "--all", "--mapping", "1", "--yes")]
    [InlineData("neither a time", "--since", "yesterday")]
    [InlineData("group", "--group", "nonsense")]
    public async Task A_choice_that_cannot_be_is_a_sentence_and_exit_code_1(string sentence, params string[] choice)
    {
        await LoginAsync();
        var run = await RunAsync(["replay", await Server.MakeSinkAsync(), .. choice]);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains(sentence, run.Errors, StringComparison.Ordinal);
    }

    /// <summary>Sends the values again and again until the tail has seen what it waits for: when it begins to look cannot be seen from outside.</summary>
    async Task<CommandLineRun> TailAsync(string sink, string values, params string[] choice)
    {
        using var tail = CommandLineRun.Start(Home, ["tail", sink, .. choice]);
        var (output, errors) = (tail.StandardOutput.ReadToEndAsync(Cancellation), tail.StandardError.ReadToEndAsync(Cancellation));
        while (!tail.HasExited) await SendAsync(sink, values);
        return new CommandLineRun(tail.ExitCode, await output, await errors);
    }

    async Task SendAsync(string sink, string values) =>
        Assert.Equal(HttpStatusCode.OK, (await Server.Api.PostAsync($"v2/sinks/{sink}?format=array", values, Cancellation)).Status);

    async Task PutMappingAsync(string sink, string pricePath) => Assert.Equal(
        HttpStatusCode.OK,
        (await Server.Api.PutAsync(
            $"v2/sinks/{sink}",
            $$$"""{"schema":{"type":"json","id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"price","path":["{{{pricePath}}}"]}]}}""",
            Cancellation)).Status);

    async Task<(int Passed, int Failed)> TriedAsync(string sink, params string[] choice)
    {
        var answer = JsonElement.Parse((await RunAsync(["replay", sink, "--dry-run", "--json", .. choice])).Output);
        Assert.True(answer.GetProperty("dry_run").GetBoolean() || answer.GetProperty("passed").GetInt32() + answer.GetProperty("failed").GetInt32() == 0);
        return (answer.GetProperty("passed").GetInt32(), answer.GetProperty("failed").GetInt32());
    }

    /// <summary>A line to a port that can be cut: what goes in at one end comes out at the other.</summary>
    sealed class TcpLine : IAsyncDisposable
    {
        readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        readonly ConcurrentBag<TcpClient> _ends = [];
        readonly Task _accepting;

        TcpLine(int port)
        {
            _listener.Start();
            _accepting = AcceptAsync(port);
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public static TcpLine To(int port) => new(port);

        public void Cut()
        {
            while (_ends.TryTake(out var end)) end.Dispose();
        }

        public async ValueTask DisposeAsync()
        {
            _listener.Dispose();
            Cut();
            await _accepting;
        }

        async Task AcceptAsync(int port)
        {
            try
            {
                while (true)
                {
                    var near = await _listener.AcceptTcpClientAsync();
                    var far = new TcpClient();
                    await far.ConnectAsync(IPAddress.Loopback, port);
                    _ends.Add(near);
                    _ends.Add(far);
                    _ = CopyAsync(near, far);
                    _ = CopyAsync(far, near);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // the test is over
            }
        }

        static async Task CopyAsync(TcpClient from, TcpClient to)
        {
            try
            {
                await from.GetStream().CopyToAsync(to.GetStream());
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
            {
                // cut
            }
            to.Dispose();
        }
    }
}
