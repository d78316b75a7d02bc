using System.Diagnostics;
using System.IO.Pipelines;
using System.Text;
using DuckDB.NET.Data;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;
using Sluice.Server.Sql;
using Sluice.Stores.DuckDb;

namespace Sluice.IntegrationTests.Sql;

/// <summary>A DuckDB file with tables as the store lays them out and settings as the store locks them, and the SQL statements on top.</summary>
public sealed class QueryDatabase : IDisposable
{
    static readonly DateTimeOffset _created = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    readonly string _directory = Directory.CreateTempSubdirectory("sluice-sql-").FullName;
    readonly DuckDBConnection _root;
    readonly string _path;

    public QueryDatabase()
    {
        _path = Path.Combine(_directory, "data.duckdb");
        _root = new DuckDBConnection($"Data Source={_path}");
        _root.Open();
        Directory.CreateDirectory(ExportDirectory);
        Execute($"SET allowed_directories = [{UserQuery.Literal(ExportDirectory)}]");
        Execute(Setup);
        File.WriteAllText(SecretFile, "secret-content");
        Queries = new UserQuery(new QueryLimits(), TimeProvider.System);
        Tables = [Table("iris", KeyKind.Number, Iris), Table("gt-nest-thermo", KeyKind.String, [new(1, "room-temp", ColumnType.Decimal(1))])];
    }

    public string SecretFile => Path.Combine(_directory, "secret.csv");

    public string DatabaseFile => _path;

    public string ExportDirectory => Path.Combine(_directory, "export");

    internal UserQuery Queries { get; set; }

    internal IReadOnlyList<SqlTable> Tables { get; set; }

    internal List<(string Json, IReadOnlyList<string> Columns, RecordOperation Operation)> Inserted { get; } = [];

    internal IReadOnlyList<SqlDatabase> Databases { get; set; } = [];

    internal List<QueryAfter> Awaited { get; } = [];

    internal List<string?> Deleted { get; } = [];

    internal List<object> Changes { get; } = [];

    internal List<(string Sql, AuditResult Result)> Writes { get; } = [];

    internal Func<int, BatchOutcome> InsertOutcome { get; set; } = count => new BatchOutcome("r1", 1, count, [], []);

    internal long MaxAnswerBytes { get; set; } = 1 << 20;

    static Column[] Iris =>
    [
        new(1, "species", ColumnType.String), new(2, "petal", ColumnType.Decimal(2)), new(3, "count", ColumnType.IntBetween(0, 100)),
        new(4, "kind", ColumnType.Id), new(5, "tags", ColumnType.StringSet), new(6, "ids", ColumnType.IdSet), new(7, "ok", ColumnType.Bool),
        new(8, "at_s", ColumnType.Timestamp(TimeUnit.Second)), new(9, "at_ns", ColumnType.Timestamp(TimeUnit.Nanosecond)),
        new(10, "seen", ColumnType.StringSetQ("YMD")), new(11, "seen_ids", ColumnType.IdSetQ("YMD")), new(12, "v", ColumnType.Vector(2)),
    ];

    const string Setup = """
        SET TimeZone = 'UTC';
        CREATE SCHEMA _sluice; CREATE TABLE _sluice.position (secret VARCHAR); INSERT INTO _sluice.position VALUES ('secret-content');
        CREATE TABLE iris (species VARCHAR, _id UBIGINT, petal DECIMAL(18,2), count BIGINT, kind UBIGINT, tags VARCHAR[], ids UBIGINT[], ok BOOLEAN,
          at_s TIMESTAMP_S, at_ns TIMESTAMP_NS, seen STRUCT(m VARCHAR, ts TIMESTAMP_S)[], seen_ids STRUCT(m UBIGINT, ts TIMESTAMP_S)[], v DOUBLE[2],
          _ingested_at TIMESTAMP, _sink_id UUID, _position UBIGINT, _version BIGINT);
        INSERT INTO iris VALUES
          ('setosa', 1, 5.10, 7, 18446744073709551615, ['a', 'b''"'], [1, 2], true, '2022-01-01 00:00:00', '2022-01-01 00:00:00.123456789',
           [{m: 'p', ts: '2022-01-01 00:00:00'}, {m: 'p', ts: '2022-02-01 00:00:00'}, {m: 'q', ts: NULL}], [{m: 3, ts: '2022-03-01 00:00:00'}], [1, 2.5],
           '2026-01-01', '00000000-0000-0000-0000-000000000001', 131072, NULL),
          ('virginica', 2, -0.05, NULL, NULL, [], NULL, false, NULL, NULL, NULL, NULL, NULL, '2026-01-01', '00000000-0000-0000-0000-000000000001', 131073, NULL);
        CREATE TABLE "gt-nest-thermo" (_id VARCHAR, "room-temp" DECIMAL(18,1), _ingested_at TIMESTAMP, _sink_id UUID, _position UBIGINT);
        INSERT INTO "gt-nest-thermo" VALUES ('hall', 20.5, '2026-01-01', '00000000-0000-0000-0000-000000000001', 131072);
        SET autoinstall_known_extensions = false; SET autoload_known_extensions = false; SET allow_community_extensions = false;
        SET memory_limit = '256MB'; SET threads = 2; SET enable_external_access = false; SET lock_configuration = true;
        """;

    static SqlTable Table(string name, KeyKind key, Column[] columns)
    {
        var schema = new TableSchema
        {
            TableId = Guid.NewGuid(),
            Name = name,
            Key = key,
            Version = 1,
            Columns = [.. columns],
            NextColumnId = columns.Length + 1,
        };
        return new SqlTable(schema, $"\"data\".main.{UserQuery.Quote(name)}", "", "admin@localhost", "admin@localhost", _created, _created, 0);
    }

    internal ValueTask<DuckDbReadConnection> OpenAsync(CancellationToken cancellation)
    {
        var connection = new DuckDBConnection($"Data Source={_path}");
        connection.Open();
        return ValueTask.FromResult(new DuckDbReadConnection(connection, yieldsToLoads: true, _ => connection.Dispose()) { ExportDirectory = ExportDirectory });
    }

    public void Execute(string sql)
    {
        using var command = _root.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    public string Scalar(string sql)
    {
        using var command = _root.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar()?.ToString() ?? "";
    }

    internal SqlPlane Plane() => new()
    {
        ListTables = (_, _) => Task.FromResult(Tables),
        WaitLoaded = (_, after, _) =>
        {
            Awaited.Add(after);
            return Task.CompletedTask;
        },
        ListDatabases = (_, _) => Task.FromResult(Databases),
        CreateTable = (_, create, _) => Note(create),
        AddColumn = (_, table, column, _) => Note((table.Schema.Name, column.Name.Text, column.Type)),
        DropColumn = (_, table, column, _) => Note((table.Schema.Name, column)),
        RenameColumn = (_, table, from, to, _) => Note((table.Schema.Name, from, to)),
        DropTable = (_, table, _) => Note(table.Schema.Name),
        SetRetention = (_, table, retention, _) => Note((table.Schema.Name, retention)),
        Insert = (_, _, values, columns, operation, _) =>
        {
            Inserted.Add((Encoding.UTF8.GetString(values.Span), columns, operation));
            using var document = System.Text.Json.JsonDocument.Parse(values);
            return ValueTask.FromResult(InsertOutcome(document.RootElement.GetArrayLength()));
        },
        Query = (_, sql, form, tables, consume, cancellation) => Queries.RunAsync(OpenAsync, sql, form, tables, consume, cancellation),
        Delete = (_, _, predicate, _) =>
        {
            Deleted.Add(predicate);
            return Task.FromResult<long?>(1);
        },
        Export = (_, sql, tables, cancellation) => Queries.ExportAsync(OpenAsync, sql, tables, cancellation),
        NoteWrite = (_, sql, result) => Writes.Add((sql, result)),
        MaxAnswerBytes = MaxAnswerBytes,
        Time = TimeProvider.System,
    };

    Task Note(object change)
    {
        Changes.Add(change);
        return Task.CompletedTask;
    }

    /// <summary>The answer of the endpoint with its execution time blanked.</summary>
    public async Task<string> RunAsync(string sql)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0));
        await new SqlStatements(Plane()).RunAsync(new SqlContext(Guid.Empty, new Caller(Guid.Empty, "tester@localhost", Role.Administrator, null)), sql, pipe.Writer, CancellationToken.None);
        await pipe.Writer.CompleteAsync();
        using var reader = new StreamReader(pipe.Reader.AsStream());
        var text = await reader.ReadToEndAsync();
        var time = text.LastIndexOf("\"execution-time\":", StringComparison.Ordinal);
        Debug.Assert(time > 0);
        return text[..(time + 17)] + "0}";
    }

    /// <summary>Only the rows of the answer, or its error.</summary>
    public async Task<string> RowsAsync(string sql)
    {
        var answer = await RunAsync(sql);
        using var document = System.Text.Json.JsonDocument.Parse(answer);
        return document.RootElement.TryGetProperty("error", out var error)
            ? "error: " + error.GetString()
            : document.RootElement.GetProperty("data").GetRawText();
    }

    public void Dispose()
    {
        _root.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
