using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Sluice.Client;
using Sluice.Quarantine;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;
using Sluice.Watch;

namespace Sluice.Server;

/// <summary>Which records of a quarantine; both <c>null</c>: all.</summary>
sealed record QuarantineChoice(ulong? GroupId, IReadOnlyList<ulong>? Positions);

sealed partial class ControlPlane
{
    /// <summary>What failed at a sink, by group.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>, also where the sink's table is gone.</exception>
    public ValueTask<QuarantineOverview> ReadQuarantineAsync(Caller caller, Guid sinkId, CancellationToken cancellation)
    {
        RequireRead(caller);
        return OpenSink(sinkId).ReadQuarantineAsync(cancellation);
    }

    /// <summary>Records in quarantine, oldest first, those replayed too.</summary>
    /// <param name="after">Only positions above.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public ValueTask<IReadOnlyList<QuarantineEntry>> ReadQuarantinedAsync(
        Caller caller, Guid sinkId, ulong? groupId, ulong after, int limit, CancellationToken cancellation)
    {
        RequireRead(caller);
        return OpenSink(sinkId).ReadQuarantinedAsync(groupId, after, limit, cancellation);
    }

    /// <summary>Throws records away that wait in quarantine; they stay counted.</summary>
    /// <returns>How many.</returns>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public async Task<long> DiscardAsync(Caller caller, Guid sinkId, QuarantineChoice choice, CancellationToken cancellation)
    {
        RequireWrite(caller);
        var sink = OpenSink(sinkId);
        return await ChangeQuarantineAsync(caller, sink, "discard", () => sink.DiscardAsync(choice.GroupId, choice.Positions, cancellation).AsTask(), discarded => discarded);
    }

    /// <summary>Sends records of the quarantine again through the present mapping (<see cref="Sink.ReplayAsync"/>).</summary>
    /// <param name="trial">Another mapping to try; for a dry run only.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>; what <see cref="CreateSinkAsync"/> says of a mapping; what sending records says.</exception>
    public async Task<ReplayOutcome> ReplayAsync(
        Caller caller, Guid sinkId, QuarantineChoice choice, SinkSchema? trial, bool isDryRun, CancellationToken cancellation)
    {
        RequireWrite(caller);
        if (trial is not null && !isDryRun)
            throw new SluiceException(ErrorCode.InvalidParameter, "Parameter 'schema' is for trying: give 'dry_run' true, or change the sink's mapping first.");
        var sink = OpenSink(sinkId);
        var definition = trial is null ? null : await TrialAsync(sinkId, trial, cancellation);
        return isDryRun
            ? await RunAsync()
            : await ChangeQuarantineAsync(caller, sink, "replay", RunAsync, outcome => outcome.Passed);

        Task<ReplayOutcome> RunAsync() => sink.ReplayAsync(choice.GroupId, choice.Positions, definition, isDryRun, caller.Id, cancellation).AsTask();
    }

    /// <summary>The newest records of a sink as they were sent, newest first.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public IReadOnlyList<SampledRecord> ReadSample(Caller caller, Guid sinkId)
    {
        RequireRead(caller);
        return OpenSink(sinkId).ReadSample();
    }

    /// <summary>What a sink receives and does not map, with the column that each path suggests.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public Drift ReadDrift(Caller caller, Guid sinkId)
    {
        RequireRead(caller);
        return OpenSink(sinkId).ReadDrift();
    }

    /// <summary>What another mapping would make of the newest records. Changes nothing.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>; what <see cref="CreateSinkAsync"/> says of a mapping.</exception>
    public async Task<IReadOnlyList<TrialRecord>> TryMappingAsync(Caller caller, Guid sinkId, SinkSchema trial, CancellationToken cancellation)
    {
        RequireWrite(caller);
        return OpenSink(sinkId).Try(await TrialAsync(sinkId, trial, cancellation));
    }

    /// <summary>Watches the records of a sink as they come.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>; <see cref="ErrorCode.LimitExceeded"/>: too many watch already.</exception>
    public TailSubscription Tail(Caller caller, Guid sinkId, TailFilter filter)
    {
        RequireRead(caller);
        return OpenSink(sinkId).Tail(filter);
    }

    /// <summary>Every version of a sink's mapping, the newest first.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public Task<List<CatalogSinkMapping>> ListMappingsAsync(Caller caller, Guid sinkId, CancellationToken cancellation)
    {
        RequireRead(caller);
        return ReadAsync(async db =>
        {
            await FindSinkAsync(db, sinkId, cancellation);
            return await db.SinkMappings.AsNoTracking().Where(row => row.SinkId == sinkId).OrderByDescending(row => row.Version).ToListAsync(cancellation);
        });
    }

    /// <summary>Notes the change whatever comes of it: it may take effect, or will, when its caller has left.</summary>
    async Task<T> ChangeQuarantineAsync<T>(Caller caller, Sink sink, string verb, Func<Task<T>> change, Func<T, long> count)
    {
        var definition = sink.Definition;
        var result = AuditResult.Unknown;
        try
        {
            var outcome = await change();
            result = AuditResult.Ok;
            NoteChange(caller, "sink", definition.Id, definition.Name, verb, string.Create(CultureInfo.InvariantCulture, $"{count(outcome)} records of the quarantine"));
            return outcome;
        }
        catch (SluiceException e) when (e.Outcome == RefusalOutcome.NotStored)
        {
            result = AuditResult.Failed;
            throw;
        }
        finally
        {
            if (result != AuditResult.Ok)
                WriteAudit(caller, "sink", definition.Id, definition.Name, verb, result, detail: null);
        }
    }

    async Task<SinkDefinition> TrialAsync(Guid sinkId, SinkSchema trial, CancellationToken cancellation)
    {
        var sink = await ReadAsync(db => FindSinkAsync(db, sinkId, cancellation));
        var table = sink.Table!.ToSchema();
        return ToDefinition(sink, table) with { AllowMissingFields = trial.AllowMissingFields, Fields = SinkMapping.Resolve(trial, table) };
    }

    Sink OpenSink(Guid id) => Engine.FindSink(id) ?? throw NoSink(id);
}
