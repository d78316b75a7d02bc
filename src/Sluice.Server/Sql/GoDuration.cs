using System.Globalization;
using System.Text;

namespace Sluice.Server.Sql;

/// <summary>Durations as Go writes them, which TTL takes: <c>24h</c>, <c>1h30m</c>, <c>0s</c>; also days, <c>30d</c>. None is negative.</summary>
static class GoDuration
{
    public static bool TryParse(string text, out TimeSpan duration)
    {
        duration = TimeSpan.Zero;
        if (text == "0")
            return true;
        var rest = text.AsSpan();
        while (!rest.IsEmpty)
        {
            var digits = rest.IndexOfAnyExceptInRange('0', '9');
            if (digits is <= 0 or > 9)
                return false;
            var count = int.Parse(rest[..digits], CultureInfo.InvariantCulture);
            rest = rest[digits..];
            var unit = rest.StartsWith("ms", StringComparison.Ordinal) ? "ms" : rest[..1].ToString();
            TimeSpan? length = unit switch
            {
                "d" => TimeSpan.FromDays(1),
                "h" => TimeSpan.FromHours(1),
                "m" => TimeSpan.FromMinutes(1),
                "s" => TimeSpan.FromSeconds(1),
                "ms" => TimeSpan.FromMilliseconds(1),
                _ => null,
            };
            if (length is null || count > (TimeSpan.MaxValue - duration) / length.Value)
                return false;
            duration += count * length.Value;
            rest = rest[unit.Length..];
        }
        return text.Length > 0;
    }

    public static string Format(TimeSpan duration)
    {
        if (duration == TimeSpan.Zero)
            return "0s";
        var text = new StringBuilder();
        Append(text, (long)duration.TotalHours, 'h');
        Append(text, duration.Minutes, 'm');
        Append(text, duration.Seconds, 's');
        return text.Length == 0 ? $"{duration.Milliseconds}ms" : text.ToString();
    }

    static void Append(StringBuilder text, long count, char unit)
    {
        if (count > 0)
            text.Append(CultureInfo.InvariantCulture, $"{count}{unit}");
    }
}
