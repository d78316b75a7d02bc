using System.Net;
using System.Reflection;
using System.Security.Claims;
using System.Text.Json;
using Bunit;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Authorization;
using Microsoft.AspNetCore.Components.Web;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Microsoft.JSInterop;
using MudBlazor.Services;
using Sluice.IntegrationTests.Server;
using Sluice.Schema;
using Sluice.Server;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;
using Sluice.Server.Components;
using Sluice.Server.Components.Pages;
using Sluice.Server.Components.Parts;
using Sluice.Server.Components.Settings;
using Sluice.Server.Components.Sinks;
using Xunit;
using TestContext = Xunit.TestContext;
using Plane = Sluice.Server.ControlPlane;

namespace Sluice.IntegrationTests.Console;

/// <summary>Pages whose users are faster than the server, or leave, or have an address that somebody typed.</summary>
public sealed class ConsoleHasteTests : BunitContext
{
    readonly FakeTimeProvider _time = new(TimeProvider.System.GetUtcNow());
    readonly SignedIn _signedIn = new();

    public ConsoleHasteTests()
    {
        DefaultWaitTimeout = TimeSpan.FromSeconds(30); // of what the browser has not answered yet, too
        JSInterop.Mode = JSRuntimeMode.Loose;
        Services.AddLogging();
        Services.AddMudServices();
        Services.AddSingleton<TimeProvider>(_time);
    }

    [Fact]
    public async Task A_statement_that_is_started_twice_at_once_runs_once()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        await MakeAsync(server, await EnterAsync(server), "main");
        var text = JSInterop.Setup<string>(IsEditorRead);
        var page = Render<QueryPage>();
        await RunTwiceAsync(page, text, "SELECT 1");

        Assert.Single(text.Invocations);
        Assert.Contains("1 row in", page.Markup, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_statement_whose_page_is_left_before_it_begins_is_not_run()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var caller = await EnterAsync(server);
        var (databaseId, _) = await MakeAsync(server, caller, "main");
        var text = JSInterop.Setup<string>(IsEditorRead);
        var outer = Render<ErrorBoundary>(parameters => parameters.AddChildContent<QueryPage>());
        var editor = FindEditor(outer);

        var run = outer.InvokeAsync(() => editor.OnRun.InvokeAsync());
        outer.Render(parameters => parameters.Add(it => it.ChildContent, "the next page"));
        await outer.InvokeAsync(() => { text.SetResult("INSERT INTO orders (_id, price) VALUES (1, 2)"); });
        await run;

        var count = await server.Services.GetRequiredService<QueryDesk>().RunAsync(caller, databaseId, "SELECT count(*) FROM orders", firstRows: null, TestContext.Current.CancellationToken);
        Assert.Equal(0, count.Rows[0][0].GetInt64());
        Assert.Equal("the next page", outer.Markup);
    }

    [Fact]
    public async Task A_file_is_made_of_the_answer_that_is_shown_however_long_it_takes()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var caller = await EnterAsync(server);
        var (databaseId, _) = await MakeAsync(server, caller, "main");
        var other = await server.Services.GetRequiredService<Plane>().CreateDatabaseAsync(caller, "other", shape: null, TestContext.Current.CancellationToken);
        JSInterop.Setup<string>(IsEditorRead).SetResult("SELECT * FROM orders");
        GoTo($"/query?database={databaseId}");
        var page = Render<QueryPage>();
        await page.InvokeAsync(() => FindEditor(page).OnRun.InvokeAsync());
        page.WaitForAssertion(() => Assert.Contains("No rows", page.Markup, StringComparison.Ordinal));

        page.Find("select[aria-label=Database]").Change(other.Id.ToString());
        page.FindAll("button").Single(button => button.TextContent == "Parquet").Click();

        page.WaitForAssertion(() => Assert.Single(JSInterop.Invocations["sluice.download"]));
        Assert.NotNull(JSInterop.Invocations["sluice.download"][0].CancellationToken); // without one, the framework gives up after a minute
    }

    [Fact]
    public void Other_files_of_an_answer_take_as_long_as_they_need_too()
    {
        var answer = new QueryAnswer([new("n", "int")], [JsonElement.Parse("[1]")], null, [], null, default);
        var view = Render<QueryResultView>(parameters => parameters.Add(it => it.Result, answer));
        view.FindAll("button").Single(button => button.TextContent == "CSV").Click();
        Assert.NotNull(Assert.Single(JSInterop.Invocations["sluice.download"]).CancellationToken);
    }

    /// <summary>A number or an id that cannot be read would fail the page before it can say anything.</summary>
    [Fact]
    public void Pages_take_texts_from_the_address() => Assert.All(
        typeof(ConsolePage).Assembly.GetTypes().SelectMany(type => type.GetProperties(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
            .Where(property => property.GetCustomAttribute<SupplyParameterFromQueryAttribute>() is not null),
        property => Assert.Equal(typeof(string), property.PropertyType));

    [Fact]
    public async Task What_an_address_says_wrongly_is_passed_over()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        await MakeAsync(server, await EnterAsync(server), "main");
        GoTo("/query?limit=none&database=x");
        Assert.Equal("100", Render<QueryPage>().WaitForElement("select.input").GetAttribute("value"));
        GoTo("/sinks/new?table=x&database=1");
        Assert.Contains("Propose columns", Render<NewSinkPage>().WaitForElement(".button-main").TextContent, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Records_that_are_sent_twice_at_once_are_sent_once()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var (_, sinkId) = await MakeAsync(server, await EnterAsync(server), "main");
        var text = JSInterop.Setup<string>(IsEditorRead);
        var page = Render<SinkSend>(parameters => parameters.Add(it => it.SinkId, sinkId));
        await RunTwiceAsync(page, text, """{"_id":1,"price":2}""");

        Assert.Single(text.Invocations);
        Assert.Contains("1 record accepted", page.Markup, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_check_of_what_was_typed_does_not_replace_the_result_of_sending_it()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var (_, sinkId) = await MakeAsync(server, await EnterAsync(server), "main");
        JSInterop.Setup<string>(IsEditorRead).SetResult("""{"_id":1,"price":2}""");
        var page = Render<SinkSend>(parameters => parameters.Add(it => it.SinkId, sinkId));
        var editor = FindEditor(page);

        var typed = page.InvokeAsync(() => editor.OnTyped.InvokeAsync());
        await page.InvokeAsync(() => editor.OnRun.InvokeAsync());
        _time.Advance(TimeSpan.FromSeconds(1));
        await typed;

        Assert.Contains("1 record accepted", page.Markup, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_can_be_sent_to_a_source_that_is_not_there()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        await EnterAsync(server);
        var page = Render<SinkSend>(parameters => parameters.Add(it => it.SinkId, Guid.NewGuid()));
        page.WaitForElement(".notice-bad");
        Assert.True(page.Find("button").HasAttribute("disabled"));
        await page.InvokeAsync(() => Do(page.Instance, "SendAsync"));
    }

    [Fact]
    public async Task A_double_click_makes_one_key()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var caller = await EnterAsync(server);
        var page = RenderKeyForm();

        _signedIn.Gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
        // as the browser tells of a second click that came before the button was disabled
        var clicks = page.InvokeAsync(() => Task.WhenAll(Do(page.Instance, "CreateAsync"), Do(page.Instance, "CreateAsync")));
        _signedIn.Gate.SetResult();
        await clicks;

        Assert.Single(await server.Services.GetRequiredService<ApiKeys>().ListAsync(caller, caller.UserId, TestContext.Current.CancellationToken));
        page.Render();
        Assert.Single(page.FindAll(".notice-good"));
    }

    [Fact]
    public async Task A_key_may_be_good_until_the_last_day_there_is()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var caller = await EnterAsync(server);
        var page = RenderKeyForm();

        page.Find("input[type=date]").Change("9999-12-31");
        await page.InvokeAsync(() => Do(page.Instance, "CreateAsync"));

        var key = Assert.Single(await server.Services.GetRequiredService<ApiKeys>().ListAsync(caller, caller.UserId, TestContext.Current.CancellationToken));
        Assert.Equal(new DateOnly(9999, 12, 31), DateOnly.FromDateTime(key.ExpiresAt!.Value.UtcDateTime));
    }

    [Fact]
    public void A_chart_whose_first_rows_have_no_value_says_so()
    {
        var rows = Enumerable.Repeat("""["a",null]""", 500).Append("""["b",1]""").Select(row => JsonElement.Parse(row)).ToList();
        var chart = Render<ResultChart>(parameters => parameters.Add(it => it.Result, new QueryAnswer([new("name", "string"), new("n", "int")], rows, null, [], null, default)));
        Assert.Equal("n has no value in the first 500 rows.", chart.Find("[role=status]").TextContent);
        Assert.Empty(chart.FindAll("svg"));
    }

    [Fact]
    public void An_editor_whose_files_do_not_come_says_so()
    {
        JSInterop.SetupVoid("sluice.loadEditor").SetException(new JSException("no file"));
        var editor = Render<CodeEditor>(parameters => parameters.Add(it => it.Language, "json").Add(it => it.Label, "Records"));
        editor.WaitForAssertion(() => Assert.Equal("The editor could not be loaded: load the page again.", editor.Find("[role=alert]").TextContent));
    }

    [Fact]
    public async Task Files_that_do_not_come_are_no_fault_of_the_next_page()
    {
        var files = JSInterop.SetupVoid("sluice.loadEditor");
        var page = Render<ErrorBoundary>(parameters => parameters.AddChildContent<CodeEditor>(it => it.Add(editor => editor.Language, "json").Add(editor => editor.Label, "Records")));
        page.Render(parameters => parameters.Add(it => it.ChildContent, "the next page"));
        await page.InvokeAsync(() => { files.SetException(new JSException("no file")); });
        await page.InvokeAsync(() => { });
        Assert.Equal("the next page", page.Markup);
    }

    [Theory]
    [InlineData(120, 2, null)]
    [InlineData(100, 2, 1)]
    [InlineData(20, 2, 0)]
    [InlineData(0, 1, 0)]
    public void A_list_that_became_shorter_shows_its_last_page(int total, int page, int? shown)
    {
        int? told = null;
        Render<Pager>(parameters => parameters.Add(it => it.Total, total).Add(it => it.Size, 50).Add(it => it.Page, page).Add(it => it.PageChanged, (int to) => told = to));
        Assert.Equal(shown, told);
    }

    [Fact]
    public void A_sample_is_kept_one_record_a_line()
    {
        var shape = SampleShape.Of("{\n  \"id\": 1,\n  \"price\": 12.50,\n  \"name\": \"ü\"\n}\n{\n  \"id\": 2\n}");
        Assert.Equal("{\"id\":1,\"price\":12.50,\"name\":\"ü\"}\n{\"id\":2}", shape.Lines);
    }

    [Fact]
    public void The_unit_of_a_column_that_becomes_a_timestamp_is_the_usual_one()
    {
        Assert.Equal("ms", ColumnForm.Of("at", ColumnType.Int).Unit);
        Assert.Equal("us", ColumnForm.Of("at", ColumnType.Timestamp(TimeUnit.Microsecond)).Unit);
    }

    [Fact]
    public void Columns_of_a_sample_are_offered_no_type_that_needs_a_time_beside_it()
    {
        var proposal = Render<ProposedColumns>(parameters => parameters.Add(it => it.Sample, SampleShape.Of("""{"id":1,"tags":["a"]}""")));
        var offered = proposal.Find("select[aria-label='Type of tags']").QuerySelectorAll("option").Select(option => option.TextContent).ToList();
        Assert.Contains("stringset", offered);
        Assert.DoesNotContain(offered, type => type.EndsWith('q'));
    }

    [Fact]
    public async Task A_source_that_is_made_does_not_call_back_who_has_left()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var (databaseId, _) = await MakeAsync(server, await EnterAsync(server), "main");
        JSInterop.SetupVoid("sluice.loadEditor").SetException(new JSException("no file")); // so the text stays the example
        GoTo($"/sinks/new?mode=sample&example=1&database={databaseId}");
        var outer = Render<ErrorBoundary>(parameters => parameters.AddChildContent<NewSinkPage>());
        outer.WaitForElement(".editor");
        var page = outer.FindComponent<NewSinkPage>().Instance;
        outer.Find(".button-main").Click();
        outer.WaitForElement("label.field");
        outer.FindAll("label.field").Single(field => field.TextContent.Contains("Name of the new table", StringComparison.Ordinal)).QuerySelector("input")!.Change("made");

        _signedIn.Gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var making = outer.InvokeAsync(() => Do(page, "CreateAsync"));
        outer.Render(parameters => parameters.Add(it => it.ChildContent, "the next page"));
        GoTo("/tables");
        _signedIn.Gate.SetResult();
        await making;

        Assert.Equal(2, ((string)Assert.Single(JSInterop.Invocations["sluice.write"]).Arguments[1]!).Split('\n').Length);
        Assert.EndsWith("/tables", Services.GetRequiredService<NavigationManager>().Uri, StringComparison.Ordinal);
    }

    static bool IsEditorRead(JSRuntimeInvocation call) => call.Identifier == "blazorMonaco.editor.getValue";

    /// <summary>What a button of the page does.</summary>
    static Task Do(object page, string action) => (Task)page.GetType().GetMethod(action, BindingFlags.Instance | BindingFlags.NonPublic)!.Invoke(page, null)!;

    void GoTo(string address) => Services.GetRequiredService<NavigationManager>().NavigateTo(address);

    /// <summary>The editor of a page, once it can be read.</summary>
    /// <summary>Ctrl+Enter twice before the browser has told what stands in the editor.</summary>
    async Task RunTwiceAsync<T>(IRenderedComponent<T> page, JSRuntimeInvocationHandler<string> text, string content)
        where T : class, IComponent
    {
        var editor = FindEditor(page);
        var runs = page.InvokeAsync(() => Task.WhenAll(editor.OnRun.InvokeAsync(), editor.OnRun.InvokeAsync()));
        await page.InvokeAsync(() => { text.SetResult(content); });
        await runs;
    }

    CodeEditor FindEditor<T>(IRenderedComponent<T> page)
        where T : class, IComponent
    {
        page.WaitForAssertion(() => Assert.NotEmpty(JSInterop.Invocations["blazorMonaco.editor.addCommand"]));
        return page.FindComponent<CodeEditor>().Instance;
    }

    IRenderedComponent<KeySettings> RenderKeyForm()
    {
        var page = Render<KeySettings>();
        page.WaitForElement("input").Input("reads");
        page.Find("select").Change(nameof(Role.Reader));
        return page;
    }

    /// <summary>Gives the pages what they need of a server, and signs its administrator in.</summary>
    async Task<Caller> EnterAsync(ServerUnderTest server)
    {
        Share<Plane>();
        Share<QueryDesk>();
        Share<RecordDesk>();
        Share<SinkFeed>();
        Share<ApiKeys>();
        Share<Users>();
        Share<Callers>();
        Share<AuditLog>();
        Services.AddSingleton<AuthenticationStateProvider>(_signedIn);
        Services.AddScoped<ConsoleUser>();

        var cancellation = TestContext.Current.CancellationToken;
        var session = await server.Services.GetRequiredService<Sessions>()
            .LogInAsync(ServerUnderTest.Email, ServerUnderTest.Password, IPAddress.Loopback, new RequestOrigin("127.0.0.1", RequestId: null), cancellation);
        var caller = (await server.Services.GetRequiredService<Callers>().ByTokenAsync(session.IdToken, cancellation)).Principal!.Caller;
        _signedIn.Principal = ConsoleCookie.PrincipalOf(caller.UserId, session.Id);
        return caller;

        void Share<T>()
            where T : class => Services.AddSingleton(server.Services.GetRequiredService<T>());
    }

    /// <summary>A database with the table orders, and a source for it.</summary>
    static async Task<(Guid DatabaseId, Guid SinkId)> MakeAsync(ServerUnderTest server, Caller caller, string name)
    {
        var cancellation = TestContext.Current.CancellationToken;
        var plane = server.Services.GetRequiredService<Plane>();
        var database = await plane.CreateDatabaseAsync(caller, name, shape: null, cancellation);
        var price = new ColumnForm { Name = "price", Type = "int" }.ToColumn();
        var table = await plane.CreateTableAsync(caller, database.Id, new NewTable("orders", KeyKind.Number, "", [price]), cancellation);
        var sink = await plane.CreateSinkAsync(caller, SinkForm.BodyOf($"{name}-stream", database.Id, table.Id, MappingForm.Of(table.ToSchema(), schema: null).ToSchema()), cancellation);
        return (database.Id, sink.Id);
    }

    sealed class SignedIn : AuthenticationStateProvider
    {
        public ClaimsPrincipal Principal { get; set; } = new();

        /// <summary>Holds up whatever is begun.</summary>
        public TaskCompletionSource? Gate { get; set; }

        public override async Task<AuthenticationState> GetAuthenticationStateAsync()
        {
            if (Gate is not null)
                await Gate.Task;
            return new AuthenticationState(Principal);
        }
    }
}
