using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
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
        _app = builder.Build();
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
