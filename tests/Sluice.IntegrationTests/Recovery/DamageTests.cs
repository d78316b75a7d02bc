using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using DuckDB.NET.Data;
using Microsoft.Data.Sqlite;
using Sluice.IntegrationTests.Server;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Recovery;

/// <summary>Damage to the files of a real data directory: what is told, what is closed, and what a repair or a rebuild leaves.</summary>
public sealed class DamageTests(ITestOutputHelper output) : IDisposable
{
    const int Batches = 40;
    const int BatchRecords = 50;

    static readonly (string, string)[] Small = [("Sluice__Storage__SegmentBytes", "4000")];

    static readonly Lazy<Task<(string Data, Filled First, Filled Second)>> s_stopped = new(FillOnceAsync);

    readonly TemporaryDirectory _directory = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    static bool IsLong => System.Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1";

    string Data => Path.Combine(_directory.Path, "data");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_flipped_bit_in_any_file_of_records_is_found_by_check_or_changes_nothing()
    {
        var (first, second) = await FillAsync(kill: true);
        var baseline = await MaintenanceRun.RunAsync("check", "--data", Data);
        Assert.True(baseline.Code == ExitCode.Stopped, baseline.Output);
        var seed = System.Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var content = ContentOf(Data);
        foreach (var kind in Files(Data).GroupBy(KindOf))
        {
            // the length of an entry that points past the end looks like a torn tail to DuckDB: what stood behind it comes from the log again
            var (detected, harmless, reloaded, silent) = (0, 0, 0, new List<string>());
            var files = kind.ToList();
            for (var flip = 0; flip < (IsLong ? 300 : 25); flip++)
            {
                var path = files[random.Next(files.Count)];
                var good = await File.ReadAllBytesAsync(path, Cancellation);
                if (good.Length == 0) continue;
                var (at, bit) = (random.Next(good.Length), random.Next(8));
                await FlipAsync(path, at, bit);
                var check = await MaintenanceRun.RunAsync("check", "--data", Data);
                if (check.Code == ExitCode.DamagedData) detected++;
                else if (check.Output == baseline.Output && ContentOf(Data) == content) harmless++;
                else if (kind.Key == "database write-ahead logs" && check.Code == ExitCode.Stopped && await QueryCopyAsync(first, second) is null) reloaded++;
                else silent.Add($"{Path.GetFileName(path)}, bit {bit} of byte {at}: {check.Output}");
                await FlipAsync(path, at, bit);
            }
            output.WriteLine($"{kind.Key}: {detected} detected, {harmless} harmless, {reloaded} reloaded, {silent.Count} silent");
            Assert.True(silent.Count == 0, $"{kind.Key}: {string.Join('\n', silent)}");
        }
        Assert.Equal(baseline, await MaintenanceRun.RunAsync("check", "--data", Data)); // looking has changed nothing
    }

    /// <summary>Rows that are in blocks of the file and not in its write-ahead log: read by a check, and by queries of a server that has started on them.</summary>
    [Fact]
    public async Task A_flipped_bit_in_a_checkpointed_database_is_told_or_changes_nothing_and_the_table_is_rebuilt()
    {
        var (filled, _) = await FillAsync(kill: false); // an orderly stop checkpoints
        var path = Path.Combine(Data, "databases", $"{filled.Database}.duckdb");
        Assert.False(File.Exists(path + ".wal"));
        var seed = System.Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var baseline = await MaintenanceRun.RunAsync("check", "--data", Data);
        var content = ContentOf(Data);
        var length = (int)new FileInfo(path).Length;
        var (told, harmless, silent, started) = (0, 0, new List<string>(), 0);
        var last = (At: 0, Bit: 0);
        for (var flip = 0; flip < (IsLong ? 2_000 : 40); flip++)
        {
            var (at, bit) = (random.Next(length), random.Next(8));
            await FlipAsync(path, at, bit);
            var check = await MaintenanceRun.RunAsync("check", "--data", Data);
            if (check.Code == ExitCode.DamagedData) told++;
            else if (check.Output == baseline.Output && ContentOf(Data) == content) harmless++;
            else silent.Add($"bit {bit} of byte {at}: {check.Output}");
            if (check.Code == ExitCode.DamagedData && started < (IsLong ? 50 : 3))
            {
                started++;
                if (await QueryCopyAsync(filled) is { } wrong) silent.Add($"bit {bit} of byte {at}, a server: {wrong}");
            }
            if (check.Code == ExitCode.DamagedData) last = (at, bit);
            await FlipAsync(path, at, bit);
        }
        output.WriteLine($"{length} bytes: {told} told, {harmless} harmless, {silent.Count} silent");
        Assert.True(silent.Count == 0, string.Join('\n', silent));
        Assert.True(told > 0, "no flip met what is in use");

        await FlipAsync(path, last.At, last.Bit);
        Assert.Equal(ExitCode.Stopped, (await MaintenanceRun.RunAsync("rebuild", "--data", Data, "--database", filled.Database, "--apply")).Code);
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var ledger = await api.WaitLoadedAsync(filled.Sink, Cancellation);
        Assert.Equal((Batches * BatchRecords, 0), (ledger["loaded"]!.GetValue<int>(), ledger["lost"]!.GetValue<int>()));
        Assert.Equal(Batches * BatchRecords, await CountAsync(api, filled.Database));
    }

    /// <summary>Of a server on a copy: it writes.</summary>
    /// <returns><c>null</c>: the server did not start, its queries were refused, or they gave the right rows.</returns>
    async Task<string?> QueryCopyAsync(params Filled[] tables)
    {
        var copy = Path.Combine(_directory.Path, "started");
        MaintenanceRun.CopyDirectory(Data, copy);
        try
        {
            return await QueryAsync(copy, tables);
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
        }
    }

    static async Task<string?> QueryAsync(string data, Filled[] tables)
    {
        await using var server = ServerProcess.Start(data, "Sluice.Server");
        try
        {
            await server.WaitReadyAsync(Cancellation);
        }
        catch (Exception) when (server.HasExited)
        {
            return null;
        }
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        const long records = Batches * BatchRecords;
        const long ids = records * (records - 1) / 2;
        foreach (var table in tables)
        {
            if ((await api.GetAsync($"v2/sinks/{table.Sink}/ledger", Cancellation)).Status != HttpStatusCode.OK) continue; // closed
            await api.WaitLoadedAsync(table.Sink, Cancellation);
            var answer = await api.PostAsync($"v2/databases/{table.Database}/query/sql", "SELECT COUNT(*) AS n, SUM(val) AS total, SUM(_id) AS ids FROM events", Cancellation);
            if (answer.Status != HttpStatusCode.OK || answer.Json["error"] is not null) continue;
            if (!answer.Json["data"]![0]!.AsArray().Select(value => value!.GetValue<long>()).SequenceEqual([records, ids * 7, ids])) return answer.Text;
        }
        return null;
    }

    [Fact]
    public async Task A_flipped_bit_in_the_catalogue_of_a_server_that_was_stopped_is_found()
    {
        await FillAsync(kill: false);
        var path = Path.Combine(Data, "catalog.sqlite");
        var random = new Random();
        var length = (int)new FileInfo(path).Length;
        for (var flip = 0; flip < (IsLong ? 1_000 : 100); flip++)
        {
            var (at, bit) = (random.Next(length), random.Next(8));
            await FlipAsync(path, at, bit);
            var check = await MaintenanceRun.RunAsync("check", "--data", Data);
            Assert.True(check.Code == ExitCode.DamagedData && check.Output.Contains("catalog.sqlite", StringComparison.Ordinal), $"bit {bit} of byte {at}: {check.Output}");
            if (flip == 0)
            {
                await using var refused = ServerProcess.Start(Data, "Sluice.Server");
                Assert.Equal(4, await refused.WaitForExitAsync(Cancellation));
            }
            await FlipAsync(path, at, bit);
        }
        await using (var sound = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation)) await sound.KillAsync(); // the control; and killed it may go on without a seal
        await using var again = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
    }

    [Fact]
    public async Task A_damaged_database_costs_its_own_tables_and_is_rebuilt_from_the_log()
    {
        var (damaged, other) = await FillAsync(kill: false);
        var file = Path.Combine(Data, "databases", $"{damaged.Database}.duckdb");
        await File.WriteAllBytesAsync(file, new byte[20_000], Cancellation);
        await using (var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            Assert.Equal($"database {damaged.Database} is damaged", (await api.GetAsync("health/ready", Cancellation)).Json["degraded"]![0]!.GetValue<string>());
            Assert.Contains("TableClosed", server.Output, StringComparison.Ordinal);
            foreach (var refused in new[]
            {
                await api.PostAsync($"v2/sinks/{damaged.Sink}", Body(1), Cancellation),
                await api.GetAsync($"v2/sinks/{damaged.Sink}/ledger", Cancellation),
                await api.GetAsync($"v2/tables/{damaged.Database}/events/ledger", Cancellation),
                await api.PostAsync($"v2/databases/{damaged.Database}/query/sql", "SELECT COUNT(*) FROM events", Cancellation),
                await api.PostAsync($"v2/tables/{damaged.Database}/events/fields/more", """{"options":{"type":"int"}}""", Cancellation),
            })
                Assert.True(refused.Status == HttpStatusCode.ServiceUnavailable && refused.Json["cause"]!.GetValue<string>() == "database_damaged", refused.Text);
            Assert.Equal(HttpStatusCode.OK, (await api.GetAsync($"v2/tables/{damaged.Database}", Cancellation)).Status); // the catalogue goes on
            Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{other.Sink}?wait=loaded", Body(1_000), Cancellation)).Status);
            Assert.Equal(Batches * BatchRecords + BatchRecords, await CountAsync(api, other.Database));
            await server.StopAsync(Cancellation);
        }

        var plan = await MaintenanceRun.RunAsync("rebuild", "--data", Data, "--database", damaged.Database);
        Assert.Equal(ExitCode.DamagedData, plan.Code);
        Assert.Contains("is complete", plan.Output, StringComparison.Ordinal);
        Assert.Equal(20_000, new FileInfo(file).Length);
        Assert.Equal(ExitCode.Stopped, (await MaintenanceRun.RunAsync("rebuild", "--data", Data, "--database", damaged.Database, "--apply")).Code);
        Assert.Single(Directory.GetFiles(Path.Combine(Data, "dropped", "databases")));
        await using (var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            var ledger = await api.WaitLoadedAsync(damaged.Sink, Cancellation);
            Assert.Equal((Batches * BatchRecords, 0), (ledger["loaded"]!.GetValue<int>(), ledger["lost"]!.GetValue<int>()));
            Assert.Equal(Batches * BatchRecords, await CountAsync(api, damaged.Database));
        }
    }

    [Fact]
    public async Task A_damaged_log_is_repaired_on_demand_alone_and_the_ledger_adds_up()
    {
        var (table, _) = await FillAsync(kill: false);
        var log = Path.Combine(Data, "logs", table.Table);
        var segment = Directory.GetFiles(log, "segment-*").Order(StringComparer.Ordinal).ElementAt(3);
        await FlipAsync(segment, 1_000, 3);
        await using (var refused = ServerProcess.Start(Data, "Sluice.Server"))
        {
            Assert.Equal(4, await refused.WaitForExitAsync(Cancellation));
            Assert.Matches($"{Path.GetFileName(segment)}: offset [0-9]+: ", refused.Output);
        }
        var files = Files(Data).ToDictionary(path => path, File.ReadAllBytes);
        var plan = await MaintenanceRun.RunAsync("repair", "--data", Data);
        Assert.Equal(ExitCode.DamagedData, plan.Code);
        Assert.Contains($"would drop {segment}: offset", plan.Output, StringComparison.Ordinal);
        Assert.All(files, file => Assert.Equal(file.Value, File.ReadAllBytes(file.Key)));

        var done = await MaintenanceRun.RunAsync("repair", "--data", Data, "--apply");
        Assert.True(done.Code == ExitCode.Stopped, done.Output);
        Assert.Single(Directory.GetDirectories(Path.Combine(Data, "dropped", "logs")));
        Assert.Equal(ExitCode.Stopped, (await MaintenanceRun.RunAsync("repair", "--data", Data)).Code);
        var check = await MaintenanceRun.RunAsync("check", "--data", Data);
        Assert.True(check.Code == ExitCode.Stopped, check.Output);
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{table.Sink}?wait=loaded", Body(2_000), Cancellation)).Status);
        var ledger = await api.WaitLoadedAsync(table.Sink, Cancellation);
        Assert.Equal(
            (Batches * BatchRecords + BatchRecords, Batches * BatchRecords + BatchRecords, 0, 0), // the database has what the log lost
            (ledger["accepted"]!.GetValue<int>(), ledger["loaded"]!.GetValue<int>(), ledger["pending"]!.GetValue<int>(), ledger["lost"]!.GetValue<int>()));
        Assert.Equal(Batches * BatchRecords + BatchRecords, await CountAsync(api, table.Database));
    }

    [Fact]
    public async Task A_repair_names_what_it_cannot_mend_and_leaves_it_alone()
    {
        var (table, other) = await FillAsync(kill: false);
        var (log, database) = (Path.Combine(Data, "logs", table.Table), Path.Combine(Data, "databases", $"{table.Database}.duckdb"));
        var good = Path.Combine(_directory.Path, "good");
        MaintenanceRun.CopyDirectory(Data, good);

        // the database of another life of the log, as an older backup or a rebuild leaves it
        Execute(database, "UPDATE _sluice.positions SET incarnation = incarnation + 5");
        var files = Files(Data).ToDictionary(path => path, File.ReadAllBytes);
        var repair = await MaintenanceRun.RunAsync("repair", "--data", Data, "--apply");
        Assert.Equal(ExitCode.DamagedData, repair.Code);
        Assert.Contains("put those in place that belong together; the log is not touched", repair.Output, StringComparison.Ordinal);
        Assert.All(files, file => Assert.Equal(file.Value, File.ReadAllBytes(file.Key)));

        // no log at all, and the other table's is damaged too: that one is repaired
        Restore();
        Directory.Delete(log, recursive: true);
        await FlipAsync(Directory.GetFiles(Path.Combine(Data, "logs", other.Table), "segment-*").Order(StringComparer.Ordinal).ElementAt(3), 1_000, 3);
        repair = await MaintenanceRun.RunAsync("repair", "--data", Data, "--apply");
        Assert.Equal(ExitCode.DamagedData, repair.Code);
        Assert.Contains($"{log}: the log is missing", repair.Output, StringComparison.Ordinal);
        Assert.Contains("done: the log as it was is in", repair.Output, StringComparison.Ordinal);

        // records that the database never settled and that do not wait either
        Restore();
        Execute(database, "UPDATE _sluice.sink_counts SET loaded = loaded - 1 WHERE rowid = (SELECT min(rowid) FROM _sluice.sink_counts WHERE loaded > 0)");
        var check = await MaintenanceRun.RunAsync("check", "--data", Data);
        Assert.Equal(ExitCode.DamagedData, check.Code);
        Assert.Contains("1 accepted records are neither loaded nor failed, and 0 wait in its log", check.Output, StringComparison.Ordinal);

        void Restore()
        {
            Directory.Delete(Data, recursive: true);
            MaintenanceRun.CopyDirectory(good, Data);
        }
    }

    [Fact]
    public async Task A_repair_that_was_interrupted_keeps_the_server_from_starting_until_it_is_finished()
    {
        var (table, _) = await FillAsync(kill: false);
        var log = Path.Combine(Data, "logs", table.Table);
        var watermark = await File.ReadAllBytesAsync(Path.Combine(log, "watermark"), Cancellation);
        Directory.CreateDirectory(Path.Combine(log, "repaired"));
        File.Move(Path.Combine(log, "watermark"), Path.Combine(log, "repaired", "watermark"));
        await File.WriteAllTextAsync(Path.Combine(log, "repair.unfinished"), string.Join('\n', ["watermark", .. Directory.GetFiles(log).Select(Path.GetFileName)]), Cancellation);
        foreach (var args in new[] { new[] { "check", "--data", Data }, ["repair", "--data", Data] })
        {
            var told = await MaintenanceRun.RunAsync(args);
            Assert.Equal(ExitCode.DamagedData, told.Code);
            Assert.Contains(args[0] == "check" ? "watermark is missing" : "a repair was interrupted; --apply finishes it", told.Output, StringComparison.Ordinal);
        }
        await File.WriteAllBytesAsync(Path.Combine(log, "watermark"), watermark, Cancellation); // the old one, before it is replaced
        await using (var refused = ServerProcess.Start(Data, "Sluice.Server"))
        {
            Assert.Equal(4, await refused.WaitForExitAsync(Cancellation));
            Assert.Contains("a repair was interrupted", refused.Output, StringComparison.Ordinal);
        }
        Assert.Equal(ExitCode.Stopped, (await MaintenanceRun.RunAsync("repair", "--data", Data, "--apply")).Code);
        Assert.Equal(ExitCode.Stopped, (await MaintenanceRun.RunAsync("check", "--data", Data)).Code);
        Assert.Empty(Directory.GetDirectories(log));
    }

    static void Execute(string database, string sql)
    {
        using var connection = new DuckDBConnection($"DataSource={database}");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        Assert.True(command.ExecuteNonQuery() > 0, sql);
    }

    [Fact]
    public async Task Files_that_are_missing_empty_old_or_of_another_table_are_refused_and_never_taken_for_new()
    {
        var (first, second) = await FillAsync(kill: false);
        var old = Path.Combine(_directory.Path, "old");
        MaintenanceRun.CopyDirectory(Data, old);
        await using (var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation, [.. Small, ("Sluice__Storage__RetainedBytes", "0")]))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            foreach (var table in new[] { first, second })
            {
                Assert.Equal(HttpStatusCode.Created, (await api.PostAsync($"v2/tables/{table.Database}/events/fields/more", """{"options":{"type":"int"}}""", Cancellation)).Status);
                for (var batch = 100; batch < 140; batch++) Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{table.Sink}{(batch == 139 ? "?wait=loaded" : "")}", Body(batch), Cancellation)).Status);
            }
            await api.CreateAsync($"v2/tables/{first.Database}", """{"name":"newer","options":{"keys":false}}""", Cancellation);
            await server.StopAsync(Cancellation);
        }
        string log = $"logs/{first.Table}", database = $"databases/{first.Database}.duckdb", otherDatabase = $"databases/{second.Database}.duckdb";
        var trimmed = (await MaintenanceRun.RunAsync("check", "--data", Data)).Output;
        output.WriteLine(trimmed);

        var cases = new (string What, Action Damage)[]
        {
            ("watermark missing", () => File.Delete(Path.Combine(Data, log, "watermark"))),
            ("watermark empty", () => File.WriteAllBytes(Path.Combine(Data, log, "watermark"), [])),
            ("log missing", () => Directory.Delete(Path.Combine(Data, log), recursive: true)),
            ("log old", () => { Directory.Delete(Path.Combine(Data, log), recursive: true); MaintenanceRun.CopyDirectory(Path.Combine(old, log), Path.Combine(Data, log)); }),
            ("logs swapped", () => Swap($"logs/{first.Table}", $"logs/{second.Table}", Directory.Move)),
            ("catalogue missing", () => File.Delete(Path.Combine(Data, "catalog.sqlite"))),
            ("catalogue empty", () => File.WriteAllBytes(Path.Combine(Data, "catalog.sqlite"), [])),
            ("catalogue older than the logs", () => File.Copy(Path.Combine(old, "catalog.sqlite"), Path.Combine(Data, "catalog.sqlite"), overwrite: true)),
            ("databases swapped", () => Swap(database, otherDatabase, File.Move)),
            ("database newer than the log", () => { Directory.Delete(Path.Combine(Data, log), recursive: true); MaintenanceRun.CopyDirectory(Path.Combine(old, log), Path.Combine(Data, log)); }),
            ("database empty", () => File.WriteAllBytes(Path.Combine(Data, database), new byte[12_288])),
        };
        foreach (var (what, damage) in cases)
        {
            var aside = Path.Combine(_directory.Path, "good");
            MaintenanceRun.CopyDirectory(Data, aside);
            damage();
            var check = await MaintenanceRun.RunAsync("check", "--data", Data);
            await using (var server = ServerProcess.Start(Data, "Sluice.Server"))
            {
                if (what.StartsWith("database", StringComparison.Ordinal) && what != "database newer than the log")
                {
                    await server.WaitReadyAsync(Cancellation);
                    using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
                    var refused = await api.PostAsync($"v2/sinks/{first.Sink}", Body(1), Cancellation);
                    Assert.True(refused.Status == HttpStatusCode.ServiceUnavailable && refused.Json["cause"]!.GetValue<string>() == "database_damaged", $"{what}: {refused.Text}");
                    output.WriteLine($"{what}: closed");
                }
                else
                {
                    Assert.True(await server.WaitForExitAsync(Cancellation) == 4, $"{what}: {server.Output}");
                    output.WriteLine($"{what}: refused: {server.Output.Trim().Split('\n')[^1]}");
                }
            }
            Assert.True(check.Code is ExitCode.DamagedData or ExitCode.BadOptions || what == "catalogue older than the logs", $"{what}: {check.Output}");
            Directory.Delete(Data, recursive: true);
            Directory.Move(aside, Data);
        }
        await using var sound = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation); // the control: nothing else was wrong
    }

    [Fact]
    public async Task What_an_operator_asks_for_wrongly_is_told_and_a_running_server_is_left_alone()
    {
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
        foreach (var verb in new[] { "check", "repair" }) Assert.Equal(ExitCode.DataDirectoryInUse, (await MaintenanceRun.RunAsync(verb, "--data", Data)).Code);
        Assert.Equal(ExitCode.DataDirectoryInUse, (await MaintenanceRun.RunAsync("rebuild", "--data", Data, "--database", Guid.NewGuid().ToString())).Code);
        await server.StopAsync(Cancellation);
        string[][] wrong =
        [
            ["check"], ["check", "--data"], ["check", "--data", Data, "--apply"], ["repair", "--data", Data, "--table", "x"], ["repair", "--data", Data, "--table", Guid.NewGuid().ToString()],
            ["rebuild", "--data", Data], ["rebuild", "--data", Data, "--database", Guid.NewGuid().ToString()], ["restore", "--data", Data], ["restore", "--from", "/nowhere", "--data", Data + "2"],
            ["check", "--data", "/nowhere"], ["check", "--data", _directory.Path],
        ];
        foreach (var args in wrong) Assert.True((await MaintenanceRun.RunAsync(args)).Code == ExitCode.BadOptions, string.Join(' ', args));
        Assert.Equal(ExitCode.Stopped, (await MaintenanceRun.RunAsync("check", "--data", Data)).Code);
    }

    [Fact]
    public async Task A_check_leaves_nothing_in_the_systems_temporary_directory()
    {
        await FillAsync(kill: false);
        var temporary = Directory.CreateDirectory(Path.Combine(_directory.Path, "tmp")).FullName;
        using var check = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Sluice.Server.dll"), "check", "--data", Data])
        {
            Environment = { ["TMPDIR"] = temporary },
        })!;
        await check.WaitForExitAsync(Cancellation);

        Assert.Equal(0, check.ExitCode);
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary, "sluice*"));
    }

    sealed record Filled(string Database, string Table, string Sink);

    /// <summary>Two databases with a table each, all loaded.</summary>
    async Task<(Filled, Filled)> FillAsync(bool kill)
    {
        if (kill) return await FillAsync(Data, kill);
        var (from, first, second) = await s_stopped.Value;
        MaintenanceRun.CopyDirectory(from, Data);
        return (first, second);
    }

    /// <summary>Filled by a server that was stopped: made once, and copied for each test.</summary>
    static async Task<(string, Filled, Filled)> FillOnceAsync()
    {
        var directory = Directory.CreateTempSubdirectory("sluice-filled-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(directory, recursive: true);
        var data = Path.Combine(directory, "data");
        var (first, second) = await FillAsync(data, kill: false);
        return (data, first, second);
    }

    static async Task<(Filled, Filled)> FillAsync(string data, bool kill)
    {
        var made = new List<Filled>();
        await using var server = await ServerProcess.StartAsync(data, "Sluice.Server", Cancellation, Small);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        foreach (var name in new[] { "one", "two" })
        {
            var database = await api.CreateAsync("v2/databases", $$"""{"name":"{{name}}"}""", Cancellation);
            var table = await api.CreateAsync($"v2/tables/{database}", """{"name":"events","options":{"keys":false}}""", Cancellation);
            await api.CreateAsync($"v2/tables/{database}/events/fields/val", """{"options":{"type":"int"}}""", Cancellation);
            var sink = await api.CreateAsync("v2/sinks", $$$"""
                {"name":"{{{name}}}","sink_details":{"database_id":"{{{database}}}","table":"events"},"schema":{"id_field":"_id","allow_missing_fields":true,
                 "definition":[{"name":"_id","path":["id"]},{"name":"val","path":["val"]}]}}
                """, Cancellation);
            for (var batch = 0; batch < Batches; batch++)
                Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{sink}{(batch == Batches - 1 ? "?wait=loaded" : "")}", Body(batch), Cancellation)).Status);
            made.Add(new Filled(database, table, sink));
        }
        if (kill) await server.KillAsync();
        else await server.StopAsync(Cancellation);
        return (made[0], made[1]);
    }

    static string Body(int batch) =>
        new JsonObject { ["records"] = new JsonArray([.. Enumerable.Range(batch * BatchRecords, BatchRecords).Select(id => new JsonObject { ["value"] = new JsonObject { ["id"] = id, ["val"] = id * 7 } })]) }.ToJsonString();

    static async Task<int> CountAsync(ApiClient api, string database) =>
        (await api.QueryAsync(database, "SELECT COUNT(*) AS n FROM events WHERE val = _id * 7", Cancellation))[0]![0]!.GetValue<int>();

    void Swap(string one, string two, Action<string, string> move)
    {
        move(Path.Combine(Data, one), Path.Combine(Data, "swapped"));
        move(Path.Combine(Data, two), Path.Combine(Data, one));
        move(Path.Combine(Data, "swapped"), Path.Combine(Data, two));
    }

    static async Task FlipAsync(string path, int at, int bit)
    {
        await using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
        file.Position = at;
        var value = file.ReadByte();
        file.Position = at;
        file.WriteByte((byte)(value ^ (1 << bit)));
    }

    static IEnumerable<string> Files(string data) => Directory.EnumerateFiles(data, "*", SearchOption.AllDirectories)
        .Where(path => path.Contains("/logs/", StringComparison.Ordinal) || path.Contains("/databases/", StringComparison.Ordinal) || Path.GetFileName(path).StartsWith("catalog", StringComparison.Ordinal))
        .Where(path => !path.EndsWith("-shm", StringComparison.Ordinal)).Order(StringComparer.Ordinal);

    static string KindOf(string path) => Path.GetFileName(path) switch
    {
        var name when name.StartsWith("segment-", StringComparison.Ordinal) => "segments",
        var name when name.StartsWith("catalog", StringComparison.Ordinal) => "catalogue",
        var name when name.EndsWith(".wal", StringComparison.Ordinal) => "database write-ahead logs",
        var name when name.EndsWith(".duckdb", StringComparison.Ordinal) => "databases",
        var name => name,
    };

    /// <summary>Every row of every table, and of the catalogue.</summary>
    static string ContentOf(string data)
    {
        var lines = new List<string>();
        foreach (var path in Directory.GetFiles(Path.Combine(data, "databases"), "*.duckdb").Order(StringComparer.Ordinal))
        {
            using var connection = new DuckDBConnection($"DataSource={path};access_mode=READ_ONLY");
            connection.Open();
            using var command = connection.CreateCommand();
            command.CommandText = "SELECT count(*) || ' ' || bit_xor(hash(t)) FROM main.events AS t";
            lines.Add($"{Path.GetFileName(path)} {command.ExecuteScalar()}");
        }
        var copy = Directory.CreateTempSubdirectory("sluice-content-").FullName;
        try
        {
            foreach (var suffix in new[] { "", "-wal" }.Where(suffix => File.Exists(Path.Combine(data, "catalog.sqlite" + suffix))))
                File.Copy(Path.Combine(data, "catalog.sqlite" + suffix), Path.Combine(copy, "catalog.sqlite" + suffix));
            using var catalog = new SqliteConnection($"Data Source={Path.Combine(copy, "catalog.sqlite")};Pooling=False");
            catalog.Open();
            foreach (var table in Rows(catalog, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")) lines.AddRange(Rows(catalog, $"SELECT * FROM \"{table}\""));
        }
        catch (SqliteException e)
        {
            lines.Add(e.Message);
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
        }
        return string.Join('\n', lines);
    }

    static List<string> Rows(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        var rows = new List<string>();
        while (reader.Read()) rows.Add(string.Join('|', Enumerable.Range(0, reader.FieldCount).Select(i => reader.GetValue(i))));
        return rows;
    }
}
