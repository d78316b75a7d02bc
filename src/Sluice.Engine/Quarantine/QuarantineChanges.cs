using System.Text;
using System.Text.Json;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Quarantine;

/// <summary>What one load changes in the quarantine.</summary>
static class QuarantineChanges
{
    /// <summary>The records of these frames that were rejected at the door, and those that the load could not apply.</summary>
    /// <returns><c>null</c>: nothing failed.</returns>
    public static QuarantineBatch? Of(FrameBatch batch, IReadOnlyList<BatchedFrame> frames, IReadOnlyList<LateError> late, QuarantineOf policyOf, long nowMicroseconds)
    {
        if (batch.Rejected.Count == 0 && late.Count == 0) return null;
        var records = new List<QuarantinedRecord>();
        var groups = new Dictionary<(Guid, ErrorSignature), GroupCount>();
        var policies = new Dictionary<Guid, QuarantinePolicy>();
        foreach (var frame in frames) batch.Rejected.Collect(frame, records, groups);
        // an error without a record is about a whole request, whose records are rejected one by one; a statement of SQL says itself what failed
        var frameOf = late.Count == 0 ? [] : frames.ToDictionary(frame => frame.Header.Position.Sequence);
        foreach (var error in late.Where(error => error.RecordIndex >= 0 && error.SinkId != Sink.SqlSinkId))
            AddLate(batch, frameOf[error.Position >> LogPosition.RecordIndexBits], error, PolicyOf(error.SinkId).KeepRaw, records, groups);
        foreach (var record in records) PolicyOf(record.SinkId);
        return groups.Count == 0 ? null : new QuarantineBatch(records, [.. groups.Values], [], policies, nowMicroseconds);

        QuarantinePolicy PolicyOf(Guid sinkId)
        {
            if (!policies.TryGetValue(sinkId, out var policy)) policies.Add(sinkId, policy = policyOf(sinkId));
            return policy;
        }
    }

    /// <summary>Records that a load applies out of the quarantine.</summary>
    public static QuarantineBatch OfReplay(IReadOnlyList<ulong> origins, long nowMicroseconds) => new([], [], origins, new Dictionary<Guid, QuarantinePolicy>(), nowMicroseconds);

    static void AddLate(FrameBatch batch, in BatchedFrame frame, LateError error, bool keepsRaw, List<QuarantinedRecord> records, Dictionary<(Guid, ErrorSignature), GroupCount> groups)
    {
        var signature = ErrorSignature.OfLate(error.Code.ToString());
        // rows are in the order of the log within a frame, but parts of a request are loaded where its last part stands
        var row = frame.FirstRow + batch.Rows.Positions.Slice(frame.FirstRow, frame.RowCount).BinarySearch(error.Position);
        var form = new RecordForm(IsBare: batch.VersionOf(row) == RecordOperations.NoVersion, batch.OperationOf(row));
        var raw = keepsRaw && error.Value is { Length: <= RecordsFrame.MaxRawBytes } value
            ? Encoding.UTF8.GetBytes(form.IsBare ? value : $"{{\"value\":{value},\"version\":{batch.VersionOf(row)}}}")
            : [];
        RejectedRecords.AddCount(groups, error.SinkId, signature, 1, raw.Length == 0 ? 1 : 0, error.TimeMicroseconds);
        records.Add(new QuarantinedRecord(
            error.SinkId, error.Position, error.RequestId, error.RecordIndex, signature.Id, form, error.Key,
            JsonSerializer.Serialize(error.Message, ErrorTextJson.Default.String), raw, error.TimeMicroseconds));
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(string))]
sealed partial class ErrorTextJson : System.Text.Json.Serialization.JsonSerializerContext;
