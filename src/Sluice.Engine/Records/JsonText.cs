using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Sluice.Records;

enum TextResult
{
    Ok,
    InvalidUnicode,
    NulCharacter,
}

/// <summary>
/// The text of a JSON string token as UTF-8. <see cref="Utf8JsonReader"/> lets invalid UTF-8 and lone surrogates pass and throws only when asked
/// for a string; here they are results, because one bad record must not cost the others.
/// </summary>
static class JsonText
{
    /// <summary>The text, valid until <paramref name="scratch"/> is used again or the body is given up.</summary>
    public static TextResult TryRead(scoped ref Utf8JsonReader reader, RecordRows scratch, out ReadOnlySpan<byte> text)
    {
        text = reader.ValueSpan;
        if (!Utf8.IsValid(text)) return TextResult.InvalidUnicode;
        return reader.ValueIsEscaped ? Unescape(reader.ValueSpan, scratch, out text) : TextResult.Ok;
    }

    /// <summary>Whether the property name the reader stands on is this one.</summary>
    public static bool NameIs(ref Utf8JsonReader reader, ReadOnlySpan<byte> name, RecordRows scratch) => reader.ValueIsEscaped
        ? TryRead(ref reader, scratch, out var text) == TextResult.Ok && text.SequenceEqual(name)
        : reader.ValueSpan.SequenceEqual(name);

    /// <summary>Replaces the escapes of a JSON string (RFC 8259 section 7), which the reader has already checked for form.</summary>
    static TextResult Unescape(ReadOnlySpan<byte> escaped, RecordRows scratch, out ReadOnlySpan<byte> text)
    {
        if (scratch.Scratch.Length < escaped.Length) scratch.Scratch = new byte[Math.Max(escaped.Length, scratch.Scratch.Length * 2)];
        var output = scratch.Scratch;
        var length = 0;
        text = default;
        while (!escaped.IsEmpty)
        {
            var plain = escaped.IndexOf((byte)'\\');
            if (plain < 0) plain = escaped.Length;
            escaped[..plain].CopyTo(output.AsSpan(length));
            length += plain;
            escaped = escaped[plain..];
            if (escaped.IsEmpty) break;

            if (escaped[1] != 'u')
            {
                output[length++] = escaped[1] switch
                {
                    (byte)'b' => (byte)'\b',
                    (byte)'f' => (byte)'\f',
                    (byte)'n' => (byte)'\n',
                    (byte)'r' => (byte)'\r',
                    (byte)'t' => (byte)'\t',
                    var itself => itself,
                };
                escaped = escaped[2..];
                continue;
            }
            var result = TryReadRune(ref escaped, out var rune);
            if (result != TextResult.Ok) return result;
            length += rune.EncodeToUtf8(output.AsSpan(length));
        }
        text = output.AsSpan(0, length);
        return TextResult.Ok;
    }

    static TextResult TryReadRune(ref ReadOnlySpan<byte> escaped, out Rune rune)
    {
        var first = (char)HexOf(escaped[2..6]);
        escaped = escaped[6..];
        if (first == 0)
        {
            rune = default;
            return TextResult.NulCharacter;
        }
        if (Rune.TryCreate(first, out rune)) return TextResult.Ok;
        if (escaped.Length < 6 || escaped[0] != '\\' || escaped[1] != 'u') return TextResult.InvalidUnicode;
        var second = (char)HexOf(escaped[2..6]);
        escaped = escaped[6..];
        return Rune.TryCreate(first, second, out rune) ? TextResult.Ok : TextResult.InvalidUnicode;
    }

    static int HexOf(ReadOnlySpan<byte> digits)
    {
        var value = 0;
        foreach (var digit in digits)
            value = (value << 4) | (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
        return value;
    }
}
