using System.Globalization;
using Microsoft.AspNetCore.Components;

namespace Sluice.Server.Components.Parts;

/// <summary>One line of a chart.</summary>
/// <param name="Values">Evenly spaced over the chart's time, oldest first; NaN: nothing is known.</param>
public sealed record ChartLine(string Name, IReadOnlyList<double> Values);

/// <summary>Lines over a span of time.</summary>
public sealed partial class TimeChart
{
    const int Width = 560;
    const int Height = 190;
    const int Left = 46;
    const int Right = 552;
    const int Top = 10;
    const int Bottom = 162;
    const int Ticks = 5;

    static readonly double[] Shares = [0, 0.5, 1];

    double _max = 1;

    /// <summary>What is drawn, for those who hear it.</summary>
    [Parameter, EditorRequired]
    public string Title { get; set; } = "";

    [Parameter, EditorRequired]
    public IReadOnlyList<ChartLine> Series { get; set; } = [];

    [Parameter, EditorRequired]
    public DateTimeOffset From { get; set; }

    [Parameter, EditorRequired]
    public DateTimeOffset To { get; set; }

    /// <summary>Writes a number of the axis.</summary>
    [Parameter]
    public Func<double, string> Format { get; set; } = Words.Rate;

    string Summary => $"{Title}, {string.Join(", ", Series.Select(Describe))}";

    protected override void OnParametersSet() =>
        _max = ChartScale.Ceiling(Series.SelectMany(line => line.Values).Where(value => !double.IsNaN(value)).DefaultIfEmpty().Max());

    /// <summary>Where the known values begin or end.</summary>
    static string EdgeOf(IReadOnlyList<double> values, bool last)
    {
        var known = Enumerable.Range(0, values.Count).Where(i => !double.IsNaN(values[i]));
        return ChartScale.Text(values.Count < 2 ? Left : Left + (Right - Left) * (last ? known.Last() : known.First()) / (double)(values.Count - 1));
    }

    string Describe(ChartLine line)
    {
        var known = line.Values.Where(value => !double.IsNaN(value)).ToList();
        return known.Count == 0 ? $"{line.Name}: nothing yet" : $"{line.Name}: {Format(known[^1])} now, {Format(known.Max())} at most";
    }

    string TickText(double share)
    {
        var at = From + (To - From) * share;
        return at.UtcDateTime.ToString(To - From > TimeSpan.FromDays(2) ? "MM-dd" : To - From < TimeSpan.FromMinutes(5) ? "HH:mm:ss" : "HH:mm", CultureInfo.InvariantCulture);
    }
}
