using System.Globalization;
using DuckDB.NET.Data;
using Sluice.Load;
using Sluice.Log;

namespace Sluice.Stores.DuckDb;

/// <summary>When the newest loads of each table were made, and which frames each of them took.</summary>
/// <remarks>All writing is part of the caller's transaction. Rows are deleted and inserted, never updated (<see cref="InternalTables"/>).</remarks>
static class LoadTimes
{
    public const string Definitions =
        """
        CREATE TABLE IF NOT EXISTS _sluice.load_times ( -- of the frames behind the first sequence, up to the last
            table_id UUID NOT NULL, after_sequence UBIGINT NOT NULL, last_sequence UBIGINT NOT NULL, loaded_at TIMESTAMP NOT NULL);

        """;

    public static IReadOnlyList<string> Names { get; } = ["load_times"];

    public static void Add(DuckDbInstance db, Guid tableId, LogPosition from, LogPosition to, long timeMicroseconds)
    {
        if (to.Sequence == from.Sequence) return; // part of a request, which is loaded when its last part is
        db.Execute(Invariant($"INSERT INTO _sluice.load_times VALUES ('{tableId}', {from.Sequence}, {to.Sequence}, make_timestamp({timeMicroseconds}))"));
    }

    /// <summary>Forgets all but the newest.</summary>
    public static void DropOld(DuckDbInstance db, Guid tableId) => db.Execute(Invariant(
        $"""
         DELETE FROM _sluice.load_times WHERE table_id = '{tableId}' AND last_sequence < (
             SELECT last_sequence FROM _sluice.load_times WHERE table_id = '{tableId}' ORDER BY last_sequence DESC LIMIT 1 OFFSET {KeptFate.MaxLoadTimes - 1})
         """));

    /// <returns>Microseconds since 1970; <c>null</c>: not known.</returns>
    public static long? Find(DuckDBConnection connection, Guid tableId, ulong sequence)
    {
        using var command = connection.CreateCommand();
        command.CommandText = Invariant(
            $"SELECT epoch_us(loaded_at) FROM _sluice.load_times WHERE table_id = '{tableId}' AND after_sequence < {sequence} AND last_sequence >= {sequence}");
        return (long?)command.ExecuteScalar();
    }

    static string Invariant(FormattableString sql) => sql.ToString(CultureInfo.InvariantCulture);
}
