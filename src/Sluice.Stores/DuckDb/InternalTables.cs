using System.Globalization;
using System.Text;
using DuckDB.NET.Data;
using Sluice.Load;
using Sluice.Log;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// What a database keeps beside the rows, in its schema <c>_sluice</c>: the position and schema of each table, the totals of each
/// sink, the newest late errors, and tombstones (<see cref="Tombstones"/>). All writing is part of the caller's transaction.
/// </summary>
/// <remarks>
/// Rows are deleted and inserted, never updated: after an UPDATE DuckDB refuses every checkpoint while a query is open that began
/// before it, so that the write-ahead log would grow for as long as somebody always queries.
/// </remarks>
static class InternalTables
{
    /// <summary>Late errors kept for one table; the oldest go first.</summary>
    public const int MaxErrorsPerTable = 10_000;

    /// <summary>2: sink_counts.superseded, late_errors.code, tombstones, and a column _version in every table.</summary>
    const int FormatVersion = 2;

    const string Definitions =
        """
        CREATE SCHEMA IF NOT EXISTS _sluice;
        CREATE TABLE IF NOT EXISTS _sluice.format (version UINTEGER NOT NULL);
        CREATE TABLE IF NOT EXISTS _sluice.identity (database_id UUID NOT NULL); -- so that files that changed places are found out
        CREATE TABLE IF NOT EXISTS _sluice.positions (
            table_id UUID NOT NULL, log_id UUID NOT NULL, incarnation UINTEGER NOT NULL, sequence UBIGINT NOT NULL);
        ALTER TABLE _sluice.positions ADD COLUMN IF NOT EXISTS records_ahead INTEGER DEFAULT 0;
        CREATE TABLE IF NOT EXISTS _sluice.schemas (table_id UUID NOT NULL, schema VARCHAR NOT NULL);
        CREATE TABLE IF NOT EXISTS _sluice.sink_counts ( -- a row for each load and sink; their sums are the totals
            table_id UUID NOT NULL, sink_id UUID NOT NULL, loaded BIGINT NOT NULL, failed BIGINT NOT NULL, superseded BIGINT NOT NULL);
        CREATE TABLE IF NOT EXISTS _sluice.expired_rows (table_id UUID NOT NULL, rows BIGINT NOT NULL); -- since the table was made
        CREATE SEQUENCE IF NOT EXISTS _sluice.transactions;
        CREATE TABLE IF NOT EXISTS _sluice.late_errors (
            table_id UUID NOT NULL, sink_id UUID NOT NULL, position UBIGINT NOT NULL, request_id VARCHAR NOT NULL, record_index INTEGER NOT NULL,
            key VARCHAR NOT NULL, code VARCHAR NOT NULL, message VARCHAR NOT NULL, value VARCHAR, found_at TIMESTAMP NOT NULL);
        CREATE TABLE IF NOT EXISTS _sluice.tombstones ( -- one of the two keys is null, as the table's kind of key has it
            table_id UUID NOT NULL, key_number UBIGINT, key_text VARCHAR, version BIGINT NOT NULL, deleted_at TIMESTAMP NOT NULL);
        """;

    /// <summary>Makes the tables in a new database, or brings those of an earlier version to this one; refuses what it does not know.</summary>
    /// <exception cref="StoreException">The database was written by a newer version, or is another than the name of its file says.</exception>
    public static void Create(DuckDbInstance db)
    {
        db.Execute($"BEGIN TRANSACTION; {Definitions} {QuarantineTables.Definitions} {IdempotencyTables.Definitions} {LoadTimes.Definitions} COMMIT");
        var version = db.Query("SELECT version FROM _sluice.format", row => row.GetFieldValue<uint>(0));
        if (version.Count == 0) db.Execute(Invariant($"INSERT INTO _sluice.format VALUES ({FormatVersion})"));
        else if (version[0] == 1) MoveFromFormat1(db);
        else if (version[0] != FormatVersion)
            throw new StoreException(isTransient: true, $"database {db.Catalog} has format {version[0]}, this program knows {FormatVersion}");
        if (!Guid.TryParseExact(db.Catalog, "D", out var id)) return;
        var identity = ReadIdentity(db);
        if (identity is null) db.Execute($"INSERT INTO _sluice.identity VALUES ('{id}')");
        else if (identity != id) throw new StoreException(isTransient: true, $"the file holds the database {identity}, not {id}");
    }

    /// <returns><c>null</c>: an earlier version made the database.</returns>
    public static Guid? ReadIdentity(DuckDbInstance db) =>
        db.Query("SELECT database_id FROM _sluice.identity", row => row.GetGuid(0)) is [var id, ..] ? id : null;

    /// <summary>The positions of all tables.</summary>
    public static Dictionary<Guid, LogPosition> ReadPositions(DuckDbInstance db) => db.Query(
        "SELECT table_id, log_id, incarnation, sequence, records_ahead FROM _sluice.positions",
        row => KeyValuePair.Create(row.GetGuid(0), new LogPosition(row.GetGuid(1), row.GetFieldValue<uint>(2), row.GetFieldValue<ulong>(3)) { RecordsAhead = row.GetInt32(4) })).ToDictionary();

    /// <summary>
    /// Writes every table anew, because chunks are written by place and ALTER adds a column behind all others. A process that dies meanwhile leaves
    /// format 1 as it was.
    /// </summary>
    static void MoveFromFormat1(DuckDbInstance db)
    {
        var schemas = db.Query("SELECT schema FROM _sluice.schemas", row => TableSchema.FromJson(Encoding.UTF8.GetBytes(row.GetString(0))));
        db.Execute("BEGIN TRANSACTION");
        try
        {
            db.Execute(
                $"""
                 ALTER TABLE _sluice.sink_counts RENAME TO sink_counts_1;
                 ALTER TABLE _sluice.late_errors RENAME TO late_errors_1;
                 {Definitions};
                 INSERT INTO _sluice.sink_counts SELECT *, 0 FROM _sluice.sink_counts_1;
                 INSERT INTO _sluice.late_errors SELECT table_id, sink_id, position, request_id, record_index, key,
                     if(record_index < 0, '{LateErrorCode.BatchDiscarded}', '{LateErrorCode.StoreRefused}'), message, value, found_at FROM _sluice.late_errors_1;
                 DROP TABLE _sluice.sink_counts_1;
                 DROP TABLE _sluice.late_errors_1;
                 """);
            foreach (var schema in schemas)
            {
                var columns = schema.Columns.Select(column => $", {SqlTypes.Quote(column.Name)}");
                db.Execute(
                    $"""
                     ALTER TABLE main.{SqlTypes.Quote(schema.Name)} RENAME TO "_sluice format 1";
                     {SchemaStatements.For(null, schema).Single()};
                     INSERT INTO main.{SqlTypes.Quote(schema.Name)}
                         SELECT _id, {SqlTypes.IngestedAtColumn}, {SqlTypes.SinkIdColumn}, {SqlTypes.PositionColumn}, NULL{string.Concat(columns)} FROM main."_sluice format 1";
                     DROP TABLE main."_sluice format 1";
                     """);
            }
            db.Execute(Invariant($"DELETE FROM _sluice.format; INSERT INTO _sluice.format VALUES ({FormatVersion}); COMMIT"));
        }
        catch
        {
            db.Rollback();
            throw;
        }
    }

    /// <summary>Begins a transaction in which no checkpoint can move rows.</summary>
    /// <remarks>
    /// DuckDB lets a checkpoint run beside a transaction that only reads or uses temporary tables. One that inserted or deleted keeps
    /// rows where they are; one that took a number of a sequence keeps every checkpoint out until it ends, and no longer.
    /// </remarks>
    public static void Begin(DuckDbInstance db) => db.Execute("BEGIN TRANSACTION; SELECT nextval('_sluice.transactions')");

    /// <returns><c>null</c>: the table was never created, or was dropped.</returns>
    public static StoredTable? ReadState(DuckDbInstance db, Guid tableId)
    {
        if (ReadPosition(db, tableId) is not { } position) return null;
        var schema = db.Query(
            $"SELECT schema FROM _sluice.schemas WHERE table_id = '{tableId}'", row => TableSchema.FromJson(Encoding.UTF8.GetBytes(row.GetString(0))));
        var counts = db.Query(
            $"SELECT sink_id, sum(loaded)::BIGINT, sum(failed)::BIGINT, sum(superseded)::BIGINT FROM _sluice.sink_counts WHERE table_id = '{tableId}' GROUP BY sink_id",
            row => KeyValuePair.Create(row.GetGuid(0), new SinkCounts(row.GetInt64(1), row.GetInt64(2)) { Superseded = row.GetInt64(3) }));
        var totals = counts.ToDictionary();
        foreach (var (sinkId, replayed) in QuarantineTables.ReadReplays(db, tableId)) totals[sinkId] = totals.GetValueOrDefault(sinkId) with { Replayed = replayed };
        return new StoredTable(position, schema.Single(), totals) { ExpiredRows = ReadExpired(db, tableId) };
    }

    /// <returns><c>null</c>: the table was never created, or was dropped.</returns>
    public static LogPosition? ReadPosition(DuckDbInstance db, Guid tableId)
    {
        var positions = db.Query(
            $"SELECT log_id, incarnation, sequence, records_ahead FROM _sluice.positions WHERE table_id = '{tableId}'",
            row => new LogPosition(row.GetGuid(0), row.GetFieldValue<uint>(1), row.GetFieldValue<ulong>(2)) { RecordsAhead = row.GetInt32(3) });
        return positions.Count == 0 ? null : positions.Single();
    }

    /// <summary>Moves the position if it is still where the caller knows it to be.</summary>
    /// <returns>False: it is not.</returns>
    public static bool TryMovePosition(DuckDbInstance db, Guid tableId, LogPosition from, LogPosition to)
    {
        var deleted = db.Execute(Invariant(
            $"""
             DELETE FROM _sluice.positions
             WHERE table_id = '{tableId}' AND log_id = '{from.LogId}' AND incarnation = {from.Incarnation} AND sequence = {from.Sequence} AND records_ahead = {from.RecordsAhead}
             """));
        if (deleted == 0) return false;
        InsertPosition(db, tableId, to);
        return true;
    }

    public static void InsertPosition(DuckDbInstance db, Guid tableId, LogPosition position) => db.Execute(Invariant(
        $"INSERT INTO _sluice.positions VALUES ('{tableId}', '{position.LogId}', {position.Incarnation}, {position.Sequence}, {position.RecordsAhead})"));

    public static void WriteSchema(DuckDbInstance db, Guid tableId, TableSchema schema) => db.Execute(
        $"""
         DELETE FROM _sluice.schemas WHERE table_id = '{tableId}';
         INSERT INTO _sluice.schemas VALUES ('{tableId}', {SqlTypes.Literal(Encoding.UTF8.GetString(schema.ToJson()))})
         """);

    public static void AddCounts(DuckDbInstance db, Guid tableId, IReadOnlyDictionary<Guid, SinkCounts> counts)
    {
        if (counts.Count == 0) return;
        var rows = counts.Select(sink => Invariant($"('{tableId}', '{sink.Key}', {sink.Value.Loaded}, {sink.Value.Failed}, {sink.Value.Superseded})"));
        db.Execute($"INSERT INTO _sluice.sink_counts VALUES {string.Join(", ", rows)}");
    }

    public static long ReadExpired(DuckDbInstance db, Guid tableId) =>
        db.Query($"SELECT coalesce(sum(rows), 0)::BIGINT FROM _sluice.expired_rows WHERE table_id = '{tableId}'", row => row.GetInt64(0))[0];

    public static void AddExpired(DuckDbInstance db, Guid tableId, long rows)
    {
        var total = ReadExpired(db, tableId) + rows;
        db.Execute(Invariant($"DELETE FROM _sluice.expired_rows WHERE table_id = '{tableId}'; INSERT INTO _sluice.expired_rows VALUES ('{tableId}', {total})"));
    }

    /// <summary>Makes one row of the many that loads have left for each sink.</summary>
    public static void SumUpCounts(DuckDbInstance db, Guid tableId) => db.Execute(
        $"""
         CREATE OR REPLACE TEMP TABLE totals AS
             SELECT sink_id, sum(loaded) AS loaded, sum(failed) AS failed, sum(superseded) AS superseded FROM _sluice.sink_counts WHERE table_id = '{tableId}' GROUP BY sink_id;
         DELETE FROM _sluice.sink_counts WHERE table_id = '{tableId}';
         INSERT INTO _sluice.sink_counts SELECT '{tableId}', sink_id, loaded, failed, superseded FROM temp.totals;
         DROP TABLE temp.totals
         """);

    /// <summary>Keeps the errors, each once however often it is written.</summary>
    public static void AddErrors(DuckDbInstance db, Guid tableId, IReadOnlyList<LateError> errors)
    {
        if (errors.Count == 0) return;
        db.Execute("CREATE OR REPLACE TEMP TABLE new_errors AS FROM _sluice.late_errors LIMIT 0");
        using (var appender = db.Connection.CreateAppender("temp", "main", "new_errors"))
        {
            foreach (var error in errors) Append(appender.CreateRow(), tableId, error);
        }
        db.Execute(
            """
            DELETE FROM _sluice.late_errors AS old USING temp.new_errors AS new
                WHERE old.table_id = new.table_id AND old.position = new.position AND old.record_index = new.record_index;
            INSERT INTO _sluice.late_errors FROM temp.new_errors;
            DROP TABLE temp.new_errors
            """);
        DropOldErrors(db, tableId);
    }

    public static void Delete(DuckDbInstance db, Guid tableId)
    {
        // positions first: the first statement of a transaction writes the position
        string[] tables = ["positions", "schemas", "sink_counts", "late_errors", "expired_rows", "tombstones", .. QuarantineTables.Names, .. IdempotencyTables.Names, .. LoadTimes.Names];
        foreach (var table in tables)
            db.Execute($"DELETE FROM _sluice.{table} WHERE table_id = '{tableId}'");
    }

    /// <summary>The newest of a sink.</summary>
    public static IReadOnlyList<LateError> ReadErrors(DuckDBConnection connection, Guid tableId, Guid sinkId, int limit) =>
        ReadErrors(connection, Invariant($"table_id = '{tableId}' AND sink_id = '{sinkId}' ORDER BY found_at DESC, position DESC LIMIT {limit}"));

    /// <summary>Those of a request, by index.</summary>
    public static IReadOnlyList<LateError> ReadErrors(DuckDBConnection connection, Guid tableId, string requestId) =>
        ReadErrors(connection, $"table_id = '{tableId}' AND request_id = {SqlTypes.Literal(requestId)} ORDER BY record_index");

    /// <summary>Whether no error of a load made room for newer ones: the oldest go first.</summary>
    /// <param name="loadedAtMicroseconds">When the load was made; <c>null</c>: long ago.</param>
    public static bool HasAllErrors(DuckDBConnection connection, Guid tableId, long? loadedAtMicroseconds)
    {
        using var command = connection.CreateCommand();
        command.CommandText = Invariant(
            $"SELECT count(*) < {MaxErrorsPerTable} OR coalesce(epoch_us(min(found_at)) < {loadedAtMicroseconds ?? long.MinValue}, true) FROM _sluice.late_errors WHERE table_id = '{tableId}'");
        return (bool)command.ExecuteScalar()!;
    }

    static List<LateError> ReadErrors(DuckDBConnection connection, string chosen)
    {
        using var command = connection.CreateCommand();
        command.CommandText = $"SELECT position, request_id, record_index, key, code, message, value, epoch_us(found_at), sink_id FROM _sluice.late_errors WHERE {chosen}";
        using var row = command.ExecuteReader();
        var errors = new List<LateError>();
        while (row.Read())
            errors.Add(new LateError(
                row.GetGuid(8), row.GetFieldValue<ulong>(0), row.GetString(1), row.GetInt32(2), row.GetString(3), Enum.Parse<LateErrorCode>(row.GetString(4)), row.GetString(5),
                row.IsDBNull(6) ? null : row.GetString(6), row.GetInt64(7)));
        return errors;
    }

    static void Append(IDuckDBAppenderRow row, Guid tableId, LateError error)
    {
        row.AppendValue(tableId).AppendValue(error.SinkId).AppendValue(error.Position).AppendValue(Text(error.RequestId))
            .AppendValue(error.RecordIndex).AppendValue(Text(error.Key)).AppendValue(error.Code.ToString()).AppendValue(Text(error.Message));
        if (error.Value is null) row.AppendNullValue();
        else row.AppendValue(Text(error.Value));
        row.AppendValue(DateTime.UnixEpoch.AddTicks(error.TimeMicroseconds * TimeSpan.TicksPerMicrosecond)).EndRow();
    }

    static void DropOldErrors(DuckDbInstance db, Guid tableId) => db.Execute(Invariant(
        $"""
         DELETE FROM _sluice.late_errors WHERE table_id = '{tableId}' AND (found_at, position) < (
             SELECT (found_at, position) FROM _sluice.late_errors WHERE table_id = '{tableId}'
             ORDER BY found_at DESC, position DESC LIMIT 1 OFFSET {MaxErrorsPerTable - 1})
         """));

    // the row appender cuts a string at U+0000
    static string Text(string text) => text.Replace('\0', '\uFFFD');

    static string Invariant(FormattableString sql) => sql.ToString(CultureInfo.InvariantCulture);
}
