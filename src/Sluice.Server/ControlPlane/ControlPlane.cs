using System.Collections.Concurrent;
using Microsoft.EntityFrameworkCore;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;

namespace Sluice.Server;

/// <summary>Removes the store of a database whose tables are gone. Does nothing when there is none.</summary>
delegate ValueTask DropDatabaseStore(Guid databaseId, CancellationToken cancellation);

/// <summary>
/// What REST, SQL and the console may do to databases, tables, columns and sinks. Every method takes the caller and authorises
/// itself. Any thread.
/// </summary>
/// <remarks>
/// <para>
/// Every change runs in the same order: the intent is written to the catalogue, the engine does it (and has it durable in the
/// table's log), the catalogue says it is done. A crash in between leaves an intent that <see cref="ResumeAsync"/> finishes. When the
/// engine refuses and nothing was stored, the intent is taken back; when it does not know, the intent stays and is finished later.
/// </para>
/// <para>
/// A change that has begun does not end early because its caller left: the cancellation token only stops waiting for its turn.
/// Changes of one table run one at a time (<see cref="TableGate"/>); writes to the catalogue are short and run one at a time, inside.
/// </para>
/// </remarks>
/// <param name="catalog">Opened and migrated.</param>
sealed partial class ControlPlane(
    IDbContextFactory<CatalogContext> catalog, ControlPlaneOptions options, QuotaOptions quotas, TimeProvider time, DropDatabaseStore dropDatabaseStore, AuditLog audit, ILogger<ControlPlane> logger)
    : IDisposable
{
    readonly SemaphoreSlim _catalogWrites = new(1);
    readonly ConcurrentDictionary<Guid, TableGate> _gates = new();
    readonly ConcurrentDictionary<Guid, SinkStatus> _sinkStatuses = new();
    Engine? _engine;

    /// <summary>The status of a sink, from memory: this is asked for every request with records. <c>null</c>: there is no such sink.</summary>
    public SinkStatus? FindSinkStatus(Guid id) => _sinkStatuses.TryGetValue(id, out var status) ? status : null;

    public void Dispose()
    {
        _catalogWrites.Dispose();
        foreach (var gate in _gates.Values)
            gate.Dispose();
    }

    Engine Engine => Volatile.Read(ref _engine) ?? throw new SluiceException(ErrorCode.Unavailable, "The server is still starting.");

    DateTimeOffset Now => time.GetUtcNow();

    public static void RequireRead(Caller caller) => Require(caller, Policies.Read, "read");

    public static void RequireWrite(Caller caller) => Require(caller, Policies.Write, "change");

    static void Require(Caller caller, string policy, string verb)
    {
        if (!Policies.Allows(caller.Role, policy))
            throw new SluiceException(ErrorCode.Forbidden, $"The role {caller.Role} may not {verb} databases, tables and sinks.");
    }

    /// <summary>Tells the server's log and the audit log of a change that has been made.</summary>
    /// <param name="verb">As in <c>create</c>.</param>
    void NoteChange(Caller caller, string resource, Guid id, string name, string verb, string? detail = null)
    {
        logger.ResourceChanged(caller.Email, resource, id, name, detail is null ? verb : $"{verb}: {detail}");
        WriteAudit(caller, resource, id, name, verb, AuditResult.Ok, detail);
    }

    void WriteAudit(Caller caller, string resource, Guid id, string name, string verb, AuditResult result, string? detail) =>
        audit.Write(AuditEvent.By(caller, $"{resource}.{verb}") with { Result = result, Target = resource, TargetId = id.ToString(), TargetName = name, Detail = detail });

    TableGate GateOf(Guid tableId) => _gates.GetOrAdd(tableId, _ => new TableGate());

    async Task<T> ReadAsync<T>(Func<CatalogContext, Task<T>> read)
    {
        await using var db = catalog.CreateDbContext();
        return await read(db);
    }

    /// <summary>Waits until no table is being made, changed or dropped; from then on changes wait until the result is disposed.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Unavailable"/>: a change does not come to its end.</exception>
    public async Task<IDisposable> HoldChangesAsync(CancellationToken cancellation)
    {
        for (var started = time.GetTimestamp(); ; await Task.Delay(TimeSpan.FromMilliseconds(50), time, cancellation))
        {
            await _catalogWrites.WaitAsync(cancellation);
            var unfinished = await FindUnfinishedAsync(cancellation);
            if (unfinished is null)
                return new Hold(_catalogWrites);
            _catalogWrites.Release();
            if (time.GetElapsedTime(started) > ResumeTimeout)
                throw new SluiceException(ErrorCode.Unavailable, $"A change of table {unfinished} does not come to its end.");
        }
    }

    async Task<string?> FindUnfinishedAsync(CancellationToken cancellation)
    {
        try
        {
            return await ReadAsync(db => LiveTables(db).Where(row => row.Status != TableStatus.Running || row.PendingSchema != null).Select(row => row.Name).FirstOrDefaultAsync(cancellation));
        }
        catch
        {
            _catalogWrites.Release();
            throw;
        }
    }

    sealed class Hold(SemaphoreSlim turn) : IDisposable
    {
        public void Dispose() => turn.Release();
    }

    /// <summary>Checks and changes rows in one turn and one transaction.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Unavailable"/>, outcome unknown: the catalogue could not be written.</exception>
    async Task<T> WriteAsync<T>(Func<CatalogContext, Task<T>> change, CancellationToken cancellation)
    {
        await _catalogWrites.WaitAsync(cancellation);
        try
        {
            await using var db = catalog.CreateDbContext();
            var result = await change(db);
            await db.SaveChangesAsync(CancellationToken.None);
            return result;
        }
        catch (DbUpdateException e)
        {
            throw new SluiceException(ErrorCode.Unavailable, "The catalogue could not be written.", e) { Outcome = RefusalOutcome.Unknown };
        }
        finally
        {
            _catalogWrites.Release();
        }
    }
}
