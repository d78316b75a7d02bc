using System.Net;
using Sluice.Client;

namespace Sluice.Tests.Client;

/// <summary>An expired login: whoever is refused for it renews it, or waits for who does.</summary>
public sealed class RenewalTests : IDisposable
{
    readonly ExpiredLogin _server = new();
    readonly HttpClient _http;

    public RenewalTests() => _http = new HttpClient(_server) { BaseAddress = new Uri("http://sluice.test/") };

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _http.Dispose();

    [Fact]
    public async Task Calls_at_once_renew_once()
    {
        var client = new SluiceClient(_http);
        client.UseToken("old", "refresh-0");
        await Task.WhenAll(client.ListSinksAsync(Cancellation), client.ListDatabasesAsync(Cancellation));
        Assert.Equal(["refresh-0"], _server.Renewals);
        Assert.Equal(("Authorization", "Bearer new-1"), client.Credential);
    }

    [Fact]
    public async Task A_call_that_is_refused_after_a_renewal_has_failed_renews_itself()
    {
        var late = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.Hold["/v2/databases"] = late.Task;
        _server.FailingRenewals = 1;
        var client = new SluiceClient(_http);
        client.UseToken("old", "refresh-0");
        var second = client.ListDatabasesAsync(Cancellation);
        await Assert.ThrowsAsync<SluiceApiException>(() => client.ListSinksAsync(Cancellation));
        late.SetResult();
        await second;
        Assert.Equal(["refresh-0", "refresh-0"], _server.Renewals);
        Assert.All(_server.LoginTokens, Assert.Null);
    }

    [Fact]
    public async Task Who_shares_a_login_takes_the_newest_refresh_token_first()
    {
        SluiceClient? client = null;
        client = new SluiceClient(_http)
        {
            OnRenewal = async renew =>
            {
                client!.UseToken("old", "refresh-7"); // another process has renewed it meanwhile
                await renew();
            },
        };
        client.UseToken("old", "refresh-0");
        await client.ListSinksAsync(Cancellation);
        Assert.Equal(["refresh-7"], _server.Renewals);
    }

    /// <summary>Takes any token but <c>old</c>, and renews it.</summary>
    sealed class ExpiredLogin : HttpMessageHandler
    {
        readonly Lock _lock = new();

        /// <summary>What answers to a path wait for.</summary>
        public Dictionary<string, Task> Hold { get; } = [];

        public int FailingRenewals { get; set; }

        /// <summary>The refresh tokens that came.</summary>
        public List<string> Renewals { get; } = [];

        /// <summary>What came with them in <c>Authorization</c>.</summary>
        public List<string?> LoginTokens { get; } = [];

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            await Task.Yield();
            var path = request.RequestUri!.AbsolutePath;
            if (Hold.TryGetValue(path, out var held)) await held;
            if (path == "/v2/login") return Renew(request, await request.Content!.ReadAsStringAsync(cancellationToken));
            return request.Headers.Authorization is { Parameter: not "old" } ? ScriptedServer.Json(HttpStatusCode.OK, """{"resources":[]}""") : ScriptedServer.Refuse(HttpStatusCode.Unauthorized, "Unauthorized");
        }

        HttpResponseMessage Renew(HttpRequestMessage request, string body)
        {
            lock (_lock)
            {
                Renewals.Add(System.Text.Json.JsonElement.Parse(body).GetProperty("REFRESH_TOKEN").GetString()!);
                LoginTokens.Add(request.Headers.Authorization?.Parameter);
                if (Renewals.Count <= FailingRenewals) return ScriptedServer.Refuse(HttpStatusCode.ServiceUnavailable, "ServiceUnavailable");
                var number = Renewals.Count;
                return ScriptedServer.Json(
                    HttpStatusCode.OK, $$$"""{"AuthenticationResult":{"AccessToken":"a","ExpiresIn":3600,"IdToken":"new-{{{number}}}","RefreshToken":"refresh-{{{number}}}","TokenType":"Bearer"}}""");
            }
        }
    }
}
