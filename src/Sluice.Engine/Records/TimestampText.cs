using System.Runtime.CompilerServices;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>A point in time: whole seconds since 1970-01-01T00:00:00Z and nanoseconds (0 to 999,999,999) after them.</summary>
readonly record struct Instant(long Seconds, int Nanoseconds);

/// <summary>Reads timestamps as RFC 3339 (with the T) and <c>YYYY-MM-DD</c>, and converts them to a column's unit.</summary>
static class TimestampText
{
    const long NanosecondsPerSecond = 1_000_000_000;

    // compat: seconds, milli- and microseconds take the years 1 to 9999; nanoseconds what the original took in 64 bits
    static readonly long MinSeconds = new DateTimeOffset(1, 1, 1, 0, 0, 1, TimeSpan.Zero).ToUnixTimeSeconds();
    static readonly long MaxSeconds = new DateTimeOffset(9999, 12, 31, 23, 59, 59, TimeSpan.Zero).ToUnixTimeSeconds();
    static readonly long MinNanoSeconds = new DateTimeOffset(1833, 11, 24, 17, 31, 44, TimeSpan.Zero).ToUnixTimeSeconds();
    static readonly long MaxNanoSeconds = new DateTimeOffset(2106, 2, 7, 6, 28, 16, TimeSpan.Zero).ToUnixTimeSeconds();

    /// <summary>False: not a timestamp. More than nine fraction digits are cut, <paramref name="isTruncated"/> says whether any of them was not zero.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out Instant instant, out bool isTruncated)
    {
        (instant, isTruncated) = (default, false);
        if (text.Length < 10 || !TryTwoDigits(text, 0, out var century) || !TryTwoDigits(text, 2, out var yearOfCentury) || text[4] != '-' || !TryTwoDigits(text, 5, out var month)
            || text[7] != '-' || !TryTwoDigits(text, 8, out var day)
            || month is 0 or > 12 || day == 0)
        {
            return false;
        }
        var year = (century * 100) + yearOfCentury;
        if (year == 0 || day > DateTime.DaysInMonth(year, month)) return false;
        var seconds = new DateTime(year, month, day, 0, 0, 0, DateTimeKind.Utc).Subtract(DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerSecond;
        if (text.Length == 10)
        {
            instant = new Instant(seconds, 0);
            return true;
        }
        if (text.Length < 20 || text[10] is not ((byte)'T' or (byte)'t') || !TryTwoDigits(text, 11, out var hour) || text[13] != ':'
            || !TryTwoDigits(text, 14, out var minute) || text[16] != ':' || !TryTwoDigits(text, 17, out var second)
            || hour > 23 || minute > 59 || second > 59)
        {
            return false;
        }
        seconds += (hour * 3_600) + (minute * 60) + second;
        var rest = text[19..];
        var nanoseconds = 0;
        if (rest[0] is (byte)'.' or (byte)',')
        {
            var digits = rest[1..].IndexOfAnyExceptInRange((byte)'0', (byte)'9');
            if (digits <= 0) return false;
            for (var i = 0; i < Math.Max(digits, 9); i++)
            {
                var digit = i < digits ? rest[1 + i] - '0' : 0;
                if (i < 9) nanoseconds = (nanoseconds * 10) + digit;
                else isTruncated |= digit != 0;
            }
            rest = rest[(1 + digits)..];
        }
        if (!TryOffset(rest, out var offsetSeconds)) return false;
        instant = new Instant(seconds - offsetSeconds, nanoseconds);
        return true;
    }

    /// <summary>The instant that a number means which counts <paramref name="unit"/>s since <paramref name="epochSeconds"/>. False: beyond 64 bits.</summary>
    public static bool TryFromNumber(long number, TimeUnit unit, long epochSeconds, out Instant instant)
    {
        // constants, because a division by one is a multiplication
        var (seconds, nanoseconds) = unit switch
        {
            TimeUnit.Second => (number, 0),
            TimeUnit.Millisecond => Split(Math.DivRem(number, 1_000), 1_000_000),
            TimeUnit.Microsecond => Split(Math.DivRem(number, 1_000_000), 1_000),
            _ => Split(Math.DivRem(number, NanosecondsPerSecond), 1),
        };
        instant = new Instant(seconds + epochSeconds, nanoseconds);
        return epochSeconds >= 0 ? instant.Seconds >= seconds : instant.Seconds < seconds;
    }

    /// <summary>The unit that a number without a stated one is taken to count in, by its size (design D11).</summary>
    public static TimeUnit GuessUnit(long number) => Math.Abs((double)number) switch
    {
        < 1e11 => TimeUnit.Second,
        < 1e14 => TimeUnit.Millisecond,
        < 1e17 => TimeUnit.Microsecond,
        _ => TimeUnit.Nanosecond,
    };

    /// <summary>The instant in a column's unit, cut toward the past. False: outside the range of the unit.</summary>
    public static bool TryToUnit(Instant instant, TimeUnit unit, out long value, out bool isTruncated)
    {
        (value, isTruncated) = (0, false);
        var (min, max) = unit == TimeUnit.Nanosecond ? (MinNanoSeconds, MaxNanoSeconds) : (MinSeconds, MaxSeconds);
        if (instant.Seconds < min || instant.Seconds > max) return false;
        var (fraction, cut) = unit switch
        {
            TimeUnit.Second => (0, instant.Nanoseconds),
            TimeUnit.Millisecond => Math.DivRem(instant.Nanoseconds, 1_000_000),
            TimeUnit.Microsecond => Math.DivRem(instant.Nanoseconds, 1_000),
            _ => (instant.Nanoseconds, 0),
        };
        value = (instant.Seconds * PerSecond(unit)) + fraction;
        isTruncated = cut != 0;
        return true;
    }

    /// <summary>How many digits behind the point of a number in the unit are nanoseconds.</summary>
    public static int NanosecondDigits(TimeUnit unit) => unit switch
    {
        TimeUnit.Second => 9,
        TimeUnit.Millisecond => 6,
        TimeUnit.Microsecond => 3,
        _ => 0,
    };

    public static long PerSecond(TimeUnit unit) => unit switch
    {
        TimeUnit.Second => 1,
        TimeUnit.Millisecond => 1_000,
        TimeUnit.Microsecond => 1_000_000,
        _ => NanosecondsPerSecond,
    };

    /// <summary>Seconds and nanoseconds; the nanoseconds count from the second before.</summary>
    static (long Seconds, int Nanoseconds) Split((long Quotient, long Remainder) division, int nanosecondsPerUnit)
    {
        var nanoseconds = (int)division.Remainder * nanosecondsPerUnit;
        return nanoseconds < 0 ? (division.Quotient - 1, nanoseconds + (int)NanosecondsPerSecond) : (division.Quotient, nanoseconds);
    }

    static bool TryOffset(ReadOnlySpan<byte> text, out int seconds)
    {
        seconds = 0;
        if (text.Length == 1) return text[0] is (byte)'Z' or (byte)'z';
        if (text.Length != 6 || text[0] is not ((byte)'+' or (byte)'-') || !TryTwoDigits(text, 1, out var hours) || text[3] != ':'
            || !TryTwoDigits(text, 4, out var minutes) || hours > 23 || minutes > 59)
        {
            return false;
        }
        seconds = ((hours * 60) + minutes) * (text[0] == '-' ? -60 : 60);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static bool TryTwoDigits(ReadOnlySpan<byte> text, int start, out int value)
    {
        var (tens, ones) = (text[start] - '0', text[start + 1] - '0');
        value = (tens * 10) + ones;
        return (uint)tens <= 9 && (uint)ones <= 9;
    }
}
