using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>What secrets leave behind: nothing, in logs at their most talkative, in refusals and lists, and in everything on the disk.</summary>
public sealed partial class SecretTests
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

        await using (var server = await ServerProcess.StartAsItIsAsync(
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

    [Fact]
    public async Task What_is_sent_wrong_is_seen_where_it_belongs_and_credentials_nowhere()
    {
        using var parent = new TemporaryDirectory();
        var directory = Path.Combine(parent.Path, "data");
        using var client = new Talk();
        var secrets = client.Secrets;
        var records = new[] { "Canary-Rejected", "Canary-Late", "Canary-Drift", "Canary-Name", "Canary-Accepted", "Canary-Cut", "Canary-Sql" };
        var password = secrets.Add("First-Canary-1");
        string output, seen;

        await using (var server = await ServerProcess.StartAsItIsAsync(
            directory, "Sluice.Server", TestContext.Current.CancellationToken, ("SLUICE_ADMIN_PASSWORD", password), ("Logging__LogLevel__Default", "Trace"), ("Logging__LogLevel__Microsoft", "Trace"),
            ("Logging__LogLevel__Microsoft.AspNetCore", "Trace"), ("Logging__LogLevel__Microsoft.AspNetCore.Hosting.Diagnostics", "Trace")))
        {
            client.Port = server.HttpPort;
            var administrator = client.Keep(await client.AskAsync("POST", "/", null, Login(ServerProcess.Email, password)));
            var database = Text(await client.AskAsync("POST", "/v2/databases", administrator, """{"name":"db"}"""), "id");
            await client.AskAsync("POST", $"/v2/databases/{database}/query/sql", administrator, "CREATE TABLE t (_id ID, price DECIMAL(2), note STRING)");
            var sink = await MakeSinkAsync("s");
            var other = await MakeSinkAsync("other");
            var ingest = secrets.Add(Text(await client.AskAsync("POST", "/v2/users/current/keys", administrator, $$"""{"role":"IngestKey","sinks":["{{sink}}"]}"""), "secret"));
            var full = secrets.Add(Text(await client.AskAsync("POST", "/v2/users/current/keys", administrator, """{"role":"User"}"""), "secret"));
            using var tail = await client.OpenAsync($"/v2/sinks/{sink}/tail", administrator);

            // what came with credentials in every place a sender has ever put them: those that count, and those that do not
            var credentials = new[] { administrator, ingest, full, $"slk_{Guid.NewGuid():n}_{secrets.Add("GuessedKeyCanary000000000000000000000000000")}", secrets.Add("Garbage-Canary-5"), secrets.Add("Long-Canary-6" + new string('x', 5_000)) };
            foreach (var credential in credentials)
            {
                foreach (var headers in new (string, string)[][]
                {
                    [("X-API-Key", credential)], [("Authorization", $"Basic {credential}")], [("Authorization", credential)], [("Authorization", $"Bearer {credential}"), ("X-API-Key", credential)], [("Cookie", $"sluice={credential}")],
                    [("User-Agent", "a/1"), ("Proxy-Authorization", $"Bearer {credential}"), ("Authorization", "Bearer x")],
                })
                    await client.AskAsync("POST", $"/v2/sinks/{sink}?wait=loaded", null, """{"records":[{"value":{"id":7,"price":"Canary-Rejected"}}]}""", headers);
                var query = Uri.EscapeDataString(credential);
                await client.AskAsync("POST", $"/v2/sinks/{sink}?access_token={query}&api_key={query}", null, "{}");
                await client.AskAsync("GET", $"/v2/sinks?token={query}", administrator);
                await client.AskAsync("GET", $"/nothing?password={query}", null);
                await client.AskAsync("POST", $"/v2/sinks/{other}", null, "{}", ("X-API-Key", credential));
            }
            foreach (var (body, type) in new[]
            {
                (Login(ServerProcess.Email, password), "application/json"), ($$"""{"records":[{"token":"{{full}}"}],"password":"{{password}}"}{{ingest}}""", "text/plain"), ($"password={password}&key={full}", "application/x-www-form-urlencoded"),
                ("""{"records":[{"value":{"id":"Canary-Cut""", "application/json"),
            })
            {
                foreach (var path in new[] { $"/v2/sinks/{sink}", "/v2/sinks", $"/v2/sinks/{sink}/try", $"/v2/sinks/{sink}/quarantine/replay", "/v2/users/current/keys", "/v2/invites/accept", "/v2/databases/" + database + "/query/sql", "/v2/sql" })
                    await client.AskAsync("POST", path, administrator, body, ("Content-Type", type));
            }
            await client.AskAsync("POST", $"/v2/databases/{database}/query/sql", administrator, "INSERT INTO t (_id, price) VALUES ('Canary-Sql', 'Canary-Sql')");
            await client.AskAsync("POST", $"/v2/databases/{database}/query/sql", administrator, "SELECT CAST('Canary-Sql' AS INT), \"Canary-Sql\" FROM t");
            client.Answers.RemoveAll(answer => answer.Call.Contains("/query/sql", StringComparison.Ordinal) || answer.Call.Contains("/v2/sql", StringComparison.Ordinal)); // the sender of a statement is told what was wrong with it

            // records that are right, wrong at once, wrong late, and not what the mapping knows
            var sent = await client.AskAsync("POST", $"/v2/sinks/{sink}?wait=loaded", ingest, """
                {"records":[{"value":{"id":1,"price":1,"note":"Canary-Accepted"}},{"op":"insert","value":{"id":1,"note":"Canary-Late"}},{"value":{"id":2,"price":"Canary-Rejected"}},{"value":{"id":3,"Canary-Name":"Canary-Drift"}}]}
                """);
            var shown = new List<string> { await client.ReadAsync(tail, "Canary-Drift") };
            foreach (var path in new[] { "errors", "quarantine", $"requests/{Text(sent, "request_id")}", "sample", "drift", "mappings" })
                shown.Add((await client.AskAsync("GET", $"/v2/sinks/{sink}/{path}", administrator)).GetRawText());
            foreach (var group in JsonElement.Parse(shown[2]).GetProperty("resources").EnumerateArray())
                shown.Add((await client.AskAsync("GET", $"/v2/sinks/{sink}/quarantine?group={Text(group, "id")}", administrator)).GetRawText());
            foreach (var isTrial in new[] { "true", "false" })
                shown.Add((await client.AskAsync("POST", $"/v2/sinks/{sink}/quarantine/replay", administrator, $$"""{"all":true,"dry_run":{{isTrial}}}""")).GetRawText());
            seen = string.Join('\n', shown);
            Assert.All(records[..5], record => Assert.Contains(record, seen, StringComparison.Ordinal)); // the control: they can be seen, there

            // and nowhere else
            foreach (var path in new[]
            {
                "/metrics", "/v2/audit?limit=1000", "/v2/sinks", "/v2/users", "/v2/keys", "/v2/databases", $"/v2/tables/{database}", $"/v2/tables/{database}/t/ledger", "/health/ready", "/openapi/v2.json", $"/v2/sinks/{sink}/ledger", $"/v2/sinks/{sink}/metrics",
                $"/v2/sinks/{other}/errors", $"/v2/sinks/{other}/quarantine", $"/v2/sinks/{other}/sample", $"/v2/sinks/{other}/drift", $"/v2/sinks/{other}/requests/{Text(sent, "request_id")}",
            })
                seen += "\n" + AssertNoRecord(path, await client.TextAsync(path, administrator));
            await client.SignInAsync(ServerProcess.Email, password);
            foreach (var path in new[] { "/", "/sinks", $"/sinks/{sink}", $"/sinks/{other}", "/tables", "/databases", "/query", "/settings", "/profile", "/sinks/new" })
            {
                var page = await client.PageAsync(path);
                Assert.Contains("</html>", page, StringComparison.Ordinal);
                seen += "\n" + (path == $"/sinks/{sink}" ? page : AssertNoRecord(path, page));
            }
            Assert.Equal(0, await server.StopAsync(TestContext.Current.CancellationToken));
            output = server.Output;

            async Task<string> MakeSinkAsync(string name) => Text(await client.AskAsync("POST", "/v2/sinks", administrator, $$$"""
                {"name":"{{{name}}}","sink_details":{"database_id":"{{{database}}}","table":"t"},"schema":{"id_field":"_id","allow_missing_fields":true,
                 "definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]},{"name":"note","path":["note"]}]}}
                """), "id");
        }

        Assert.Contains("/quarantine/replay", output, StringComparison.Ordinal); // the log is talkative indeed
        var files = Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories).Select(file => (file, Encoding.Latin1.GetString(File.ReadAllBytes(file)))).ToList();
        Assert.Contains(files, file => file.Item2.Contains("Canary-Rejected", StringComparison.Ordinal)); // they can be searched
        foreach (var secret in secrets.All)
        {
            Assert.DoesNotContain(secret, output, StringComparison.Ordinal);
            Assert.DoesNotContain(secret, seen, StringComparison.Ordinal);
            Assert.All(files, file => Assert.DoesNotContain(secret, file.Item2, StringComparison.Ordinal));
            Assert.All(client.Answers, answer => Assert.False(answer.Body.Contains(secret, StringComparison.Ordinal), $"{answer.Call} repeats a secret: {answer.Body}"));
        }
        Assert.All(records, record => Assert.DoesNotContain(record, output, StringComparison.Ordinal));

        string AssertNoRecord(string path, string text)
        {
            Assert.All(records, record => Assert.False(text.Contains(record, StringComparison.Ordinal), $"{path} has {record}: {text}"));
            return text;
        }
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
        readonly CookieContainer _cookies = new();
        readonly HttpClient _http;

        public Talk() => _http = new HttpClient(new SocketsHttpHandler { CookieContainer = _cookies, AllowAutoRedirect = false });

        public int Port { get; set; }

        public Secrets Secrets { get; } = new();

        public List<(string Call, string Body)> Answers { get; } = [];

        public async Task<JsonElement> AskAsync(string method, string path, string? credential, string? body = null, params (string Name, string Value)[] headers)
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), $"http://127.0.0.1:{Port}{path}");
            if (credential is not null)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
            if (body is not null)
                request.Content = new StringContent(body);
            foreach (var (name, value) in headers)
            {
                if (name == "Content-Type") request.Content!.Headers.ContentType = new MediaTypeHeaderValue(value);
                else Assert.True(request.Headers.TryAddWithoutValidation(name, value));
            }
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

        public async Task<string> TextAsync(string path, string? credential)
        {
            using var response = await OpenAsync(path, credential);
            return await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        }

        /// <summary>An answer that may have no end.</summary>
        public async Task<HttpResponseMessage> OpenAsync(string path, string? credential)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{Port}{path}");
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
            return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        }

        /// <summary>Reads until a text has come.</summary>
        public async Task<string> ReadAsync(HttpResponseMessage response, string until)
        {
            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken), leaveOpen: true);
            var text = "";
            while (!text.Contains(until, StringComparison.Ordinal))
                text += await reader.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(TimeSpan.FromSeconds(20), TimeProvider.System, TestContext.Current.CancellationToken) + "\n";
            return text;
        }

        /// <summary>Signs in to the console, whose cookie is a secret too.</summary>
        public async Task SignInAsync(string email, string password)
        {
            var token = FormToken().Match(await PageAsync("/sign-in")).Groups[1].Value;
            using var form = new FormUrlEncodedContent([new("_handler", "sign-in"), new("__RequestVerificationToken", token), new("Form.Email", email), new("Form.Password", password)]);
            using var answer = await _http.PostAsync(new Uri($"http://127.0.0.1:{Port}/sign-in"), form, TestContext.Current.CancellationToken);
            Secrets.Add(_cookies.GetCookies(new Uri($"http://127.0.0.1:{Port}/"))["sluice"]!.Value);
        }

        public Task<string> PageAsync(string path) => _http.GetStringAsync(new Uri($"http://127.0.0.1:{Port}{path}"), TestContext.Current.CancellationToken);

        public void Dispose() => _http.Dispose();
    }

    [GeneratedRegex("name=\"__RequestVerificationToken\" value=\"([^\"]+)\"")]
    private static partial Regex FormToken();
}
