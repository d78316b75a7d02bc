using Prometheus;
using Sluice.Metrics;

namespace Sluice.Server.Operations;

/// <summary>
/// The series of <c>/metrics</c> that are read from the engine when somebody asks: ledgers, and how far the loaders are. The counters are those of the
/// ledgers, so they survive a restart. Labels are ids; names are in the series that end in <c>_info</c>.
/// </summary>
/// <remarks>Made for one scrape: a sink or table that is gone leaves nothing behind. One thread.</remarks>
sealed class EngineSeries(MetricFactory make)
{
    /// <summary>The label of what SQL wrote, in all tables together.</summary>
    const string Sql = "sql";

    readonly Counter _requests = make.CreateCounter("sluice_requests_total", "Requests that were answered record by record.", "sink");
    readonly Counter _bytes = make.CreateCounter("sluice_request_bytes_total", "Bytes of their bodies, decompressed.", "sink");
    readonly Counter _received = make.CreateCounter("sluice_records_received_total", "Records answered for: accepted and rejected.", "sink");
    readonly Counter _accepted = make.CreateCounter("sluice_records_accepted_total", "Records that were durable when they were answered.", "sink");
    readonly Counter _rejected = make.CreateCounter("sluice_records_rejected_total", "Records that failed validation.", "sink");
    readonly Counter _loaded = make.CreateCounter("sluice_records_loaded_total", "Accepted records that are in their table, or were superseded.", "sink");
    readonly Counter _failed = make.CreateCounter("sluice_records_failed_total", "Accepted records that could not be loaded, those lost included.", "sink");
    readonly Counter _lost = make.CreateCounter("sluice_records_lost_total", "Of those failed: gone with a repaired log or a rebuilt database.", "sink");
    readonly Counter _superseded = make.CreateCounter("sluice_records_superseded_total", "Of those loaded: changed nothing, because their version is below that of their key.", "sink");
    readonly Counter _replayed = make.CreateCounter("sluice_records_replayed_total", "Rejected or failed records that were replayed from the quarantine.", "sink");
    readonly Gauge _pending = make.CreateGauge("sluice_records_pending", "Accepted records that are neither loaded nor failed.", "sink");
    readonly Gauge _sinks = make.CreateGauge("sluice_sink_info", "1; what a sink is called and which table it feeds.", "sink", "name", "table");

    readonly Gauge _lagRecords = make.CreateGauge("sluice_loader_lag_records", "Accepted records of the table that are neither loaded nor failed.", "table");
    readonly Gauge _lagSeconds = make.CreateGauge("sluice_loader_lag_seconds", "Age of the oldest of them; 0 when there is none.", "table");
    readonly Gauge _failing = make.CreateGauge("sluice_loader_failing", "1: the database refuses loads, and they are tried again and again.", "table");
    readonly Gauge _logBytes = make.CreateGauge("sluice_log_bytes", "Bytes of the table's log on the disk.", "table");
    readonly Gauge _backlogBytes = make.CreateGauge("sluice_log_backlog_bytes", "Of those: in segments that loading still reads. 0 when everything is loaded.", "table");
    readonly Gauge _waitingBytes = make.CreateGauge("sluice_log_waiting_bytes", "Bytes that wait to be written to the log.", "table");
    readonly Counter _expired = make.CreateCounter("sluice_table_rows_expired_total", "Rows that outlived the table's retention.", "table");
    readonly Gauge _tables = make.CreateGauge("sluice_table_info", "1; what a table is called and which database it is in.", "table", "name", "database");
    readonly Gauge _closed = make.CreateGauge("sluice_tables_closed", "Tables that are closed because their database is damaged.");

    /// <summary>Takes everything at about this moment; each ledger at one moment.</summary>
    public void Read(Engine engine, TimeProvider time)
    {
        foreach (var sink in engine.Sinks)
        {
            var definition = sink.Definition;
            Add(definition.Id.ToString(), sink.ReadLedger(), sink.ReadVolume());
            _sinks.WithLabels(definition.Id.ToString(), definition.Name, definition.TableId.ToString()).Set(1);
        }

        var now = time.GetUtcNow().ToUnixTimeMilliseconds() * 1_000;
        foreach (var table in engine.Tables)
        {
            Add(Sql, table.ReadSqlLedger(), table.ReadSqlVolume());
            Read(table, now);
        }

        _closed.Set(engine.ClosedTables.Count);
    }

    void Add(string sink, SinkLedger ledger, SinkVolume volume)
    {
        _requests.WithLabels(sink).Inc(ledger.Requests);
        _bytes.WithLabels(sink).Inc(volume.ReceivedBytes);
        _received.WithLabels(sink).Inc(ledger.Received);
        _accepted.WithLabels(sink).Inc(ledger.Accepted);
        _rejected.WithLabels(sink).Inc(ledger.Rejected);
        _loaded.WithLabels(sink).Inc(ledger.Loaded);
        _failed.WithLabels(sink).Inc(ledger.Failed);
        _lost.WithLabels(sink).Inc(ledger.Lost);
        _superseded.WithLabels(sink).Inc(ledger.Superseded);
        _replayed.WithLabels(sink).Inc(ledger.Replayed);
        _pending.WithLabels(sink).Inc(ledger.Pending);
    }

    void Read(Table table, long nowMicroseconds)
    {
        var id = table.Id.ToString();
        var oldest = table.ReadVolume().OldestPendingMicroseconds;
        _lagRecords.WithLabels(id).Set(table.ReadLedger().Pending);
        _lagSeconds.WithLabels(id).Set(oldest == 0 ? 0 : Math.Max(0, nowMicroseconds - oldest) / 1e6); // the clock may have gone back
        _failing.WithLabels(id).Set(table.IsLoadFailing ? 1 : 0);
        _logBytes.WithLabels(id).Set(table.LogBytes);
        _backlogBytes.WithLabels(id).Set(table.BacklogBytes);
        _waitingBytes.WithLabels(id).Set(table.WaitingBytes);
        _expired.WithLabels(id).Inc(table.ExpiredRows);
        _tables.WithLabels(id, table.Schema.Name, table.DatabaseId.ToString()).Set(1);
    }
}
