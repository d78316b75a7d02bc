using System.Net;
using System.Text;
using System.Text.Json;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Wire;

/// <summary>Every row of every table of docs/types.md: sent to a sink, loaded into a real table, and asked for with SQL.</summary>
public sealed class TypesDocumentTests(IngestServer server) : IClassFixture<IngestServer>
{
    /// <summary>What every section has to speak of.</summary>
    static readonly string[] s_everyType =
    [
        "absent", "null", "\"\"", "\"  \"", "[]", "{}", "true", "false", "0", "-0", "1", "-1", "1.5", "42.0", "1e3", "1e400", "9007199254740993", "9223372036854775807",
        "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "\"42\"", "\" 42 \"", "\"-1\"", "\"+1\"", "\"1.5\"", "\".5\"", "\"1e3\"", "\"0x10\"", "\"abc\"", "\"true\"",
        "\" T \"", "\"a,b\"", "\"1,2\"", "\"[1,2]\"", "\"[\\\"1\\\",\\\"2\\\"]\"", "\"[a,b]\"", "[1]", "[2,1,2]", "[\"1\",\"2\"]", "[\"a\",\"\"]", "[1.5]", "[true]", "[null]", "[[1]]", "{\"a\":1}",
        "\"2026-01-02\"", "\"2026-01-02T03:04:05Z\"", "1767323045", "\"a\\u0000b\"", "\"\\ud800\"", "\"\\xff\"",
    ];

    static readonly string[] s_titles =
    [
        "id", "int", "int with min and max", "decimal(2)", "decimal(18)", "bool", "string", "idset", "stringset", "timestamp(s)", "timestamp(ms)", "timestamp(us)", "timestamp(ns)",
        "timestamp with an epoch", "vector(3)", "idsetq", "stringsetq", "`_timeQuantum`", "Number `_id`", "String `_id`",
    ];

    static readonly IReadOnlyList<TypeSection> s_sections = TypesDocument.Read(Path.Combine(RepositoryRoot(), "docs", "types.md"));

    static int s_tables;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void Every_type_has_a_section_and_every_section_every_form()
    {
        Assert.Equal(s_titles, s_sections.Select(section => section.Title));
        foreach (var section in s_sections)
        {
            var sent = section.Rows.Select(row => row.Sent).ToList();
            Assert.Equal(sent.Distinct(), sent);
            Assert.Empty(s_everyType.Except(sent));
        }
    }

    public static TheoryData<string> ColumnTitles => [.. s_titles[..17]];

    [Theory]
    [MemberData(nameof(ColumnTitles))]
    public async Task A_column_takes_values_as_the_document_says(string title)
    {
        var section = s_sections.Single(it => it.Title == title);
        var rows = section.Rows;
        var (table, sink) = await CreateAsync($"_id ID, {section.Column}", section.Column.Contains("QUANTUM", StringComparison.Ordinal));
        var before = await SendAsync(sink, rows.Select((_, i) => Record(rows.Count + i, "x", section.Held!)));
        Assert.All(before, outcome => Assert.Equal("", outcome.Code));

        var outcomes = await SendAsync(sink, rows.Select((row, i) => Record(i, "x", row.Sent)).Concat(rows.Select((row, i) => Record(rows.Count + i, "x", row.Sent))));

        var stored = (await QueryAsync($"SELECT _id, x FROM {table}")).ToDictionary(row => row[0].GetInt32(), row => Canonical(row[1], section.Column));
        for (var i = 0; i < rows.Count; i++)
        {
            AssertOutcome(section, rows[i], rows[i].Outcomes[0], outcomes[i], stored.GetValueOrDefault(i));
            AssertOutcome(section, rows[i], rows[i].Outcomes[1], outcomes[rows.Count + i], stored.GetValueOrDefault(rows.Count + i), section.Held);
        }
    }

    [Fact]
    public async Task The_time_of_a_record_is_read_as_the_document_says()
    {
        var section = s_sections.Single(it => it.Title == "`_timeQuantum`");
        var (table, sink) = await CreateAsync($"_id ID, {section.Column}", isQuantum: true);

        var outcomes = await SendAsync(sink, section.Rows.Select((row, i) => Record(i, "t", row.Sent, ",\"x\":[\"a\"]")));

        var stored = (await QueryAsync($"SELECT _id, list_transform(x, lambda m: m.ts)[1] FROM {table}")).ToDictionary(row => row[0].GetInt32(), row => row[1].GetRawText());
        for (var i = 0; i < section.Rows.Count; i++)
            AssertOutcome(section, section.Rows[i], section.Rows[i].Outcomes[0], outcomes[i], stored.GetValueOrDefault(i));
    }

    [Theory]
    [InlineData("Number `_id`")]
    [InlineData("String `_id`")]
    public async Task A_key_is_read_as_the_document_says(string title)
    {
        var section = s_sections.Single(it => it.Title == title);
        var (table, sink) = await CreateAsync($"{section.Column}, x IDSET", isQuantum: false);

        // records with one key become one row, whose set tells them apart
        var outcomes = await SendAsync(sink, section.Rows.Select((row, i) => Value($"\"x\":{i}" + (row.Sent == "absent" ? "" : ",\"id\":"), row.Sent)));

        var stored = (await QueryAsync($"SELECT _id, x FROM {table}")).SelectMany(row => row[1].EnumerateArray().Select(x => (x.GetInt32(), Key: row[0].GetRawText()))).ToDictionary();
        for (var i = 0; i < section.Rows.Count; i++)
            AssertOutcome(section, section.Rows[i], section.Rows[i].Outcomes[0], outcomes[i], stored.GetValueOrDefault(i));
    }

    static void AssertOutcome(TypeSection section, TypeRow row, TypeOutcome expected, TypeOutcome answered, string? stored, string? otherwise = null)
    {
        var actual = answered with { Value = answered.Value is null ? null : stored };
        var hasKept = expected.Value is not null || stored == otherwise;
        Assert.True(actual == expected && hasKept, $"docs/types.md:{row.Line}: {row.Sent} for {section.Column}: expected {expected}, was {actual}; stored: {stored}");
    }

    async Task<(string Table, string Sink)> CreateAsync(string columns, bool isQuantum)
    {
        var table = $"types{Interlocked.Increment(ref s_tables)}";
        await server.Api.QueryAsync(server.DatabaseId, $"CREATE TABLE {table} ({columns})", Cancellation);
        var key = columns.StartsWith("_id STRING", StringComparison.Ordinal) ? "\"primary_key_fields\":[\"_id\"]" : "\"id_field\":\"_id\"";
        var time = isQuantum ? ",{\"name\":\"_timeQuantum\",\"path\":[\"t\"]}" : "";
        var sink = await server.Api.CreateAsync("v2/sinks", $$"""
            {"name":"{{table}}","sink_details":{"database_id":"{{server.DatabaseId}}","table":"{{table}}"},
             "schema":{ {{key}},"allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"x","path":["x"]}{{time}}]} }
            """, Cancellation);
        return (table, sink);
    }

    /// <summary>Sends records, waits until they are loaded, and returns what was answered for each; of a success the value is only known to be one.</summary>
    async Task<List<TypeOutcome>> SendAsync(string sink, IEnumerable<byte[]> records)
    {
        var body = new MemoryStream();
        body.Write("{\"records\":["u8);
        foreach (var record in records)
        {
            if (body.Length > 12) body.WriteByte((byte)',');
            body.Write(record);
        }
        body.Write("]}"u8);
        using var response = await server.SendAsync(sink, body.ToArray(), query: "?wait=loaded&timeout=30s");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return [.. (await IngestServer.ReadJsonAsync(response)).GetProperty("records").EnumerateArray().Select(OutcomeOf)];
    }

    static TypeOutcome OutcomeOf(JsonElement record) => record.GetProperty("status").GetString() == "success"
        ? new TypeOutcome("", record.TryGetProperty("warnings", out var warnings) ? warnings[0].GetProperty("code").GetString()! : "")
        : new TypeOutcome(null, string.Join(' ', record.GetProperty("errors").EnumerateArray().Select(error => error.GetProperty("code").GetString()).Distinct()));

    async Task<IEnumerable<JsonElement>> QueryAsync(string sql)
    {
        using var content = new StringContent(sql);
        using var response = await server.Http.PostAsync($"v2/databases/{server.DatabaseId}/query/sql", content, Cancellation);
        var answer = await IngestServer.ReadJsonAsync(response);
        Assert.True(answer.TryGetProperty("data", out var rows) && !answer.TryGetProperty("error", out _), $"{sql}: {answer}");
        return rows.EnumerateArray();
    }

    /// <summary>The cell as SQL wrote it; the members of a set, which have no order, in that of the document.</summary>
    static string Canonical(JsonElement cell, string column)
    {
        if (cell.ValueKind != JsonValueKind.Array || !column.Contains("SET", StringComparison.Ordinal)) return cell.GetRawText();
        var members = cell.EnumerateArray().Select(member => member.GetRawText());
        var sorted = column.Contains("IDSET", StringComparison.Ordinal) ? members.OrderBy(ulong.Parse) : members.Order(StringComparer.Ordinal);
        return $"[{string.Join(',', sorted)}]";
    }

    static byte[] Record(int id, string member, string sent, string rest = "") =>
        Value($"\"id\":{id}{rest}" + (sent == "absent" ? "" : $",\"{member}\":"), sent);

    static byte[] Value(string before, string sent) =>
        [.. Encoding.UTF8.GetBytes("{\"value\":{" + before), .. sent == "absent" ? [] : TypesDocument.Bytes(sent), .. "}}"u8];

    static string RepositoryRoot()
    {
        var directory = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(directory, "Sluice.slnx"))) directory = Path.GetDirectoryName(directory) ?? throw new InvalidOperationException("not in the repository");
        return directory;
    }
}
