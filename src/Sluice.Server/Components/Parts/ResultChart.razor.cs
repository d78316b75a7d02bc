using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Components;

namespace Sluice.Server.Components.Parts;

/// <summary>Two columns of an answer as bars or a line.</summary>
public sealed partial class ResultChart
{
    const int Width = 900;
    const int Height = 320;
    const int Left = 56;
    const int Right = 892;
    const int Top = 10;
    const int Bottom = 288;
    const int MaxPoints = 500;

    bool _isLine;
    int _across;
    int _height = -1;

    /// <summary>A <see cref="QueryAnswer"/> that <see cref="CanDraw"/> is true for.</summary>
    [Parameter, EditorRequired]
    public object Result { get; set; } = null!;

    QueryAnswer Answer => (QueryAnswer)Result;

    IReadOnlyList<ChartPointText> Points { get; set; } = [];

    double Low => Math.Min(0, Points.Select(point => point.Value).DefaultIfEmpty().Min() is var least and < 0 ? -ChartScale.Ceiling(-least) : 0);

    double High => Points.Select(point => point.Value).DefaultIfEmpty().Max() is var most and > 0 ? ChartScale.Ceiling(most) : Low < 0 ? 0 : 1;

    double Slot => (Right - Left) / (double)Math.Max(1, Points.Count);

    string Summary => $"{Answer.Columns[_height].Name} by {Answer.Columns[_across].Name}, {Words.Plural(Points.Count, "value")} from {Words.Rate(Points.Min(point => point.Value))} to {Words.Rate(Points.Max(point => point.Value))}";

    /// <summary>An answer with rows and a column of numbers beside another.</summary>
    internal static bool CanDraw(QueryAnswer answer) => answer.Rows.Count > 0 && NumberColumns(answer).Any();

    static IEnumerable<int> NumberColumns(QueryAnswer answer) => Enumerable.Range(0, answer.Columns.Count)
        .Where(column => answer.Rows.Any(row => row[column].ValueKind == JsonValueKind.Number) && answer.Rows.All(row => row[column].ValueKind is JsonValueKind.Number or JsonValueKind.Null));

    protected override void OnParametersSet()
    {
        if (_height >= 0)
            return;
        var numbers = NumberColumns(Answer).ToList();
        _height = numbers[^1];
        _across = Enumerable.Range(0, Answer.Columns.Count).FirstOrDefault(column => column != _height);
        _isLine = Answer.Columns[_across].Type == "timestamp";
    }

    protected override bool ShouldRender()
    {
        ReadPoints();
        return true;
    }

    protected override void OnInitialized() => OnParametersSet();

    void ReadPoints() => Points =
    [
        .. Answer.Rows.Take(MaxPoints).Where(row => row[_height].ValueKind == JsonValueKind.Number)
            .Select(row => new ChartPointText(NameOf(row[_across]), row[_height].GetDouble(), row[_height].GetRawText())),
    ];

    static string NameOf(JsonElement cell) => cell.ValueKind switch
    {
        JsonValueKind.Null => "null",
        JsonValueKind.String => DateTimeOffset.TryParse(cell.GetString(), CultureInfo.InvariantCulture, out var time) && cell.GetString()!.Length >= 19
            ? time.UtcDateTime.ToString("MM-dd HH:mm", CultureInfo.InvariantCulture)
            : cell.GetString()!,
        _ => cell.GetRawText(),
    };

    sealed record ChartPointText(string Name, double Value, string Text);
}
