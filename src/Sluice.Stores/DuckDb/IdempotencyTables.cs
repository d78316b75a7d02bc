using System.Globalization;
using DuckDB.NET.Data;
using Sluice.Idempotency;

namespace Sluice.Stores.DuckDb;

/// <summary>The requests with keys of a database: what their answers need, after their log is trimmed too.</summary>
/// <remarks>All writing is part of the caller's transaction. Rows are deleted and inserted, never updated (<see cref="InternalTables"/>).</remarks>
static class IdempotencyTables
{
    public const string Definitions =
        """
        CREATE TABLE IF NOT EXISTS _sluice.keyed_requests (
            table_id UUID NOT NULL, sink_id UUID NOT NULL, sequence UBIGINT NOT NULL, key VARCHAR NOT NULL, body_hash VARCHAR NOT NULL, outcome VARCHAR NOT NULL,
            received_at TIMESTAMP NOT NULL);

        """;

    public static IReadOnlyList<string> Names { get; } = ["keyed_requests"];

    public static void Add(DuckDbInstance db, Guid tableId, IdempotencyBatch batch)
    {
        db.Execute("CREATE OR REPLACE TEMP TABLE new_requests AS FROM _sluice.keyed_requests LIMIT 0");
        using (var appender = db.Connection.CreateAppender("temp", "main", "new_requests"))
        {
            foreach (var request in batch.Requests)
            {
                appender.CreateRow().AppendValue(tableId).AppendValue(request.SinkId).AppendValue(request.Sequence).AppendValue(request.Key)
                    .AppendValue(Convert.ToHexStringLower(request.BodyHash.Span)).AppendValue(request.OutcomeJson())
                    .AppendValue(DateTime.UnixEpoch.AddMicroseconds(request.ReceivedAtMicroseconds)).EndRow();
            }
        }
        db.Execute(Invariant(
            $"""
             DELETE FROM _sluice.keyed_requests WHERE table_id = '{tableId}' AND received_at < make_timestamp({batch.ForgetBeforeMicroseconds});
             INSERT INTO _sluice.keyed_requests FROM temp.new_requests;
             DROP TABLE temp.new_requests
             """));
    }

    public static KeptRequest? Find(DuckDBConnection connection, Guid tableId, ulong sequence)
    {
        using var command = connection.CreateCommand();
        command.CommandText = Invariant(
            $"SELECT sink_id, key, body_hash, outcome, epoch_us(received_at) FROM _sluice.keyed_requests WHERE table_id = '{tableId}' AND sequence = {sequence}");
        using var row = command.ExecuteReader();
        return row.Read()
            ? new KeptRequest(row.GetGuid(0), sequence, row.GetString(1), Convert.FromHexString(row.GetString(2)), row.GetInt64(4), KeptRequest.ReadOutcome(row.GetString(3)))
            : null;
    }

    public static void VisitKeys(DuckDBConnection connection, Guid tableId, long fromMicroseconds, Action<KeptKey> visit)
    {
        using var command = connection.CreateCommand();
        command.CommandText = Invariant(
            $"SELECT sink_id, key, sequence, epoch_us(received_at) FROM _sluice.keyed_requests WHERE table_id = '{tableId}' AND received_at >= make_timestamp({fromMicroseconds})");
        using var row = command.ExecuteReader();
        while (row.Read()) visit(KeptKey.Of(row.GetGuid(0), row.GetString(1), row.GetFieldValue<ulong>(2), row.GetInt64(3)));
    }

    static string Invariant(FormattableString sql) => sql.ToString(CultureInfo.InvariantCulture);
}
