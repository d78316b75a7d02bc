using System.Globalization;
using System.Text;

namespace Sluice.Server.Components.Parts;

/// <summary>Where numbers stand in a drawing.</summary>
static class ChartScale
{
    /// <summary>The smallest of 1, 2, 2.5, 5 x 10^n that is not below the number: the top of an axis.</summary>
    public static double Ceiling(double number)
    {
        if (number <= 0)
            return 1;
        var power = Math.Pow(10, Math.Floor(Math.Log10(number)));
        foreach (var step in new[] { 1, 2, 2.5, 5 })
        {
            if (number <= step * power)
                return step * power;
        }
        return 10 * power;
    }

    /// <summary>An SVG path through the values, evenly spaced; NaN breaks the line.</summary>
    public static string Path(IReadOnlyList<double> values, double left, double right, double bottom, double top, double max)
    {
        var path = new StringBuilder();
        var isDown = false;
        for (var i = 0; i < values.Count; i++)
        {
            if (double.IsNaN(values[i]))
            {
                isDown = false;
                continue;
            }
            var x = values.Count == 1 ? left : left + (right - left) * i / (values.Count - 1);
            path.Append(CultureInfo.InvariantCulture, $"{(isDown ? 'L' : 'M')}{x:0.#},{Height(values[i], bottom, top, max):0.#}");
            isDown = true;
        }
        return path.ToString();
    }

    public static double Height(double value, double bottom, double top, double max) => bottom - (bottom - top) * Math.Clamp(value / max, 0, 1);

    public static string Text(double number) => number.ToString("0.#", CultureInfo.InvariantCulture);
}
