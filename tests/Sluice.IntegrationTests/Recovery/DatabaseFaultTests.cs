using System.Diagnostics;
using System.Net;
using DuckDB.NET.Data;
using DuckDB.NET.Native;
using Sluice.IntegrationTests.Crash;
using Sluice.IntegrationTests.Faults;
using Sluice.IntegrationTests.Server;
using Sluice.Load;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Recovery;

/// <summary>Why a database cannot be opened is told apart, with a way out; and what is not damaged is never taken for damaged.</summary>
public sealed class DatabaseFaultTests(ITestOutputHelper output) : IDisposable
{
    readonly TemporaryDirectory _directory = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    string Data => Path.Combine(_directory.Path, "data");

    string File1 => Path.Combine(_directory.Path, "one.duckdb");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_database_that_another_process_has_open_closes_its_table_and_says_so_and_no_log_is_repaired_meanwhile()
    {
        var (oracle, file) = await FillAsync();
        var segment = Directory.GetFiles(Path.Combine(Data, "logs"), "segment-*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).First();
        var good = await File.ReadAllBytesAsync(segment, Cancellation);
        await using (var held = new FileStream(file, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            if (!OperatingSystem.IsMacOS()) held.Lock(0, 0);
            await AssertClosedAsync(oracle, "end the other process");

            var bad = (byte[])good.Clone();
            bad[bad.Length / 2] ^= 1;
            await File.WriteAllBytesAsync(segment, bad, Cancellation);
            var (code, text) = await RunAsync("repair", "--data", Data, "--apply"); // would count what the database has as lost
            Assert.True(code == 4 && text.Contains("is not repaired", StringComparison.Ordinal) && text.Contains("end the other process", StringComparison.Ordinal), $"{code}: {text}");
            Assert.Equal(bad, await File.ReadAllBytesAsync(segment, Cancellation));
            await File.WriteAllBytesAsync(segment, good, Cancellation);
        }
        await AssertSoundAsync(oracle); // the control: nothing else was wrong
    }

    [Fact]
    public async Task A_database_that_may_not_be_written_closes_its_table_and_says_so()
    {
        FaultTools.Need(root: true, "mount", "umount");
        var (oracle, file) = await FillAsync();
        var databases = Path.GetDirectoryName(file)!;
        await FaultTools.RunAsync("mount", "--bind", databases, databases);
        try
        {
            await FaultTools.RunAsync("mount", "-o", "remount,ro,bind", databases);
            await AssertClosedAsync(oracle, "let the server's user read and write it");
        }
        finally
        {
            await FaultTools.RunAsync("umount", databases);
        }
        await AssertSoundAsync(oracle);
    }

    [Fact]
    public async Task A_full_disk_is_told()
    {
        SmallVolume.Need();
        await using var volume = await SmallVolume.CreateAsync(4 << 20);
        volume.FillBut(0);
        await using (var rest = new FileStream(Path.Combine(volume.Path, "rest"), FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
        {
            var page = new byte[4_096];
            Assert.ThrowsAny<IOException>(Fill);

            void Fill()
            {
                while (true) rest.Write(page);
            }
        }
        var fault = Assert.Throws<StoreException>(() => Open(Path.Combine(volume.Path, "one.duckdb"), 64 << 20));
        output.WriteLine(fault.Message);
        Assert.Equal(StoreFault.DiskFull, fault.Fault);
        Assert.Contains("make room", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Too_little_memory_is_told()
    {
        using (var db = new DuckDBConnection($"DataSource={File1}"))
        {
            db.Open();
            using var command = db.CreateCommand();
            command.CommandText = "PRAGMA disable_checkpoint_on_shutdown; SET checkpoint_threshold = '1TB'; CREATE TABLE t AS SELECT range AS i, 'text ' || range AS s FROM range(300000)";
            command.ExecuteNonQuery();
        }
        var fault = Assert.Throws<StoreException>(() => Open(File1, 200_000));
        output.WriteLine(fault.Message);
        Assert.Equal(StoreFault.OutOfResources, fault.Fault);
        using var sound = Open(File1, 64 << 20);
    }

    /// <summary>As DuckDB 1.5 says it of a COMMIT, and of one in a write-ahead log.</summary>
    [Theory]
    [InlineData("TransactionContext Error: Failed to commit: failed to pin block of size 256.0 KiB (200.0 MiB/200.0 MiB used)")]
    [InlineData("TransactionContext Error: Failure while replaying WAL file \"/t.wal\": Failed to commit: could not allocate block of size 256.0 KiB (200.0 MiB/200.0 MiB used)")]
    public void Too_little_memory_for_a_commit_is_no_damage_and_no_conflict(string message)
    {
        var error = new DuckDbNativeException(DuckDBErrorType.Transaction, message);
        Assert.Equal((true, false, StoreFault.OutOfResources), (DuckDbErrors.IsOutOfMemory(error), DuckDbErrors.IsConflict(error), DuckDbErrors.FaultOf(error)));

        var conflict = new DuckDbNativeException(DuckDBErrorType.Transaction, "TransactionContext Error: Conflict on tuple deletion!");
        Assert.Equal((false, true, StoreFault.Other), (DuckDbErrors.IsOutOfMemory(conflict), DuckDbErrors.IsConflict(conflict), DuckDbErrors.FaultOf(conflict)));
    }

    [Fact]
    public async Task What_is_damaged_is_told_to_be_damaged()
    {
        using (Open(File1, 64 << 20))
        {
        }
        var good = await File.ReadAllBytesAsync(File1, Cancellation);
        foreach (var (what, bytes) in new (string, byte[])[]
        {
            ("garbage", [.. Enumerable.Repeat((byte)0xa5, 20_000)]), ("zeros", new byte[20_000]), ("cut", good[..(good.Length / 2)]), ("flipped", Flipped(good)),
        })
        {
            await File.WriteAllBytesAsync(File1, bytes, Cancellation);
            var fault = Assert.Throws<StoreException>(() => Open(File1, 64 << 20));
            output.WriteLine($"{what}: {fault.Message}");
            Assert.True(fault.Fault == StoreFault.Damaged && fault.Message.Contains("rebuild it from the logs", StringComparison.Ordinal), $"{what}: {fault}");
        }
        await File.WriteAllBytesAsync(File1, good, Cancellation);
        using var sound = Open(File1, 64 << 20);

        static byte[] Flipped(byte[] bytes)
        {
            var flipped = (byte[])bytes.Clone();
            for (var header = 0; header < 3; header++) flipped[(header * 4_096) + 40] ^= 1; // the headers have sums of their own
            return flipped;
        }
    }

    [Fact]
    public void The_words_of_a_path_do_not_make_a_fault_damage()
    {
        var path = Path.Combine(_directory.Path, "corrupt checksum.duckdb");
        Directory.CreateDirectory(path);
        var fault = Assert.Throws<StoreException>(() => Open(path, 64 << 20));
        output.WriteLine(fault.Message);
        Assert.Equal(StoreFault.Other, fault.Fault);
    }

    DuckDbInstance Open(string path, long memoryBytes) => DuckDbInstance.Open(path, path + ".tmp", memoryBytes, new DuckDbOptions());

    async Task<(CrashOracle Oracle, string File)> FillAsync()
    {
        var oracle = new CrashOracle(hasAppends: false);
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        await oracle.CreateAsync(api, Cancellation);
        for (var n = 0; n < 3; n++)
        {
            var (batch, body) = oracle.Begin(oracle.SinkId);
            Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{oracle.SinkId}?wait=loaded", body, Cancellation)).Status);
            oracle.Acknowledge(oracle.SinkId, batch);
        }
        await server.StopAsync(Cancellation);
        return (oracle, Assert.Single(Directory.GetFiles(Path.Combine(Data, "databases"), "*.duckdb")));
    }

    async Task AssertClosedAsync(CrashOracle oracle, string wayOut)
    {
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        Assert.Equal($"database {oracle.DatabaseId} could not be opened", (await api.GetAsync("health/ready", Cancellation)).Json["degraded"]![0]!.GetValue<string>());
        Assert.Contains(wayOut, server.Output, StringComparison.Ordinal);
        var refused = await api.PostAsync($"v2/sinks/{oracle.SinkId}", oracle.Begin(oracle.SinkId).Body, Cancellation);
        Assert.True(refused.Status == HttpStatusCode.ServiceUnavailable && refused.Json["cause"]!.GetValue<string>() == "database_damaged", refused.Text);
        Assert.Contains("could not be opened", refused.Text, StringComparison.Ordinal);
        await server.StopAsync(Cancellation);
    }

    async Task AssertSoundAsync(CrashOracle oracle)
    {
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var verdict = await oracle.JudgeAsync(api, Cancellation);
        Assert.True(verdict.IsClean && verdict.Acknowledged == 3, verdict.ToString());
        await server.StopAsync(Cancellation);
    }

    /// <summary>As a process of its own: locks do not hold within one.</summary>
    static async Task<(int Code, string Text)> RunAsync(params string[] args)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Sluice.Server.dll"), .. args]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (text, errors) = (process.StandardOutput.ReadToEndAsync(Cancellation), process.StandardError.ReadToEndAsync(Cancellation));
        await process.WaitForExitAsync(Cancellation);
        return (process.ExitCode, await text + await errors);
    }
}
