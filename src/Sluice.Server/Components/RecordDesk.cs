using System.Text;
using Sluice.Load;
using Sluice.Metrics;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Server.Accounts;
using Sluice.Server.DataPlane;

namespace Sluice.Server.Components;

/// <summary>Records for the console: sends them through the sink that the API sends through, and reads what became of them. Authorises inside. Any thread.</summary>
sealed class RecordDesk(EngineSlot slot, SinkGate gate)
{
    readonly Dictionary<Guid, (DateTimeOffset At, Task<QuarantineOverview> Overview)> _quarantines = []; // under its own lock; a sink's last one

    /// <summary>The longest text a page may send; the API takes more.</summary>
    public const int MaxTextBytes = 1024 * 1024;

    /// <exception cref="SluiceException">As <see cref="Sink.IngestAsync"/>; <see cref="ErrorCode.Forbidden"/>, <see cref="ErrorCode.NotFound"/>, <see cref="ErrorCode.IncorrectState"/>.</exception>
    public async Task<BatchOutcome> SendAsync(Caller caller, Guid sinkId, string text, CancellationToken cancellation)
    {
        Require(caller, Policies.Ingest);
        var sink = Find(sinkId);
        if (gate(sinkId) != SinkAdmission.Open)
            throw new SluiceException(ErrorCode.IncorrectState, "The data source is not active, so it takes no records now.");
        var body = Encoding.UTF8.GetBytes(text);
        if (body.Length > Math.Min(MaxTextBytes, sink.Definition.MaxRequestBytes))
            throw new SluiceException(ErrorCode.RequestTooLarge, $"The text is longer than {MaxTextBytes} bytes; send it to the ingest endpoint instead.");
        if (sink.FindRefusal(caller.Sender) is { } refusal)
            throw refusal;
        return await sink.IngestAsync(body, FormatOf(text), RecordOperation.Upsert, caller.Sender, cancellation);
    }

    /// <summary>Validates without storing anything: what the API does for <c>dry_run</c>.</summary>
    /// <exception cref="SluiceException">As <see cref="SendAsync"/>.</exception>
    public DryRun Check(Caller caller, Guid sinkId, string text)
    {
        Require(caller, Policies.Ingest);
        return Find(sinkId).Check(Encoding.UTF8.GetBytes(text), FormatOf(text), RecordOperation.Upsert);
    }

    public SinkLedger ReadLedger(Caller caller, Guid sinkId)
    {
        Require(caller, Policies.Read);
        return Find(sinkId).ReadLedger();
    }

    public IReadOnlyList<MinutePoint> ReadMinutes(Caller caller, Guid sinkId)
    {
        Require(caller, Policies.Read);
        return Find(sinkId).ReadMinutes();
    }

    public ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(Caller caller, Guid sinkId, int limit, CancellationToken cancellation)
    {
        Require(caller, Policies.Read);
        return Find(sinkId).ReadErrorsAsync(limit, cancellation);
    }

    /// <summary>What failed at a sink, by group, as of a moment or a little earlier. It is read once for all pages that look.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>, <see cref="ErrorCode.NotFound"/>.</exception>
    public Task<QuarantineOverview> ReadQuarantineAsync(Caller caller, Guid sinkId, DateTimeOffset moment, TimeSpan maxAge)
    {
        Require(caller, Policies.Read);
        var sink = Find(sinkId);
        lock (_quarantines)
        {
            if (_quarantines.TryGetValue(sinkId, out var known) && moment - known.At < maxAge && !known.Overview.IsFaulted)
                return known.Overview;
            var overview = sink.ReadQuarantineAsync(CancellationToken.None).AsTask();
            _quarantines[sinkId] = (moment, overview);
            return overview;
        }
    }

    /// <summary>The shape of what was typed: the envelope, an array of values, or a value a line.</summary>
    public static BodyFormat FormatOf(string text)
    {
        var start = text.AsSpan().TrimStart();
        return start.StartsWith("[") ? BodyFormat.Values
            : start.StartsWith("{") && start[1..].TrimStart().StartsWith("\"records\"") ? BodyFormat.Records
            : BodyFormat.Lines;
    }

    Sink Find(Guid sinkId) => slot.Engine.FindSink(sinkId) ?? throw new SluiceException(ErrorCode.NotFound, "There is no such data source.");

    static void Require(Caller caller, string policy)
    {
        if (!Policies.Allows(caller.Role, policy))
            throw new SluiceException(ErrorCode.Forbidden, $"The role {caller.Role} may not {policy}.");
    }
}
