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
    /// <summary>
    /// The number times 10^<paramref name="scale"/>, cut toward zero: exact for any number of digits and any exponent, or out of range.
    /// </summary>
    /// <param name="text">ASCII digits with optional sign, fraction and exponent; <c>.5</c> and <c>5.</c> are numbers.</param>
    /// <param name="allowExponent">The original takes an exponent in JSON numbers and not in strings.</param>
    /// <param name="isTruncated">Digits other than zero were cut off.</param>
    public static NumberResult TryScale(ReadOnlySpan<byte> text, int scale, bool allowExponent, out long value, out bool isTruncated)
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
