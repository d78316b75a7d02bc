namespace Sluice.Server;

/// <summary>Where the engine is once it is open: the container is built before it, and the engine needs the container's loggers and meters.</summary>
/// <remarks>Set once, during start, before the first request. Any thread.</remarks>
sealed class EngineSlot
{
    volatile Engine? _engine;
    volatile bool _hasFailed;

    /// <exception cref="SluiceException"><see cref="ErrorCode.Unavailable"/>: the engine is not open yet.</exception>
    public Engine Engine => _engine ?? throw new SluiceException(ErrorCode.Unavailable, "The server is still starting.");

    /// <summary>Also one whose log has failed; <c>null</c>: not open yet.</summary>
    public Engine? Opened => _engine;

    /// <summary>Open, and its log has not failed.</summary>
    public bool IsUsable => _engine is not null && !_hasFailed;

    public EngineHealth Health =>
        _engine is null ? new(false, ["the engine is not open"])
        : _hasFailed ? new(false, ["the log has failed"])
        : _engine.Health;

    /// <summary>Databases of which a table is closed, and tables that are not loaded at present.</summary>
    public IReadOnlyList<string> Degraded => _engine is null ? [] :
    [
        .. _engine.ClosedTables.GroupBy(table => table.DatabaseId).OrderBy(database => database.Key)
            .Select(database => $"database {database.Key} {(database.Any(table => table.IsDamaged) ? "is damaged" : "could not be opened")}"),
        .. _engine.Tables.Where(table => table.IsLoadFailing).Select(table => table.Id).Order().Select(id => $"loads into table {id} fail, and are tried again"),
    ];

    public void Set(Engine engine) => _engine = engine;

    public void Fail() => _hasFailed = true;
}
