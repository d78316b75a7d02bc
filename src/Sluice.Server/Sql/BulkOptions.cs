using System.Globalization;

namespace Sluice.Server.Sql;

enum BulkFormat
{
    Csv,
    Ndjson,
}

/// <summary>What stands behind WITH, checked.</summary>
/// <param name="RowsLimit">Only so many rows are read.</param>
/// <param name="HasHeader">CSV: the first row is skipped.</param>
/// <param name="AllowsMissing">A value that is not there is NULL.</param>
/// <param name="EmptyIsNull">CSV: an empty string is NULL.</param>
/// <param name="NullIsNull">CSV: the text NULL is NULL.</param>
/// <param name="NullIsEmptySet">NULL for a set is the empty set.</param>
sealed record BulkOptions(
    BulkFormat Format, int RowsLimit, bool HasHeader, bool AllowsMissing, bool EmptyIsNull, bool NullIsNull, bool NullIsEmptySet)
{
    /// <exception cref="SqlException">An option is wrong, missing, or not supported here.</exception>
    public static BulkOptions Of(BulkInsert bulk)
    {
        var given = new Dictionary<string, BulkOption>(StringComparer.Ordinal);
        foreach (var option in bulk.Options.Where(option => !given.TryAdd(option.Name, option)))
            throw new SqlException($"{option.Name} is given twice", option.Offset);
        CheckInput(given, bulk.Data.Offset);
        // Nothing here is loaded in batches or by several workers: a statement is all or nothing.
        Number(given, "BATCHSIZE");
        Number(given, "CONCURRENCY");
        return new BulkOptions(
            FormatOf(given, bulk.Data.Offset), Number(given, "ROWSLIMIT") ?? int.MaxValue, given.ContainsKey("HEADER_ROW"), given.ContainsKey("ALLOW_MISSING_VALUES"),
            given.ContainsKey("CSV_EMPTY_STRING_AS_NULL"), given.ContainsKey("CSV_NULL_AS_NULL"), given.ContainsKey("NULL_AS_EMPTY_SET"));
    }

    static void CheckInput(Dictionary<string, BulkOption> given, int offset)
    {
        if (!given.TryGetValue("INPUT", out var input))
            throw new SqlException("INPUT is expected: 'INLINE' or 'STREAM'", offset);
        if (input.Value.ToUpperInvariant() is "URL" or "FILE")
            throw new SqlException($"INPUT '{input.Value}' is not supported: the server reads no files and opens no connections for a statement; send the rows inline, or to a sink", input.Offset);
        if (input.Value.ToUpperInvariant() is not ("INLINE" or "STREAM"))
            throw new SqlException($"invalid input specifier '{input.Value}'", input.Offset);
    }

    static BulkFormat FormatOf(Dictionary<string, BulkOption> given, int offset)
    {
        if (!given.TryGetValue("FORMAT", out var format))
            throw new SqlException("FORMAT is expected: 'CSV' or 'NDJSON'", offset);
        return format.Value.ToUpperInvariant() switch
        {
            "CSV" => BulkFormat.Csv,
            "NDJSON" => BulkFormat.Ndjson,
            "PARQUET" or "ORC" => throw new SqlException($"FORMAT '{format.Value}' is not supported; use 'CSV' or 'NDJSON'", format.Offset),
            _ => throw new SqlException($"invalid format specifier '{format.Value}'", format.Offset),
        };
    }

    static int? Number(Dictionary<string, BulkOption> given, string name)
    {
        if (!given.TryGetValue(name, out var option))
            return null;
        return int.TryParse(option.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0
            ? number
            : throw new SqlException($"invalid {name} value '{option.Value}' (should be a number above 0)", option.Offset);
    }
}
