using System.Globalization;
using System.Text.RegularExpressions;
using Sluice.Schema;

namespace Sluice.Server;

/// <summary>The units of timestamps: <c>s</c>, <c>ms</c>, <c>us</c> (also written with the micro sign), <c>ns</c>.</summary>
static class TimeUnits
{
    public static bool TryParse(string text, out TimeUnit unit)
    {
        (var known, unit) = text switch
        {
            "s" => (true, TimeUnit.Second),
            "ms" => (true, TimeUnit.Millisecond),
            "us" or "\u00b5s" or "\u03bcs" => (true, TimeUnit.Microsecond),
            "ns" => (true, TimeUnit.Nanosecond),
            _ => (false, TimeUnit.Second),
        };
        return known;
    }

    public static string Write(TimeUnit unit) => unit switch
    {
        TimeUnit.Second => "s",
        TimeUnit.Millisecond => "ms",
        TimeUnit.Microsecond => "us",
        TimeUnit.Nanosecond => "ns",
        _ => throw new ArgumentOutOfRangeException(nameof(unit)),
    };
}

/// <summary>Times as RFC 3339 writes them, in the options of columns and mappings.</summary>
static partial class Rfc3339
{
    public static bool TryParse(string text, out DateTimeOffset time)
    {
        time = default;
        return Pattern.IsMatch(text) && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AdjustToUniversal, out time);
    }

    /// <summary>What numbers are counted from: whole seconds, as nothing finer is added to them.</summary>
    public static bool TryParseEpoch(string text, out DateTimeOffset epoch) => TryParse(text, out epoch) && epoch.Ticks % TimeSpan.TicksPerSecond == 0;

    [GeneratedRegex(@"^[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9](\.[0-9]{1,9})?(Z|[+-][0-9][0-9]:[0-9][0-9])\z", RegexOptions.CultureInvariant)]
    static partial Regex Pattern { get; }
}

/// <summary>How long time views are kept, written as a duration: <c>24h</c>, <c>1h30m</c>, <c>30d</c>; <c>0s</c>: for ever.</summary>
static partial class TimeToLive
{
    /// <summary>Longest duration taken: 36,500 days, about 100 years.</summary>
    public static TimeSpan Max { get; } = TimeSpan.FromDays(36_500);

    /// <returns>False: not a duration, not in whole seconds, or above <see cref="Max"/>.</returns>
    public static bool TryParse(string text, out TimeSpan duration)
    {
        duration = TimeSpan.Zero;
        if (text == "0")
            return true;
        if (Pattern.Match(text) is not { Success: true } match)
            return false;
        decimal seconds = 0;
        foreach (var (number, unit) in match.Groups["number"].Captures.Zip(match.Groups["unit"].Captures))
        {
            if (!decimal.TryParse(number.ValueSpan, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var count) || count > 1e12m)
                return false;
            seconds += count * SecondsPer(unit.Value);
        }
        if (seconds != decimal.Truncate(seconds) || seconds > (decimal)Max.TotalSeconds)
            return false;
        duration = TimeSpan.FromSeconds((long)seconds);
        return true;
    }

    /// <summary>The duration in the largest unit up to hours that divides it.</summary>
    public static string Write(TimeSpan duration)
    {
        var seconds = (long)duration.TotalSeconds;
        var (count, unit) = seconds == 0 ? (0, "s") : seconds % 3600 == 0 ? (seconds / 3600, "h") : seconds % 60 == 0 ? (seconds / 60, "m") : (seconds, "s");
        return string.Create(CultureInfo.InvariantCulture, $"{count}{unit}");
    }

    /// <summary>The duration in the largest unit up to days that divides it.</summary>
    public static string WriteWithDays(TimeSpan duration) => duration.Ticks > 0 && duration.Ticks % TimeSpan.TicksPerDay == 0
        ? string.Create(CultureInfo.InvariantCulture, $"{duration.Ticks / TimeSpan.TicksPerDay}d")
        : Write(duration);

    static decimal SecondsPer(string unit) => unit switch
    {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        "ms" => 0.001m,
        "us" => 0.000_001m,
        _ => 0.000_000_001m,
    };

    [GeneratedRegex(@"^((?<number>[0-9]+(\.[0-9]+)?)(?<unit>ns|us|ms|s|m|h|d)){1,8}\z", RegexOptions.CultureInvariant)]
    static partial Regex Pattern { get; }
}
