using System.Diagnostics;
using System.Net;
using Microsoft.Data.Sqlite;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Hostile;

/// <summary>The catalogue is held by somebody else: nobody gets in whom it would have to know, and when it is free all is as before.</summary>
public sealed class LockedCatalogTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_locked_catalogue_refuses_with_503_in_time_and_recovers_alone()
    {
        const string login = $$"""{"USERNAME":"{{ServerProcess.Email}}","PASSWORD":"{{ServerProcess.Password}}"}""";
        await using (var other = new SqliteConnection($"Data Source={Path.Combine(server.DataDirectory, "catalog.sqlite")};Pooling=False"))
        {
            await other.OpenAsync(Cancellation);
            await using var held = other.BeginTransaction(deferred: false);
            var started = Stopwatch.GetTimestamp();

            foreach (var (path, body) in new[] { ("", login), ("v2/databases", """{"name":"locked"}""") })
            {
                var answer = await server.Api.PostAsync(path, body, Cancellation);
                Assert.True(answer.Status == HttpStatusCode.ServiceUnavailable, answer.Text);
                Assert.Equal("unavailable", answer.Json["cause"]!.GetValue<string>());
            }

            // 10 s each; the client library's own time makes it 30
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(45), $"refused after {Stopwatch.GetElapsedTime(started)}");
        }

        Assert.Equal(HttpStatusCode.OK, (await server.Api.PostAsync("", login, Cancellation)).Status);
        Assert.Equal(HttpStatusCode.Created, (await server.Api.PostAsync("v2/databases", """{"name":"locked"}""", Cancellation)).Status);
    }
}
