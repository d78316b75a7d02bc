using System.Buffers.Binary;
using System.Globalization;
using System.IO.Hashing;
using System.Text;
using Microsoft.Data.Sqlite;

namespace Sluice.Server.Catalog;

/// <summary>
/// The checksum of the catalogue's content, which SQLite does not keep: the sum of a hash of each row. Triggers change it in the transaction that changes
/// a row, whoever does that, at the cost of hashing this one row. It stands in the table <c>catalog_sum</c> with the number of changes so far, which
/// <see cref="CatalogMark"/> keeps outside.
/// </summary>
/// <remarks>Each row that comes or goes is one change, an update two; their number is in the sum too, so that it is not damaged unnoticed itself.</remarks>
static class CatalogSum
{
    const string Function = "sluice_sum";
    const int SqliteError = 1; // a schema that makes no sense
    const int SqliteCorrupt = 11;
    const int SqliteMismatch = 20;
    const int SqliteNotADatabase = 26;

    // rows that the sum does not hold: its own, SQLite's, and those of EF, which the sum of the definitions holds
    const string Summed = "type = 'table' AND name <> 'catalog_sum' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT LIKE '!_!_EFMigrations%' ESCAPE '!'";

    /// <summary>Teaches a connection the function of the triggers. Without it nothing in the catalogue can be changed.</summary>
    public static void Register(SqliteConnection connection) => connection.CreateFunction<long>(Function, Add, isDeterministic: true);

    /// <summary>Holds everything against the checksum. A catalogue of before there was one, or whose migration was interrupted, is held against its structure alone.</summary>
    /// <param name="acknowledged">How many changes there were at least; 0: not known.</param>
    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>.</exception>
    public static void Verify(SqliteConnection connection, DataDirectory data, long acknowledged)
    {
        try
        {
            if (FaultOf(connection, acknowledged) is { } fault) throw Damaged(data, fault, null);
        }
        catch (SqliteException e) when (IsDamage(e))
        {
            throw Damaged(data, e.Message, e);
        }
    }

    public static bool IsDamage(SqliteException e) => e.SqliteErrorCode is SqliteError or SqliteCorrupt or SqliteMismatch or SqliteNotADatabase;

    public static StartupException Damaged(DataDirectory data, string what, Exception? inner) =>
        new(ExitCode.DamagedData, $"the catalogue {data.CatalogFile} is damaged: {what}. Restore it from a backup", inner);

    /// <summary>True: the triggers are there and the checksum holds.</summary>
    public static bool IsKept(SqliteConnection connection) => Exists(connection) && Read(connection) is { Content: not null };

    /// <summary>How many changes there were, as of the last transaction that is durable.</summary>
    public static long ChangesOf(SqliteConnection connection) => Exists(connection) ? Read(connection).Changes : 0;

    /// <summary>Takes the triggers away, so that tables can be made anew; until <see cref="Keep"/> there is no checksum.</summary>
    public static void Suspend(SqliteConnection connection)
    {
        if (!Exists(connection)) return;
        using var transaction = connection.BeginTransaction();
        DropTriggers(connection);
        Execute(connection, "UPDATE catalog_sum SET content = NULL, definitions = NULL");
        transaction.Commit();
    }

    /// <summary>Computes the checksum of what is there, and has it kept from now on.</summary>
    public static void Keep(SqliteConnection connection)
    {
        using var transaction = connection.BeginTransaction();
        Execute(connection, "CREATE TABLE IF NOT EXISTS catalog_sum (id INTEGER PRIMARY KEY CHECK (id = 0), changes INTEGER NOT NULL, content INTEGER, definitions INTEGER)");
        Execute(connection, "INSERT OR IGNORE INTO catalog_sum VALUES (0, 0, NULL, NULL)");
        DropTriggers(connection);
        foreach (var table in Tables(connection)) CreateTriggers(connection, table);
        var changes = Read(connection).Changes + 1;
        Execute(connection, string.Create(CultureInfo.InvariantCulture, $"UPDATE catalog_sum SET changes = {changes}, content = {unchecked(SumOfRows(connection) + changes)}, definitions = {SumOfDefinitions(connection)}"));
        transaction.Commit();
    }

    /// <returns><c>null</c>: none.</returns>
    static string? FaultOf(SqliteConnection connection, long acknowledged)
    {
        var structure = Query(connection, "SELECT integrity_check FROM pragma_integrity_check").Select(row => $"{row[0]}").ToList();
        if (structure is not ["ok"]) return string.Join("; ", structure.Take(5));
        if (!Exists(connection)) return acknowledged > 0 ? "its checksum is missing" : null;
        var (changes, content, definitions) = Read(connection);
        if (changes < acknowledged) return $"it ends at change {changes}, and change {acknowledged} was acknowledged";
        if (content is null && definitions is null) return null;
        return content == unchecked(SumOfRows(connection) + changes) && definitions == SumOfDefinitions(connection) ? null : "it does not match its checksum";
    }

    static (long Changes, long? Content, long? Definitions) Read(SqliteConnection connection) => Query(connection, "SELECT changes, content, definitions FROM catalog_sum") switch
    {
        [[long changes, long content, long definitions]] => (changes, content, definitions),
        [[long changes, null, null]] => (changes, null, null),
        _ => (-1, null, null),
    };

    static bool Exists(SqliteConnection connection) => Query(connection, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'catalog_sum'").Count > 0;

    static List<string> Tables(SqliteConnection connection) => [.. Query(connection, $"SELECT name FROM sqlite_master WHERE {Summed} ORDER BY name").Select(row => (string)row[0]!)];

    static void DropTriggers(SqliteConnection connection)
    {
        foreach (var trigger in Query(connection, "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'sum!_%' ESCAPE '!'")) Execute(connection, $"DROP TRIGGER \"{trigger[0]}\"");
    }

    static void CreateTriggers(SqliteConnection connection, string table)
    {
        var columns = Query(connection, $"SELECT name FROM pragma_table_info('{table}') ORDER BY cid").Select(row => $"\"{row[0]}\"").ToList();
        string Of(string content, int sign, string row) => $"{Function}({content}, {sign}, '{table}', {string.Join(", ", columns.Select(column => $"{row}.{column}"))})";
        foreach (var (action, changes, sum) in new[] { ("INSERT", 1, Of("content", 1, "NEW")), ("UPDATE", 2, Of(Of("content", -1, "OLD"), 1, "NEW")), ("DELETE", 1, Of("content", -1, "OLD")) })
            Execute(connection, $"CREATE TRIGGER \"sum_{table}_{action}\" AFTER {action} ON \"{table}\" BEGIN UPDATE catalog_sum SET changes = changes + {changes}, content = {sum}; END");
    }

    static long SumOfRows(SqliteConnection connection) => Tables(connection).Aggregate(0L, (sum, table) => Query(connection, $"SELECT * FROM \"{table}\"").Aggregate(sum, (of, row) => unchecked(of + HashOf(table, row))));

    /// <summary>Of everything that only a migration changes.</summary>
    static long SumOfDefinitions(SqliteConnection connection)
    {
        var rows = Query(connection, "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE '!_!_EFMigrationsLock%' ESCAPE '!' AND tbl_name <> '__EFMigrationsLock'");
        rows.AddRange(Query(connection, "SELECT * FROM \"__EFMigrationsHistory\""));
        return rows.Aggregate(0L, (sum, row) => unchecked(sum + HashOf("", row)));
    }

    /// <summary>As SQL calls it: the sum so far, 1 to add a row or -1 to take it away, the name of its table, and its values.</summary>
    static long Add(object?[] arguments) => unchecked((long)arguments[0]! + (long)arguments[1]! * HashOf((string)arguments[2]!, arguments.AsSpan(3)) + 1);

    static long HashOf(string table, ReadOnlySpan<object?> values)
    {
        var hash = new XxHash3();
        Append(hash, 0, 0, Encoding.UTF8.GetBytes(table));
        foreach (var value in values)
        {
            switch (value)
            {
                case long number: Append(hash, 1, number, []); break;
                case double number: Append(hash, 2, BitConverter.DoubleToInt64Bits(number), []); break;
                case string text: Append(hash, 3, 0, Encoding.UTF8.GetBytes(text)); break;
                case byte[] bytes: Append(hash, 4, 0, bytes); break;
                default: Append(hash, 5, 0, []); break; // NULL
            }
        }
        return (long)hash.GetCurrentHashAsUInt64();
    }

    static void Append(XxHash3 hash, byte kind, long number, ReadOnlySpan<byte> bytes)
    {
        Span<byte> head = stackalloc byte[1 + 2 * sizeof(long)];
        head[0] = kind;
        BinaryPrimitives.WriteInt64LittleEndian(head[1..], number);
        BinaryPrimitives.WriteInt64LittleEndian(head[9..], bytes.Length);
        hash.Append(head);
        hash.Append(bytes);
    }

    static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    static List<object?[]> Query(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        var rows = new List<object?[]>();
        while (reader.Read()) rows.Add([.. Enumerable.Range(0, reader.FieldCount).Select(i => reader.IsDBNull(i) ? null : reader.GetValue(i))]);
        return rows;
    }
}
