using Sluice.Records;

namespace Sluice.Watch;

/// <summary>What a mapping makes of one record.</summary>
/// <param name="Values">JSON: what each column would get; empty: the record would be rejected.</param>
/// <param name="Errors">Why it would be rejected.</param>
/// <param name="Truncated">Columns that would lose digits.</param>
public sealed record TrialRecord(SampledRecord Record, string Values, IReadOnlyList<FieldError> Errors, IReadOnlyList<string> Truncated);

/// <summary>Decodes records with a mapping without sending them anywhere.</summary>
static class Trial
{
    public static IReadOnlyList<TrialRecord> Run(IReadOnlyList<SampledRecord> records, RecordDecoder decoder)
    {
        var tried = new List<TrialRecord>();
        foreach (var record in records)
        {
            var rows = decoder.Rent();
            BatchReader.ReadAlone(record.Raw, record.Form, decoder, rows);
            rows.CompleteEachAlone();
            tried.Add(new TrialRecord(
                record, rows.AcceptedCount == 0 ? "" : RowText.Render(rows, decoder.Schema, 0), rows.Rejected.SelectMany(wrong => wrong.Errors).ToList(),
                rows.Warnings.Select(warning => warning.Column).ToList()));
            decoder.Return(rows);
        }
        return tried;
    }
}
