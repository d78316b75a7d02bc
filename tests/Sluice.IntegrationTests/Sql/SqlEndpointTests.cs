using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Server.Sql;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>The endpoint over real HTTP.</summary>
public sealed class SqlEndpointTests : IAsyncLifetime
{
    readonly QueryDatabase _database = new();
    readonly HttpClient _client = new();
    WebApplication? _app;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddSingleton(new SqlStatements(_database.Plane()));
        builder.Services.AddAuthorization(Policies.Add);
        _app = builder.Build();
        _app.Use((context, next) =>
        {
            context.User = new CallerPrincipal(new Caller(Guid.Empty, "tester@localhost", Role.Administrator, null));
            return next(context);
        });
        _app.UseAuthorization();
        SqlEndpoint.Map(_app);
        await _app.StartAsync();
        var addresses = _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!;
        _client.BaseAddress = new Uri(addresses.Addresses.First());
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _app!.DisposeAsync();
        _database.Dispose();
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("tapplication/json")]
    [InlineData(null)]
    public async Task A_statement_is_read_whatever_its_content_type(string? type)
    {
        using var content = new ByteArrayContent(Encoding.UTF8.GetBytes("SELECT 'é' AS x"));
        content.Headers.TryAddWithoutValidation("Content-Type", type);

        using var answer = await _client.PostAsync(Url, content, TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("application/json", answer.Content.Headers.ContentType?.ToString());
        Assert.StartsWith(
            """{"schema":{"fields":[{"name":"x","type":"string","base-type":"string","type-info":null}]},"data":[["é"]],"execution-time":""",
            await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wrong_statement_is_200_with_an_error()
    {
        using var answer = await _client.PostAsync(Url, new StringContent("SELEC 1"), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.StartsWith("{\"error\":\"", await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_statement_waits_for_the_requests_of_parameter_and_header()
    {
        foreach (var path in new[] { "/query/sql", "/query" })
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/v2/databases/{Guid.Empty}{path}?after=a,b&after=a&timeout=2.5")
            {
                Content = new StringContent("""{"statement":"select 1"}"""),
                Headers = { { "X-Sluice-After", "c, d" } },
            };
            using var answer = await _client.SendAsync(request, TestContext.Current.CancellationToken);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        }
        using var plain = await _client.PostAsync(Url, new StringContent("SELECT 1"), TestContext.Current.CancellationToken);

        Assert.Equal(2, _database.Awaited.Count);
        Assert.All(_database.Awaited, after => Assert.Equal(TimeSpan.FromSeconds(2.5), after.Timeout));
        Assert.All(_database.Awaited, after => Assert.Equal(["a", "b", "c", "d"], after.RequestIds));
    }

    [Theory]
    [InlineData("/query", "application/json", """{"language":"sql","statement":"select count(*) from iris"}""")]
    [InlineData("", "Content-Type: application/json", """{"language":"sql","statement":"select count(*) from iris;"}""")]
    [InlineData("/query", "application/vnd.molecula.sql", "select count(*) from iris")]
    public async Task The_older_call_answers_counts_as_its_clients_read_them(string path, string type, string body)
    {
        var (status, answer) = await PostLegacyAsync(path, type, body);

        Assert.Equal(HttpStatusCode.OK, status);
        Assert.StartsWith(
            """{"results":{"headers":[{"name":"count","datatype":"uint64"}],"rows":[{"columns":[{"ColumnVal":{"Uint64Val":2}}]}],"duration":""", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_older_call_has_a_member_for_each_type()
    {
        var (_, answer) = await PostLegacyAsync("/query", "application/json",
            """{"statement":"select _id, count, petal, ok, species, tags, ids, at_s from iris order by _id"}""");

        Assert.Contains(
            """[{"ColumnVal":{"Uint64Val":1}},{"ColumnVal":{"Int64Val":7}},{"ColumnVal":{"DecimalVal":{"value":510,"scale":2}}},{"ColumnVal":{"BoolVal":true}},"""
            + """{"ColumnVal":{"StringVal":"setosa"}},{"ColumnVal":{"StringArrayVal":{"vals":["a","b\u0027\u0022"]}}},{"ColumnVal":{"Uint64ArrayVal":{"vals":[1,2]}}},"""
            + """{"ColumnVal":{"TimestampVal":"2022-01-01T00:00:00Z"}}]""", answer, StringComparison.Ordinal);
        Assert.Contains("""{"ColumnVal":{"DecimalVal":{"value":-5,"scale":2}}}""", answer, StringComparison.Ordinal);
        Assert.Contains("""{"ColumnVal":null}""", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_older_call_answers_a_wrong_statement_with_400() =>
        Assert.Equal(
            (HttpStatusCode.BadRequest, """{"code":"Bad Request","message":"[1:15] table or view \u0027nope\u0027 not found"}"""),
            await PostLegacyAsync("/query", "application/json", """{"statement":"select * from nope"}"""));

    async Task<(HttpStatusCode Status, string Answer)> PostLegacyAsync(string path, string type, string body)
    {
        using var content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
        content.Headers.TryAddWithoutValidation("Content-Type", type);
        using var answer = await _client.PostAsync(new Uri($"/v2/databases/{Guid.Empty}{path}", UriKind.Relative), content, TestContext.Current.CancellationToken);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("/sql")]
    [InlineData("/v2/sql")]
    [InlineData("/databases/one/sql")]
    [InlineData("/databases/00000000-0000-0000-0000-000000000000/sql")]
    public async Task Older_paths_find_their_database(string path)
    {
        var one = new SqlDatabase(Guid.Empty, "one", "", "", "", default, default);
        _database.Databases = [one];
        Assert.Contains("\"data\":[[2]]", await PostAsync(path, "select count(*) from iris"), StringComparison.Ordinal);

        _database.Databases = [one with { Id = Guid.NewGuid(), Name = "two" }, one with { Id = Guid.NewGuid(), Name = "three" }];
        using var answer = await _client.PostAsync(new Uri(path, UriKind.Relative), new StringContent("select 1"), TestContext.Current.CancellationToken);
        Assert.False(answer.IsSuccessStatusCode);
    }

    [Fact]
    public async Task A_plan_comes_with_the_rows_when_asked_for()
    {
        var answer = await PostAsync($"{Url}?plan=true", "select count(*) from iris where tags = 'a'");

        Assert.Matches("""^\{"schema":.*,"data":\[\[1\]\],"query-plan":\{.*"name":.*\},"execution-time":\d+\}$""", answer.ReplaceLineEndings(""));
        Assert.DoesNotContain("query-plan", await PostAsync(Url.ToString(), "select 1"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task System_tables_tell_of_the_database()
    {
        Assert.Contains("create table iris (_id id, ", await PostAsync(Url.ToString(), "select ddl from fb_table_ddl where name = 'iris'"), StringComparison.Ordinal);
        Assert.Contains("\"data\":[]", await PostAsync(Url.ToString(), "select * from fb_views"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_table_that_has_the_name_of_a_system_table_is_meant_by_it()
    {
        var iris = _database.Tables[0];
        _database.Tables = [.. _database.Tables, iris with { Schema = iris.Schema with { Name = "fb_views" } }];

        Assert.Equal(Data(await PostAsync(Url.ToString(), "select count(*) from iris")), Data(await PostAsync(Url.ToString(), "select count(*) from fb_views")));
        Assert.Contains("create table fb_views", await PostAsync(Url.ToString(), "select ddl from fb_table_ddl where name = 'fb_views'"), StringComparison.Ordinal);

        static string Data(string answer) => answer[answer.IndexOf("\"data\":", StringComparison.Ordinal)..answer.IndexOf("\"execution-time\"", StringComparison.Ordinal)];
    }

    async Task<string> PostAsync(string path, string sql)
    {
        using var answer = await _client.PostAsync(new Uri(path, UriKind.Relative), new StringContent(sql), TestContext.Current.CancellationToken);
        return await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_client_that_goes_away_ends_its_query()
    {
        using var gone = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => _client.PostAsync(Url, new StringContent("SELECT count(*) FROM range(100000000000)"), gone.Token));

        // All slots are free again: as many queries as there are slots run at once.
        var queries = Enumerable.Range(0, _database.Queries.Limits.MaxConcurrent)
            .Select(_ => _client.PostAsync(Url, new StringContent("SELECT 1"), TestContext.Current.CancellationToken));
        foreach (var answer in await Task.WhenAll(queries))
            Assert.Contains("[[1]]", await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    static Uri Url => new($"/v2/databases/{Guid.Empty}/query/sql", UriKind.Relative);
}
