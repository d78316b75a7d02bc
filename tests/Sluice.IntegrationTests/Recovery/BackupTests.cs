using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Sluice.IntegrationTests.Cli;
using Sluice.IntegrationTests.Crash;
using Sluice.IntegrationTests.Server;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Recovery;

/// <summary>Backups of a running server, and what is restored of them.</summary>
public sealed class BackupTests(ITestOutputHelper output) : IDisposable
{
    readonly TemporaryDirectory _directory = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    string Data => Path.Combine(_directory.Path, "data");

    string Root => Path.Combine(_directory.Path, "backups");

    (string, string)[] Environment => [("Sluice__Backup__Directory", Root), ("Sluice__Storage__SegmentBytes", "200000"), ("Sluice__Storage__RetainedBytes", "400000")];

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_backup_may_have_any_name_and_needs_no_certificate_of_the_server()
    {
        var (certificate, key) = (Path.Combine(_directory.Path, "own.crt"), Path.Combine(_directory.Path, "own.key"));
        var now = TimeProvider.System.GetUtcNow();
        using (var pair = ECDsa.Create(ECCurve.NamedCurves.nistP256))
        {
            using var own = new CertificateRequest("CN=localhost", pair, HashAlgorithmName.SHA256).CreateSelfSigned(now.AddDays(-1), now.AddDays(10));
            await File.WriteAllTextAsync(certificate, own.ExportCertificatePem(), Cancellation);
            await File.WriteAllTextAsync(key, pair.ExportPkcs8PrivateKeyPem(), Cancellation);
        }
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation, [.. Environment, ("Sluice__Tls__CertificateFile", certificate), ("Sluice__Tls__KeyFile", key)]);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        foreach (var name in new[] { "a.unfinished", "a" })
        {
            var answer = await api.PostAsync("v2/backups", $$"""{"name":"{{name}}"}""", Cancellation);
            Assert.True(answer.Status == HttpStatusCode.Created, answer.Text);
        }

        Assert.Equal(["a.unfinished", "a"], (await api.GetAsync("v2/backups", Cancellation)).Json["resources"]!.AsArray().Select(it => it!["name"]!.GetValue<string>()));
        Assert.Equal(["a", "a.unfinished"], Directory.EnumerateDirectories(Root).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Backups_taken_while_records_are_sent_have_everything_acknowledged_before_and_once()
    {
        var before = new List<(string Name, CrashOracle Oracle)>();
        var oracle = new CrashOracle();
        await using (var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation, Environment))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            await oracle.CreateAsync(api, Cancellation);
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            var senders = Enumerable.Range(0, 4).Select(sender => Task.Run(() => oracle.SendAsync(sender, server.HttpPort, api.Token, stop.Token), Cancellation)).ToList();
            for (var n = 0; n < 3; n++)
            {
                while (oracle.AcknowledgedCount < 60 * (n + 1)) await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);
                var known = oracle.Copy();
                var acknowledged = oracle.AcknowledgedCount;
                var answer = await api.PostAsync("v2/backups", $$"""{"name":"b{{n}}"}""", Cancellation);
                Assert.True(answer.Status == HttpStatusCode.Created, answer.Text);
                Assert.True(oracle.AcknowledgedCount > acknowledged, "nothing was acknowledged while the backup was made");
                Assert.Equal(2, answer.Json["tables"]!.AsArray().Count);
                Assert.All(answer.Json["tables"]!.AsArray(), table => Assert.True(table!["sequence"]!.GetValue<long>() >= table["loaded_sequence"]!.GetValue<long>()));
                before.Add(($"b{n}", known));
            }
            Assert.Equal(["b0", "b1", "b2"], (await api.GetAsync("v2/backups", Cancellation)).Json["resources"]!.AsArray().Select(it => it!["name"]!.GetValue<string>()));
            await stop.CancelAsync();
            await Task.WhenAll(senders);
        }

        foreach (var (name, known) in before)
        {
            var target = Path.Combine(_directory.Path, "restored-" + name);
            var restored = await MaintenanceRun.RunAsync("restore", "--from", Path.Combine(Root, name), "--data", target);
            Assert.True(restored.Code == ExitCode.Stopped, restored.Output);
            var check = await MaintenanceRun.RunAsync("check", "--data", target);
            Assert.True(check.Code == ExitCode.Stopped, check.Output);
            await using var server = await ServerProcess.StartAsync(target, "Sluice.Server", Cancellation);
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            var verdict = await known.JudgeAsync(api, Cancellation);
            output.WriteLine($"{name}: {verdict}");
            Assert.True(verdict is { Lost: 0, Partial: 0, Duplicated: 0, Corrupt: 0, Stale: 0, Pending: 0 }, verdict.ToString());
        }
    }

    [Fact]
    public async Task What_is_restored_goes_on_with_keys_and_numbers_and_meets_nothing_of_the_original()
    {
        const string body = """{"records":[{"value":{"id":1,"batch":1,"val":1}}]}""";
        var oracle = new CrashOracle(hasAppends: false);
        string first, later, sink, table;
        await using (var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation, Environment))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            await oracle.CreateAsync(api, Cancellation);
            sink = oracle.SinkId;
            first = (await SendAsync(server, api, sink, "key-1", body)).Json["request_id"]!.GetValue<string>();
            await api.PostAsync($"v2/sinks/{sink}?wait=loaded", body, Cancellation);
            var command = await CommandLineRun.RunAsync(
                _directory.Path, ServerProcess.Password + "\n", Cancellation, "login", ServerProcess.Email, "--password-stdin", "--url", $"http://127.0.0.1:{server.HttpPort}");
            Assert.True(command.ExitCode == 0, command.Errors);
            var backup = await CommandLineRun.RunAsync(_directory.Path, null, Cancellation, "backup", "create", "cli");
            Assert.True(backup.ExitCode == 0, backup.Errors);
            Assert.Contains("table events  complete up to sequence", backup.Output.ReplaceLineEndings(" "), StringComparison.Ordinal);
            Assert.Contains("cli", (await CommandLineRun.RunAsync(_directory.Path, null, Cancellation, "backup", "list")).Output, StringComparison.Ordinal);
            later = (await api.PostAsync($"v2/sinks/{sink}?wait=loaded", body, Cancellation)).Json["request_id"]!.GetValue<string>();
            table = Path.GetFileName(Directory.GetDirectories(Path.Combine(Data, "logs")).Single());
            await server.StopAsync(Cancellation);
        }

        var target = Path.Combine(_directory.Path, "restored");
        Assert.Equal(ExitCode.Stopped, (await MaintenanceRun.RunAsync("restore", "--from", Path.Combine(Root, "cli"), "--data", target)).Code);
        await using (var server = await ServerProcess.StartAsync(target, "Sluice.Server", Cancellation))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            Assert.Equal(first, (await SendAsync(server, api, sink, "key-1", body)).Json["request_id"]!.GetValue<string>());
            Assert.Equal(HttpStatusCode.OK, (await api.GetAsync($"v2/sinks/{sink}/requests/{first}", Cancellation)).Status);
            Assert.Equal(HttpStatusCode.NotFound, (await api.GetAsync($"v2/sinks/{sink}/requests/{later}", Cancellation)).Status); // taken after the backup
            var next = (await api.PostAsync($"v2/sinks/{sink}?wait=loaded", body, Cancellation)).Json["request_id"]!.GetValue<string>();
            Assert.Equal(first.Split('-')[0], next.Split('-')[0]);
            Assert.True(Convert.ToUInt64(next.Split('-')[1], 16) > uint.MaxValue);
            var ledger = await api.WaitLoadedAsync(sink, Cancellation);
            Assert.Equal((3, 3, 0), (ledger["accepted"]!.GetValue<int>(), ledger["loaded"]!.GetValue<int>(), ledger["lost"]!.GetValue<int>()));
            await server.StopAsync(Cancellation);
        }

        // the original's database and the original's log do not fit
        var database = Path.GetRelativePath(Data, Directory.GetFiles(Path.Combine(Data, "databases"), "*.duckdb").Single());
        File.Copy(Path.Combine(Data, database), Path.Combine(target, database), overwrite: true);
        var mixed = await MaintenanceRun.RunAsync("check", "--data", target);
        Assert.Equal(ExitCode.DamagedData, mixed.Code);
        Assert.Contains("do not belong together", mixed.Output, StringComparison.Ordinal);
        await using var refused = ServerProcess.Start(target, "Sluice.Server");
        Assert.Equal(4, await refused.WaitForExitAsync(Cancellation));
        Assert.Contains("do not belong together", refused.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_backup_holds_no_secret_is_closed_to_others_and_a_damaged_one_is_refused()
    {
        string key, invite, refresh;
        await using (var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation, Environment))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            await new CrashOracle(hasAppends: false).CreateAsync(api, Cancellation);
            key = (await api.PostAsync("v2/users/current/keys", """{"description":"canary"}""", Cancellation)).Json["secret"]!.GetValue<string>();
            invite = (await api.PostAsync("v2/invites", """{"email":"ann@x.org"}""", Cancellation)).Json["token"]!.GetValue<string>();
            refresh = (await api.PostAsync("", $$"""{"USERNAME":"{{ServerProcess.Email}}","PASSWORD":"{{ServerProcess.Password}}"}""", Cancellation)).Json["AuthenticationResult"]!["RefreshToken"]!.GetValue<string>();
            foreach (var name in new[] { "..", "../x", "a/b", "", ".hidden", "a\\b", new string('x', 101), "x\n" })
                Assert.Equal((HttpStatusCode.BadRequest, "InvalidParameter"), await CodeAsync(api, new JsonObject { ["name"] = name }.ToJsonString()));
            Assert.Equal(HttpStatusCode.Created, (await api.PostAsync("v2/backups", """{"name":"b"}""", Cancellation)).Status);
            Assert.Equal((HttpStatusCode.Conflict, "ResourceAlreadyExists"), await CodeAsync(api, """{"name":"b"}"""));
            Directory.CreateSymbolicLink(Path.Combine(Root, "link"), _directory.Path);
            Assert.Equal((HttpStatusCode.Conflict, "ResourceAlreadyExists"), await CodeAsync(api, """{"name":"link"}"""));
            Directory.Delete(Path.Combine(Root, "link"));
            Directory.Move(Root, Root + "-elsewhere");
            Directory.CreateSymbolicLink(Root, Root + "-elsewhere");
            Assert.Equal((HttpStatusCode.Conflict, "IncorrectState"), await CodeAsync(api, """{"name":"c"}"""));
            Directory.Delete(Root);
            Directory.Move(Root + "-elsewhere", Root);
            Assert.Equal(["b"], Directory.GetFileSystemEntries(Root).Select(Path.GetFileName));
        }

        var backup = Path.Combine(Root, "b");
        Assert.False(Directory.Exists(Path.Combine(backup, "keys")));
        foreach (var file in Directory.EnumerateFiles(backup, "*", SearchOption.AllDirectories))
        {
            var text = Encoding.Latin1.GetString(await File.ReadAllBytesAsync(file, Cancellation));
            Assert.All([ServerProcess.Password, key, invite, refresh], secret => Assert.DoesNotContain(secret, text, StringComparison.Ordinal));
            var isPublic = file.EndsWith(".crt", StringComparison.Ordinal);
            Assert.True(isPublic || File.GetUnixFileMode(file) == (UnixFileMode.UserRead | UnixFileMode.UserWrite), $"{file}: {File.GetUnixFileMode(file)}");
        }
        Assert.Contains(ServerProcess.Email, Encoding.Latin1.GetString(await File.ReadAllBytesAsync(Path.Combine(backup, "catalog.sqlite"), Cancellation)), StringComparison.Ordinal); // what is searched can be found

        var target = Path.Combine(_directory.Path, "restored");
        var files = Directory.EnumerateFiles(backup, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).ToList();
        foreach (var file in files)
        {
            var good = await File.ReadAllBytesAsync(file, Cancellation);
            File.Delete(file);
            await RefusedAsync(backup, target, Path.GetFileName(file));
            var bad = good.ToArray();
            bad[bad.Length / 2] ^= 1;
            await File.WriteAllBytesAsync(file, bad, Cancellation);
            await RefusedAsync(backup, target, Path.GetFileName(file));
            await File.WriteAllBytesAsync(file, good, Cancellation);
        }
        await File.WriteAllTextAsync(Path.Combine(backup, "logs", "extra"), "x", Cancellation);
        await RefusedAsync(backup, target, "is not of the backup");
        File.Delete(Path.Combine(backup, "logs", "extra"));
        File.CreateSymbolicLink(Path.Combine(backup, "tls", "link"), "/etc/passwd");
        await RefusedAsync(backup, target, "is a link");
        File.Delete(Path.Combine(backup, "tls", "link"));

        Assert.Equal(ExitCode.BadOptions, (await MaintenanceRun.RunAsync("restore", "--from", backup, "--data", _directory.Path)).Code); // not empty
        var restored = await MaintenanceRun.RunAsync("restore", "--from", backup, "--data", target); // the control: put right again, it is taken
        Assert.True(restored.Code == ExitCode.Stopped, restored.Output);
        Assert.Equal(ExitCode.BadOptions, (await MaintenanceRun.RunAsync("restore", "--from", backup, "--data", target)).Code);
        await File.WriteAllTextAsync(Path.Combine(target, "restore.unfinished"), "", Cancellation); // as a restore that was killed leaves it
        await using var half = ServerProcess.Start(target, "Sluice.Server");
        Assert.Equal(4, await half.WaitForExitAsync(Cancellation));
    }

    static async Task RefusedAsync(string backup, string target, string what)
    {
        var refused = await MaintenanceRun.RunAsync("restore", "--from", backup, "--data", target);
        Assert.True(refused.Code == ExitCode.DamagedData, $"{what}: {refused}");
        Assert.True(what == "manifest.sha256" || refused.Output.Contains(what, StringComparison.Ordinal), $"{what} is not named: {refused.Output}");
        Assert.False(Directory.Exists(target));
    }

    static async Task<(HttpStatusCode, string)> CodeAsync(ApiClient api, string body)
    {
        var answer = await api.PostAsync("v2/backups", body, Cancellation);
        return (answer.Status, answer.Json["code"]?.GetValue<string>() ?? "");
    }

    static async Task<Answer> SendAsync(ServerProcess server, ApiClient api, string sink, string key, string body)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{server.HttpPort}/v2/sinks/{sink}?wait=loaded") { Content = new StringContent(body) };
        request.Headers.Add("Authorization", $"Bearer {api.Token}");
        request.Headers.Add("Idempotency-Key", key);
        using var response = await http.SendAsync(request, Cancellation);
        return new Answer(response.StatusCode, await response.Content.ReadAsStringAsync(Cancellation));
    }
}
