using System.Text.Json;
using Bunit;
using Microsoft.AspNetCore.Components.Web;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.JSInterop;
using MudBlazor.Services;
using Sluice.Quotas;
using Sluice.Server;
using Sluice.Server.Components;
using Sluice.Server.Components.Parts;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>Components by themselves.</summary>
public sealed class ConsoleComponentTests : BunitContext
{
    public ConsoleComponentTests()
    {
        JSInterop.Mode = JSRuntimeMode.Loose;
        Services.AddMudServices();
        Services.AddSingleton(TimeProvider.System);
    }

    /// <summary>Texts that break pages which put them in unescaped.</summary>
    public static TheoryData<string> NaughtyTexts =>
    [
        "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "javascript:alert(1)", "{{7*7}}", "@(1+1)", "'; DROP TABLE users;--", "</td></table><h1>out</h1>",
        "\u202Etest\u202C", "Ω≈ç√∫˜µ≤≥÷", "👩🏽‍💻", "​", "\u0007", "ﷺ", "&lt;b&gt;", "<svg/onload=alert(1)>", "%00", "..\\..\\", "NULL", "undefined",
    ];

    [Theory]
    [MemberData(nameof(NaughtyTexts))]
    public void Texts_of_others_are_shown_and_never_run(string text)
    {
        var answer = AnswerOf([text], [JsonSerializer.Serialize(new[] { text }, JsonSerializerOptions.Default)]);
        var grid = Render<ResultGrid>(parameters => parameters.Add(it => it.Result, answer).Add(it => it.Label, text));
        Assert.Empty(grid.FindAll("script, img, svg, h1, b"));
        var head = Render<PageHead>(parameters => parameters.Add(it => it.Title, text));
        Assert.Equal(text, head.Find("h1").TextContent);
        Assert.Single(head.FindAll("h1"));
    }

    [Fact]
    public void A_grid_shows_sets_as_members_and_null_as_null()
    {
        var cells = new[] { "null", "[\"a\",\"b\"]", "1.50", "\"text\"", "{\"m\":1}" }.Select(json => Render<Cell>(parameters => parameters.Add(it => it.Value, JsonElement.Parse(json)))).ToList();
        Assert.Equal("null", cells[0].Find("td.null").TextContent);
        Assert.Equal(["a", "b"], cells[1].FindAll(".chip").Select(chip => chip.TextContent));
        Assert.Equal("1.50", cells[2].Find("td.right").TextContent);
        Assert.Equal("text", cells[3].Find("td").TextContent);
        Assert.Equal("{\"m\":1}", cells[4].Find("td").TextContent);
    }

    /// <summary>A boundary stands for the one of the layout, which is there still when another page has come.</summary>
    [Fact]
    public async Task An_editor_that_is_left_while_it_is_made_is_no_fault_of_the_next_page()
    {
        var calls = JSInterop.SetupVoid(call => call.Identifier.StartsWith("blazorMonaco", StringComparison.Ordinal));
        var page = Render<ErrorBoundary>(parameters => parameters.AddChildContent<CodeEditor>(it => it.Add(editor => editor.Language, "json").Add(editor => editor.Label, "Records")));
        page.WaitForAssertion(() => Assert.NotEmpty(calls.Invocations));

        page.Render(parameters => parameters.Add(it => it.ChildContent, "the next page"));
        await page.InvokeAsync(calls.SetVoidResult);

        Assert.Equal("the next page", page.Markup);
        Assert.Single(JSInterop.Invocations["sluice.closeEditor"]);
    }

    [Fact]
    public async Task An_editor_that_fails_on_its_page_is_a_fault_of_the_page()
    {
        var calls = JSInterop.SetupVoid(call => call.Identifier.StartsWith("blazorMonaco", StringComparison.Ordinal));
        var page = Render<ErrorBoundary>(parameters => parameters.AddChildContent<CodeEditor>(it => it.Add(editor => editor.Language, "json").Add(editor => editor.Label, "Records")));
        page.WaitForAssertion(() => Assert.NotEmpty(calls.Invocations));
        await page.InvokeAsync(() => calls.SetException(new JSException("no editor")));
        page.WaitForAssertion(() => Assert.Contains("blazor-error-boundary", page.Markup, StringComparison.Ordinal));
    }

    [Fact]
    public void What_a_page_watches_ends_with_it_even_if_it_was_left_before()
    {
        using var page = new WatchingPage();
        using var early = new CancellationTokenSource();
        using var late = new CancellationTokenSource();
        page.Watch(early.Cancel);
        Assert.False(early.IsCancellationRequested);

        page.Dispose();
        Assert.True(early.IsCancellationRequested);
        page.Watch(late.Cancel); // the page was left while it read what it needs for this
        Assert.True(late.IsCancellationRequested);
    }

    [Fact]
    public void A_long_set_is_cut_and_says_so()
    {
        var cell = Render<Cell>(parameters => parameters.Add(it => it.Value, JsonElement.Parse(JsonSerializer.Serialize(Enumerable.Range(0, 100)))));
        Assert.Equal(8, cell.FindAll(".chip").Count);
        Assert.Contains("92 more", cell.Markup, StringComparison.Ordinal);
    }

    [Fact]
    public void A_large_answer_puts_few_rows_into_the_page()
    {
        var answer = AnswerOf(["n"], [.. Enumerable.Range(0, 5_000).Select(number => $"[{number}]")]);
        var grid = Render<ResultGrid>(parameters => parameters.Add(it => it.Result, answer).Add(it => it.Label, "Result"));
        Assert.True(grid.FindAll("tbody tr").Count < 200);
    }

    [Fact]
    public void A_chart_tells_in_words_what_it_draws()
    {
        var chart = Render<TimeChart>(parameters => parameters
            .Add(it => it.Title, "Ingest rate").Add(it => it.Series, [new ChartLine("records", [0, 10, 5])])
            .Add(it => it.From, DateTimeOffset.UnixEpoch).Add(it => it.To, DateTimeOffset.UnixEpoch.AddHours(1)));
        Assert.Equal("Ingest rate, records: 5 now, 10 at most", chart.Find("svg").GetAttribute("aria-label"));
        Assert.StartsWith("M46,162", chart.Find("path.line").GetAttribute("d"), StringComparison.Ordinal);
        Assert.Contains("552,86", chart.Find("path.line").GetAttribute("d"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_chart_of_nothing_draws_no_line_and_does_not_fail()
    {
        var chart = Render<TimeChart>(parameters => parameters
            .Add(it => it.Title, "Lag").Add(it => it.Series, [new ChartLine("p50", []), new ChartLine("p99", [double.NaN])]).Add(it => it.From, default).Add(it => it.To, default));
        Assert.All(chart.FindAll("path.line"), line => Assert.Equal("", line.GetAttribute("d")));
    }

    [Theory]
    [InlineData("""[["a",-5],["b",10]]""")]
    [InlineData("""[["a",null],["b",0]]""")]
    [InlineData("""[[1]]""")]
    public void A_result_with_numbers_becomes_a_chart(string rows)
    {
        var parsed = JsonElement.Parse(rows).EnumerateArray().ToList();
        var answer = new QueryAnswer([.. Enumerable.Range(0, parsed[0].GetArrayLength()).Select(index => new AnswerColumn($"c{index}", "int"))], parsed, null, [], null, default);
        var chart = Render<ResultChart>(parameters => parameters.Add(it => it.Result, answer));
        Assert.Equal(parsed.Count(row => row[row.GetArrayLength() - 1].ValueKind == JsonValueKind.Number), chart.FindAll("rect.column").Count);
    }

    [Fact]
    public void Typing_a_path_is_told_and_kept()
    {
        var table = new Sluice.Schema.TableSchema { TableId = Guid.NewGuid(), Name = "t", Key = Sluice.Schema.KeyKind.Number, Version = 1, Columns = [], NextColumnId = 1 };
        var form = MappingForm.Of(table, schema: null);
        var told = 0;
        var fields = Render<MappingFields>(parameters => parameters.Add(it => it.Form, form).Add(it => it.OnChanged, () => told++));
        fields.Find("input[aria-label='Path of _id']").Input("order.id");
        fields.FindAll("input[name=missing]")[1].Change(true);
        Assert.Equal(("order.id", false, 2), (form.Rows[0].Path, form.AllowMissing, told));
    }

    [Fact]
    public void Pages_of_a_list_end_where_the_list_ends()
    {
        var page = 0;
        var pager = Render<Pager>(parameters => parameters.Add(it => it.Total, 120).Add(it => it.Size, 50).Add(it => it.Page, 2).Add(it => it.PageChanged, (int to) => page = to));
        Assert.Contains("101–120 of 120", pager.Markup, StringComparison.Ordinal);
        Assert.True(pager.FindAll("button")[1].HasAttribute("disabled"));
        pager.FindAll("button")[0].Click();
        Assert.Equal(1, page);
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(15, 1)]
    [InlineData(16, 2)]
    [InlineData(50, 4)]
    [InlineData(10_000, 5)]
    public void Many_open_pages_are_told_more_rarely(int pages, int seconds) => Assert.Equal(seconds, SinkFeed.PaceOf(pages));

    [Theory]
    [InlineData("-1", "", "10", 1)]
    [InlineData("1.5", "1,000", "3601", 3)]
    [InlineData("1000000000001", "99999999999999999999", "", 3)]
    [InlineData("1e3", " 5 ", " 5 ", 1)]
    public void What_is_no_quota_is_said_at_its_field_and_nothing_is_sent(string records, string bytes, string burst, int faults)
    {
        var form = new QuotaForm(new Quota());
        var fields = Render<QuotaFields>(parameters => parameters.Add(it => it.Form, form));
        foreach (var (index, text) in new[] { records, bytes, burst }.Index()) fields.FindAll("input")[index].Change(text);
        Assert.Null(form.Read());
        fields.Render();
        Assert.Equal(faults, fields.FindAll("input[aria-invalid]").Count);
        Assert.Equal(faults, fields.FindAll("[role=alert]").Count);
        Assert.All(fields.FindAll("[role=alert]"), alert => Assert.StartsWith("Must be a whole number", alert.TextContent, StringComparison.Ordinal));
    }

    [Fact]
    public void Only_what_was_changed_of_a_quota_is_sent()
    {
        var form = new QuotaForm(new Quota { RecordsPerSecond = 5, BurstSeconds = 7 });
        Assert.Equal(("5", "", "7"), (form.Records, form.Bytes, form.Burst));
        Assert.Equal(QuotaBody.Nothing, form.Read());
        form.Records = " ";
        Assert.Equal(new QuotaBody(RecordsPerSecond: 0), form.Read());
        (form.Records, form.Bytes, form.Burst) = ("5", "1000000000000", "3600");
        Assert.Equal(new QuotaBody(BytesPerSecond: 1_000_000_000_000, BurstSeconds: 3_600), form.Read());
    }

    [Theory]
    [InlineData(100, 0, 1_000, 0, "0 % used")]
    [InlineData(100, 0, 370, 0, "63 % used")]
    [InlineData(100, 0, 1, 0, "99 % used")]
    [InlineData(100, 0, 0.9, 0, "used up")]
    [InlineData(100, 0, -5_000, 0, "used up")]
    [InlineData(100, 1_000, 1_000, 2_500, "75 % used")] // the tighter one
    [InlineData(100, 1_000, 1_000, 0, "used up")]
    public void How_much_of_a_quota_is_used_is_told_by_the_tighter_limit(long records, long bytes, double recordsLeft, double bytesLeft, string text) =>
        Assert.Equal(text, QuotaText.UsedNow(new Quota { RecordsPerSecond = records, BytesPerSecond = bytes }, (recordsLeft, bytesLeft)));

    static QueryAnswer AnswerOf(IReadOnlyList<string> columns, IReadOnlyList<string> rows) =>
        new([.. columns.Select(name => new AnswerColumn(name, "string"))], [.. rows.Select(row => JsonElement.Parse(row))], null, [], null, default);

    sealed class WatchingPage : ConsolePage
    {
        public void Watch(Action end) => Keep(new Ending(end));

        sealed class Ending(Action end) : IDisposable
        {
            public void Dispose() => end();
        }
    }
}
