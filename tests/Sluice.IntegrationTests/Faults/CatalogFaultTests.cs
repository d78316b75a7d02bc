using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using Sluice.IntegrationTests.Server;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Faults;

/// <summary>
/// The catalogue is cut, overwritten or taken away while the server runs. Nobody is told what is not so: a call is answered as ever or with 503. Afterwards the server starts with every change it
/// acknowledged, or refuses in a sentence; and with the catalogue put back every acknowledged record is in its table, once.
/// </summary>
public sealed class CatalogFaultTests(ITestOutputHelper output)
{
    // callers are remembered for 5 s: until then the catalogue is not asked who they are
    static readonly TimeSpan s_long = TimeSpan.FromSeconds(8);

    static readonly byte[] s_garbage = [.. Enumerable.Repeat((byte)0xa5, 200_000)];

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>What is done to the files, and whether calls must be refused for it; else they may be.</summary>
    static readonly Dictionary<string, (Action<string> Damage, bool MustRefuse)> s_faults = new()
    {
        ["nothing: the control"] = (_ => { }, false),
        ["overwritten"] = (file => Overwrite(file), false),
        ["overwritten with its log"] = (file => { Overwrite(file); Overwrite(file + "-wal"); }, true),
        ["cut"] = (file => Cut(file, new FileInfo(file).Length / 2), false),
        ["cut within a page, with its log"] = (file => { Cut(file, 5_000); Cut(file + "-wal", 5_000); }, true),
        ["emptied, with its log"] = (file => { Cut(file, 0); Cut(file + "-wal", 0); }, true),
        ["its log overwritten"] = (file => Overwrite(file + "-wal"), false),
        ["its log emptied"] = (file => Cut(file + "-wal", 0), false),
        ["renamed"] = (file => File.Move(file, file + ".away"), false),
        ["renamed with its log"] = (file => { File.Move(file, file + ".away"); File.Move(file + "-wal", file + "-wal.away"); }, false),
        ["another in its place"] = (file => { File.WriteAllBytes(file + ".new", s_garbage); File.Move(file + ".new", file, overwrite: true); }, false),
        ["a directory in its place"] = (file => { File.Move(file, file + ".away"); Directory.CreateDirectory(file); }, false),
    };

    public static TheoryData<string, bool> Faults()
    {
        var all = new TheoryData<string, bool>();
        foreach (var (name, at) in s_faults.Keys.Select((name, at) => (name, at)))
        {
            if (FaultTools.IsLong || at % 3 == 0) all.Add(name, at % 2 == 0);
            if (FaultTools.IsLong) all.Add(name, at % 2 != 0);
        }
        return all;
    }

    [Theory, MemberData(nameof(Faults))]
    public async Task A_catalogue_that_is_damaged_under_the_server_costs_no_acknowledged_record(string fault, bool isKilled)
    {
        var (damage, mustRefuse) = s_faults[fault];
        using var parent = new TemporaryDirectory();
        var (data, sound) = (Path.Combine(parent.Path, "data"), Path.Combine(parent.Path, "sound.sqlite"));
        var catalog = Path.Combine(data, "catalog.sqlite");
        var acknowledged = new ConcurrentBag<int>();
        var answers = new ConcurrentDictionary<string, int>();
        HashSet<string> organization = ["before"]; // what was acknowledged last, and what may have been done since
        string sink, database;

        await using (var server = await ServerProcess.StartAsync(data, "Sluice.Server", Cancellation))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            database = await api.CreateAsync("v2/databases", """{"name":"db"}""", Cancellation);
            await api.CreateAsync($"v2/tables/{database}", """{"name":"t","options":{"auto_id":true,"keys":false},"fields":[{"name":"n","options":{"type":"int"}}]}""", Cancellation);
            sink = await api.CreateAsync("v2/sinks", $$$"""
                {"name":"s","sink_details":{"database_id":"{{{database}}}","table":"t"},"schema":{"allow_missing_fields":true,"definition":[{"name":"n","path":["n"]}]}}
                """, Cancellation);
            using var key = new ApiClient(server.HttpPort);
            key.UseToken((await api.PostAsync("v2/users/current/keys", $$"""{"role":"IngestKey","sinks":["{{sink}}"]}""", Cancellation)).Json["secret"]!.GetValue<string>());
            Assert.Equal(HttpStatusCode.OK, (await api.PutAsync("v2/orgs/current", """{"name":"before"}""", Cancellation)).Status);
            await SendAsync(api, 0);
            SaveCatalog(catalog, sound);

            damage(catalog);

            using var over = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            over.CancelAfter(s_long);
            var next = 1;
            await Task.WhenAll(
                RepeatAsync(() => SendAsync(api, Interlocked.Increment(ref next))),
                RepeatAsync(() => SendAsync(key, Interlocked.Increment(ref next))),
                RepeatAsync(async () =>
                {
                    foreach (var path in new[] { "v2/databases", "v2/users", "v2/keys", "v2/sinks", $"v2/sinks/{sink}", $"v2/sinks/{sink}/quarantine", $"v2/sinks/{sink}/mappings", "v2/audit", "metrics", "health/live" }) Check($"GET {path}", await api.GetAsync(path, Cancellation));
                    foreach (var (path, body) in new[] { ("", $$"""{"USERNAME":"{{ServerProcess.Email}}","PASSWORD":"{{ServerProcess.Password}}"}"""), ($"v2/databases/{database}/query/sql", "SELECT COUNT(*) FROM t"), ("v2/invites", $$"""{"email":"{{Guid.NewGuid()}}@x.org"}""") })
                        Check($"POST {path}", await api.PostAsync(path, body, Cancellation));
                }),
                RepeatAsync(async () =>
                {
                    var name = Guid.NewGuid().ToString();
                    if (Check("PUT v2/orgs/current", await api.PutAsync("v2/orgs/current", $$"""{"name":"{{name}}"}""", Cancellation))) organization.Clear();
                    organization.Add(name);
                }));

            Assert.False(server.HasExited, server.Output);
            Assert.DoesNotContain(" crit: ", server.Output, StringComparison.Ordinal);
            if (isKilled) await server.KillAsync();
            else Assert.Equal((int)ExitCode.Stopped, await server.StopAsync(Cancellation));

            async Task RepeatAsync(Func<Task> act)
            {
                while (!over.IsCancellationRequested)
                {
                    await act();
                    await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, Cancellation);
                }
            }

            async Task SendAsync(ApiClient from, int n)
            {
                if (Check("ingest", await from.PostAsync($"v2/sinks/{sink}", $$$"""{"records":[{"value":{"n":{{{n}}}}}]}""", Cancellation))) acknowledged.Add(n);
            }
        }
        output.WriteLine($"{fault}: {string.Join(", ", answers.OrderBy(answer => answer.Key).Select(answer => $"{answer.Key} {answer.Value}"))}");
        var refused = answers.Where(answer => answer.Key.EndsWith("503", StringComparison.Ordinal)).Sum(answer => answer.Value);
        Assert.True(refused > 0 || !mustRefuse, "nothing was refused");
        if (fault.StartsWith("nothing", StringComparison.Ordinal)) Assert.Equal(0, refused);

        // as it was left
        await using (var left = ServerProcess.Start(data, "Sluice.Server"))
        {
            if (await left.IsReadyAsync(Cancellation))
            {
                output.WriteLine("then: starts");
                using var api = await ApiClient.LoginAsync(left.HttpPort, Cancellation);
                Assert.Contains((await api.GetAsync("v2/orgs/current", Cancellation)).Json["name"]!.GetValue<string>(), organization);
                await AssertRecordsAsync(api);
                Assert.Equal((int)ExitCode.Stopped, await left.StopAsync(Cancellation));
            }
            else
            {
                output.WriteLine($"then: {left.Output}");
                Assert.Equal((int)ExitCode.DamagedData, await left.WaitForExitAsync(Cancellation));
                Assert.Contains("catalog.sqlite", left.Output, StringComparison.Ordinal);
                Assert.False(fault.StartsWith("nothing", StringComparison.Ordinal), left.Output);
            }
        }

        // a copy of one's own, as docs/operations.md has it
        if (Directory.Exists(catalog)) Directory.Delete(catalog);
        foreach (var file in Directory.EnumerateFiles(data, "catalog.*")) File.Delete(file);
        File.Copy(sound, catalog);
        await using var restored = await ServerProcess.StartAsync(data, "Sluice.Server", Cancellation);
        using (var api = await ApiClient.LoginAsync(restored.HttpPort, Cancellation))
        {
            Assert.Equal("before", (await api.GetAsync("v2/orgs/current", Cancellation)).Json["name"]!.GetValue<string>());
            await AssertRecordsAsync(api);
        }

        bool Check(string call, Answer answer)
        {
            var status = (int)answer.Status;
            answers.AddOrUpdate($"{call} {status}", 1, (_, count) => count + 1);
            if (status < 300) return true;
            Assert.True(status == 503, $"{call}: {status} {answer.Text}");
            var body = JsonElement.Parse(answer.Text);
            Assert.Equal(("ServiceUnavailable", "unavailable"), (body.GetProperty("code").GetString(), body.GetProperty("cause").GetString()));
            return false;
        }

        async Task AssertRecordsAsync(ApiClient api)
        {
            var ledger = await api.WaitLoadedAsync(sink, Cancellation);
            long Count(string name) => ledger[name]!.GetValue<long>();
            Assert.True(Count("received") == Count("accepted") && Count("accepted") == Count("loaded") && Count("pending") == 0, ledger.ToJsonString());
            var counts = (await api.QueryAsync(database, "SELECT n, COUNT(*) FROM t GROUP BY n", Cancellation)).ToDictionary(row => row![0]!.GetValue<int>(), row => row![1]!.GetValue<int>());
            Assert.All(acknowledged, n => Assert.Equal(1, counts.GetValueOrDefault(n)));
            Assert.All(counts.Values, count => Assert.Equal(1, count));
        }
    }

    /// <summary>A whole copy, whatever stands in the write-ahead log still.</summary>
    static void SaveCatalog(string catalog, string copy)
    {
        using (var from = new SqliteConnection($"Data Source={catalog};Pooling=False"))
        using (var to = new SqliteConnection($"Data Source={copy};Pooling=False"))
        {
            from.Open();
            to.Open();
            from.BackupDatabase(to);
        }
    }

    static void Overwrite(string file)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        stream.Write(s_garbage.AsSpan(0, (int)Math.Min(s_garbage.Length, stream.Length)));
    }

    static void Cut(string file, long length)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        stream.SetLength(Math.Min(length, stream.Length));
    }
}
