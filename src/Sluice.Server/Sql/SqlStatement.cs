using System.Collections.Immutable;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Server.Sql;

/// <summary>A name, lower case, and where it stands in its statement.</summary>
readonly record struct SqlName(string Text, int Offset)
{
    public override string ToString() => Text;
}

/// <summary>One statement of the SQL endpoint.</summary>
abstract record SqlStatement
{
    /// <summary>What the statement asks for and does not get.</summary>
    public ImmutableArray<string> Warnings { get; init; } = [];

    /// <summary>Whether it changes rows or definitions: whatever is not known to read does.</summary>
    public bool IsWrite => this is not (Query or ShowTables or ShowDatabases or ShowColumns or ShowCreateTable);
}

sealed record NewColumn(SqlName Name, ColumnType Type)
{
    public bool IsRequired { get; init; }

    /// <summary>JSON; <c>null</c>: none.</summary>
    public string? Default { get; init; }
}

/// <param name="Columns">Without <c>_id</c>.</param>
/// <param name="Comment">"" when there is none.</param>
sealed record CreateTable(SqlName Table, bool IfNotExists, KeyKind Key, ImmutableArray<NewColumn> Columns, string Comment) : SqlStatement
{
    /// <summary>The server makes the ids.</summary>
    public bool IsAutoId { get; init; }

    /// <summary>Zero: rows are kept for ever.</summary>
    public TimeSpan Retention { get; init; }
}

sealed record AddColumn(SqlName Table, NewColumn Column) : SqlStatement;

sealed record DropColumn(SqlName Table, SqlName Column) : SqlStatement;

sealed record RenameColumn(SqlName Table, SqlName From, SqlName To) : SqlStatement;

sealed record DropTable(SqlName Table, bool IfExists) : SqlStatement;

sealed record SetRetention(SqlName Table, TimeSpan Retention) : SqlStatement;

sealed record ShowTables : SqlStatement;

sealed record ShowDatabases : SqlStatement;

sealed record ShowColumns(SqlName Table) : SqlStatement;

sealed record ShowCreateTable(SqlName Table) : SqlStatement;

/// <summary>INSERT and REPLACE.</summary>
/// <param name="Operation">Upsert or replace.</param>
/// <param name="Columns"><c>null</c>: all columns, as SHOW COLUMNS lists them.</param>
/// <param name="Rows">As many expressions a row as the statement has; not yet compared with the columns.</param>
sealed record InsertRows(RecordOperation Operation, SqlName Table, ImmutableArray<SqlName>? Columns, IReadOnlyList<IReadOnlyList<SqlExpression>> Rows) : SqlStatement;

/// <summary>BULK INSERT and BULK REPLACE.</summary>
/// <param name="Operation">Upsert or replace.</param>
/// <param name="Columns"><c>null</c>: all columns, as SHOW COLUMNS lists them.</param>
/// <param name="Transform"><c>null</c>: the mapped values are the columns'.</param>
/// <param name="Data">The rows, without quotes.</param>
sealed record BulkInsert(
    RecordOperation Operation, SqlName Table, ImmutableArray<SqlName>? Columns, ImmutableArray<BulkMap> Map, IReadOnlyList<SqlExpression>? Transform, SqlExpression Data,
    ImmutableArray<BulkOption> Options) : SqlStatement;

/// <summary>Where a value stands in a row, and the type it is read as.</summary>
/// <param name="IsPath">The source is a path into JSON; else the place in a CSV row, from 0.</param>
sealed record BulkMap(SqlExpression Source, bool IsPath, ColumnText Type);

/// <param name="Name">Upper case.</param>
/// <param name="Value">"" when the option has none.</param>
sealed record BulkOption(string Name, string Value, int Offset);

/// <param name="Predicate"><c>null</c>: every row.</param>
sealed record DeleteRows(SqlName Table, SqlExpression? Predicate) : SqlStatement;

/// <summary>One expression of VALUES as it was written.</summary>
sealed record SqlExpression(string Text, int Offset);

/// <summary>Anything else: a query for the store, still to be proven a SELECT.</summary>
/// <param name="Text">The whole text; a leading EXPLAIN is blanked out, so places stay the same.</param>
sealed record Query(string Text, bool IsExplain) : SqlStatement;
