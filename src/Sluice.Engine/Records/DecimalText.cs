namespace Sluice.Records;

enum NumberResult
{
    Ok,
    NotANumber,
    OutOfRange,
}

/// <summary>Reads decimal numbers from their digits, never through floating point.</summary>
static class DecimalText
{
    static readonly long[] PowersOfTen = [.. Enumerable.Range(0, 19).Select(exponent => (long)Math.Pow(10, exponent))];

    /// <param name="exponent">0 to 18.</param>
    public static long PowerOfTen(int exponent) => PowersOfTen[exponent];

    /// <summary>
    /// The number times 10^<paramref name="scale"/>, cut toward zero: exact for any number of digits and any exponent, or out of range.
    /// </summary>
    /// <param name="text">ASCII digits with optional sign, fraction and exponent; <c>.5</c> and <c>5.</c> are numbers.</param>
    /// <param name="allowExponent">The original takes an exponent in JSON numbers and not in strings.</param>
    /// <param name="isTruncated">Digits other than zero were cut off.</param>
    public static NumberResult TryScale(ReadOnlySpan<byte> text, int scale, bool allowExponent, out long value, out bool isTruncated)
    {
        if (TryScaleShort(text, scale, out value))
        {
            isTruncated = false;
            return NumberResult.Ok;
        }
        return ScaleAny(text, scale, allowExponent, out value, out isTruncated);
    }

    /// <summary>The common case in one pass: at most 18 digits in all, no exponent, nothing to cut.</summary>
    static bool TryScaleShort(ReadOnlySpan<byte> text, int scale, out long value)
    {
        const int exactDigits = 18;
        value = 0;
        var start = text.Length > 0 && text[0] == '-' ? 1 : 0;
        if (text.Length - start > exactDigits) return false;
        var at = ReadDigits(text, start, ref value);
        var fractionDigits = 0;
        if (at < text.Length && text[at] == '.' && at > start)
        {
            fractionDigits = text.Length - at - 1;
            at = ReadDigits(text, at + 1, ref value);
        }
        var zeros = scale - fractionDigits;
        if (at < text.Length || at == start || zeros < 0 || text.Length - start + zeros > exactDigits) return false;
        if (zeros > 0) value *= PowersOfTen[zeros];
        if (start > 0) value = -value;
        return true;
    }

    /// <summary>Appends digits to the value and returns where they end.</summary>
    static int ReadDigits(ReadOnlySpan<byte> text, int at, ref long value)
    {
        var number = value;
        for (; (uint)at < (uint)text.Length && (uint)(text[at] - '0') is <= 9 and var digit; at++) number = (number * 10) + digit;
        value = number;
        return at;
    }

    static NumberResult ScaleAny(ReadOnlySpan<byte> text, int scale, bool allowExponent, out long value, out bool isTruncated)
    {
        (value, isTruncated) = (0, false);
        var at = 0;
        var isNegative = text.Length > 0 && text[0] == '-';
        if (text.Length > 0 && text[0] is (byte)'-' or (byte)'+') at++;

        var digits = text[at..];
        var integerDigits = CountDigits(digits);
        var fraction = integerDigits < digits.Length && digits[integerDigits] == '.' ? digits[(integerDigits + 1)..] : [];
        var fractionDigits = CountDigits(fraction);
        if (integerDigits + fractionDigits == 0) return NumberResult.NotANumber;
        at += integerDigits + fractionDigits + (integerDigits < digits.Length && digits[integerDigits] == '.' ? 1 : 0);

        var exponent = 0;
        if (at < text.Length && !(allowExponent && TryReadExponent(text[at..], out exponent))) return NumberResult.NotANumber;

        // the digits left of the wanted point are kept, in order: first those of the integer, then of the fraction, then zeros
        var kept = (long)integerDigits + exponent + scale;
        var magnitude = 0UL;
        for (var i = 0; i < integerDigits + fractionDigits; i++)
        {
            var digit = (uint)((i < integerDigits ? digits[i] : fraction[i - integerDigits]) - '0');
            if (i >= kept)
            {
                isTruncated |= digit != 0;
                continue;
            }
            if (magnitude > (ulong.MaxValue - digit) / 10) return NumberResult.OutOfRange;
            magnitude = (magnitude * 10) + digit;
        }
        for (var i = (long)integerDigits + fractionDigits; i < kept && magnitude != 0; i++)
        {
            if (magnitude > ulong.MaxValue / 10) return NumberResult.OutOfRange;
            magnitude *= 10;
        }
        if (magnitude > long.MaxValue + (isNegative ? 1UL : 0)) return NumberResult.OutOfRange;
        value = isNegative ? unchecked(-(long)magnitude) : (long)magnitude;
        return NumberResult.Ok;
    }

    static int CountDigits(ReadOnlySpan<byte> text)
    {
        var end = text.IndexOfAnyExceptInRange((byte)'0', (byte)'9');
        return end < 0 ? text.Length : end;
    }

    static bool TryReadExponent(ReadOnlySpan<byte> text, out int exponent)
    {
        const int beyondAnyText = 1_000_000_000; // a body has fewer digits
        exponent = 0;
        if (text[0] is not ((byte)'e' or (byte)'E')) return false;
        var at = text.Length > 1 && text[1] is (byte)'-' or (byte)'+' ? 2 : 1;
        var digits = text[at..];
        if (digits.IsEmpty || CountDigits(digits) != digits.Length) return false;
        foreach (var digit in digits)
            exponent = (int)Math.Min((exponent * 10L) + (digit - '0'), beyondAnyText);
        if (text[1] == '-') exponent = -exponent;
        return true;
    }
}
