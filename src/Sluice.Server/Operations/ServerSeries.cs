using Prometheus;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Operations;

/// <summary>The other series of <c>/metrics</c> that are read when somebody asks: readiness, disk, database files, queries. Any thread.</summary>
sealed class ServerSeries(ServerOptions options, DataDirectory data, Drain drain, EngineSlot slot, DuckDbDatabases databases, UserQuery queries)
{
    static readonly (QueryEnd End, string Label)[] s_ends =
    [
        (QueryEnd.Completed, "completed"), (QueryEnd.Failed, "failed"), (QueryEnd.TimedOut, "timed_out"), (QueryEnd.Cancelled, "cancelled"), (QueryEnd.Displaced, "displaced"),
        (QueryEnd.NotBegun, "not_begun"),
    ];

    public void Read(MetricFactory make)
    {
        make.CreateGauge("sluice_ready", "1: the server takes records, as /health/ready says.").Set(slot.Health.IsReady && !drain.IsDraining ? 1 : 0);
        make.CreateGauge("sluice_disk_free_bytes", "Free bytes of the disk with the data directory.").Set(new DriveInfo(data.Path).AvailableFreeSpace);
        make.CreateGauge("sluice_disk_reserve_bytes", "With less free the server takes no records.").Set(options.Storage.DiskReserveBytes);
        make.CreateCounter("dotnet_gc_pause_seconds_total", "Time that the garbage collector has stopped the process for.").Inc(GC.GetTotalPauseDuration().TotalSeconds);

        make.CreateGauge("sluice_sql_running", "Queries that run.").Set(queries.RunningCount);
        var ended = make.CreateCounter("sluice_sql_queries_total", "Queries that have ended, by how.", "end");
        foreach (var (end, label) in s_ends)
            ended.WithLabels(label).Inc(queries.CountEnded(end));

        var file = make.CreateGauge("sluice_database_bytes", "Bytes of a database's file.", "database");
        var wal = make.CreateGauge("sluice_database_wal_bytes", "Bytes of a database's write-ahead log.", "database");
        foreach (var database in slot.Opened?.Tables.Select(table => table.DatabaseId).Distinct() ?? [])
        {
            var sizes = databases.ReadFileSizes(database);
            file.WithLabels(database.ToString()).Set(sizes.File);
            wal.WithLabels(database.ToString()).Set(sizes.Wal);
        }
    }
}
