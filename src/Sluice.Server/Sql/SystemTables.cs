using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>The original's tables about the database itself that mean something here, made for the one query that names them.</summary>
static class SystemTables
{
    const string Prefix = "fb_";

    public static IEnumerable<QueryTable> In(string sql, IReadOnlyList<SqlTable> tables)
    {
        if (!sql.Contains(Prefix, StringComparison.OrdinalIgnoreCase))
            return [];
        var ddl = tables.Select(table => $"({Text(table.Schema.Name)}, {Text(ShowAnswers.Ddl(table.Schema, table.Description))})").DefaultIfEmpty("(NULL::VARCHAR, NULL::VARCHAR)");
        IEnumerable<QueryTable> made =
        [
            new QueryTable("fb_table_ddl", $"(SELECT * FROM (VALUES {string.Join(", ", ddl)}) AS made(name, ddl) WHERE name IS NOT NULL)"),
            new QueryTable("fb_views", "(SELECT NULL::VARCHAR AS name, NULL::VARCHAR AS statement WHERE false)"),
        ];
        return made.ExceptBy(tables.Select(table => table.Schema.Name), table => table.Name); // a table that somebody has named so is meant
    }

    static string Text(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";
}
