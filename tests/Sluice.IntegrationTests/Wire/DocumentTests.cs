using System.Text;
using Xunit;

namespace Sluice.IntegrationTests.Wire;

/// <summary>The examples of docs/http-api.md, in order, over a bare socket against a fresh server.</summary>
public sealed class DocumentTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Every_example_of_the_http_api_is_answered_as_shown()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var path = Path.Combine(RepositoryRoot(), "docs", "http-api.md");
        var examples = DocumentExample.ReadAll(path);
        Assert.True(examples.Count >= 20, $"{path} has only {examples.Count} examples");

        var directory = Directory.CreateTempSubdirectory("sluice-wire-").FullName;
        try
        {
            await using var server = await ServerProcess.StartAsync(Path.Combine(directory, "data"), "Sluice.Server", cancellation, ("Sluice__Backup__Directory", Path.Combine(directory, "backups")));
            var values = new Dictionary<string, string> { ["email"] = ServerProcess.Email, ["password"] = ServerProcess.Password, ["port"] = $"{server.HttpPort}" };
            foreach (var example in examples)
            {
                var body = Encoding.UTF8.GetBytes(DocumentExample.Fill(example.Body, values));
                var answer = await SendUntilAsync(server.HttpPort, DocumentExample.Fill(example.Head, values), body, example, values, cancellation);
                output.WriteLine($"{path}:{example.Line}: {answer.Status}");
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>Reads may be asked again for a while: what was acknowledged becomes visible within a second or so.</summary>
    static async Task<RawAnswer> SendUntilAsync(
        int port, string head, byte[] body, DocumentExample example, Dictionary<string, string> values, CancellationToken cancellation)
    {
        const int tries = 50;
        var isRead = head.StartsWith("GET ", StringComparison.Ordinal) || head.Contains("/query/sql\n", StringComparison.Ordinal); // with ?after= the first answer must be right
        for (var i = 1; ; i++)
        {
            var answer = await RawHttp.SendAsync(port, head, body, cancellation);
            var known = new Dictionary<string, string>(values);
            var difference = answer.Status == example.Status ? example.Compare(answer.Body, known) : $"expected {example.Status}, got {answer.Status}";
            if (difference is null)
            {
                foreach (var (name, value) in known) values[name] = value;
                return answer;
            }
            if (!isRead || i == tries) Assert.Fail($"docs/http-api.md line {example.Line}: {difference}\nanswer: {answer.Body}");
            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, cancellation);
        }
    }

    static string RepositoryRoot()
    {
        var directory = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(directory, "Sluice.slnx"))) directory = Path.GetDirectoryName(directory) ?? throw new InvalidOperationException("not in the repository");
        return directory;
    }
}
