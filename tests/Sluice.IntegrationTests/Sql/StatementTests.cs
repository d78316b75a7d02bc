using Sluice.Records;
using Sluice.Schema;
using Sluice.Server.Sql;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>INSERT, DDL and SHOW: what reaches the engine and the control plane, and what is answered.</summary>
public sealed class StatementTests : IDisposable
{
    readonly QueryDatabase _database = new();

    public void Dispose() => _database.Dispose();

    [Fact]
    public async Task Insert_hands_over_json_with_the_digits_as_written()
    {
        var answer = await _database.RunAsync("""
            INSERT INTO iris (_id, species, tags, ids, seen, petal, v, ok, at_s, count) VALUES
              (1, 'it''s', ['a','b'], [], {'2022-01-01', ['x']}, 5.10, {1.0,2.5}, 1 > 2, 1640995200, 40*10),
              (007, 'a'||'b', null, [18446744073709551615], {1640995200, []}, -.5, null, TRUE, '2022-01-01', NULL)
            """);

        Assert.Equal("""{"schema":{"fields":[]},"data":[],"rows-affected":2,"execution-time":0}""", answer);
        var (json, columns, _) = Assert.Single(_database.Inserted);
        Assert.Equal(
            """[{"_id":1,"species":"it\u0027s","tags":["a","b"],"ids":[],"seen":{"time":"2022-01-01","members":["x"]},"petal":5.10,"v":[1.0,2.5],"ok":false,"at_s":1640995200,"count":400},"""
            + """{"_id":7,"species":"ab","tags":null,"ids":[18446744073709551615],"seen":{"time":1640995200,"members":[]},"petal":-0.5,"v":null,"ok":true,"at_s":"2022-01-01","count":null}]""",
            json);
        Assert.Equal(["_id", "species", "tags", "ids", "seen", "petal", "v", "ok", "at_s", "count"], columns);
    }

    [Theory]
    [InlineData("insert into iris (_id, count) values (1, 2)", RecordOperation.Upsert)]
    [InlineData("replace into iris (_id, count) values (1, 2)", RecordOperation.Replace)]
    [InlineData("BULK INSERT INTO iris (_id, count) MAP (0 ID, 1 INT) FROM '1,2' WITH INPUT 'INLINE' FORMAT 'CSV'", RecordOperation.Upsert)]
    [InlineData("BULK REPLACE INTO iris (_id, count) MAP (0 ID, 1 INT) FROM '1,2' WITH INPUT 'INLINE' FORMAT 'CSV'", RecordOperation.Replace)]
    public async Task Replace_hands_over_the_same_rows_to_be_made_anew(string sql, RecordOperation operation)
    {
        await _database.RunAsync(sql);

        var inserted = Assert.Single(_database.Inserted);
        Assert.Equal(("""[{"_id":1,"count":2}]""", operation), (inserted.Json, inserted.Operation));
    }

    [Fact]
    public async Task A_set_without_a_time_gets_the_present_one_in_a_quantum_column()
    {
        await _database.RunAsync("INSERT INTO iris (_id, seen) VALUES (1, ['x'])");

        Assert.Matches("""^\[\{"_id":1,"seen":\{"time":"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ","members":\["x"\]\}\}\]$""", _database.Inserted[0].Json);
    }

    [Fact]
    public async Task Insert_without_columns_takes_them_as_show_columns_lists_them()
    {
        await _database.RunAsync("INSERT INTO gt-nest-thermo VALUES (x'two\nlines', 20.5)");

        Assert.Equal(["_id", "room-temp"], _database.Inserted[0].Columns);
        Assert.Equal("""[{"_id":"two\nlines","room-temp":20.5}]""", _database.Inserted[0].Json);
    }

    [Fact]
    public async Task Expressions_are_computed_by_the_store_as_its_own_functions()
    {
        await _database.RunAsync("INSERT INTO iris (_id, species, ids, at_s, petal) VALUES (abs(-3), upper('a') /* , */ -- )\n, list_value(1, 2), totimestamp(60), cast('1.25' as decimal(2)))");

        Assert.Equal("""[{"_id":3,"species":"A","ids":[1,2],"at_s":"1970-01-01T00:01:00Z","petal":1.25}]""", _database.Inserted[0].Json);
    }

    [Theory]
    [InlineData("insert into iris (species, count) values ('a', 1)", "[1:13] insert column list must have '_id' column specified")]
    [InlineData("insert into iris (_id) values (1)", "[1:13] insert column list must have at least one non '_id' column specified")]
    [InlineData("insert into iris (_id, count) values (1, 2), (1)", "[1:47] mismatch in the count of expressions and target columns")]
    [InlineData("insert into iris (_id, nope) values (1, 2)", "[1:24] column 'nope' not found")]
    [InlineData("insert into iris (_id, count, count) values (1, 2, 3)", "[1:31] duplicate column 'count'")]
    [InlineData("insert into nope (_id, count) values (1, 2)", "[1:13] table or view 'nope' not found")]
    [InlineData("insert into iris (_id, tags) values (1, [1])", "[1:41] an expression of type 'idset' cannot be assigned to type 'stringset'")]
    [InlineData("insert into iris (_id, ids) values (1, ['a'])", "[1:40] an expression of type 'stringset' cannot be assigned to type 'idset'")]
    [InlineData("insert into iris (_id, count) values (1, 1.5)", "[1:42] an expression of type 'decimal(1)' cannot be assigned to type 'int'")]
    [InlineData("insert into iris (_id, count) values ('a', 1)", "[1:39] an expression of type 'string' cannot be assigned to type 'id'")]
    [InlineData("insert into iris (_id, species) values (1, (select secret from _sluice.position))", "[1:44] table or view 'position' not found")]
    [InlineData("insert into iris (_id, species) values (1, (select species from iris))", "[1:44] table or view 'iris' not found")]
    [InlineData("insert into iris (_id, species) values (1, current_setting('threads'))", "[1:44] function 'current_setting' is not allowed")]
    [InlineData("insert into iris (_id, species) values (1, case)", "[1:44] syntax error at or near \")\"")]
    public async Task A_wrong_insert_stores_nothing(string sql, string error)
    {
        Assert.Equal("error: " + error, await _database.RowsAsync(sql));
        Assert.Empty(_database.Inserted);
    }

    [Theory]
    [InlineData(FieldErrorCode.OutOfRange, "count", "101", "[1:53] inserting value into column 'count', row 2, value '101' out of range")]
    [InlineData(FieldErrorCode.NotATimestamp, "at_s", "'x'", "[1:53] unable to convert 'x' to type 'timestamp'")]
    public async Task What_the_decoder_rejects_is_told_with_its_row_and_value(FieldErrorCode code, string column, string value, string error)
    {
        _database.InsertOutcome = count => new BatchOutcome("r", 1, count, [new RejectedRecord(1, false, [new FieldError(column, "/" + column, code, "x", "y")])], []);

        var rows = await _database.RowsAsync($"insert into iris (_id, {column,-5}) values (1, null), (2, {value})");

        Assert.Equal("error: " + error, rows);
    }

    [Fact]
    public async Task Cut_digits_are_a_warning()
    {
        _database.InsertOutcome = count => new BatchOutcome("r", 1, count, [], [new TruncationWarning(0, "petal")]);

        Assert.Equal(
            """{"schema":{"fields":[]},"data":[],"warnings":["value of column 'petal', row 1, was truncated to decimal(2)"],"rows-affected":1,"execution-time":0}""",
            await _database.RunAsync("INSERT INTO iris (_id, petal) VALUES (1, 1.239)"));
    }

    [Theory]
    [InlineData("DELETE FROM iris;", null)]
    [InlineData("delete from iris where setcontains(tags, 'a') and at_s < '2023-01-01' -- all", "setcontains(tags, 'a') and at_s < '2023-01-01'")]
    [InlineData("DELETE FROM gt-nest-thermo WHERE room-temp > 1 ;", "\"room-temp\" > 1")]
    public async Task Delete_hands_over_its_predicate_as_the_store_takes_it(string sql, string? predicate)
    {
        Assert.Equal("""{"schema":{"fields":[]},"data":[],"rows-affected":1,"execution-time":0}""", await _database.RunAsync(sql));
        Assert.Equal([predicate], _database.Deleted);
    }

    [Fact]
    public async Task A_deletion_keeps_the_time_it_was_asked_for()
    {
        await _database.RunAsync("DELETE FROM iris WHERE at_s < CURRENT_TIMESTAMP AND at_s < current_date");

        Assert.Matches(@"^at_s < \(TIMESTAMP '2[0-9 :.-]{25}'\) AND at_s < \(DATE '2[0-9-]{9}'\)$", Assert.Single(_database.Deleted));
    }

    [Theory]
    [InlineData("delete from iris where nope = 1", "[1:24] column 'nope' not found")]
    [InlineData("delete from nope", "[1:13] table or view 'nope' not found")]
    [InlineData("delete from iris where", "[1:23] expected an expression")]
    [InlineData("delete iris", "[1:8] expected FROM")]
    [InlineData("delete from iris where true) or (true", "[1:24] the predicate must be one expression")]
    [InlineData("delete from iris where true) union all (select 1", "[1:24] the predicate must be one expression")]
    [InlineData("delete from iris where true); drop table iris; select (1", "[1:24] only SELECT is allowed here")]
    [InlineData("delete from iris where _id in (select secret from _sluice.position)", "[1:51] table or view 'position' not found")]
    [InlineData("delete from iris where exists (select 1)", "[1:24] a subquery is not supported in the WHERE of DELETE")]
    [InlineData("delete from iris where localtimestamp > '2000-01-01'", "[1:24] 'localtimestamp' is not supported in the WHERE of DELETE: it would name other rows whenever the log is loaded again")]
    [InlineData("delete from iris where \"current_date\" > '2000-01-01'", "[1:24] 'current_date' is not supported in the WHERE of DELETE: it would name other rows whenever the log is loaded again")]
    [InlineData("delete from iris where species = USER", "[1:24] 'USER' is not supported in the WHERE of DELETE: it would name other rows whenever the log is loaded again")]
    [InlineData("delete from iris where random() < 0.5", "[1:24] function 'random' is not supported in the WHERE of DELETE: it would name other rows whenever the log is loaded again")]
    [InlineData("delete from iris where error('stop') is null", "[1:24] stop")]
    public async Task A_predicate_that_would_not_run_reaches_nobody(string sql, string error)
    {
        Assert.Equal("error: " + error, await _database.RowsAsync(sql));
        Assert.Empty(_database.Deleted);
    }

    [Theory]
    [InlineData("create table iris (_id id)", "[1:14] table or view 'iris' already exists")]
    [InlineData("alter table nope add a int", "[1:13] table 'nope' not found")]
    [InlineData("alter table iris add petal int", "[1:22] duplicate column 'petal'")]
    [InlineData("alter table iris drop gone", "[1:23] column 'gone' not found")]
    [InlineData("alter table iris drop _id", "[1:23] column '_id' cannot be changed")]
    [InlineData("alter table iris rename petal to count", "[1:34] duplicate column 'count'")]
    [InlineData("drop table nope", "[1:12] table or view 'nope' not found")]
    [InlineData("show columns from nope", "[1:19] table or view 'nope' not found")]
    public async Task A_wrong_change_reaches_nobody(string sql, string error)
    {
        Assert.Equal("error: " + error, await _database.RowsAsync(sql));
        Assert.Empty(_database.Changes);
    }

    [Fact]
    public async Task Changes_reach_the_control_plane()
    {
        foreach (var sql in (string[])
        [
            "create table if not exists iris (_id id)", "create table new (_id string, a int)", "alter table iris add x decimal(1)", "alter table iris drop petal",
            "alter table iris rename count to n", "drop table gt-nest-thermo",
        ])
            Assert.Equal("[]", await _database.RowsAsync(sql));

        Assert.Collection(
            _database.Changes,
            change => Assert.Equal("new", Assert.IsType<CreateTable>(change).Table.Text),
            change => Assert.Equal(("iris", "x", ColumnType.Decimal(1)), change),
            change => Assert.Equal(("iris", "petal"), change),
            change => Assert.Equal(("iris", "count", "n"), change),
            change => Assert.Equal("gt-nest-thermo", change));
    }

    [Fact]
    public async Task Show_create_table_can_be_run_again()
    {
        var answer = await _database.RowsAsync("SHOW CREATE TABLE iris");
        using var document = System.Text.Json.JsonDocument.Parse(answer);
        var ddl = document.RootElement[0][0].GetString()!;

        var create = Assert.IsType<CreateTable>(SqlParser.Parse(ddl));

        var schema = _database.Tables[0].Schema;
        Assert.Equal((schema.Name, schema.Key), (create.Table.Text, create.Key));
        Assert.Equal(
            schema.Columns.Select(column => (column.Name, column.Type)).OrderBy(column => column.Name, StringComparer.Ordinal),
            create.Columns.Select(column => (column.Name.Text, column.Type)));
    }

    [Theory]
    [InlineData("[0.0000001, 1.2345678901234568E+29]", "[0.0000001, 123456789012345680000000000000]")]
    [InlineData("[1e-40, -2.5E-3, 1.25e1, 1e2, -0.0]", "[0.0000000000000000000000000000000000000001, -0.0025, 12.5, 100, -0.0]")]
    [InlineData("[1e-400, 0e5, 0.5e1, 1e-99999999999]", null)]
    public void A_default_is_written_as_a_literal_of_the_same_value(string json, string? sql)
    {
        var written = SqlValue.FromDefault(json).ToSql();

        if (sql is not null)
            Assert.Equal(sql, written);
        var read = Assert.IsType<ListValue>(SqlValue.TryReadLiteral(written));
        Assert.Equal(Elements(SqlValue.FromDefault(json)), Elements(read));

        static IEnumerable<double> Elements(SqlValue list) =>
            ((ListValue)list).Members.Select(member => double.Parse(((NumberValue)member).Digits, System.Globalization.CultureInfo.InvariantCulture));
    }

    [Fact]
    public async Task Show_columns_has_name_and_type_where_clients_read_them()
    {
        using var document = System.Text.Json.JsonDocument.Parse(await _database.RowsAsync("SHOW COLUMNS FROM iris"));

        Assert.Equal(
            ["_id id", "at_ns timestamp", "at_s timestamp", "count int", "ids idset", "kind id", "ok bool", "petal decimal(2)", "seen stringsetq", "seen_ids idsetq",
                "species string", "tags stringset", "v vector(2)"],
            document.RootElement.EnumerateArray().Select(row => $"{row[0].GetString()} {row[2].GetString()}"));
        Assert.Equal(
            """[["gt-nest-thermo","gt-nest-thermo","admin@localhost","admin@localhost","2026-01-02T03:04:05Z","2026-01-02T03:04:05Z",true,0,""],"""
            + """["iris","iris","admin@localhost","admin@localhost","2026-01-02T03:04:05Z","2026-01-02T03:04:05Z",false,0,""]]""",
            await _database.RowsAsync("SHOW TABLES"));
    }

    [Fact]
    public async Task Show_columns_tells_when_each_was_added()
    {
        var iris = _database.Tables[0];
        _database.Tables = [iris with { ColumnTimes = new Dictionary<int, DateTimeOffset> { [iris.Schema.FindColumn("petal")!.Id] = new(2026, 2, 3, 0, 0, 0, TimeSpan.Zero) } }];

        using var document = System.Text.Json.JsonDocument.Parse(await _database.RowsAsync("SHOW COLUMNS FROM iris"));

        var times = document.RootElement.EnumerateArray().ToDictionary(row => row[0].GetString()!, row => row[3].GetString());
        Assert.Equal(("2026-02-03T00:00:00Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), (times["petal"], times["_id"], times["kind"]));
    }
}
