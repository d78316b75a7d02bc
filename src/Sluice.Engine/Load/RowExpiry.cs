using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>What a table keeps no longer.</summary>
/// <param name="RowsBeforeMicroseconds">Rows go whose newest record was received earlier, microseconds since 1970-01-01 UTC; <c>null</c>: none do.</param>
/// <param name="TimesBefore">Members of these quantum sets lose a time that is earlier, seconds since 1970-01-01 UTC; the members stay.</param>
/// <param name="MaxRows">The most rows of one step; a few more when they were received in the same microsecond.</param>
public sealed record RowExpiry(TableSchema Schema, long? RowsBeforeMicroseconds, IReadOnlyList<(Column Column, long Seconds)> TimesBefore, int MaxRows)
{
    /// <summary>By the table's retention and the time to live of its columns; <c>null</c>: everything is kept for ever.</summary>
    public static RowExpiry? Of(TableSchema schema, DateTimeOffset now, int maxRows)
    {
        long? rowsBefore = Ends(schema.Retention, now) ? (now - schema.Retention).ToUnixTimeMilliseconds() * 1_000 : null;
        var columns = schema.Columns.Where(column => column.Type.IsQuantum && Ends(column.Type.TimeToLive, now)).ToList();
        // a time is the begin of its period, so its period has ended when another has begun
        var timesBefore = columns.Select(column => (column, TimeQuantum.Truncate((now - column.Type.TimeToLive).ToUnixTimeSeconds(), column.Type.TimeQuantum))).ToList();
        return rowsBefore is null && timesBefore.Count == 0 ? null : new RowExpiry(schema, rowsBefore, timesBefore, maxRows);

        // 0: for ever; and longer than there have been dates is no different
        static bool Ends(TimeSpan kept, DateTimeOffset now) => kept > TimeSpan.Zero && kept < now - DateTimeOffset.MinValue;
    }
}

/// <summary>What one step did.</summary>
/// <param name="ExpiredRows">Rows that have gone since the table was made.</param>
/// <param name="HasMore">There is likely more to do.</param>
public readonly record struct ExpiryStep(long ExpiredRows, bool HasMore);
