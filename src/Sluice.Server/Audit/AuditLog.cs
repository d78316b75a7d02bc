using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using Sluice.Server.Accounts;

namespace Sluice.Server.Audit;

/// <summary>
/// Who did what: one JSON object a line in <c>audit/audit-N.jsonl</c> (0600), N being the sequence of the file's first event. Lines are
/// appended and never changed; whole files go when there are too many.
/// </summary>
/// <remarks>
/// A line is written when its event has happened and before it is answered. Changes are fsynced; what callers can cause without limit
/// (<see cref="AuditAction.Frequent"/>) is not, and has <see cref="LinesAMinute"/>, beyond which events are counted and the count is
/// written. A line that cannot be written is an error in the server's log and stops nobody. Any thread.
/// </remarks>
sealed class AuditLog : IDisposable
{
    // 300 lines of 300 bytes: a flood of one kind takes two days to fill the default size
    public const int LinesAMinute = 300;

    const int MaxTextLength = 256;

    readonly string _directory;
    readonly AuditOptions _options;
    readonly TimeProvider _time;
    readonly ILogger _logger;
    readonly Lock _gate = new();
    readonly Dictionary<string, Budget> _budgets = new(StringComparer.Ordinal); // guarded by _gate, as all below
    readonly ArrayBufferWriter<byte> _line = new(1_024);
    SafeFileHandle? _file;
    string _path = "";
    long _length;
    bool _isTorn; // the last write failed: what stands behind _length is no line
    long _next = 1;

    AuditLog(string directory, AuditOptions options, TimeProvider time, ILogger logger)
    {
        _directory = directory;
        _options = options;
        _time = time;
        _logger = logger;
    }

    /// <summary>Opens the log of a directory, or makes it. A torn last line, which a power loss leaves, is cut off.</summary>
    /// <exception cref="StartupException"><see cref="ExitCode.BadOptions"/>: the directory cannot be used.</exception>
    public static AuditLog Open(string directory, AuditOptions options, TimeProvider time, ILogger logger)
    {
        try
        {
            SafeFile.MakeDirectory(directory);
            var log = new AuditLog(directory, options, time, logger);
            if (AuditFile.FindAll(directory) is [.., var newest])
                log.GoOn(newest);
            return log;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartupException(ExitCode.BadOptions, $"the audit log {directory} cannot be used: {e.Message}", e);
        }
    }

    public void Write(AuditEvent happened)
    {
        lock (_gate)
        {
            var now = _time.GetUtcNow();
            var isFrequent = AuditAction.Frequent.Contains(happened.Action);
            if (isFrequent && !Spend(happened.Action, now))
                return;

            Append(happened, now, isDurable: !isFrequent);
        }
    }

    /// <summary>A page of the log, newest first, as the lines stand in the file.</summary>
    /// <param name="before">Only events of a lower sequence.</param>
    public IReadOnlyList<JsonElement> Read(long before, int limit) =>
    [
        .. AuditFile.FindAll(_directory).AsEnumerable().Reverse()
            .Where(file => file.First < before)
            .SelectMany(file => AuditFile.ReadBackwards(file.Path))
            .Where(line => AuditFile.SequenceOf(line) < before)
            .Take(limit),
    ];

    public void Dispose()
    {
        lock (_gate)
        {
            foreach (var (action, budget) in _budgets)
                TellSuppressed(action, budget, _time.GetUtcNow());
            _budgets.Clear();
            _file?.Dispose();
            _file = null;
        }
    }

    bool Spend(string action, DateTimeOffset now)
    {
        var minute = now.ToUnixTimeSeconds() / 60;
        var budget = _budgets.GetValueOrDefault(action);
        if (budget.Minute != minute)
        {
            TellSuppressed(action, budget, now);
            budget = new Budget(minute, 0);
        }

        _budgets[action] = budget with { Count = budget.Count + 1 };
        return budget.Count < LinesAMinute;
    }

    void TellSuppressed(string action, Budget budget, DateTimeOffset now)
    {
        if (budget.Count <= LinesAMinute)
            return;

        var minute = DateTimeOffset.FromUnixTimeSeconds(budget.Minute * 60);
        Append(
            new AuditEvent("suppressed", AuditResult.Ok) { Detail = string.Create(CultureInfo.InvariantCulture, $"{budget.Count - LinesAMinute} more of {action} in the minute of {minute:yyyy-MM-ddTHH:mm}Z") },
            now,
            isDurable: false);
    }

    void GoOn(AuditFile newest)
    {
        _next = AuditFile.ReadBackwards(newest.Path).Select(AuditFile.SequenceOf).FirstOrDefault(newest.First - 1) + 1;
        _path = newest.Path;
        _file = File.OpenHandle(_path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        _length = AuditFile.LengthOfWholeLines(_path);
        RandomAccess.SetLength(_file, _length);
    }

    void Append(AuditEvent happened, DateTimeOffset now, bool isDurable)
    {
        try
        {
            _line.ResetWrittenCount();
            WriteLine(happened, now);
            var file = FileFor(_line.WrittenCount);
            if (_isTorn)
                RandomAccess.SetLength(file, _length);
            _isTorn = true;
            RandomAccess.Write(file, _line.WrittenSpan, _length);
            _isTorn = false;
            _length += _line.WrittenCount;
            _next++;
            if (isDurable)
                Posix.Sync(file, _path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _logger.AuditLineLost(e, happened.Action);
        }
    }

    SafeFileHandle FileFor(int lineLength)
    {
        if (_file is not null && (_length == 0 || _length + lineLength <= _options.MaxFileBytes))
            return _file;

        var path = Path.Combine(_directory, AuditFile.NameOf(_next));
        var file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Posix.SyncDirectory(_directory);
        _file?.Dispose();
        (_file, _path, _length, _isTorn) = (file, path, 0, false);

        foreach (var old in AuditFile.FindAll(_directory).SkipLast(_options.MaxFiles))
            File.Delete(old.Path);
        return _file;
    }

    /// <summary>The writer's default escaping leaves printable ASCII only, so no text can end a line, forge one, or colour a terminal.</summary>
    void WriteLine(AuditEvent happened, DateTimeOffset now)
    {
        using (var json = new Utf8JsonWriter(_line))
        {
            json.WriteStartObject();
            json.WriteNumber(AuditFile.Sequence, _next);
            json.WriteString("time", now.UtcDateTime);
            json.WriteString("action", happened.Action);
            json.WriteString("result", happened.Result.ToString().ToLowerInvariant());
            Write(json, "user_id", happened.UserId?.ToString());
            Write(json, "email", happened.Email);
            Write(json, "key_id", happened.KeyId?.ToString());
            Write(json, "target", happened.Target);
            Write(json, "target_id", happened.TargetId);
            Write(json, "target_name", happened.TargetName);
            Write(json, "detail", happened.Detail);
            Write(json, "address", happened.Origin?.Address);
            Write(json, "request_id", happened.Origin?.RequestId);
            Write(json, "via", happened.Origin is { IsConsole: true } ? "console" : null);
            json.WriteEndObject();
        }

        _line.Write("\n"u8);
    }

    static void Write(Utf8JsonWriter json, string member, string? text)
    {
        if (text is not null)
            json.WriteString(member, Clip(text));
    }

    static string Clip(string text) =>
        text.Length <= MaxTextLength ? text : text[..(char.IsHighSurrogate(text[MaxTextLength - 1]) ? MaxTextLength - 1 : MaxTextLength)];

    readonly record struct Budget(long Minute, int Count);
}
