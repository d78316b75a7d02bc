using System.Net;
using System.Text.Json;
using Bunit;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Authorization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;
using MudBlazor.Services;
using Sluice.IntegrationTests.Server;
using Sluice.Server.Components;
using Sluice.Server.Components.Sinks;
using Xunit;
using Plane = Sluice.Server.ControlPlane;

namespace Sluice.IntegrationTests.Console;

/// <summary>The live tail of a page that stays open.</summary>
public sealed class SinkTailTests : BunitContext
{
    static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task It_shows_nothing_more_once_its_login_has_ended_and_leads_to_the_sign_in()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var administrator = await server.IdTokenAsync();
        var sink = await server.MakeSinkAsync(administrator);
        var token = (await server.LogInAsync()).GetProperty("IdToken").GetString()!;
        AddParts(server, token);
        var tail = Render<SinkTail>(parameters => parameters.Add(it => it.SinkId, Guid.Parse(sink)));

        await SendAsync(server, sink, administrator);
        tail.WaitForAssertion(() => Assert.Single(tail.FindAll("tbody tr")), s_patience);

        await server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Post, "/v2/logout", token);
        await SendAsync(server, sink, administrator);
        tail.WaitForAssertion(() => Assert.Contains(ConsoleCookie.SignInPath, Services.GetRequiredService<NavigationManager>().Uri, StringComparison.Ordinal), s_patience);
        Assert.Single(tail.FindAll("tbody tr"));
    }

    void AddParts(ServerUnderTest server, string token)
    {
        var login = new JsonWebTokenHandler().ReadJsonWebToken(token);
        var signedIn = new SignedIn(Guid.Parse(login.Subject), Guid.Parse(login.GetPayloadValue<string>(JwtRegisteredClaimNames.Sid)));
        JSInterop.Mode = JSRuntimeMode.Loose;
        Services.AddMudServices();
        Services.AddSingleton(TimeProvider.System);
        Services.AddSingleton(server.Services.GetRequiredService<Plane>());
        Services.AddSingleton(server.Services.GetRequiredService<SinkFeed>());
        Services.AddSingleton(ActivatorUtilities.CreateInstance<ConsoleUser>(server.Services, signedIn));
    }

    static Task<JsonElement> SendAsync(ServerUnderTest server, string sink, string token) =>
        server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/sinks/{sink}", token, """{"records":[{"value":{"id":1}}]}""");

    sealed class SignedIn(Guid userId, Guid sessionId) : AuthenticationStateProvider
    {
        public override Task<AuthenticationState> GetAuthenticationStateAsync() => Task.FromResult(new AuthenticationState(ConsoleCookie.PrincipalOf(userId, sessionId)));
    }
}
