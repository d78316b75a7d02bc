using System.Globalization;
using System.Net;
using Microsoft.Data.Sqlite;
using Sluice.IntegrationTests.Faults;
using Sluice.IntegrationTests.Server;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Recovery;

/// <summary>The catalogue's checksum: damage is told after a kill, and a kill is never taken for damage.</summary>
public sealed class CatalogSumTests(ITestOutputHelper output) : IDisposable
{
    // Of a change: the write-ahead log is written and synced, then the mark is written beside, synced and renamed; at a checkpoint the file is written
    static readonly string[] s_calls = ["pwrite64", "fsync", "fdatasync", "rename"];

    readonly TemporaryDirectory _directory = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    string Data => Path.Combine(_directory.Path, "data");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_kill_at_any_call_of_a_change_is_no_damage_and_loses_no_change()
    {
        FaultTools.Need(root: true, "strace");
        var acknowledged = new List<string>();
        var met = 0;
        var points = s_calls.SelectMany(call => Enumerable.Range(1, FaultTools.IsLong ? 30 : 1).Select(n => (Call: call, Number: FaultTools.IsLong ? n * 3 : 12))).ToList();
        foreach (var (call, number) in points)
        {
            await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation); // refused if the last kill looks like damage
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            await AssertKnownAsync(api, acknowledged);
            using var strace = FaultTools.Start(
                "strace", "-f", "-qq", "-o", "/dev/null", "-p", server.Id.ToString(CultureInfo.InvariantCulture), "-e", $"trace={call}",
                "-e", string.Create(CultureInfo.InvariantCulture, $"inject={call}:signal=KILL:when={number}"));
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            stop.CancelAfter(TimeSpan.FromSeconds(6));
            var known = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => ChangeUntilGoneAsync(api, stop.Token)));
            if (!stop.IsCancellationRequested) met++;
            acknowledged.AddRange(known.SelectMany(paths => paths));
            await server.KillAsync();
            await strace.WaitForExitAsync(Cancellation);
            var check = await MaintenanceRun.RunAsync("check", "--data", Data);
            Assert.True(check.Code == ExitCode.Stopped, $"{call} {number}: {check.Output}");
        }
        output.WriteLine($"{met} of {points.Count} points met, {acknowledged.Count} changes acknowledged");
        Assert.True(met > 0 && acknowledged.Count > 0, $"{met} of {points.Count} points met, {acknowledged.Count} changes");
        await using var last = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
        using var reader = await ApiClient.LoginAsync(last.HttpPort, Cancellation);
        await AssertKnownAsync(reader, acknowledged);
    }

    [Fact]
    public async Task A_change_that_the_write_ahead_log_has_lost_is_missed_because_of_the_mark()
    {
        await FillAndKillAsync();
        var log = Path.Combine(Data, "catalog.sqlite-wal");
        await using (var file = new FileStream(log, FileMode.Open, FileAccess.ReadWrite))
        {
            file.Position = file.Length / 2;
            var value = file.ReadByte();
            file.Position--;
            file.WriteByte((byte)(value ^ 1));
        }
        Assert.Matches("change [0-9]+ was acknowledged|checksum", (await MaintenanceRun.RunAsync("check", "--data", Data)).Output);
        await using (var refused = ServerProcess.Start(Data, "Sluice.Server")) Assert.Equal(4, await refused.WaitForExitAsync(Cancellation));

        File.Delete(Path.Combine(Data, "catalog.mark")); // the control: SQLite alone takes what is left for all there is
        Assert.DoesNotContain("catalog.sqlite is damaged", (await MaintenanceRun.RunAsync("check", "--data", Data)).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_row_that_was_changed_lost_or_added_past_the_checksum_is_told()
    {
        await FillAndKillAsync();
        Assert.Equal(ExitCode.Stopped, (await MaintenanceRun.RunAsync("check", "--data", Data)).Code); // the control
        foreach (var damage in new[]
        {
            "UPDATE databases SET Owner = Owner || 'x'", "UPDATE databases SET UpdatedAt = NULL WHERE 1 = 0; UPDATE columns SET Name = 'other' WHERE ColumnId = 1", "DELETE FROM columns WHERE ColumnId = 1",
            "UPDATE catalog_sum SET changes = changes + 1", "DELETE FROM \"__EFMigrationsHistory\" WHERE MigrationId = (SELECT max(MigrationId) FROM \"__EFMigrationsHistory\")", "DROP INDEX \"IX_databases_Name\"",
        })
        {
            var copy = Path.Combine(_directory.Path, "copy");
            MaintenanceRun.CopyDirectory(Data, copy);
            await using (var catalog = new SqliteConnection($"Data Source={Path.Combine(copy, "catalog.sqlite")};Pooling=False"))
            {
                await catalog.OpenAsync(Cancellation);
                CatalogSumFunction(catalog);
                await using var command = catalog.CreateCommand();
                command.CommandText = damage;
                await command.ExecuteNonQueryAsync(Cancellation);
            }
            var check = await MaintenanceRun.RunAsync("check", "--data", copy);
            Assert.True(check.Code == ExitCode.DamagedData && check.Output.Contains("catalog.sqlite is damaged", StringComparison.Ordinal), $"{damage}: {check.Output}");
            Directory.Delete(copy, recursive: true);
        }
    }

    /// <summary>The triggers call it, and get nothing right.</summary>
    static void CatalogSumFunction(SqliteConnection connection) => connection.CreateFunction<long>("sluice_sum", static (object?[] arguments) => (long)arguments[0]!);

    async Task FillAndKillAsync()
    {
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        foreach (var name in new[] { "one", "two", "three" })
        {
            var database = await api.CreateAsync("v2/databases", $$"""{"name":"{{name}}"}""", Cancellation);
            await api.CreateAsync($"v2/tables/{database}", """{"name":"events","options":{"keys":false}}""", Cancellation);
            await api.CreateAsync($"v2/tables/{database}/events/fields/val", """{"options":{"type":"int"}}""", Cancellation);
        }
        await server.KillAsync();
    }

    /// <returns>Paths of what was acknowledged and is there for ever.</returns>
    static async Task<List<string>> ChangeUntilGoneAsync(ApiClient api, CancellationToken stop)
    {
        var known = new List<string>();
        try
        {
            while (true)
            {
                var key = await api.PostAsync("v2/users/current/keys", """{"description":"a"}""", stop);
                if (key.Status != HttpStatusCode.Created) continue;
                var path = $"v2/users/current/keys/{key.Json["id"]!.GetValue<string>()}";
                known.Add(path);
                await api.PutAsync(path, """{"description":"b"}""", stop);
                var database = await api.PostAsync("v2/databases", $$"""{"name":"d{{Guid.NewGuid():n}}"}""", stop);
                if (database.Status == HttpStatusCode.Created) known.Add($"v2/databases/{database.Json["id"]!.GetValue<string>()}");
            }
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
        {
            return known;
        }
    }

    static async Task AssertKnownAsync(ApiClient api, IReadOnlyCollection<string> acknowledged)
    {
        foreach (var path in acknowledged.TakeLast(100)) Assert.Equal(HttpStatusCode.OK, (await api.GetAsync(path, Cancellation)).Status);
    }
}
