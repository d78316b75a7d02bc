using System.Text.Json;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary><c>sluice send</c> with a key that may do nothing else.</summary>
public sealed class SendWithIngestKeyTests(IngestServer server) : CommandLineTest(server)
{
    [Fact]
    public async Task A_key_that_may_only_send_sends_to_the_id_of_its_sink()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        var key = JsonElement.Parse((await DoneAsync("keys", "create", "sends", "--role", "IngestKey", "--sink", sink, "--json")).Output).GetProperty("secret").GetString()!;
        await DoneAsync("login", "--forget");
        await WriteAsync("a.ndjson", "{\"id\":1}\n{\"id\":2}");

        Assert.Contains("2 accepted", (await DoneAsync("send", sink, "a.ndjson", "--url", Url, "--api-key", key)).Output, StringComparison.Ordinal);
        var named = await RunAsync("send", "orders", "a.ndjson", "--url", Url, "--api-key", key);
        Assert.Equal(1, named.ExitCode);
        Assert.Contains("give the sink's id", named.Errors, StringComparison.Ordinal);
    }
}
