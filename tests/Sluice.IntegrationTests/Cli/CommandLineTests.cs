using System.Text.Json;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary>The command line as people type it, against the real server.</summary>
public sealed class CommandLineTests(IngestServer server) : IClassFixture<IngestServer>, IDisposable
{
    readonly TemporaryDirectory _home = new();

    public void Dispose() => _home.Dispose();

    [Fact]
    public async Task From_login_to_a_query()
    {
        await LoginAsync();
        var login = new FileInfo(Path.Combine(_home.Path, "login.json"));
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
    public async Task What_goes_wrong_is_a_sentence_and_exit_code_1(string sentence, params string[] arguments)
    {
        var run = await RunAsync(arguments);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains(sentence, run.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", run.Errors, StringComparison.Ordinal);
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
    public async Task Bench_measures_and_leaves_nothing_behind()
    {
        await LoginAsync();
        var run = await DoneAsync("bench", "--seconds", "1", "--warmup", "0", "--connections", "2", "--batch", "10", "--json");
        var report = JsonElement.Parse(run.Output);
        Assert.True(report.GetProperty("rows_per_second").GetDouble() > 0);
        Assert.True(report.GetProperty("durable").GetProperty("count").GetInt64() > 0);
        Assert.Equal(0, report.GetProperty("rejected_records").GetInt64());
        Assert.DoesNotContain("bench-", (await DoneAsync("databases", "list")).Output, StringComparison.Ordinal);
    }

    string Url => $"http://127.0.0.1:{server.Process.HttpPort}";

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    async Task LoginAsync() => await DoneWithInputAsync(
        ServerProcess.Password + "\n", "login", ServerProcess.Email, "--password-stdin", "--url", Url);

    Task<CommandLineRun> RunAsync(params string[] arguments) => CommandLineRun.RunAsync(_home.Path, input: null, Cancellation, arguments);

    async Task<CommandLineRun> DoneAsync(params string[] arguments) => await DoneWithInputAsync(null, arguments);

    async Task<CommandLineRun> DoneWithInputAsync(string? input, params string[] arguments)
    {
        var run = await CommandLineRun.RunAsync(_home.Path, input, Cancellation, arguments);
        Assert.True(run.ExitCode == 0, $"{string.Join(' ', arguments)} ended with {run.ExitCode}: {run.Errors}{run.Output}");
        return run;
    }
}
