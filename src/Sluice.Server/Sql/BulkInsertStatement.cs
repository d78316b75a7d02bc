using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Sluice.Schema;

namespace Sluice.Server.Sql;

/// <summary>
/// BULK INSERT and BULK REPLACE: reads rows out of the statement's own text, maps and transforms them, and writes them as <see cref="RowInsertion"/> does:
/// all or nothing, whatever the batch size.
/// </summary>
sealed class BulkInsertStatement(SqlPlane plane, SqlContext context, SqlTable table, BulkInsert bulk)
{
    // Of the rows that one query transforms: well below the longest query.
    const int CharactersAtOnce = 100_000;

    /// <returns>The rows written, and a warning for each value that lost digits.</returns>
    /// <exception cref="SqlException">Nothing was stored.</exception>
    public async Task<(int RowCount, IReadOnlyList<string> Warnings)> RunAsync(CancellationToken cancellation)
    {
        var options = BulkOptions.Of(bulk);
        var types = bulk.Map.Select(item => TableDefinitions.MapType(item.Type)).ToImmutableArray();
        var targets = RowInsertion.ResolveColumns(table.Schema, bulk.Table, bulk.Columns);
        if ((bulk.Transform?.Count ?? bulk.Map.Length) != targets.Length)
            throw new SqlException("mismatch in the count of expressions and target columns", bulk.Transform?[0].Offset ?? bulk.Map[0].Source.Offset);

        var transform = bulk.Transform?.Select(expression => BulkTransform.Of(expression, types.Length)).ToList();
        var mapped = BulkRows.Read(bulk, types, options);
        var cut = new List<string>();
        var values = transform is not null && mapped.Count > 0 ? await TransformAsync(transform, types, mapped, cut, cancellation) : mapped;
        if (options.NullIsEmptySet)
            FillEmptySets(values, targets);
        if (values.Count == 0)
            return (0, []);
        var insertion = new RowInsertion(plane, context, table, targets, bulk.Operation, (row, column) => new SqlExpression(TextOf(values[row][column]), bulk.Data.Offset));
        return (values.Count, [.. cut, .. await insertion.RunAsync(values, cancellation)]);
    }

    static void FillEmptySets(List<SqlValue[]> values, ImmutableArray<InsertTarget> targets)
    {
        foreach (var row in values)
        {
            for (var i = 0; i < row.Length; i++)
            {
                if (row[i] is NullValue && targets[i].Type is { IsSet: true })
                    row[i] = new ListValue([]);
            }
        }
    }

    static string TextOf(SqlValue value) => value switch
    {
        TextValue text => text.Text,
        NumberValue number => number.Digits,
        BoolValue truth => truth.Value ? "true" : "false",
        NullValue => "null",
        _ => "list",
    };

    /// <summary>Computes the expressions for all rows; one that is a map position alone is taken as it is.</summary>
    /// <param name="cut">Gets a warning for each value that lost digits.</param>
    async Task<List<SqlValue[]>> TransformAsync(
        List<BulkTransform> parts, ImmutableArray<ColumnType> types, List<SqlValue[]> mapped, List<string> cut, CancellationToken cancellation)
    {
        var computed = parts.Where(part => part.Position is null).ToList();
        var answers = computed.Count == 0 ? [] : await ComputeAsync(computed, types, mapped, cut, cancellation);
        var values = new List<SqlValue[]>(mapped.Count);
        for (var row = 0; row < mapped.Count; row++)
        {
            var next = 0;
            values.Add([.. parts.Select(part => part.Position is { } position ? mapped[row][position] : answers[row][next++])]);
        }
        return values;
    }

    async Task<List<SqlValue[]>> ComputeAsync(
        List<BulkTransform> computed, ImmutableArray<ColumnType> types, List<SqlValue[]> mapped, List<string> cut, CancellationToken cancellation)
    {
        var items = computed.SelectMany(part => part.Positions).Distinct().Order()
            .Select(i => new MapItem(i, types[i], mapped.Select(row => row[i]), bulk.Data.Offset)).ToList();
        var list = string.Join(", ", computed.Select(part => $"(\n{part.Sql}\n)"));
        var names = string.Concat(items.Select(item => $", \"{item.Position}\""));
        var answers = new List<SqlValue[]>(mapped.Count);
        var rows = new StringBuilder();
        for (var row = 0; row < mapped.Count; row++)
        {
            var cells = string.Concat(items.Select(item => $", {item.Literal(mapped[row][item.Position])}"));
            cut.AddRange(items.Where(item => item.IsCut(mapped[row][item.Position]))
                .Select(item => $"value of map position {item.Position}, row {row + 1}, was truncated to {item.Type}"));
            rows.Append(rows.Length == 0 ? "" : ", ").Append(CultureInfo.InvariantCulture, $"({row}{cells})");
            if (rows.Length < CharactersAtOnce && row < mapped.Count - 1)
                continue;
            var sql = $"SELECT {list} FROM (VALUES {rows}) AS mapped(\"row\"{names}) ORDER BY mapped.\"row\"";
            answers.AddRange(await ComputedRows.ReadAsync(plane, context, sql, computed.Count, computed[0].Offset, cancellation));
            rows.Clear();
        }
        return answers.Count == mapped.Count ? answers : throw new SqlException("an expression must have one value a row", computed[0].Offset);
    }
}

/// <summary>One expression of TRANSFORM.</summary>
/// <param name="Position">The map position that it is, and nothing more; <c>null</c>: it is computed.</param>
/// <param name="Positions">Those that it refers to.</param>
/// <param name="Sql">For DuckDB, over the columns <c>mapped."n"</c>.</param>
sealed record BulkTransform(int? Position, IReadOnlyList<int> Positions, string Sql, int Offset)
{
    /// <exception cref="SqlException">It refers to what is not mapped.</exception>
    public static BulkTransform Of(SqlExpression expression, int mapLength)
    {
        var tokens = SqlTokens.Read(expression.Text);
        var sql = new StringBuilder();
        var positions = new List<int>();
        var at = 0;
        for (var i = 0; i + 1 < tokens.Count; i++)
        {
            var isReference = tokens[i].Kind == SqlTokenKind.Symbol && expression.Text[tokens[i].Start] == '@'
                && tokens[i + 1].Kind == SqlTokenKind.Number && tokens[i + 1].Start == tokens[i].End;
            if (!isReference)
                continue;
            var number = expression.Text[tokens[i + 1].Start..tokens[i + 1].End];
            if (!int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var position) || position >= mapLength)
                throw new SqlException($"'@{number}' is not a map position", expression.Offset + tokens[i].Start);
            if (tokens.Count == 2)
                return new BulkTransform(position, [position], "", expression.Offset);
            positions.Add(position);
            sql.Append(expression.Text, at, tokens[i].Start - at).Append(CultureInfo.InvariantCulture, $"mapped.\"{position}\"");
            at = tokens[i + 1].End;
        }
        sql.Append(expression.Text, at, expression.Text.Length - at);
        return new BulkTransform(null, positions, QueryRewrite.Of(sql.ToString(), []).Sql, expression.Offset);
    }
}

/// <summary>An item of MAP as a column of the rows that are transformed.</summary>
sealed class MapItem
{
    // of TIMESTAMP_NS
    const int FirstYear = 1678;
    const int LastYear = 2261;

    readonly bool _isInNanoseconds;
    readonly int _offset;

    /// <param name="values">All of its values: the column has one type.</param>
    /// <param name="offset">Of the data.</param>
    public MapItem(int position, ColumnType type, IEnumerable<SqlValue> values, int offset)
    {
        (Position, Type, _offset) = (position, type, offset);
        if (type.Kind != ColumnKind.Timestamp)
            return;
        var times = values.Where(value => value is not NullValue).Select(value => value is NumberValue number ? TimeOf(number) : TimeOf(value)).ToList();
        _isInNanoseconds = times.Exists(time => time?.Fraction.Length > 6) && times.TrueForAll(time => time?.Second.Year is >= FirstYear and <= LastYear);
    }

    public int Position { get; }

    public ColumnType Type { get; }

    /// <summary>Whether the value has more digits than its type keeps.</summary>
    public bool IsCut(SqlValue value) =>
        Type.Kind == ColumnKind.Decimal && value is NumberValue number && number.Digits.AsSpan(Cut(number).Length).ContainsAnyExcept('0', '.');

    /// <summary>A value as SQL of the item's type.</summary>
    /// <exception cref="SqlException">A text is no time.</exception>
    public string Literal(SqlValue value) => value switch
    {
        NumberValue seconds when Type.Kind == ColumnKind.Timestamp => $"make_timestamp({seconds.Digits} * 1000000)",
        TextValue when Type.Kind == ColumnKind.Timestamp => $"CAST('{TimeOf(value)}' AS {DuckDbType})",
        // CAST would round
        NumberValue number when Type.Kind == ColumnKind.Decimal => $"CAST({Cut(number)} AS {DuckDbType})",
        _ => $"CAST({Plain(value)} AS {DuckDbType})",
    };

    string Cut(NumberValue number) => number.Digits.IndexOf('.', StringComparison.Ordinal) is var point and >= 0 && number.Digits.Length - point - 1 > Type.Scale
        ? number.Digits[..(Type.Scale == 0 ? point : point + 1 + Type.Scale)]
        : number.Digits;

    TimeText TimeOf(SqlValue text) => text is TextValue { Text: var time } && TimeText.TryRead(time) is { } read
        ? read
        : throw new SqlException($"unable to convert '{(text as TextValue)?.Text}' to type 'timestamp'", _offset);

    /// <returns><c>null</c>: beyond the years that have four digits.</returns>
    static TimeText? TimeOf(NumberValue seconds) =>
        long.TryParse(seconds.Digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var count)
        && count >= DateTimeOffset.MinValue.ToUnixTimeSeconds() && count <= DateTimeOffset.MaxValue.ToUnixTimeSeconds()
            ? new TimeText(DateTimeOffset.FromUnixTimeSeconds(count).UtcDateTime, "")
            : null;

    static string Plain(SqlValue value) => value switch
    {
        TextValue text => $"'{text.Text.Replace("'", "''", StringComparison.Ordinal)}'",
        NumberValue number => number.Digits,
        BoolValue truth => truth.Value ? "true" : "false",
        ListValue list => $"[{string.Join(", ", list.Members.Select(Plain))}]",
        _ => "NULL",
    };

    string DuckDbType => Type.Kind switch
    {
        ColumnKind.Id => "UBIGINT",
        ColumnKind.Int => "BIGINT",
        ColumnKind.Decimal => string.Create(CultureInfo.InvariantCulture, $"DECIMAL(38, {Type.Scale})"),
        ColumnKind.Bool => "BOOLEAN",
        ColumnKind.Timestamp => _isInNanoseconds ? "TIMESTAMP_NS" : "TIMESTAMP",
        ColumnKind.IdSet or ColumnKind.IdSetQ => "UBIGINT[]",
        ColumnKind.StringSet or ColumnKind.StringSetQ => "VARCHAR[]",
        ColumnKind.Vector => "DOUBLE[]",
        _ => "VARCHAR",
    };
}
