using System.CommandLine;
using Sluice.Client;

namespace Sluice.Cli.Demo;

/// <summary><c>sluice demo</c>: makes two tables and streams the sample data into them, with charts that follow, until interrupted.</summary>
static class DemoCommand
{
    const int MostSeconds = 30 * 86_400;
    static readonly TimeSpan ReadyWithin = TimeSpan.FromMinutes(1);

    public static Command Create()
    {
        var url = new Option<Uri>("--url")
        {
            Description = "Origin of the server.",
            DefaultValueFactory = _ => new Uri("https://localhost:7443"),
            CustomParser = argument => ServerCommand.ParseUrl(argument)!,
        };
        var ca = new Option<string?>("--ca") { Description = "Certificate authority to trust (PEM), as in data/tls/ca.crt." };
        var samples = new Option<DirectoryInfo>("--samples") { Description = "Directory with iris.json and earthquakes.json.", Required = true };
        samples.AcceptExistingOnly();
        var serverLog = new Option<string?>("--server-log") { Description = "File with the server's output, shown when the server does not start." };
        var seconds = new Option<int?>("--seconds") { Description = "Stop after so many seconds." };
        seconds.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 1 or > MostSeconds) result.AddError($"--seconds must be from 1 to {MostSeconds}");
        });
        var command = new Command("demo", "Stream sample data into a server and watch it. Reads SLUICE_ADMIN_EMAIL and SLUICE_ADMIN_PASSWORD.") { url, ca, samples, serverLog, seconds };
        command.SetAction((parse, cancellation) => RunAsync(
            parse.GetRequiredValue(url), parse.GetValue(ca), parse.GetRequiredValue(samples), parse.GetValue(serverLog), parse.GetValue(seconds), cancellation));
        return command;
    }

    static async Task<int> RunAsync(Uri url, string? ca, DirectoryInfo samples, string? serverLog, int? seconds, CancellationToken cancellation)
    {
        var email = Environment.GetEnvironmentVariable("SLUICE_ADMIN_EMAIL");
        var password = Environment.GetEnvironmentVariable("SLUICE_ADMIN_PASSWORD");
        if (email is null || password is null)
        {
            await Console.Error.WriteLineAsync("Set SLUICE_ADMIN_EMAIL and SLUICE_ADMIN_PASSWORD.");
            return 1;
        }
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            using var http = await WaitReadyAsync(url, ca, cancellation);
            if (http is null)
            {
                await Console.Error.WriteLineAsync($"The server at {url} is not ready.");
                if (serverLog is not null && File.Exists(serverLog)) await Console.Error.WriteLineAsync(await File.ReadAllTextAsync(serverLog, cancellation));
                return 1;
            }
            if (seconds is { } limit) stop.CancelAfter(TimeSpan.FromSeconds(limit));
            var client = new SluiceClient(http);
            await client.LoginAsync(email, password, stop.Token);
            var stage = await DemoStage.CreateAsync(client, samples.FullName, stop.Token);
            await RunTogetherAsync(
                stop.Token, token => stage.StreamFlowersAsync(token), token => stage.StreamQuakesAsync(token), token => DemoCharts.ShowAsync(stage, url, token));
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return cancellation.IsCancellationRequested ? 130 : 0;
        }
        catch (Exception e) when (ServerCommand.Sentence(e) is { } sentence)
        {
            await Console.Error.WriteLineAsync(sentence);
            return 1;
        }
        return 0;
    }

    /// <summary>Runs what never ends by itself until one of them fails, and tells how.</summary>
    static async Task RunTogetherAsync(CancellationToken cancellation, params Func<CancellationToken, Task>[] parts)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var running = parts.Select(part => part(end.Token)).ToList();
        var first = await Task.WhenAny(running);
        await end.CancelAsync();
        await Task.WhenAll(running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await first;
    }

    static async Task<HttpClient?> WaitReadyAsync(Uri url, string? ca, CancellationToken cancellation)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (TimeProvider.System.GetElapsedTime(started) < ReadyWithin)
        {
            if (ca is null || File.Exists(ca))
            {
                var http = new ServerAddress(url, ca).Connect();
                try
                {
                    if (await new SluiceClient(http).IsReadyAsync(cancellation)) return http;
                }
                catch (HttpRequestException)
                {
                    // not listening yet
                }
                http.Dispose();
            }
            await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System, cancellation);
        }
        return null;
    }
}
