using System.Globalization;
using System.Text;
using DuckDB.NET.Data;
using Sluice.Load;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>The quarantine of a database: records that failed, one by one within the policy of their sink, and the exact counts of all of them by group.</summary>
/// <remarks>All writing is part of the caller's transaction. Rows are deleted and inserted, never updated (<see cref="InternalTables"/>).</remarks>
static class QuarantineTables
{
    public const string Definitions =
        """
        CREATE TABLE IF NOT EXISTS _sluice.quarantine (
            table_id UUID NOT NULL, sink_id UUID NOT NULL, position UBIGINT NOT NULL, request_id VARCHAR NOT NULL, record_index INTEGER NOT NULL,
            group_id UBIGINT NOT NULL, form UTINYINT NOT NULL, key VARCHAR NOT NULL, errors VARCHAR NOT NULL, raw BLOB, bytes BIGINT NOT NULL, is_replayed BOOLEAN NOT NULL,
            received_at TIMESTAMP NOT NULL);
        CREATE TABLE IF NOT EXISTS _sluice.quarantine_groups (
            table_id UUID NOT NULL, group_id UBIGINT NOT NULL, path VARCHAR NOT NULL, code VARCHAR NOT NULL, expected VARCHAR NOT NULL, got VARCHAR NOT NULL);
        CREATE TABLE IF NOT EXISTS _sluice.quarantine_counts ( -- rows of loads, replays and discards; their sums are the totals. Group 0: what replays loaded
            table_id UUID NOT NULL, sink_id UUID NOT NULL, group_id UBIGINT NOT NULL, failed BIGINT NOT NULL, raw_omitted BIGINT NOT NULL,
            replayed BIGINT NOT NULL, discarded BIGINT NOT NULL, first_at TIMESTAMP, last_at TIMESTAMP);

        """;

    const string EntryColumns = "position, request_id, record_index, group_id, form, key, errors, raw, is_replayed, epoch_us(received_at)";

    // statements hold so many keys at a time
    const int KeysPerStatement = 1_000;

    public static IReadOnlyList<string> Names { get; } = ["quarantine", "quarantine_groups", "quarantine_counts"];

    public static void Add(DuckDbInstance db, Guid tableId, QuarantineBatch batch, IReadOnlyDictionary<Guid, SinkCounts> counts)
    {
        AddGroups(db, tableId, batch.Groups);
        if (batch.Records.Count > 0) AddRecords(db, tableId, batch);
        if (batch.Replayed.Count > 0) MarkReplayed(db, tableId, batch.Replayed, counts);
    }

    /// <summary>Makes one row of the many that loads have left for each group.</summary>
    public static void SumUpCounts(DuckDbInstance db, Guid tableId) => db.Execute(
        $"""
         CREATE OR REPLACE TEMP TABLE group_totals AS
             SELECT sink_id, group_id, sum(failed) AS failed, sum(raw_omitted) AS raw_omitted, sum(replayed) AS replayed, sum(discarded) AS discarded,
                 min(first_at) AS first_at, max(last_at) AS last_at
             FROM _sluice.quarantine_counts WHERE table_id = '{tableId}' GROUP BY ALL;
         DELETE FROM _sluice.quarantine_counts WHERE table_id = '{tableId}';
         INSERT INTO _sluice.quarantine_counts SELECT '{tableId}', * FROM temp.group_totals;
         DROP TABLE temp.group_totals
         """);

    /// <summary>Deletes what waits of a selection, and counts it as discarded.</summary>
    public static long Discard(DuckDbInstance db, Guid tableId, QuarantineSelection selection)
    {
        var chosen = Where(tableId, selection with { OnlyWaiting = true });
        db.Execute($"CREATE OR REPLACE TEMP TABLE discarded AS SELECT sink_id, group_id, count(*) AS records FROM _sluice.quarantine WHERE {chosen} GROUP BY ALL");
        db.Execute($"INSERT INTO _sluice.quarantine_counts SELECT '{tableId}', sink_id, group_id, 0, 0, 0, records, NULL, NULL FROM temp.discarded");
        var deleted = db.Execute($"DELETE FROM _sluice.quarantine WHERE {chosen}");
        db.Execute("DROP TABLE temp.discarded");
        return deleted;
    }

    /// <summary>What replays have loaded, by sink.</summary>
    public static IEnumerable<(Guid SinkId, long Replayed)> ReadReplays(DuckDbInstance db, Guid tableId) => db.Query(
        $"SELECT sink_id, sum(replayed)::BIGINT FROM _sluice.quarantine_counts WHERE table_id = '{tableId}' AND group_id = 0 GROUP BY sink_id",
        row => (row.GetGuid(0), row.GetInt64(1)));

    public static QuarantineOverview ReadOverview(DuckDBConnection connection, Guid tableId, Guid sinkId, long fromMicroseconds)
    {
        var waiting = Where(tableId, new QuarantineSelection(sinkId) { OnlyWaiting = true, FromMicroseconds = fromMicroseconds });
        var samples = Query(
            connection,
            $"SELECT {EntryColumns} FROM _sluice.quarantine WHERE {waiting} QUALIFY row_number() OVER (PARTITION BY group_id ORDER BY position DESC) = 1",
            ReadEntry).ToDictionary(entry => entry.GroupId);
        var waitingOf = Query(
            connection, $"SELECT group_id, count(*) FROM _sluice.quarantine WHERE {waiting} GROUP BY group_id", row => (row.GetFieldValue<ulong>(0), row.GetInt64(1))).ToDictionary();
        var groups = Query(
            connection,
            $"""
             SELECT path, code, expected, got, sum(failed)::BIGINT, sum(replayed)::BIGINT, sum(discarded)::BIGINT, sum(raw_omitted)::BIGINT,
                 epoch_us(min(first_at)), epoch_us(max(last_at))
             FROM _sluice.quarantine_counts JOIN _sluice.quarantine_groups USING (table_id, group_id)
             WHERE table_id = '{tableId}' AND sink_id = '{sinkId}' GROUP BY ALL ORDER BY 5 DESC, 1, 2, 3, 4
             """,
            row =>
            {
                var signature = new ErrorSignature(row.GetString(0), row.GetString(1), row.GetString(2), row.GetString(3));
                return new QuarantineGroup(
                    signature, row.GetInt64(4), waitingOf.GetValueOrDefault(signature.Id), row.GetInt64(5), row.GetInt64(6), row.GetInt64(7), row.GetInt64(8), row.GetInt64(9),
                    samples.GetValueOrDefault(signature.Id));
            });
        var bytes = Query(
            connection, $"SELECT coalesce(sum(bytes), 0)::BIGINT FROM _sluice.quarantine WHERE {waiting}", row => row.GetInt64(0));
        return new QuarantineOverview(groups, bytes.Single());
    }

    public static IReadOnlyList<QuarantineEntry> ReadEntries(DuckDBConnection connection, Guid tableId, QuarantineSelection selection, int limit) => Query(
        connection, Invariant($"SELECT {EntryColumns} FROM _sluice.quarantine WHERE {Where(tableId, selection)} ORDER BY position LIMIT {limit}"), ReadEntry);

    /// <summary>Those of one request, by index, without their texts.</summary>
    /// <param name="isOfOther">The request has records here that are another sink's.</param>
    public static IReadOnlyList<QuarantineEntry> ReadEntries(DuckDBConnection connection, Guid tableId, Guid sinkId, string requestId, out bool isOfOther)
    {
        var columns = EntryColumns.Replace("raw", "NULL::BLOB", StringComparison.Ordinal);
        var found = Query(
            connection,
            $"SELECT {columns}, sink_id FROM _sluice.quarantine WHERE table_id = '{tableId}' AND request_id = {Text(requestId)} ORDER BY record_index",
            row => (SinkId: row.GetGuid(10), Entry: ReadEntry(row)));
        isOfOther = found.Any(one => one.SinkId != sinkId);
        return [.. found.Where(one => one.SinkId == sinkId).Select(one => one.Entry)];
    }

    public static IReadOnlySet<ulong> ReadReplayed(DuckDBConnection connection, Guid tableId, IReadOnlyList<ulong> positions) => positions.Chunk(KeysPerStatement)
        .SelectMany(some => Query(
            connection,
            $"SELECT position FROM _sluice.quarantine WHERE table_id = '{tableId}' AND is_replayed AND position IN ({List(some)})",
            row => row.GetFieldValue<ulong>(0)))
        .ToHashSet();

    public static IReadOnlyList<int> FindChangedSince(DuckDBConnection connection, TableSchema schema, ColumnBuffer keys, IReadOnlyList<ulong> origins) =>
        [.. Enumerable.Range(0, origins.Count).Chunk(KeysPerStatement).SelectMany(rows => Query(
            connection,
            $"""
             SELECT origin.i FROM (VALUES {string.Join(", ", rows.Select(row => Invariant($"({row}, {KeyLiteral(keys, row)}, {origins[row]}::UBIGINT)")))}) AS origin(i, _id, position)
             JOIN main.{SqlTypes.Quote(schema.Name)} AS present ON present._id = origin._id WHERE present.{SqlTypes.PositionColumn} > origin.position ORDER BY 1
             """,
            row => row.GetInt32(0)))];

    static void AddGroups(DuckDbInstance db, Guid tableId, IReadOnlyList<GroupCount> groups)
    {
        if (groups.Count == 0) return;
        var signatures = groups.Select(group => group.Signature).Distinct()
            .Select(group => Invariant($"({group.Id}::UBIGINT, {Text(group.Path)}, {Text(group.Code)}, {Text(group.Expected)}, {Text(group.Got)})"));
        var rows = groups.Select(group => Invariant(
            $"('{tableId}', '{group.SinkId}', {group.Signature.Id}, {group.Count}, {group.RawOmitted}, 0, 0, {Time(group.FirstMicroseconds)}, {Time(group.LastMicroseconds)})"));
        db.Execute(
            $"""
             INSERT INTO _sluice.quarantine_groups SELECT '{tableId}', * FROM (VALUES {string.Join(", ", signatures)}) AS found(group_id, path, code, expected, got)
                 WHERE group_id NOT IN (SELECT group_id FROM _sluice.quarantine_groups WHERE table_id = '{tableId}');
             INSERT INTO _sluice.quarantine_counts VALUES {string.Join(", ", rows)}
             """);
    }

    /// <summary>Keeps records one by one: those too old go, and what is over the budget of its sink loses its text, then itself; all of it stays counted.</summary>
    static void AddRecords(DuckDbInstance db, Guid tableId, QuarantineBatch batch)
    {
        db.Execute("CREATE OR REPLACE TEMP TABLE failed AS FROM _sluice.quarantine LIMIT 0");
        using (var appender = db.Connection.CreateAppender("temp", "main", "failed"))
        {
            foreach (var record in batch.Records) Append(appender.CreateRow(), tableId, record);
        }
        foreach (var (sinkId, policy) in batch.Policies)
        {
            // what was replayed stays a day longer: a replay that is still in the log must find that another was faster
            var oldest = OldestOf(policy, batch.NowMicroseconds);
            db.Execute($"DELETE FROM _sluice.quarantine WHERE table_id = '{tableId}' AND sink_id = '{sinkId}' AND received_at < {Time(oldest)} - CASE WHEN is_replayed THEN INTERVAL 1 DAY ELSE INTERVAL 0 DAY END");
        }
        var budgets = batch.Policies.Select(policy => Invariant($"('{policy.Key}'::UUID, {policy.Value.MaxBytes}::BIGINT)"));
        db.Execute(Invariant(
            $"""
             DELETE FROM _sluice.quarantine AS old USING temp.failed AS new WHERE old.table_id = new.table_id AND old.position = new.position;
             CREATE OR REPLACE TEMP TABLE weighed AS
                 WITH present AS (
                     SELECT sink_id, sum(bytes) AS bytes, count(*) AS records
                     FROM _sluice.quarantine WHERE table_id = '{tableId}' GROUP BY sink_id)
                 SELECT failed.*, max_bytes,
                     coalesce(present.bytes, 0) + sum(failed.bytes) OVER earlier <= max_bytes AS keeps_raw,
                     coalesce(present.bytes, 0) + sum(strlen(errors)) OVER earlier AS error_bytes,
                     coalesce(present.records, 0) + count(*) OVER earlier AS records
                 FROM temp.failed AS failed JOIN (VALUES {string.Join(", ", budgets)}) AS budget(sink_id, max_bytes) USING (sink_id) LEFT JOIN present USING (sink_id)
                 WINDOW earlier AS (PARTITION BY failed.sink_id ORDER BY position ROWS UNBOUNDED PRECEDING);
             INSERT INTO _sluice.quarantine
                 SELECT table_id, sink_id, position, request_id, record_index, group_id, form, key, errors, CASE WHEN keeps_raw THEN raw END,
                     CASE WHEN keeps_raw THEN bytes ELSE strlen(errors) END, is_replayed, received_at
                 FROM temp.weighed WHERE records <= {QuarantineBatch.MaxRecordsPerSink} AND error_bytes <= 2 * max_bytes;
             INSERT INTO _sluice.quarantine_counts
                 SELECT '{tableId}', sink_id, group_id, 0, count(*), 0, 0, NULL, NULL FROM temp.weighed
                 WHERE raw IS NOT NULL AND NOT (keeps_raw AND records <= {QuarantineBatch.MaxRecordsPerSink} AND error_bytes <= 2 * max_bytes) GROUP BY sink_id, group_id;
             DROP TABLE temp.weighed;
             DROP TABLE temp.failed
             """));
    }

    /// <summary>The records wait no more, and give their text up; that they were replayed stays known as long as they would have been kept.</summary>
    static void MarkReplayed(DuckDbInstance db, Guid tableId, IReadOnlyList<ulong> positions, IReadOnlyDictionary<Guid, SinkCounts> counts)
    {
        db.Execute("CREATE OR REPLACE TEMP TABLE replayed (position UBIGINT)");
        using (var appender = db.Connection.CreateAppender("temp", "main", "replayed"))
        {
            foreach (var position in positions) appender.CreateRow().AppendValue(position).EndRow();
        }
        db.Execute(
            $"""
             CREATE OR REPLACE TEMP TABLE marked AS
                 SELECT * FROM _sluice.quarantine SEMI JOIN temp.replayed USING (position) WHERE table_id = '{tableId}' AND NOT is_replayed;
             DELETE FROM _sluice.quarantine AS old USING temp.marked AS new WHERE old.table_id = new.table_id AND old.position = new.position;
             INSERT INTO _sluice.quarantine
                 SELECT table_id, sink_id, position, request_id, record_index, group_id, form, key, errors, NULL, strlen(errors), true, received_at FROM temp.marked;
             INSERT INTO _sluice.quarantine_counts
                 SELECT '{tableId}', sink_id, group_id, 0, 0, count(*), 0, NULL, NULL FROM temp.marked GROUP BY sink_id, group_id;
             DROP TABLE temp.marked;
             DROP TABLE temp.replayed
             """);
        foreach (var (sinkId, count) in counts)
            db.Execute(Invariant($"INSERT INTO _sluice.quarantine_counts VALUES ('{tableId}', '{sinkId}', 0, 0, 0, {count.Replayed}, 0, NULL, NULL)"));
    }

    static void Append(IDuckDBAppenderRow row, Guid tableId, QuarantinedRecord record)
    {
        row.AppendValue(tableId).AppendValue(record.SinkId).AppendValue(record.Position).AppendValue(record.RequestId).AppendValue(record.RecordIndex)
            .AppendValue(record.GroupId).AppendValue(record.Form.ToByte()).AppendValue(record.Key).AppendValue(record.Errors);
        if (record.Raw.Length == 0) row.AppendNullValue();
        else row.AppendValue(record.Raw);
        row.AppendValue((long)record.Raw.Length + Encoding.UTF8.GetByteCount(record.Errors)).AppendValue((bool?)false).AppendValue(DateTime.UnixEpoch.AddMicroseconds(record.TimeMicroseconds)).EndRow();
    }

    static string Where(Guid tableId, QuarantineSelection selection)
    {
        var where = new StringBuilder(Invariant($"table_id = '{tableId}' AND sink_id = '{selection.SinkId}'"));
        if (selection.GroupId is { } group) where.Append(CultureInfo.InvariantCulture, $" AND group_id = {group}");
        if (selection.Positions is { } positions) where.Append(positions.Count == 0 ? " AND false" : $" AND position IN ({List(positions)})");
        if (selection.After > 0) where.Append(CultureInfo.InvariantCulture, $" AND position > {selection.After}");
        if (selection.OnlyWaiting) where.Append(" AND NOT is_replayed");
        if (selection.FromMicroseconds > 0) where.Append(" AND received_at >= ").Append(Time(selection.FromMicroseconds));
        return where.ToString();
    }

    static QuarantineEntry ReadEntry(DuckDBDataReader row) => new(
        row.GetFieldValue<ulong>(0), row.GetString(1), row.GetInt32(2), row.GetFieldValue<ulong>(3), RecordForm.FromByte(row.GetByte(4)), row.GetString(5), row.GetString(6),
        row.IsDBNull(7) ? null : ReadBlob(row, 7), row.GetBoolean(8), row.GetInt64(9));

    static byte[] ReadBlob(DuckDBDataReader row, int column)
    {
        using var blob = row.GetStream(column);
        using var bytes = new MemoryStream();
        blob.CopyTo(bytes);
        return bytes.ToArray();
    }

    static List<T> Query<T>(DuckDBConnection connection, string sql, Func<DuckDBDataReader, T> read)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        var rows = new List<T>();
        while (reader.Read()) rows.Add(read(reader));
        return rows;
    }

    static long OldestOf(QuarantinePolicy policy, long nowMicroseconds) => nowMicroseconds - (policy.MaxAge.Ticks / TimeSpan.TicksPerMicrosecond);

    static string KeyLiteral(ColumnBuffer keys, int row) => keys.Kind == PhysicalKind.Text
        ? SqlTypes.Literal(Encoding.UTF8.GetString(keys.Text(row)))
        : Invariant($"{keys.Int64s[row]}::UBIGINT");

    static string List(IEnumerable<ulong> numbers) => string.Join(", ", numbers.Select(number => number.ToString(CultureInfo.InvariantCulture)));

    static string Text(string text) => SqlTypes.Literal(text);

    static string Time(long microseconds) => Invariant($"make_timestamp({microseconds})");

    static string Invariant(FormattableString sql) => sql.ToString(CultureInfo.InvariantCulture);
}
