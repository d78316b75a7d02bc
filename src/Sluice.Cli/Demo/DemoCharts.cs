using System.Globalization;
using System.Text.Json;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Sluice.Cli.Demo;

/// <summary>Live charts of the demo in the terminal; a line every few seconds where there is no terminal.</summary>
static class DemoCharts
{
    const int HistorySeconds = 60;
    static readonly TimeSpan Refresh = TimeSpan.FromSeconds(1);

    public static async Task ShowAsync(DemoStage stage, Uri url, CancellationToken cancellation)
    {
        var rates = new Queue<long>();
        var last = 0L;
        if (!AnsiConsole.Profile.Capabilities.Interactive || Console.IsOutputRedirected)
        {
            await ShowLinesAsync(stage, url, cancellation);
            return;
        }
        await AnsiConsole.Live(new Text("")).StartAsync(async live =>
        {
            while (true)
            {
                rates.Enqueue(stage.Accepted - last);
                last = stage.Accepted;
                if (rates.Count > HistorySeconds) rates.Dequeue();
                live.UpdateTarget(await RenderAsync(stage, url, rates, cancellation));
                await Task.Delay(Refresh, TimeProvider.System, cancellation);
            }
        });
    }

    static async Task ShowLinesAsync(DemoStage stage, Uri url, CancellationToken cancellation)
    {
        Console.WriteLine($"Streaming into {url} (database {stage.DatabaseId}).");
        while (true)
        {
            await Task.Delay(Refresh * 2, TimeProvider.System, cancellation);
            var species = await CountAsync(stage, "SELECT species, COUNT(*) AS n FROM iris GROUP BY species ORDER BY species", cancellation);
            var quakes = await CountAsync(stage, "SELECT 'all' AS kind, COUNT(*) AS n FROM earthquakes", cancellation);
            Console.WriteLine($"accepted {stage.Accepted}, rejected {stage.Rejected}; in iris: {string.Join(", ", species.Select(bar => $"{bar.Label} {bar.Count}"))}; in earthquakes: {quakes.Sum(bar => bar.Count)}");
        }
    }

    static async Task<IRenderable> RenderAsync(DemoStage stage, Uri url, IEnumerable<long> rates, CancellationToken cancellation)
    {
        var species = await CountAsync(stage, "SELECT species, COUNT(*) AS n FROM iris GROUP BY species ORDER BY species", cancellation);
        var magnitudes = await CountAsync(stage,
            "SELECT CAST(FLOOR(mag) AS INT) AS whole, COUNT(*) AS n FROM earthquakes WHERE mag >= 0 GROUP BY whole ORDER BY whole", cancellation);
        return new Rows(
            new Markup($"[bold]Sluice demo[/]  {Markup.Escape(url.ToString())}  database {stage.DatabaseId}  Ctrl+C stops and deletes everything"),
            new Text(""),
            new Markup($"accepted [green]{stage.Accepted:N0}[/]   rejected [red]{stage.Rejected:N0}[/]   last minute {Markup.Escape(Sparkline(rates))} records/s"),
            new Markup($"[red]{Markup.Escape(stage.LastError)}[/]"),
            new Text(""),
            Chart("rows in iris by species (SQL, live)", species, Color.Green),
            new Text(""),
            Chart("rows in earthquakes by magnitude (SQL, live)", magnitudes.Select(bar => ("M " + bar.Label, bar.Count)).ToList(), Color.Orange1));
    }

    static BarChart Chart(string title, IReadOnlyList<(string Label, long Count)> bars, Color color)
    {
        var chart = new BarChart().Width(72).Label($"[bold]{title}[/]").LeftAlignLabel();
        foreach (var (label, count) in bars) chart.AddItem(Markup.Escape(label), count, color);
        return chart;
    }

    static string Sparkline(IEnumerable<long> values)
    {
        const string levels = "▁▂▃▄▅▆▇█";
        var list = values.ToList();
        var most = Math.Max(1, list.Max());
        return string.Concat(list.Select(value => levels[(int)(value * (levels.Length - 1) / most)]));
    }

    static async Task<IReadOnlyList<(string Label, long Count)>> CountAsync(DemoStage stage, string sql, CancellationToken cancellation)
    {
        var answer = await stage.Client.QueryAsync(stage.DatabaseId, sql, cancellation);
        return [.. (answer.Data ?? []).Select(row => (Label(row[0]), row[1].GetInt64()))];
    }

    static string Label(JsonElement cell) => cell.ValueKind == JsonValueKind.String ? cell.GetString()! : cell.ToString().ToString(CultureInfo.InvariantCulture);
}
