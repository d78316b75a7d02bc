using System.Globalization;
using Sluice.Load;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>Removes from a table what it keeps no longer. All of it is part of the caller's transaction.</summary>
static class ExpiryStatements
{
    /// <summary>Deletes the oldest rows that have outlived the retention.</summary>
    /// <returns>How many.</returns>
    public static long DeleteRows(DuckDbInstance db, RowExpiry expiry)
    {
        if (expiry.RowsBeforeMicroseconds is not { } before) return 0;
        var table = NameOf(expiry.Schema);
        // a DELETE has no LIMIT: the time of the last row of the step is its bound
        var last = db.Query(
            Invariant($"""
                SELECT epoch_us(max({SqlTypes.IngestedAtColumn})) FROM (
                    SELECT {SqlTypes.IngestedAtColumn} FROM {table} WHERE {SqlTypes.IngestedAtColumn} < make_timestamp({before}) ORDER BY ALL LIMIT {expiry.MaxRows})
                """),
            row => row.IsDBNull(0) ? (long?)null : row.GetInt64(0))[0];
        return last is null ? 0 : db.Execute(Invariant($"DELETE FROM {table} WHERE {SqlTypes.IngestedAtColumn} <= make_timestamp({last})"));
    }

    /// <summary>Takes the times from members of rows that have members with such times.</summary>
    /// <returns>How many rows were changed.</returns>
    public static long ClearTimes(DuckDbInstance db, RowExpiry expiry)
    {
        if (expiry.TimesBefore.Count == 0) return 0;
        var table = NameOf(expiry.Schema);
        var changed = expiry.TimesBefore.Select(set => Invariant(
            $"list_distinct(list_transform({SqlTypes.Quote(set.Column.Name)}, lambda _member: CASE WHEN {IsOver(set.Seconds)} THEN struct_pack(m := _member.m, ts := NULL::TIMESTAMP_S) ELSE _member END)) AS {SqlTypes.Quote(set.Column.Name)}"));
        var isConcerned = expiry.TimesBefore.Select(set => Invariant($"len(list_filter({SqlTypes.Quote(set.Column.Name)}, lambda _member: {IsOver(set.Seconds)})) > 0"));
        db.Execute(Invariant($"CREATE OR REPLACE TEMP TABLE expiring AS SELECT * REPLACE ({string.Join(", ", changed)}) FROM {table} WHERE {string.Join(" OR ", isConcerned)} LIMIT {expiry.MaxRows}"));
        var rows = db.Execute($"DELETE FROM {table} AS old USING temp.expiring AS new WHERE old._id = new._id");
        if (rows > 0) db.Execute($"INSERT INTO {table} FROM temp.expiring");
        db.Execute("DROP TABLE temp.expiring");
        return rows;
    }

    static string IsOver(long seconds) => Invariant($"_member.ts < make_timestamp({seconds * 1_000_000})::TIMESTAMP_S");

    static string NameOf(TableSchema schema) => $"main.{SqlTypes.Quote(schema.Name)}";

    static string Invariant(FormattableString sql) => sql.ToString(CultureInfo.InvariantCulture);
}
