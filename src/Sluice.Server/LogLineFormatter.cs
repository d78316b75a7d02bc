using System.Buffers;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace Sluice.Server;

/// <summary>
/// Writes an event as one line of text: time, level, category and id, message, exception. What could end the line, colour or command a terminal, or turn
/// the text around stands as <c>\u001b</c>, whoever it came from; the message has at most <see cref="MaxMessage"/> characters, the exception <see cref="MaxException"/>.
/// </summary>
sealed class LogLineFormatter() : ConsoleFormatter(FormatterName)
{
    public const string FormatterName = "sluice";

    // longer than any of ours; the framework's tell whole addresses, of up to 8 KiB
    const int MaxMessage = 4_096;
    const int MaxException = 16_384;

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        var time = TimeProvider.System.GetLocalNow().ToString("yyyy-MM-ddTHH:mm:ss.fffK", CultureInfo.InvariantCulture);
        textWriter.Write(string.Create(CultureInfo.InvariantCulture, $"{time} {NameOf(logEntry.LogLevel)}: {logEntry.Category}[{logEntry.EventId.Id}] "));
        Write(textWriter, logEntry.Formatter(logEntry.State, logEntry.Exception) ?? "", MaxMessage);
        if (logEntry.Exception is { } exception)
        {
            textWriter.Write(' ');
            Write(textWriter, exception.ToString().Replace(Environment.NewLine, " ", StringComparison.Ordinal), MaxException);
        }
        textWriter.Write('\n');
    }

    static void Write(TextWriter writer, string text, int most)
    {
        var rest = text.AsSpan(0, Math.Min(text.Length, most));
        while (rest.Length > 0)
        {
            var isText = Rune.DecodeFromUtf16(rest, out var rune, out var length) == OperationStatus.Done && IsPlain(rune);
            if (isText) writer.Write(rest[..length]);
            else foreach (var unit in rest[..length]) writer.Write(string.Create(CultureInfo.InvariantCulture, $"\\u{(int)unit:x4}"));
            rest = rest[length..];
        }
        if (text.Length > most) writer.Write(string.Create(CultureInfo.InvariantCulture, $"... ({text.Length - most} characters more)"));
    }

    static bool IsPlain(Rune rune) => Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);

    static string NameOf(LogLevel level) => level switch
    {
        LogLevel.Trace => "trce",
        LogLevel.Debug => "dbug",
        LogLevel.Information => "info",
        LogLevel.Warning => "warn",
        LogLevel.Error => "fail",
        _ => "crit",
    };
}
