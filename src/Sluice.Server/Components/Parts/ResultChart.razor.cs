using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Components;

namespace Sluice.Server.Components.Parts;

/// <summary>Two columns of an answer as bars or a line.</summary>
public sealed partial class ResultChart
{
    const int Width = 900;
    const int Height = 300;
    const int Left = 56;
    const int Right = 892;
    const int Top = 10;
    const int Bottom = 268;
    const int MaxPoints = 500;

    bool _isLine;
    int _across;
    int _height = -1;
    IReadOnlyList<ChartPointText> _points = []; // of the present render

    /// <summary>A <see cref="QueryAnswer"/> that <see cref="CanDraw"/> is true for.</summary>
    [Parameter, EditorRequired]
    public object Result { get; set; } = null!;

    QueryAnswer Answer => (QueryAnswer)Result;

    IReadOnlyList<ChartPointText> Points =>
    [
        .. Answer.Rows.Take(MaxPoints).Where(row => row[_height].ValueKind == JsonValueKind.Number)
            .Select(row => new ChartPointText(NameOf(row[_across]), row[_height].GetDouble(), row[_height].GetRawText())),
    ];

    double Low => Math.Min(0, _points.Select(point => point.Value).DefaultIfEmpty().Min() is var least and < 0 ? -ChartScale.Ceiling(-least) : 0);

    double High => _points.Select(point => point.Value).DefaultIfEmpty().Max() is var most and > 0 ? ChartScale.Ceiling(most) : Low < 0 ? 0 : 1;

    double Slot => (Right - Left) / (double)Math.Max(1, _points.Count);

    string Summary => $"{Answer.Columns[_height].Name} by {Answer.Columns[_across].Name}, {Words.Plural(_points.Count, "value")} from {Words.Rate(_points.Min(point => point.Value))} to {Words.Rate(_points.Max(point => point.Value))}";

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
