using Sluice.Schema;
using Sluice.Server;
using Sluice.Server.Sql;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

public sealed class SqlParserTests
{
    [Fact]
    public void Create_table_reads_every_type_and_constraint()
    {
        var create = Assert.IsType<CreateTable>(SqlParser.Parse("""
            -- a comment
            CREATE TABLE IF NOT EXISTS My-Table (
              _ID STRING, a INT MIN -5 MAX 10, b DECIMAL(4), c timestamp TIMEUNIT 'ms' EPOCH '2020-01-01T00:00:00Z', /* and one */ d IdSet TIMEQUANTUM 'YMD' TTL '24h',
              e stringsetq TIMEQUANTUM 'ymdh', f STRINGSET CACHETYPE ranked SIZE 1000, g ID, h BOOL, i vector(3), j STRING CACHETYPE LRU, k idsetq, "quoted name" int
            ) WITH COMMENT 'it''s' ;
            """));

        Assert.Equal(("my-table", true, KeyKind.String, "it's"), (create.Table.Text, create.IfNotExists, create.Key, create.Comment));
        Assert.Equal(
            [
                ("a", ColumnType.IntBetween(-5, 10)), ("b", ColumnType.Decimal(4)),
                ("c", ColumnType.Timestamp(TimeUnit.Millisecond) with { Epoch = new DateTimeOffset(2020, 1, 1, 0, 0, 0, TimeSpan.Zero) }),
                ("d", ColumnType.IdSetQ("YMD") with { TimeToLive = TimeSpan.FromHours(24) }), ("e", ColumnType.StringSetQ("YMDH")),
                ("f", ColumnType.StringSet), ("g", ColumnType.Id), ("h", ColumnType.Bool), ("i", ColumnType.Vector(3)), ("j", ColumnType.String),
                ("k", ColumnType.IdSetQ("")), ("quoted name", ColumnType.Int),
            ],
            create.Columns.Select(column => (column.Name.Text, column.Type)));
        Assert.Empty(create.Warnings);
    }

    [Fact]
    public void Key_partitions_are_taken_with_a_warning()
    {
        var create = Assert.IsType<CreateTable>(SqlParser.Parse("create table t (_id id) comment 'x' keypartitions 12"));

        Assert.Equal(["The value of KEYPARTITIONS is currently ignored"], create.Warnings);
        Assert.Equal((KeyKind.Number, "x"), (create.Key, create.Comment));
    }

    [Theory]
    [InlineData("create table t (a int)", "[1:14] _id column must be specified")]
    [InlineData("create table t (_id int, a int)", "[1:21] _id column must be specified with type ID or STRING")]
    [InlineData("create table t (_id id min 1, a int)", "[1:24] _id column must be specified with no constraints")]
    [InlineData("create table t (_id id, a int,\n  a string)", "[2:3] duplicate column 'a'")]
    [InlineData("create table t (_id id, a float)", "[1:27] unknown type 'float'")]
    [InlineData("create table t (_id id, a decimal)", "[1:27] decimal scale expected")]
    [InlineData("create table t (_id id, a decimal(19))", "[1:35] invalid scale '19' (should be a number between 0-18)")]
    [InlineData("create table t (_id id, a vector(0))", "[1:34] invalid length '0' (should be a number between 1-65535)")]
    [InlineData("create table t (_id id, a varchar(max))", "[1:27] type 'varchar' is not supported; use string")]
    [InlineData("create table t (_id id, a timestamp timeunit 'x')", "[1:46] 'x' is not a valid time unit")]
    [InlineData("create table t (_id id, a idset timequantum 'HD')", "[1:45] 'HD' is not a valid time quantum")]
    [InlineData("create table t (_id id, a stringset ttl '24h')", "[1:37] 'TTL' constraint cannot be applied to a column of type 'stringset'")]
    [InlineData("create table t (_id id, a string min 1)", "[1:34] 'MIN' constraint cannot be applied to a column of type 'string'")]
    [InlineData("create table t (_id id, a int min 5 max 1)", "[1:25] int field min cannot be greater than max")]
    [InlineData("create table t (_id id, a int max 9223372036854775808)", "[1:35] '9223372036854775808' is not a 64-bit integer")]
    [InlineData("create table t (_id id) keypartitions 0", "[1:39] invalid value '0' for key partitions (should be a number between 1-10000)")]
    [InlineData("create table t (_id id) keypartitions 10001", "[1:39] invalid value '10001' for key partitions (should be a number between 1-10000)")]
    [InlineData("create table t _id id", "[1:16] expected '('")]
    [InlineData("create table t (_id id", "[1:23] expected ')'")]
    [InlineData("create view v as select 1", "[1:1] views are not supported; send the query itself")]
    [InlineData("create table t (_id id); drop table t", "[1:26] unexpected text after the statement")]
    [InlineData("alter table t change a int", "[1:15] expected ADD, DROP, RENAME or SET")]
    [InlineData("alter table t rename a b", "[1:24] expected TO")]
    [InlineData("show me", "[1:6] expected TABLES, COLUMNS, DATABASES or CREATE TABLE")]
    [InlineData("insert into t set a = 1", "[1:15] expected VALUES")]
    [InlineData("insert into t values (1", "[1:24] expected ')'")]
    [InlineData("insert into t values ()", "[1:23] expected an expression")]
    [InlineData("bulk insert into t map (0 id) from 'x", "[1:36] expected the rows in quotes")]
    [InlineData("bulk insert into t map (a id) from 'x' with", "[1:25] expected a number")]
    [InlineData("bulk insert into t map (0 id) from 'x' with colour", "[1:45] unexpected text after the statement")]
    [InlineData("  -- nothing\n", "[1:1] the statement is empty")]
    public void A_wrong_statement_says_what_and_where(string sql, string error)
    {
        var thrown = Assert.Throws<SqlException>(() => SqlParser.Parse(sql));

        Assert.Equal(error, thrown.Describe(sql));
    }

    [Fact]
    public void Alter_and_drop_take_their_optional_words()
    {
        Assert.Equal(("t", "a", ColumnType.Decimal(2)), Added("ALTER TABLE T ADD a DECIMAL(2)"));
        Assert.Equal(("t", "a", ColumnType.Decimal(2)), Added("alter table t add column a decimal(2);"));
        Assert.Equal("a-b", Assert.IsType<DropColumn>(SqlParser.Parse("alter table t drop a-b")).Column.Text);
        Assert.Equal("a", Assert.IsType<DropColumn>(SqlParser.Parse("alter table t drop column a")).Column.Text);
        Assert.Equal("b", Assert.IsType<RenameColumn>(SqlParser.Parse("alter table t rename column a to b")).To.Text);
        Assert.True(Assert.IsType<DropTable>(SqlParser.Parse("drop table if exists python-demo")).IfExists);
        Assert.Equal("python-demo", Assert.IsType<DropTable>(SqlParser.Parse("DROP TABLE python-demo--comment")).Table.Text);

        static (string, string, ColumnType) Added(string sql) =>
            SqlParser.Parse(sql) is AddColumn add ? (add.Table.Text, add.Column.Name.Text, add.Column.Type) : default;
    }

    [Fact]
    public void Show_names_what_it_shows()
    {
        Assert.IsType<ShowTables>(SqlParser.Parse("SHOW TABLES"));
        Assert.IsType<ShowDatabases>(SqlParser.Parse("show databases;"));
        Assert.Equal("t", Assert.IsType<ShowColumns>(SqlParser.Parse("show columns from T")).Table.Text);
        Assert.Equal("t", Assert.IsType<ShowCreateTable>(SqlParser.Parse("show create table t")).Table.Text);
    }

    [Fact]
    public void Insert_cuts_its_rows_into_expressions()
    {
        var insert = Assert.IsType<InsertRows>(SqlParser.Parse("""
            REPLACE INTO gt-nest-thermo (_id, Room-Temp) VALUES ( f(1, (2)) , 'a,)''b' ), ({'2022-01-01', [1,2]}, [x[1], ')'] /* , */ || y ) ;
            """));

        Assert.Equal("gt-nest-thermo", insert.Table.Text);
        Assert.Equal(["_id", "room-temp"], insert.Columns!.Value.Select(column => column.Text));
        Assert.Equal(
            [["f(1, (2))", "'a,)''b'"], ["{'2022-01-01', [1,2]}", "[x[1], ')'] /* , */ || y"]],
            insert.Rows.Select(row => row.Select(expression => expression.Text).ToArray()));
    }

    [Theory]
    [InlineData("select 1")]
    [InlineData("WITH a AS (SELECT 1) SELECT * FROM a")]
    [InlineData("(select 1)")]
    [InlineData("ATTACH 'x'")]
    public void Everything_else_is_left_to_the_store(string sql) => Assert.Equal(new Query(sql, IsExplain: false), SqlParser.Parse(sql));

    [Fact]
    public void Explain_keeps_the_places_of_its_query() =>
        Assert.Equal(new Query("-- x\n        select 1", IsExplain: true), SqlParser.Parse("-- x\nexplain select 1"));

    [Theory]
    [InlineData("0s", 0)]
    [InlineData("24h", 86_400)]
    [InlineData("1h30m", 5_400)]
    [InlineData("30d", 2_592_000)]
    public void A_ttl_is_read_as_go_writes_durations(string text, int seconds)
    {
        var table = Assert.IsType<CreateTable>(SqlParser.Parse($"create table t (_id id, q idset timequantum 'YMD' ttl '{text}')"));
        var duration = Assert.Single(table.Columns).Type.TimeToLive;
        Assert.Equal(TimeSpan.FromSeconds(seconds), duration);
        Assert.True(TimeToLive.TryParse(TimeToLive.Write(duration), out var again));
        Assert.Equal(duration, again);
    }

    [Theory]
    [InlineData("")]
    [InlineData("24")]
    [InlineData("-1h")]
    [InlineData("h")]
    [InlineData("1w")]
    [InlineData("36501d")]
    [InlineData("999999999d")]
    [InlineData("1500ms")]
    public void A_wrong_ttl_is_refused(string text) =>
        Assert.Contains("is not a valid ttl", Assert.Throws<SqlException>(() => SqlParser.Parse($"create table t (_id id, q idset timequantum 'YMD' ttl '{text}')")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("10:00")]
    [InlineData("5/6/2020")]
    [InlineData("2020-01-01T00:00:00.5Z")]
    public void A_wrong_epoch_is_refused(string text) =>
        Assert.Contains("is not a valid epoch", Assert.Throws<SqlException>(() => SqlParser.Parse($"create table t (_id id, at timestamp epoch '{text}')")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("drop table \"orders2")]
    [InlineData("drop table \"")]
    [InlineData("drop table \"orders\"\"")]
    [InlineData("show columns from \"")]
    [InlineData("alter table t drop \"zz")]
    [InlineData("alter table t set retention '1dx")]
    [InlineData("alter table t set retention '")]
    [InlineData("create table t (_id id) comment 'abc")]
    [InlineData("create table t (_id id) comment 'abc''")]
    [InlineData("create table t (_id id) comment '")]
    [InlineData("create table t (_id id, at timestamp timeunit 'msx")]
    [InlineData("bulk insert t (_id) map (0 id) from '1' with format 'CSV' input 'INLINE")]
    public void Quotes_that_do_not_end_are_refused(string sql) => Assert.Throws<SqlException>(() => SqlParser.Parse(sql));
}
