using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary>Several processes with one kept login that has expired: every refresh token is used once, or the server revokes all that came from it.</summary>
public sealed class SharedLoginTests : IAsyncLifetime
{
    readonly TemporaryDirectory _home = new();
    readonly ExpiredLogin _server = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    string LoginFile => Path.Combine(_home.Path, "login.json");

    public async ValueTask InitializeAsync()
    {
        await _server.StartAsync();
        await KeepAsync("old", "refresh-0");
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _home.Dispose();
    }

    [Fact]
    public async Task What_another_process_has_renewed_is_renewed_from_there()
    {
        _server.Newest = "refresh-7";
        _server.OnExpired = () => KeepAsync("other", "refresh-7"); // while the command runs
        var run = await ListAsync();
        Assert.True(run.ExitCode == 0, run.Errors);
        var kept = JsonElement.Parse(await File.ReadAllTextAsync(LoginFile, Cancellation));
        Assert.Equal(("new-1", "refresh-1"), (kept.GetProperty("id_token").GetString(), kept.GetProperty("refresh_token").GetString()));
    }

    [Fact]
    public async Task Processes_at_once_renew_one_after_the_other()
    {
        const int processes = 3;
        var waiting = 0;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.OnExpired = () =>
        {
            if (Interlocked.Increment(ref waiting) == processes) all.SetResult();
            return all.Task;
        };
        var runs = await Task.WhenAll(Enumerable.Range(0, processes).Select(_ => ListAsync()));
        Assert.All(runs, run => Assert.True(run.ExitCode == 0, run.Errors));
        Assert.Equal((processes, 0), (_server.Renewals, _server.Reuses));
    }

    [Fact]
    public async Task A_login_that_was_forgotten_meanwhile_stays_forgotten()
    {
        _server.OnExpired = () =>
        {
            File.Delete(LoginFile);
            return Task.CompletedTask;
        };
        var run = await ListAsync();
        Assert.True(run.ExitCode == 0, run.Errors);
        Assert.False(File.Exists(LoginFile));
    }

    Task<CommandLineRun> ListAsync() => CommandLineRun.RunAsync(_home.Path, input: null, Cancellation, "databases", "list");

    Task KeepAsync(string idToken, string refreshToken) =>
        File.WriteAllTextAsync(LoginFile, $$"""{"url":"{{_server.Url}}","id_token":"{{idToken}}","refresh_token":"{{refreshToken}}"}""", Cancellation);

    /// <summary>Takes the id tokens that it has renewed, and each refresh token once.</summary>
    sealed class ExpiredLogin : IAsyncDisposable
    {
        readonly Lock _lock = new();
        readonly WebApplication _app;

        public ExpiredLogin()
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            _app = builder.Build();
            _app.Run(AnswerAsync);
        }

        public string Url => _app.Urls.First();

        /// <summary>The refresh token that is good.</summary>
        public string Newest { get; set; } = "refresh-0";

        /// <summary>Before an id token is refused.</summary>
        public Func<Task> OnExpired { get; set; } = () => Task.CompletedTask;

        public int Renewals { get; private set; }

        public int Reuses { get; private set; }

        public Task StartAsync() => _app.StartAsync(Cancellation);

        public ValueTask DisposeAsync() => _app.DisposeAsync();

        async Task AnswerAsync(HttpContext context)
        {
            var isRenewal = context.Request.Path == "/v2/login";
            var body = isRenewal ? Renew((await JsonSerializer.DeserializeAsync<JsonElement>(context.Request.Body)).GetProperty("REFRESH_TOKEN").GetString()!)
                : context.Request.Headers.Authorization.ToString().StartsWith("Bearer new-", StringComparison.Ordinal) ? """{"resources":[]}"""
                : null;
            if (body is null)
            {
                if (!isRenewal) await OnExpired();
                context.Response.StatusCode = StatusCodes.Status401Unauthorized;
            }
            await context.Response.WriteAsync(body ?? """{"code":"Unauthorized","message":"no"}""");
        }

        string? Renew(string refreshToken)
        {
            lock (_lock)
            {
                if (refreshToken != Newest)
                {
                    Reuses++;
                    return null;
                }
                Renewals++;
                Newest = $"refresh-{Renewals}";
                return $$$"""{"AuthenticationResult":{"AccessToken":"a","ExpiresIn":3600,"IdToken":"new-{{{Renewals}}}","RefreshToken":"{{{Newest}}}","TokenType":"Bearer"}}""";
            }
        }
    }
}
