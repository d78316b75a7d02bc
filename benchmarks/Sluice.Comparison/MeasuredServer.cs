using System.Diagnostics;
using System.Text;

namespace Sluice.Comparison;

/// <summary>A server that was started for one run, on a directory of its own; both are gone when disposed.</summary>
abstract class MeasuredServer : IAsyncDisposable
{
    static readonly TimeSpan StartPatience = TimeSpan.FromMinutes(1);
    static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(20);

    readonly string _data;
    readonly Process _process;
    readonly StringBuilder _output = new();

    protected MeasuredServer(string data, ProcessStartInfo start)
    {
        _data = data;
        start.RedirectStandardOutput = start.RedirectStandardError = true;
        _process = Process.Start(start) ?? throw new ComparisonException($"{start.FileName} did not start");
        _process.OutputDataReceived += Keep;
        _process.ErrorDataReceived += Keep;
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public int ProcessId => _process.Id;

    /// <summary>What it has had so far, all cores.</summary>
    public TimeSpan CpuTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>The arguments with which <c>sluice bench</c> finds this server.</summary>
    public abstract IReadOnlyList<string> BenchArguments { get; }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            using (Process.Start("kill", ["-TERM", $"{_process.Id}"])) { }
            using var late = new CancellationTokenSource(StopPatience, TimeProvider.System);
            try
            {
                await _process.WaitForExitAsync(late.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill(); // its data is thrown away anyway
                await _process.WaitForExitAsync(CancellationToken.None);
            }
        }
        _process.Dispose();
        Directory.Delete(_data, recursive: true);
    }

    protected async Task WaitUntilAsync(string readyAddress, CancellationToken cancellation)
    {
        using var http = new HttpClient();
        var started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                if ((await http.GetAsync(new Uri(readyAddress), cancellation)).IsSuccessStatusCode) return;
            }
            catch (HttpRequestException)
            {
                // not yet
            }
            if (_process.HasExited || TimeProvider.System.GetElapsedTime(started) > StartPatience) throw new ComparisonException($"{GetType().Name} did not start:\n{Output}");
            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, cancellation);
        }
    }

    string Output
    {
        get
        {
            lock (_output) return _output.ToString();
        }
    }

    void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (_output) _output.AppendLine(line.Data);
    }
}
