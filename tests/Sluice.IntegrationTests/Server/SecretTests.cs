using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>What secrets leave behind: nothing, in logs at their most talkative, in refusals and lists, and in everything on the disk.</summary>
public sealed class SecretTests
{
    const UnixFileMode OwnerFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    const UnixFileMode OwnerDirectory = OwnerFile | UnixFileMode.UserExecute;

    [Fact]
    public async Task Secrets_are_in_no_log_no_refusal_no_list_and_no_file_and_files_are_closed_to_others()
    {
        using var parent = new TemporaryDirectory();
        var directory = Path.Combine(parent.Path, "data"); // the server makes it
        using var client = new Talk();
        var secrets = client.Secrets;
        var (password, annsPassword, changed) = (secrets.Add("First-Canary-1"), secrets.Add("Second-Canary-2"), secrets.Add("Third-Canary-3"));
        var guess = secrets.Add("Guessed-Canary-4");
        string output;

        await using (var server = await ServerProcess.StartAsync(
            directory, "Sluice.Server", TestContext.Current.CancellationToken, ("SLUICE_ADMIN_PASSWORD", password), ("Logging__LogLevel__Default", "Trace"), ("Logging__LogLevel__Microsoft", "Trace"),
            ("Logging__LogLevel__Microsoft.AspNetCore", "Trace")))
        {
            client.Port = server.HttpPort;
            var administrator = client.Keep(await client.AskAsync("POST", "/", null, Login(ServerProcess.Email, password)));
            await client.AskAsync("POST", "/", null, Login(ServerProcess.Email, guess));
            await client.AskAsync("POST", "/", null, $$"""{"USERNAME":"{{ServerProcess.Email}}","PASSWORD":"{{guess}}",}""");
            await client.AskAsync("POST", "/", null, $$"""{"USERNAME":"{{ServerProcess.Email}}","PASSWORD":["{{guess}}"]}""");
            await client.AskAsync("POST", "/", null, $"USERNAME=x&PASSWORD={guess}");

            var invite = await client.AskAsync("POST", "/v2/invites", administrator, """{"email":"ann@x.org"}""");
            var inviteToken = secrets.Add(Text(invite, "token"));
            foreach (var wrong in new[] { "weak", "12345678901234", "[\"Second-Canary-2\"]" })
                await client.AskAsync("POST", "/v2/invites/accept", null, $$"""{"token":"{{inviteToken}}","password":{{(wrong[0] == 'w' ? "\"weak\"" : wrong)}}}""");
            await client.AskAsync("POST", "/v2/invites/accept", null, $$"""{"token":"{{inviteToken}}","password":"{{annsPassword}}"}""");
            await client.AskAsync("POST", "/v2/invites/accept", null, $$"""{"token":"{{inviteToken}}","password":"{{annsPassword}}"}""");

            var ann = client.Keep(await client.AskAsync("POST", "/", null, Login("ann@x.org", annsPassword)));
            await client.AskAsync("PUT", "/v2/users/current/password", ann, $$"""{"current_password":"{{guess}}","password":"{{changed}}"}""");
            await client.AskAsync("PUT", "/v2/users/current/password", ann, $$"""{"current_password":{"x":"{{guess}}"},"password":"{{changed}}"}""");
            await client.AskAsync("PUT", "/v2/users/current/password", ann, $$"""{"current_password":"{{annsPassword}}","password":"{{changed}}"}""");
            var refresh = secrets.All[^1]; // of ann's login
            client.Keep(await client.AskAsync("POST", "/", null, $$"""{"REFRESH_TOKEN":"{{refresh}}"}"""));

            var database = Text(await client.AskAsync("POST", "/v2/databases", administrator, """{"name":"db"}"""), "id");
            await client.AskAsync("POST", $"/v2/databases/{database}/query/sql", administrator, "CREATE TABLE t (_id ID)");
            var sink = Text(await client.AskAsync("POST", "/v2/sinks", administrator, $$$"""
                {"name":"s","sink_details":{"database_id":"{{{database}}}","table":"t"},"schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
                """), "id");
            var key = await client.AskAsync("POST", "/v2/users/current/keys", administrator, $$"""{"role":"IngestKey","sinks":["{{sink}}"]}""");
            var secret = secrets.Add(Text(key, "secret"));
            await client.AskAsync("POST", $"/v2/sinks/{sink}?wait=loaded", secret, """{"records":[{"value":{"id":1}}]}""");
            await client.AskAsync("GET", $"/v2/sinks/{sink}", secret);
            await client.AskAsync("GET", "/v2/users/current", secret[..^4] + "AAAA");
            await client.AskAsync("GET", "/v2/users/current", ann[..^4] + "AAAA");
            await client.AskAsync("POST", $"/v2/databases/{database}/query/sql", secret, "SELECT 1");
            foreach (var path in new[] { "/v2/users", "/v2/invites", "/v2/keys", "/v2/users/current/keys", "/v2/audit", "/metrics", "/openapi/v2.json", "/health/ready", "/v2/sinks" })
                await client.AskAsync("GET", path, administrator);
            await client.AskAsync("DELETE", $"/v2/users/current/keys/{Text(key, "id")}", administrator);
            await client.AskAsync("POST", "/v2/logout", ann);

            AssertClosed(directory);
            Assert.Equal(0, await server.StopAsync(TestContext.Current.CancellationToken));
            output = server.Output;
        }

        Assert.Contains("/v2/invites/accept", output, StringComparison.Ordinal); // the log is talkative indeed
        Assert.Contains("UPDATE \"users\"", output, StringComparison.Ordinal);
        Assert.True(secrets.All.Count >= 14);
        var files = Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories).Select(file => (file, Encoding.Latin1.GetString(File.ReadAllBytes(file)))).ToList();
        Assert.Contains(files, file => file.Item2.Contains("ann@x.org", StringComparison.Ordinal)); // they can be searched
        foreach (var secret in secrets.All)
        {
            Assert.DoesNotContain(secret, output, StringComparison.Ordinal);
            Assert.All(files, file => Assert.DoesNotContain(secret, file.Item2, StringComparison.Ordinal));
            Assert.All(client.Answers, answer => Assert.False(answer.Body.Contains(secret, StringComparison.Ordinal), $"{answer.Call} repeats a secret: {answer.Body}"));
        }

        AssertClosed(directory);
    }

    static void AssertClosed(string directory)
    {
        Assert.Equal(OwnerDirectory, File.GetUnixFileMode(directory));
        Assert.All(Directory.EnumerateDirectories(directory, "*", SearchOption.AllDirectories), path => Assert.True(File.GetUnixFileMode(path) == OwnerDirectory, $"{path}: {File.GetUnixFileMode(path)}"));
        // the authority's certificate is for everybody
        Assert.All(
            Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories).Where(path => Path.GetFileName(path) is not ("ca.crt" or "server.crt")),
            path => Assert.True(File.GetUnixFileMode(path) == OwnerFile, $"{path}: {File.GetUnixFileMode(path)}"));
    }

    static string Login(string email, string password) => $$"""{"USERNAME":"{{email}}","PASSWORD":"{{password}}"}""";

    static string Text(JsonElement element, string member) => element.GetProperty(member).GetString()!;

    sealed class Secrets
    {
        public List<string> All { get; } = [];

        public string Add(string secret)
        {
            All.Add(secret);
            return secret;
        }
    }

    /// <summary>A client that keeps what it is told, but for the answers that hand a secret out.</summary>
    sealed class Talk : IDisposable
    {
        readonly HttpClient _http = new();

        public int Port { get; set; }

        public Secrets Secrets { get; } = new();

        public List<(string Call, string Body)> Answers { get; } = [];

        public async Task<JsonElement> AskAsync(string method, string path, string? credential, string? body = null)
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), $"http://127.0.0.1:{Port}{path}");
            if (credential is not null)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
            if (body is not null)
                request.Content = new StringContent(body);
            using var response = await _http.SendAsync(request, TestContext.Current.CancellationToken);
            var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
            var handsOut = response.IsSuccessStatusCode && method == "POST" && (path is "/" or "/v2/invites" || path.EndsWith("/keys", StringComparison.Ordinal));
            if (!handsOut)
                Answers.Add(($"{method} {path} {(int)response.StatusCode}", text));
            return response.Content.Headers.ContentType?.MediaType == "application/json" ? JsonElement.Parse(text) : default; // metrics are text
        }

        /// <summary>The tokens of a login; the id token is returned, the refresh token is the last secret.</summary>
        public string Keep(JsonElement login)
        {
            var result = login.GetProperty("AuthenticationResult");
            foreach (var name in new[] { "AccessToken", "IdToken" })
                Secrets.Add(Text(result, name).Split('.')[2]); // the signature: without it a token is nothing
            Secrets.Add(Text(result, "RefreshToken"));
            return Text(result, "IdToken");
        }

        public void Dispose() => _http.Dispose();
    }
}
