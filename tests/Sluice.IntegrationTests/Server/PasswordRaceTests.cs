using System.Data.Common;
using System.Net;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Server;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>The password is replaced, or the user deactivated, while the old password is under way and was verified already.</summary>
public sealed class PasswordRaceTests : IAsyncLifetime
{
    const string Email = "ann@x.org";
    const string NewPassword = "Better-Horse-10";

    ServerUnderTest _server = null!;
    string _administrator = "";
    string _userId = "";
    string _token = "";

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _server = await ServerUnderTest.StartAsync();
        _administrator = await _server.IdTokenAsync();
        (_userId, _token) = await _server.AddUserAsync(_administrator, Email);
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData("change")]
    [InlineData("reset")]
    [InlineData("deactivation")]
    public async Task A_login_under_way_is_refused(string meanwhile)
    {
        using var sessions = SessionsWith(meanwhile);

        var refused = await Assert.ThrowsAsync<RefusedException>(() => sessions.LogInAsync(Email, ServerUnderTest.Password, address: null, new RequestOrigin("", null), Cancellation));

        Assert.Equal((Refusals.LoginFailed, "Incorrect username or password."), (refused.Refusal, refused.Message));
        if (meanwhile == "deactivation")
            await SetStatusAsync("Active");
        await using var context = await _server.Services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(Cancellation);
        var userId = Guid.Parse(_userId);
        var alive = await context.RefreshTokens.CountAsync(token => token.UserId == userId && token.RevokedAt == null, Cancellation);
        Assert.Equal(meanwhile == "change" ? 1 : 0, alive); // the login that made the change
    }

    [Theory]
    [InlineData("change")]
    [InlineData("reset")]
    [InlineData("deactivation")]
    public async Task Another_change_under_way_is_refused_and_changes_nothing(string meanwhile)
    {
        using var sessions = SessionsWith(meanwhile);
        var caller = (await _server.Services.GetRequiredService<Callers>().ByTokenAsync(_token, Cancellation)).Principal!.Caller;

        var refused = await Assert.ThrowsAsync<RefusedException>(() => sessions.ChangePasswordAsync(caller, ServerUnderTest.Password, "Worse-Horse-11", address: null, Cancellation));

        Assert.Equal((Refusals.WrongPassword, "The present password is wrong."), (refused.Refusal, refused.Message));
        if (meanwhile == "deactivation")
            await SetStatusAsync("Active");
        await _server.LogInAsync(Email, meanwhile == "deactivation" ? ServerUnderTest.Password : NewPassword);
    }

    [Fact]
    public async Task Nothing_meanwhile_refuses_nothing()
    {
        using var sessions = SessionsWith("");

        var session = await sessions.LogInAsync(Email, ServerUnderTest.Password, address: null, new RequestOrigin("", null), Cancellation);
        var caller = (await _server.Services.GetRequiredService<Callers>().ByTokenAsync(session.IdToken, Cancellation)).Principal!.Caller;
        await sessions.ChangePasswordAsync(caller, ServerUnderTest.Password, NewPassword, address: null, Cancellation);

        await _server.LogInAsync(Email, NewPassword);
    }

    Sessions SessionsWith(string meanwhile)
    {
        var options = new DbContextOptionsBuilder<CatalogContext>(_server.Services.GetRequiredService<DbContextOptions<CatalogContext>>())
            .AddInterceptors(new AfterFirstRead(() => DoAsync(meanwhile))).Options;
        var catalog = new Catalog(options);
        return ActivatorUtilities.CreateInstance<Sessions>(_server.Services, catalog, ActivatorUtilities.CreateInstance<RefreshTokens>(_server.Services, catalog));
    }

    Task DoAsync(string what) => what switch
    {
        "change" => _server.JsonAsync(
            HttpStatusCode.OK, HttpMethod.Put, "/v2/users/current/password", _token, $$"""{"current_password":"{{ServerUnderTest.Password}}","password":"{{NewPassword}}"}"""),
        "reset" => ResetAsync(),
        "deactivation" => SetStatusAsync("Deactivated"),
        _ => Task.CompletedTask,
    };

    async Task ResetAsync()
    {
        var invite = await _server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, $"/v2/users/{_userId}/invites", _administrator);
        await _server.JsonAsync(
            HttpStatusCode.OK, HttpMethod.Post, "/v2/invites/accept", null, $$"""{"token":"{{invite.GetProperty("token").GetString()}}","password":"{{NewPassword}}"}""");
    }

    Task<JsonElement> SetStatusAsync(string status) =>
        _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{_userId}", _administrator, $$"""{"status":"{{status}}"}""");

    /// <summary>The first use of the catalogue reads the password, the second relies on it.</summary>
    sealed class AfterFirstRead(Func<Task> act) : DbConnectionInterceptor
    {
        int _openings;

        public override async ValueTask<InterceptionResult> ConnectionOpeningAsync(
            DbConnection connection, ConnectionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default)
        {
            if (Interlocked.Increment(ref _openings) == 2)
                await act();
            return result;
        }
    }

    sealed class Catalog(DbContextOptions<CatalogContext> options) : IDbContextFactory<CatalogContext>
    {
        public CatalogContext CreateDbContext() => new(options);
    }
}
