using System.Collections.Immutable;
using Parlot.Fluent;
using Sluice.Records;

namespace Sluice.Server.Sql;

/// <summary>Reads the statements that are not left to the store: FeatureBase's DDL, SHOW and INSERT. Any thread.</summary>
static class SqlParser
{
    static readonly string[] _own = ["create", "alter", "drop", "show", "insert", "replace", "delete", "bulk"];

    static readonly string[] _changing = ["create", "alter", "drop"];

    static readonly Dictionary<string, string> _unsupported = new(StringComparer.OrdinalIgnoreCase)
    {
        ["copy"] = "COPY is not supported; send the rows to a sink",
        ["update"] = "UPDATE is not supported; INSERT replaces the values it names",
        ["pivot"] = "PIVOT as a statement is not supported; use SELECT ... FROM t PIVOT (... FOR col IN (...))",
    };

    static readonly Parser<SqlStatement> _statement = BuildGrammar();

    /// <exception cref="SqlException">The statement is wrong.</exception>
    public static SqlStatement Parse(string sql)
    {
        var start = SqlTokens.BlankLength(sql);
        if (start == sql.Length)
            throw new SqlException("the statement is empty", 0);
        var (kind, length) = SqlTokens.ReadOne(sql.AsSpan(start));
        var first = kind == SqlTokenKind.Word ? sql.Substring(start, length) : "";
        if (_unsupported.TryGetValue(first, out var reason))
            throw new SqlException(reason, start);
        if (_changing.Contains(first, StringComparer.OrdinalIgnoreCase) && SecondWord(sql, start + length) is { } second && second.Equals("view", StringComparison.OrdinalIgnoreCase))
            throw new SqlException("views are not supported; send the query itself", start);
        if (first.Equals("explain", StringComparison.OrdinalIgnoreCase))
            return new Query(string.Concat(sql.AsSpan(0, start), new string(' ', length), sql.AsSpan(start + length)), IsExplain: true);
        if (!_own.Contains(first, StringComparer.OrdinalIgnoreCase))
            return new Query(sql, IsExplain: false);
        if (_statement.TryParse(sql, out var statement, out var error))
            return statement;
        // The parser stops in front of blanks; the place to show is the word behind them.
        var at = error?.Position.Offset ?? start;
        throw new SqlException(error?.Message ?? "the statement cannot be read", at + SqlTokens.BlankLength(sql.AsSpan(at)));
    }

    static string? SecondWord(string sql, int at)
    {
        at += SqlTokens.BlankLength(sql.AsSpan(at));
        return at < sql.Length && SqlTokens.ReadOne(sql.AsSpan(at)) is (SqlTokenKind.Word, var length) ? sql.Substring(at, length) : null;
    }

    static Parser<string> Word(string word) => Terms.Keyword(word, caseInsensitive: true);

    static Parser<char> Mark(char mark) => Terms.Char(mark).ElseError($"expected '{mark}'");

    /// <summary>A word that must come; says so when it does not.</summary>
    static Parser<string> Must(string word) => Word(word).ElseError($"expected {word}");

    static Parser<bool> Flag(Parser<string> words) => words.Optional().Then(option => option.HasValue);

    static Parser<SqlStatement> BuildGrammar()
    {
        var name = SqlGrammar.Name;
        var column = SqlGrammar.Column;

        var quoted = SqlGrammar.Text.Then((_, start, _, text) => new SqlText(text, start));
        var ifNotExists = Flag(Word("IF").AndSkip(Must("NOT")).AndSkip(Must("EXISTS")));
        var ifExists = Flag(Word("IF").AndSkip(Must("EXISTS")));
        var tableOption = OneOf(
            Word("WITH").SkipAnd(OneOf(
                Word("COMMENT").SkipAnd(SqlGrammar.Text).Then(text => new TableOption(text, null)),
                Word("RETENTION").SkipAnd(quoted).Then(text => new TableOption(null, null) { Retention = text }))
                .ElseError("expected COMMENT or RETENTION")),
            Word("COMMENT").SkipAnd(SqlGrammar.Text).Then(text => new TableOption(text, null)),
            Word("KEYPARTITIONS").SkipAnd(SqlGrammar.Integer).Then(count => new TableOption(null, count)));

        var createTable = Word("CREATE").SkipAnd(Must("TABLE")).SkipAnd(ifNotExists).And(name)
            .AndSkip(Mark('(')).And(Separated(Terms.Char(','), column)).AndSkip(Mark(')'))
            .And(ZeroOrMany(tableOption))
            .Then<SqlStatement>(parts => TableDefinitions.CreateTable(parts.Item1, parts.Item2, parts.Item3, parts.Item4));

        var add = Word("ADD").SkipAnd(Word("COLUMN").Optional()).SkipAnd(column)
            .Then<Func<SqlName, SqlStatement>>(added => table => new AddColumn(table, TableDefinitions.Column(added)));
        var drop = Word("DROP").SkipAnd(Word("COLUMN").Optional()).SkipAnd(name)
            .Then<Func<SqlName, SqlStatement>>(dropped => table => new DropColumn(table, dropped));
        var rename = Word("RENAME").SkipAnd(Word("COLUMN").Optional()).SkipAnd(name).AndSkip(Must("TO")).And(name)
            .Then<Func<SqlName, SqlStatement>>(names => table => new RenameColumn(table, names.Item1, names.Item2));
        var set = Word("SET").SkipAnd(Must("RETENTION")).SkipAnd(quoted)
            .Then<Func<SqlName, SqlStatement>>(text => table => new SetRetention(table, TableDefinitions.Retention(text)));
        var alterTable = Word("ALTER").SkipAnd(Must("TABLE")).SkipAnd(name).And(OneOf(add, drop, rename, set).ElseError("expected ADD, DROP, RENAME or SET"))
            .Then(parts => parts.Item2(parts.Item1));

        var dropTable = Word("DROP").SkipAnd(Must("TABLE")).SkipAnd(ifExists).And(name)
            .Then<SqlStatement>(parts => new DropTable(parts.Item2, parts.Item1));

        var show = Word("SHOW").SkipAnd(OneOf(
            Word("TABLES").Then<SqlStatement>(_ => new ShowTables()),
            Word("DATABASES").Then<SqlStatement>(_ => new ShowDatabases()),
            Word("COLUMNS").SkipAnd(Must("FROM")).SkipAnd(name).Then<SqlStatement>(table => new ShowColumns(table)),
            Word("CREATE").SkipAnd(Must("TABLE")).SkipAnd(name).Then<SqlStatement>(table => new ShowCreateTable(table)))
            .ElseError("expected TABLES, COLUMNS, DATABASES or CREATE TABLE"));

        var columns = Terms.Char('(').SkipAnd(Separated(Terms.Char(','), name)).AndSkip(Mark(')'));
        var row = Mark('(').SkipAnd(Separated(Terms.Char(','), SqlGrammar.Expression)).AndSkip(Mark(')'));
        var insertion = OneOf(Word("INSERT").Then(_ => RecordOperation.Upsert), Word("REPLACE").Then(_ => RecordOperation.Replace));
        var insert = insertion.AndSkip(Must("INTO")).And(name).And(columns.Optional())
            .AndSkip(Must("VALUES")).And(Separated(Terms.Char(','), row))
            .Then<SqlStatement>(parts => new InsertRows(
                parts.Item1, parts.Item2, parts.Item3.HasValue ? [.. parts.Item3.Value!] : null, parts.Item4));

        var delete = Word("DELETE").SkipAnd(Must("FROM")).SkipAnd(name).And(Word("WHERE").SkipAnd(SqlGrammar.Rest).Optional())
            .Then<SqlStatement>(parts => new DeleteRows(parts.Item1, parts.Item2.HasValue ? parts.Item2.Value : null));

        var mapItem = OneOf(
                SqlGrammar.Quoted.Then(source => (source, true)),
                SqlGrammar.Integer.Then(source => (new SqlExpression(source.Text, source.Offset), false)))
            .ElseError("expected a number or a path in quotes").And(SqlGrammar.Type)
            .Then(parts => new BulkMap(parts.Item1.Item1, parts.Item1.Item2, parts.Item2));
        var expressions = Mark('(').SkipAnd(Separated(Terms.Char(','), SqlGrammar.Expression)).AndSkip(Mark(')'));
        var bulkData = Must("FROM").SkipAnd(SqlGrammar.Quoted.ElseError("expected the rows in quotes")).AndSkip(Must("WITH")).And(ZeroOrMany(SqlGrammar.BulkOption));
        var bulkInsert = Word("BULK").SkipAnd(insertion.ElseError("expected INSERT or REPLACE")).AndSkip(Must("INTO")).And(name)
            .And(columns.Optional())
            .AndSkip(Must("MAP")).AndSkip(Mark('(')).And(Separated(Terms.Char(','), mapItem)).AndSkip(Mark(')'))
            .And(Word("TRANSFORM").SkipAnd(expressions).Optional())
            .And(bulkData)
            .Then<SqlStatement>(parts => new BulkInsert(
                parts.Item1, parts.Item2, parts.Item3.HasValue ? [.. parts.Item3.Value!] : null, [.. parts.Item4],
                parts.Item5.HasValue ? parts.Item5.Value : null, parts.Item6.Item1, [.. parts.Item6.Item2]));

        var end = Terms.Char(';').Optional().AndSkip(SqlGrammar.End);
        return OneOf(createTable, alterTable, dropTable, show, insert, bulkInsert, delete).AndSkip(end)
            .WithComments(comments => comments.WithWhiteSpaceOrNewLine().WithSingleLine("--").WithMultiLine("/*", "*/"));
    }
}

/// <summary>What may follow the columns of CREATE TABLE.</summary>
sealed record TableOption(string? Comment, SqlNumber? KeyPartitions)
{
    public SqlText? Retention { get; init; }
}

/// <summary>A text without its quotes.</summary>
sealed record SqlText(string Text, int Offset);

/// <summary>A number as written.</summary>
sealed record SqlNumber(string Text, int Offset);

/// <summary>A column of CREATE or ALTER TABLE as written, not yet checked.</summary>
/// <param name="Arguments">What stands in parentheses behind the type.</param>
sealed record ColumnText(SqlName Name, SqlName Type, ImmutableArray<SqlNumber> Arguments, ImmutableArray<ConstraintText> Constraints);

/// <param name="Keyword">Upper case.</param>
/// <param name="Value">A number, a text without its quotes, or a word.</param>
sealed record ConstraintText(string Keyword, int Offset, string Value, int ValueOffset);
