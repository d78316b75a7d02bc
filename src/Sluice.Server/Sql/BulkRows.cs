using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Schema;
using Sylvan.Data.Csv;

namespace Sluice.Server.Sql;

/// <summary>Reads the rows of BULK INSERT into values of their map types.</summary>
static class BulkRows
{
    const int MaxMapItems = 1_000;

    /// <exception cref="SqlException">A row cannot be read, or one of its values does not fit its type.</exception>
    public static List<SqlValue[]> Read(BulkInsert bulk, ImmutableArray<ColumnType> types, BulkOptions options)
    {
        if (bulk.Map.Length > MaxMapItems)
            throw new SqlException($"MAP has {bulk.Map.Length} items, at most {MaxMapItems} are allowed", bulk.Map[MaxMapItems].Source.Offset);
        try
        {
            return options.Format == BulkFormat.Csv
                ? ReadCsv(bulk.Data.Text, Ordinals(bulk), types, options)
                : ReadNdjson(bulk.Data.Text, Paths(bulk), types, options);
        }
        catch (BulkException e)
        {
            throw new SqlException(e.Message, bulk.Data.Offset, e);
        }
    }

    static List<SqlValue[]> ReadCsv(string text, int[] ordinals, ImmutableArray<ColumnType> types, BulkOptions options)
    {
        text = text.TrimStart('\r', '\n'); // the text often begins on a line of its own
        var rows = new List<SqlValue[]>();
        if (string.IsNullOrWhiteSpace(text))
            return rows;
        using var csv = CsvDataReader.Create(new StringReader(text), new CsvDataReaderOptions
        {
            HasHeaders = false,
            Delimiter = ',',
            Comment = '\0',
            MaxBufferSize = Math.Max(0x10000, text.Length + 1),
        });
        var isHeader = options.HasHeader;
        var size = new RowsSize();
        while (rows.Count < options.RowsLimit && TryRead(csv, rows.Count))
        {
            if (isHeader || (csv.RowFieldCount <= 1 && string.IsNullOrWhiteSpace(csv.GetString(0)) && ordinals.Length > 1))
            {
                isHeader = false;
                continue;
            }
            rows.Add([.. ordinals.Select((ordinal, i) => size.Add(Cell(csv, ordinal, types[i], rows.Count, options)))]);
        }
        return rows;
    }

    static bool TryRead(CsvDataReader csv, int row)
    {
        try
        {
            return csv.Read();
        }
        catch (FormatException e)
        {
            throw new BulkException($"row {row + 1} is not CSV: {e.Message}", e);
        }
    }

    static SqlValue Cell(CsvDataReader csv, int ordinal, ColumnType type, int row, BulkOptions options)
    {
        if (ordinal >= csv.RowFieldCount)
        {
            return options.AllowsMissing ? new NullValue()
                : throw new BulkException($"row {row + 1} has no value {ordinal}, only {csv.RowFieldCount}; use ALLOW_MISSING_VALUES to take it for NULL");
        }
        var text = csv.GetString(ordinal);
        var isNull = text.Length == 0 ? options.EmptyIsNull || type.Kind != ColumnKind.String : options.NullIsNull && text.Equals("NULL", StringComparison.OrdinalIgnoreCase);
        return isNull ? new NullValue() : BulkValue.FromCsv(text, type) ?? throw NotConvertible(text, type, row);
    }

    static List<SqlValue[]> ReadNdjson(string text, ImmutableArray<PathStep>[] paths, ImmutableArray<ColumnType> types, BulkOptions options)
    {
        var rows = new List<SqlValue[]>();
        var size = new RowsSize();
        foreach (var line in text.Split('\n'))
        {
            if (string.IsNullOrWhiteSpace(line))
                continue;
            if (rows.Count == options.RowsLimit)
                break;
            using var document = ParseLine(line, rows.Count);
            rows.Add([.. paths.Select((path, i) => size.Add(Cell(document.RootElement, path, types[i], rows.Count, options)))]);
        }
        return rows;
    }

    static JsonDocument ParseLine(string line, int row)
    {
        try
        {
            var json = Encoding.UTF8.GetBytes(line);
            WellFormedText.Check(json);
            return JsonDocument.Parse(json);
        }
        catch (JsonException e)
        {
            throw new BulkException($"row {row + 1} is not JSON", e);
        }
    }

    static SqlValue Cell(JsonElement root, ImmutableArray<PathStep> path, ColumnType type, int row, BulkOptions options)
    {
        if (Find(root, path, row) is not { } value)
        {
            return options.AllowsMissing ? new NullValue()
                : throw new BulkException($"row {row + 1} has no value at {JsonPath.Format(path)}; use ALLOW_MISSING_VALUES to take it for NULL");
        }
        if (value.ValueKind == JsonValueKind.Null)
            return new NullValue();
        return BulkValue.FromJson(value, type) ?? throw NotConvertible(value.ToString(), type, row);
    }

    static JsonElement? Find(JsonElement at, ImmutableArray<PathStep> path, int row)
    {
        foreach (var step in path)
        {
            if (step.Name is { } name)
            {
                if (at.ValueKind != JsonValueKind.Object)
                    return null;
                var found = at.EnumerateObject().Where(member => member.NameEquals(name)).Take(2).ToList();
                if (found.Count > 1)
                    throw new BulkException($"row {row + 1} has more than one value at {JsonPath.Format(path)}");
                if (found.Count == 0)
                    return null;
                at = found[0].Value;
            }
            else if (at.ValueKind == JsonValueKind.Array && step.Index < at.GetArrayLength())
            {
                at = at[step.Index];
            }
            else
            {
                return null;
            }
        }
        return at;
    }

    static BulkException NotConvertible(string value, ColumnType type, int row) =>
        new(string.Create(CultureInfo.InvariantCulture, $"value '{(value.Length <= 64 ? value : value[..64])}' cannot be converted to type '{type}' (row {row + 1})"));

    static int[] Ordinals(BulkInsert bulk) => [.. bulk.Map.Select(item =>
        item.IsPath ? throw new SqlException("CSV is mapped by numbers from 0", item.Source.Offset)
        : int.TryParse(item.Source.Text, NumberStyles.None, CultureInfo.InvariantCulture, out var ordinal) ? ordinal
        : throw new SqlException($"invalid map position '{item.Source.Text}'", item.Source.Offset))];

    static ImmutableArray<PathStep>[] Paths(BulkInsert bulk) => [.. bulk.Map.Select(item =>
        !item.IsPath ? throw new SqlException("NDJSON is mapped by paths in quotes, such as '$.name'", item.Source.Offset)
        : JsonPath.TryParse(item.Source.Text) ?? throw new SqlException($"invalid path '{item.Source.Text}'", item.Source.Offset))];

    /// <summary>How much was read. Each item of MAP copies its cell: without a bound a statement of 1 MB makes 20 GB.</summary>
    sealed class RowsSize
    {
        const int MaxCells = 5_000_000;
        const int MaxCharacters = 64 << 20;

        int _cells;
        long _characters;

        public SqlValue Add(SqlValue value)
        {
            _characters += LengthOf(value);
            if (++_cells > MaxCells || _characters > MaxCharacters)
                throw new BulkException(string.Create(CultureInfo.InvariantCulture, $"the rows are too large: a statement may have {MaxCells:N0} values of {MaxCharacters:N0} characters together; send them to a sink"));
            return value;
        }

        static long LengthOf(SqlValue value) => value switch
        {
            TextValue text => text.Text.Length,
            ListValue list => list.Members.Sum(member => 1 + LengthOf(member)),
            _ => 0,
        };
    }

    /// <summary>A row that cannot be taken; its place in the statement is that of the data.</summary>
    sealed class BulkException(string message, Exception? inner = null) : Exception(message, inner);
}
