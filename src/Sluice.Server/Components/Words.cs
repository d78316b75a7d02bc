using System.Globalization;

namespace Sluice.Server.Components;

/// <summary>Numbers and times as people read them.</summary>
static class Words
{
    static readonly string[] ByteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

    public static string Ago(TimeSpan since) => since.TotalSeconds switch
    {
        < 10 => "a few seconds ago",
        < 60 => string.Create(CultureInfo.InvariantCulture, $"{since.Seconds} seconds ago"),
        < 3_600 => Plural((int)since.TotalMinutes, "minute") + " ago",
        < 86_400 => Plural((int)since.TotalHours, "hour") + " ago",
        _ => Plural((int)since.TotalDays, "day") + " ago",
    };

    public static string Plural(long count, string noun) => $"{Count(count)} {noun}{(count == 1 ? "" : "s")}";

    /// <summary>With thousands apart: 1,234,567.</summary>
    public static string Count(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>Three figures: 0.4, 12, 1.2k, 3.4M.</summary>
    public static string Rate(double number) => Math.Abs(number) switch
    {
        0 => "0",
        < 10 => number.ToString("0.#", CultureInfo.InvariantCulture),
        < 1_000 => number.ToString("0", CultureInfo.InvariantCulture),
        < 10_000 => (number / 1_000).ToString("0.0", CultureInfo.InvariantCulture) + "k",
        < 1_000_000 => (number / 1_000).ToString("0", CultureInfo.InvariantCulture) + "k",
        < 1_000_000_000 => (number / 1_000_000).ToString("0.0", CultureInfo.InvariantCulture) + "M",
        _ => (number / 1_000_000_000).ToString("0.0", CultureInfo.InvariantCulture) + "G",
    };

    public static string Bytes(double bytes)
    {
        var unit = 0;
        for (; bytes >= 1_024 && unit < ByteUnits.Length - 1; unit++)
            bytes /= 1_024;
        return bytes.ToString(bytes < 10 && unit > 0 ? "0.0" : "0", CultureInfo.InvariantCulture) + " " + ByteUnits[unit];
    }

    public static string Duration(TimeSpan time) => time.TotalSeconds switch
    {
        < 1 => time.TotalMilliseconds.ToString("0", CultureInfo.InvariantCulture) + " ms",
        < 60 => time.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture) + " s",
        _ => time.ToString(@"h\:mm\:ss", CultureInfo.InvariantCulture),
    };

    public static string Clock(DateTimeOffset time) => time.UtcDateTime.ToString("HH:mm:ss", CultureInfo.InvariantCulture);
}
