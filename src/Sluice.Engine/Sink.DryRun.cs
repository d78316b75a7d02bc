using Sluice.Records;
using Sluice.Schema;

namespace Sluice;

/// <summary>What a request would become.</summary>
/// <param name="Outcome">As its answer would be, without a request id: there is no request.</param>
/// <param name="Values">By index of the record: JSON, what each column would get. The first accepted ones, as far as <see cref="MaxValues"/> and <see cref="MaxValueBytes"/> allow.</param>
public sealed record DryRun(BatchOutcome Outcome, IReadOnlyDictionary<int, string> Values)
{
    /// <summary>Most records whose values are told: 1,000.</summary>
    public const int MaxValues = 1_000;

    /// <summary>Values are told until they have so many characters: 1 Mi.</summary>
    public const int MaxValueBytes = 1 << 20;

    /// <summary>Accepted records whose values are not told.</summary>
    public int LeftOut => Outcome.AcceptedCount - Values.Count;

    /// <summary>What a sink would make of a request that goes nowhere; the sink need not be there.</summary>
    /// <inheritdoc cref="Sink.IngestAsync"/>
    public static DryRun Of(SinkDefinition definition, TableSchema table, ReadOnlyMemory<byte> body, BodyFormat format, RecordOperation operation) =>
        Of(definition, RecordDecoder.Compile(definition, table), body, format, operation);

    internal static DryRun Of(SinkDefinition definition, RecordDecoder decoder, ReadOnlyMemory<byte> body, BodyFormat format, RecordOperation operation)
    {
        body = BatchReader.WithoutByteOrderMark(body);
        var rows = decoder.Rent();
        try
        {
            BatchReader.Read(body.Span, format, operation, decoder, definition.MaxRecordsPerRequest, rows);
            var rejected = RejectedList.Of(rows.Rejected, rows.IsDiscarded, rows.RecordCount);
            return new DryRun(new BatchOutcome("", 0, rows.RecordCount, rejected, [.. rows.Warnings]) { UndetailedCount = rejected.UndetailedCount }, RenderValues(decoder, rows));
        }
        finally
        {
            decoder.Return(rows);
        }
    }

    static Dictionary<int, string> RenderValues(RecordDecoder decoder, RecordRows rows)
    {
        var values = new Dictionary<int, string>();
        var (index, rejected, characters) = (0, 0, 0);
        for (var row = 0; row < rows.AcceptedCount && values.Count < MaxValues && characters < MaxValueBytes; row++, index++)
        {
            for (; rejected < rows.Rejected.Count && rows.Rejected[rejected].Index == index; rejected++) index++;
            var value = RowText.Render(rows, decoder.Schema, row);
            characters += value.Length;
            values.Add(index, value);
        }
        return values;
    }
}

/// <summary>Requests that change nothing.</summary>
public sealed partial class Sink
{
    /// <summary>Decodes and validates the records of a request; nothing is stored, counted or sampled.</summary>
    /// <inheritdoc cref="IngestAsync"/>
    public DryRun Check(ReadOnlyMemory<byte> body, BodyFormat format, RecordOperation operation)
    {
        var (definition, decoder) = Volatile.Read(ref _mapping);
        return DryRun.Of(definition, decoder, body, format, operation);
    }
}
