using System.Net;
using System.Text;
using System.Text.Json;
using Bunit;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Authorization;
using Microsoft.AspNetCore.Components.Forms;
using Microsoft.AspNetCore.Components.Rendering;
using Microsoft.AspNetCore.Components.Web;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using MudBlazor.Services;
using Sluice.Client;
using Sluice.IntegrationTests.Server;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Server;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Components;
using Sluice.Server.Components.Layout;
using Sluice.Server.Components.Pages;
using Xunit;
using TestContext = Xunit.TestContext;
using Plane = Sluice.Server.ControlPlane;

namespace Sluice.IntegrationTests.Console;

/// <summary>What is wrong in one place spoils no other, and is told.</summary>
public sealed class ConsoleFaultTests : BunitContext
{
    static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    readonly CountingLogger _log = new();

    public ConsoleFaultTests()
    {
        JSInterop.Mode = JSRuntimeMode.Loose;
        JSInterop.SetupVoid(call => call.Identifier.StartsWith("blazorMonaco", StringComparison.Ordinal));
        Services.AddMudServices();
        Services.AddSingleton(TimeProvider.System);
        Services.AddSingleton<AntiforgeryStateProvider, NoForms>();
    }

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(100, true)]
    [InlineData(101, false)]
    [InlineData(1_000_000, false)]
    public void What_stands_far_down_an_array_is_not_in_the_sample(int index, bool isShown)
    {
        var mapping = MappingOf("items", index, "leaf");
        Assert.Equal(isShown, SampleRecord.ValueOf(mapping, Orders()).Contains("\"leaf\"", StringComparison.Ordinal));
        Assert.Equal(isShown, SampleRecord.BodyOf(mapping, Orders()).Contains("\"leaf\"", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(60, true)]
    [InlineData(61, false)]
    [InlineData(SinkBody.MaxPathSteps, false)]
    [InlineData(1_000, false)]
    public void What_stands_too_deep_is_not_in_the_sample_which_can_still_be_shown(int steps, bool isShown)
    {
        var body = SampleRecord.BodyOf(MappingOf([.. Enumerable.Repeat<WirePathStep>("a", steps - 1), "leaf"]), Orders());
        Assert.Equal(isShown, body.Contains("\"leaf\"", StringComparison.Ordinal));
        Assert.All(Snippets.Languages, language => Assert.NotEmpty(Snippets.Of(language, "https://localhost/v2/sinks/1", body)));
    }

    [Fact]
    public void A_path_longer_than_the_api_takes_is_refused_by_the_form()
    {
        var form = MappingForm.Of(Orders(), schema: null);
        var row = form.Rows.Single(row => row.Column == "tags");
        row.Path = PathOf(SinkBody.MaxPathSteps);
        Assert.Equal(SinkBody.MaxPathSteps, form.ToSchema().Definition.Single(field => field.Name == "tags").Path.Count);
        row.Path = PathOf(SinkBody.MaxPathSteps + 1);
        Assert.Equal("The path of tags must have 1 to 63 entries.", FaultText.Of(Assert.Throws<SluiceException>(form.ToSchema)));

        static string PathOf(int steps) => string.Join('.', Enumerable.Repeat("a", steps));
    }

    /// <summary>In Latin-1, as they may come from anywhere.</summary>
    [Theory]
    [InlineData("""{"note":"é"}""")]
    [InlineData("""{"é":1}""")]
    [InlineData("""{"note":"\ud800"}""")]
    [InlineData("""{"\ud800":1}""")]
    public void A_record_that_is_no_unicode_is_no_json(string text)
    {
        var raw = Encoding.Latin1.GetBytes(text);
        foreach (var isBare in new[] { false, true })
            Assert.ThrowsAny<JsonException>(() => { SampleText.ValueOf(raw, new RecordForm(isBare, RecordOperation.Upsert)); });
    }

    [Fact]
    public void A_record_in_unicode_is_shown()
    {
        var raw = Encoding.UTF8.GetBytes("""{"value":{"note":"é\ud83d\ude00"}}""");
        Assert.Equal("é😀", SampleText.ValueOf(raw, new RecordForm(IsBare: false, RecordOperation.Upsert)).GetProperty("note").GetString());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_catalogue_that_cannot_be_used_is_told_by_the_page_and_logged(bool isBusy)
    {
        Fail(isBusy ? new SqliteException("database is locked", 5) : new DbUpdateException("database or disk is full"));
        var page = Render<ActingPage>();
        Assert.Equal("The catalogue cannot be read or written at this moment. Try again in a few seconds.", page.Markup);
        Assert.Equal(1, _log.Count);
    }

    [Fact]
    public void A_catalogue_that_cannot_be_used_leaves_the_frame_of_the_page()
    {
        Fail(new SqliteException("database is locked", 5));
        var layout = Render<ConsoleLayout>(parameters => parameters.Add(it => it.Body, "the page"));
        layout.WaitForAssertion(() => Assert.Equal(1, _log.Count), s_patience);
        Assert.Equal("the page", layout.Find("main").TextContent.Trim());
    }

    [Fact]
    public async Task A_source_that_cannot_be_read_leaves_the_others_to_the_lists()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var token = await SignInAsync(server);
        var database = await MakeTableAsync(server, token);
        var (gone, kept) = (await MakeSinkAsync(server, token, database, "gone"), await MakeSinkAsync(server, token, database, "kept"));
        server.Services.GetRequiredService<EngineSlot>().Engine.RemoveSink(Guid.Parse(gone)); // the catalogue still has it as active

        var home = Render<HomePage>();
        home.WaitForAssertion(() => AssertBoth(home.Markup), s_patience);
        var sinks = Render<SinksPage>();
        sinks.WaitForAssertion(() => AssertBoth(sinks.Markup), s_patience);

        void AssertBoth(string markup)
        {
            Assert.Contains($"/sinks/{gone}", markup, StringComparison.Ordinal);
            Assert.Contains($"/sinks/{kept}", markup, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_mapping_saved_beside_the_errors_is_the_one_of_the_mapping_tab()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var token = await SignInAsync(server);
        var sink = await MakeSinkAsync(server, token, await MakeTableAsync(server, token), "s");
        const string records = """{"records":[{"value":{"id":1,"price":1}},{"value":{"id":2,"price":"abc","other":2.5}}]}""";
        (await server.SendAsync(HttpMethod.Post, $"/v2/sinks/{sink}?wait=loaded", token, body: records)).Dispose();
        var groups = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, $"/v2/sinks/{sink}/quarantine", token);
        var group = Assert.Single(groups.GetProperty("resources").EnumerateArray()).GetProperty("id").GetString();

        var navigation = Services.GetRequiredService<NavigationManager>();
        navigation.NavigateTo($"/sinks/{sink}?tab=errors&group={group}");
        var page = Render<SinkPage>(parameters => parameters.Add(it => it.SinkId, Guid.Parse(sink)));
        page.WaitForElement("button[aria-expanded]", s_patience).Click();
        page.WaitForElement("input[aria-label='Path of price']", s_patience).Input("other");
        await page.FindAll("button").Single(button => button.TextContent == "Save it and replay").ClickAsync(new MouseEventArgs());

        await page.InvokeAsync(() => navigation.NavigateTo($"/sinks/{sink}?tab=mapping"));
        page.WaitForAssertion(() => Assert.Equal("Mapping, version 2", page.Find(".split h2").TextContent), s_patience);
        Assert.Equal("other", page.Find("input[aria-label='Path of price']").GetAttribute("value"));
    }

    static async Task<string> MakeTableAsync(ServerUnderTest server, string token)
    {
        var database = IdOf(await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/databases", token, """{"name":"db"}"""));
        await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, $"/v2/tables/{database}", token, """
            {"name":"orders","options":{"keys":false},"fields":[{"name":"price","options":{"type":"decimal","scale":2}}]}
            """);
        return database;
    }

    static async Task<string> MakeSinkAsync(ServerUnderTest server, string token, string database, string name) =>
        IdOf(await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/sinks", token, $$$"""
            {"name":"{{{name}}}","sink_details":{"database_id":"{{{database}}}","table":"orders"},
             "schema":{"type":"json","id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]}]}}
            """));

    static string IdOf(JsonElement resource) => resource.GetProperty("id").GetString()!;

    /// <summary>With <c>_id</c> and the set <c>tags</c>.</summary>
    static SinkSchema MappingOf(params WirePathStep[] tags) => new("json", "_id", null, true, [new("_id", ["id"]), new("tags", tags)]);

    static TableSchema Orders() => new()
    {
        TableId = Guid.NewGuid(),
        Name = "orders",
        Key = KeyKind.Number,
        Version = 1,
        Columns = [new Column(1, "tags", ColumnType.StringSet)],
        NextColumnId = 2,
    };

    /// <summary>Gives the pages a catalogue that fails.</summary>
    void Fail(Exception fault) => Services.AddSingleton(new ConsoleUser(new Logins(Task.FromException<AuthenticationState>(fault)), null!, null!, _log));

    /// <summary>Gives the pages a server on which the administrator is signed in.</summary>
    /// <returns>A token for the API.</returns>
    async Task<string> SignInAsync(ServerUnderTest server)
    {
        var services = server.Services;
        var session = await services.GetRequiredService<Sessions>().LogInAsync(ServerUnderTest.Email, ServerUnderTest.Password, IPAddress.Loopback, new RequestOrigin("", null), Cancellation);
        var callers = services.GetRequiredService<Callers>();
        var caller = (await callers.ByTokenAsync(session.IdToken, Cancellation)).Principal!.Caller;
        var login = Task.FromResult(new AuthenticationState(ConsoleCookie.PrincipalOf(caller.UserId, session.Id)));
        Services.AddSingleton(new ConsoleUser(new Logins(login), callers, services.GetRequiredService<AuditLog>(), _log));
        Services.AddSingleton(services.GetRequiredService<Plane>());
        Services.AddSingleton(services.GetRequiredService<RecordDesk>());
        Services.AddSingleton(services.GetRequiredService<SinkFeed>());
        return session.IdToken;
    }

    sealed class ActingPage : ConsolePage
    {
        protected override Task OnInitializedAsync() => TryAsync(_ => Task.CompletedTask);

        protected override void BuildRenderTree(RenderTreeBuilder builder) => builder.AddContent(0, Fault);
    }

    sealed class Logins(Task<AuthenticationState> state) : AuthenticationStateProvider
    {
        public override Task<AuthenticationState> GetAuthenticationStateAsync() => state;
    }

    sealed class NoForms : AntiforgeryStateProvider
    {
        public override AntiforgeryRequestToken? GetAntiforgeryToken() => null;
    }

    sealed class CountingLogger : ILogger<ConsoleUser>
    {
        public int Count { get; private set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Count++;
    }
}
