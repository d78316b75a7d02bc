using System.Diagnostics;
using System.Globalization;
using Sluice.Client;

namespace Sluice.Comparison;

/// <summary>Sluice as it is shipped, in Release, with default settings but for what is given.</summary>
sealed class SluiceServer : MeasuredServer
{
    const string Email = "bench@localhost";
    const string Password = "Bench-of-Sluice-1";

    readonly string _origin;
    readonly string? _ca;

    SluiceServer(TestBed bed, string data, bool isHttps, long? maxBacklogBytes) : base(data, Start(bed, data, maxBacklogBytes))
    {
        _origin = isHttps ? $"https://localhost:{bed.Port}" : $"http://127.0.0.1:{bed.Port + 1}";
        _ca = isHttps ? Path.Combine(data, "tls", "ca.crt") : null;
        Http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{bed.Port + 1}") };
        Client = new SluiceClient(Http);
    }

    public HttpClient Http { get; }

    public SluiceClient Client { get; }

    public string ApiKey { get; private set; } = "";

    public override IReadOnlyList<string> BenchArguments => ["--url", _origin, "--api-key", ApiKey, .. _ca is null ? Array.Empty<string>() : ["--ca", _ca]];

    public static async Task<SluiceServer> StartAsync(TestBed bed, bool isHttps, CancellationToken cancellation, long? maxBacklogBytes = null)
    {
        var server = new SluiceServer(bed, bed.MakeDirectory("sluice"), isHttps, maxBacklogBytes);
        try
        {
            await server.WaitUntilAsync($"http://127.0.0.1:{bed.Port + 1}/health/ready", cancellation);
            await server.Client.LoginAsync(Email, Password, cancellation);
            server.ApiKey = (await server.Client.CreateKeyAsync("current", new KeyRequest("bench"), cancellation)).Secret!;
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    static ProcessStartInfo Start(TestBed bed, string data, long? maxBacklogBytes)
    {
        var start = new ProcessStartInfo(
            "dotnet",
            [
                Path.Combine(bed.Root, "src/Sluice.Server/bin/Release/net10.0/Sluice.Server.dll"), "--data", data, "--https-port", $"{bed.Port}", "--http-port", $"{bed.Port + 1}",
            ])
        {
            Environment = { ["SLUICE_ADMIN_EMAIL"] = Email, ["SLUICE_ADMIN_PASSWORD"] = Password },
        };
        if (maxBacklogBytes is { } most) start.Environment["Sluice__Storage__MaxBacklogBytes"] = most.ToString(CultureInfo.InvariantCulture);
        return start;
    }
}
