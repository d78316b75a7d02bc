using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Sluice.IntegrationTests;

/// <summary>The real server as a child process on a data directory: started, killed, stopped. One thread at a time.</summary>
sealed partial class ServerProcess : IAsyncDisposable
{
    public const string Email = "admin@example.com";
    public const string Password = "Correct-Horse-9";

    static readonly TimeSpan ReadyWithin = TimeSpan.FromSeconds(60);

    readonly Process _process;
    readonly StringBuilder _output = new();

    int _httpPort;

    ServerProcess(Process process) => _process = process;

    /// <summary>The port the server took, when it is ready. A port chosen here could be another program's by the time the server wants it.</summary>
    public int HttpPort => Volatile.Read(ref _httpPort);

    public int Id => _process.Id;

    /// <summary>User and kernel time of all its threads.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    public bool HasExited => _process.HasExited;

    /// <summary>Everything the server wrote to its standard output and error.</summary>
    public string Output
    {
        get
        {
            lock (_output) return _output.ToString();
        }
    }

    /// <summary>Starts the server and returns when it is ready. A data directory that is empty gets what a first start makes.</summary>
    /// <param name="assembly">Name of the executable's assembly, beside the tests: the product, or one that breaks it on purpose.</param>
    public static async Task<ServerProcess> StartAsync(string dataDirectory, string assembly, CancellationToken cancellation, params (string Name, string Value)[] environment)
    {
        await FirstStart.CopyAsync(Email, dataDirectory);
        return await StartAsItIsAsync(dataDirectory, assembly, cancellation, environment);
    }

    /// <summary>Starts the server, on an empty data directory for the first time, and returns when it is ready.</summary>
    public static async Task<ServerProcess> StartAsItIsAsync(string dataDirectory, string assembly, CancellationToken cancellation, params (string Name, string Value)[] environment)
    {
        var server = Start(dataDirectory, assembly, environment);
        try
        {
            await server.WaitReadyAsync(cancellation);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts the server and returns at once.</summary>
    public static ServerProcess Start(string dataDirectory, string assembly, params (string Name, string Value)[] environment) =>
        Start(dataDirectory, assembly, maxOpenFiles: null, environment);

    /// <summary>Starts the server with strace looking on from its first call; the process is the server all the same.</summary>
    public static ServerProcess StartTraced(string dataDirectory, string assembly, string[] strace, params (string Name, string Value)[] environment) =>
        Start(dataDirectory, assembly, ["strace", "-D", "-f", "-qq", "-o", "/dev/null", .. strace], environment);

    /// <param name="maxOpenFiles"><c>null</c>: as many as this process may open.</param>
    public static ServerProcess Start(string dataDirectory, string assembly, int? maxOpenFiles, params (string Name, string Value)[] environment) =>
        Start(dataDirectory, assembly, maxOpenFiles is { } files ? ["prlimit", string.Create(CultureInfo.InvariantCulture, $"--nofile={files}:{files}")] : [], environment);

    /// <param name="launcher">A program that runs the server in its place, with its arguments; empty: none.</param>
    static ServerProcess Start(string dataDirectory, string assembly, string[] launcher, (string Name, string Value)[] environment)
    {
        // umask 0: the server closes its files to others itself, whatever it inherits; exec, so that the process is the server
        var start = new ProcessStartInfo("/bin/sh")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList =
            {
                "-c", "umask 0; exec \"$@\"", "sh", Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal) ? Environment.ProcessPath : "dotnet",
                Path.Combine(AppContext.BaseDirectory, assembly + ".dll"), "--data", dataDirectory,
                "--https-port", "0", "--http-port", "0",
            },
            Environment = { ["SLUICE_ADMIN_EMAIL"] = Email, ["SLUICE_ADMIN_PASSWORD"] = Password },
        };
        if (launcher.Length > 0)
        {
            start.ArgumentList.Insert(0, start.FileName);
            foreach (var argument in launcher[1..].Reverse()) start.ArgumentList.Insert(0, argument);
            start.FileName = launcher[0];
        }
        foreach (var (name, value) in environment) start.Environment[name] = value;
        var server = new ServerProcess(new Process { StartInfo = start });
        server._process.OutputDataReceived += server.Keep;
        server._process.ErrorDataReceived += server.Keep;
        server._process.Start();
        server._process.BeginOutputReadLine();
        server._process.BeginErrorReadLine();
        return server;
    }

    /// <summary>Ends the process with SIGKILL: nothing of it runs on.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>Asks the server to stop with SIGTERM; returns its exit code.</summary>
    public async Task<int> StopAsync(CancellationToken cancellation)
    {
        using (var kill = Process.Start("kill", ["-TERM", _process.Id.ToString(CultureInfo.InvariantCulture)])) await kill.WaitForExitAsync(cancellation);
        return await WaitForExitAsync(cancellation);
    }

    public async Task<int> WaitForExitAsync(CancellationToken cancellation)
    {
        await _process.WaitForExitAsync(cancellation);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited) await KillAsync();
        _process.Dispose();
    }

    /// <summary>Waits until the server is ready; false: it ended instead.</summary>
    public async Task<bool> IsReadyAsync(CancellationToken cancellation)
    {
        try
        {
            await WaitReadyAsync(cancellation);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    /// <exception cref="InvalidOperationException">The server ended instead.</exception>
    public async Task WaitReadyAsync(CancellationToken cancellation)
    {
        using var http = new HttpClient(new LostConnections()) { Timeout = TimeSpan.FromSeconds(5) };
        var started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started) < ReadyWithin)
        {
            if (_process.HasExited) throw new InvalidOperationException($"the server ended with code {_process.ExitCode}:\n{Output}");
            try
            {
                if (HttpPort != 0)
                {
                    using var answer = await http.GetAsync(new Uri($"http://127.0.0.1:{HttpPort}/health/ready"), cancellation);
                    if (answer.IsSuccessStatusCode) return;
                }
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancellation.IsCancellationRequested)
            {
                // not listening yet, or too busy starting to answer
            }
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, cancellation);
        }
        throw new TimeoutException($"the server is not ready after {ReadyWithin}:\n{Output}");
    }

    void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (_output) _output.AppendLine(line.Data);
        if (line.Data is { } text && ListeningOn().Match(text) is { Success: true } match) Volatile.Write(ref _httpPort, int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture));
    }

    [GeneratedRegex(@"listening on http://127\.0\.0\.1:(\d+)")]
    private static partial Regex ListeningOn();
}
