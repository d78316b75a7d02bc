using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class TokenTests(SharedServer shared) : IClassFixture<SharedServer>
{
    const string Protected = "/v2/users/current";

    [Theory]
    [InlineData("Bearer {0}")]
    [InlineData("bearer {0}")]
    [InlineData("{0}")]
    public async Task A_token_is_taken_with_and_without_its_scheme(string form)
    {
        var server = shared.Server;
        var session = await server.LogInAsync();

        foreach (var name in new[] { "IdToken", "AccessToken" })
        {
            using var response = await server.SendAsync(HttpMethod.Get, Protected, form.Replace("{0}", session.GetProperty(name).GetString(), StringComparison.Ordinal));
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        }
    }

    [Fact]
    public async Task No_token_and_a_bad_token_are_two_different_401s()
    {
        await using var server = await ServerUnderTest.StartAsync();

        Assert.Equal("MissingAuthenticationToken", await RefusalOfAsync(server, null));
        Assert.Equal("Unauthorized", await RefusalOfAsync(server, "Bearer x"));
        Assert.Equal("Unauthorized", await RefusalOfAsync(server, "Basic YWRtaW46YWRtaW4="));
    }

    [Fact]
    public async Task Forged_tokens_are_refused()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var session = await server.LogInAsync();
        var (header, payload, signature) = Parts(session.GetProperty("IdToken").GetString()!);
        var kid = header["kid"]!.GetValue<string>();
        var forgeries = new Dictionary<string, string>
        {
            ["no algorithm"] = $"{Encode(new JsonObject { ["alg"] = "none", ["typ"] = "JWT", ["kid"] = kid })}.{Encode(payload)}.",
            ["no algorithm, old signature"] = $"{Encode(new JsonObject { ["alg"] = "none", ["typ"] = "JWT", ["kid"] = kid })}.{Encode(payload)}.{signature}",
            ["HMAC with the public key"] = Hmac(payload, kid, PublicKeyPem(server)),
            ["edited payload"] = $"{Encode(header)}.{Encode(With(payload, "sub", Guid.NewGuid().ToString()))}.{signature}",
            ["foreign key, our key id"] = Foreign(payload, kid),
            ["foreign key, foreign key id"] = Foreign(payload, "another"),
            ["foreign key, no key id"] = Foreign(payload, null),
            ["key of its own in the header"] = SelfCertified(payload, kid, "jwk"),
            ["address of a key in the header"] = SelfCertified(payload, kid, "jku"),
            ["another type"] = Resigned(server, With(header, "typ", "logout+jwt"), payload),
            ["refresh token"] = session.GetProperty("RefreshToken").GetString()!,
            ["cut signature"] = session.GetProperty("IdToken").GetString()![..^8],
        };

        var answers = new HashSet<string>();
        foreach (var (name, forgery) in forgeries)
        {
            Assert.True(await RefusalOfAsync(server, forgery) == "Unauthorized", name);
            var answer = JsonNode.Parse((await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, Protected, forgery)).GetRawText())!.AsObject();
            answer.Remove("request_id");
            answers.Add(answer.ToJsonString());
        }

        Assert.Single(answers); // nothing says what was wrong
    }

    [Theory]
    [InlineData("token_use", "refresh")]
    [InlineData("token_use", null)]
    [InlineData("iss", "somebody")]
    [InlineData("aud", "somebody")]
    [InlineData("exp", null)]
    [InlineData("sub", "not-an-id")]
    [InlineData("sub", null)]
    [InlineData("sid", null)]
    [InlineData("sid", "00000000-0000-4000-8000-000000000000")]
    public async Task Our_own_signature_on_a_wrong_claim_is_not_enough(string claim, string? value)
    {
        var server = shared.Server;
        var (_, payload, _) = Parts(await server.IdTokenAsync());
        var key = server.Services.GetRequiredService<TokenKey>();

        Assert.Null(await RefusalOfAsync(server, Sign(payload, key.SecurityKey)));
        Assert.Equal("Unauthorized", await RefusalOfAsync(server, Sign(With(payload, claim, value), key.SecurityKey)));
    }

    [Fact]
    public async Task A_token_lives_an_hour_and_a_minute_of_clock_skew()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var seen = await server.IdTokenAsync(ServerUnderTest.Email);
        var unseen = await server.IdTokenAsync(ServerUnderTest.Email);
        Assert.Null(await RefusalOfAsync(server, seen)); // remembered from here on

        server.Time.Advance(TimeSpan.FromMinutes(60) + TimeSpan.FromSeconds(59));
        Assert.Null(await RefusalOfAsync(server, seen));

        server.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal("Unauthorized", await RefusalOfAsync(server, seen));
        Assert.Equal("Unauthorized", await RefusalOfAsync(server, unseen));
    }

    [Fact]
    public async Task A_token_from_the_future_is_refused()
    {
        await using var server = await ServerUnderTest.StartAsync();
        server.Time.Advance(TimeSpan.FromMinutes(5));
        var early = await server.IdTokenAsync(ServerUnderTest.Email);
        await using var behind = await ServerUnderTest.StartAsync();

        Assert.Null(await RefusalOfAsync(server, early));
        var (_, payload, _) = Parts(early);
        var elsewhere = Sign(With(payload, "sub", await UserIdAsync(behind)), behind.Services.GetRequiredService<TokenKey>().SecurityKey);
        Assert.Equal("Unauthorized", await RefusalOfAsync(behind, elsewhere));
    }

    [Theory]
    [InlineData("IdToken")]
    [InlineData("AccessToken")]
    public async Task A_token_of_a_login_is_no_refresh_token(string name)
    {
        await using var server = await ServerUnderTest.StartAsync();
        Assert.Null(await RefreshAsync(server, (await server.LogInAsync()).GetProperty(name).GetString()!));
    }

    [Fact]
    public async Task The_token_of_one_login_does_not_live_on_another()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();
        var (_, ann) = await server.AddUserAsync(administrator, "ann@x.org");
        var stolen = With(Parts(ann).Payload, "sub", Parts(administrator).Payload["sub"]!.GetValue<string>());

        Assert.Null(await RefusalOfAsync(server, administrator));
        Assert.Equal("Unauthorized", await RefusalOfAsync(server, Sign(stolen, server.Services.GetRequiredService<TokenKey>().SecurityKey)));
    }

    [Fact]
    public async Task A_deactivated_user_is_refused_within_seconds_and_told_why()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();
        Assert.Null(await RefusalOfAsync(server, token));

        await using (var context = await CatalogOf(server))
            await context.Users.ExecuteUpdateAsync(set => set.SetProperty(user => user.Status, UserStatus.Deactivated), TestContext.Current.CancellationToken);
        server.Time.Advance(TimeSpan.FromSeconds(6));

        using var response = await server.SendAsync(HttpMethod.Get, Protected, token);
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.Contains("deactivated", (await ServerUnderTest.ReadJsonAsync(response)).GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_refresh_token_rotates_and_its_late_reuse_revokes_the_family()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var first = (await server.LogInAsync()).GetProperty("RefreshToken").GetString()!;

        var second = await RefreshAsync(server, first);
        Assert.NotNull(second);
        Assert.NotEqual(first, second);

        server.Time.Advance(TimeSpan.FromSeconds(30));
        var retried = await RefreshAsync(server, first); // the answer got lost
        Assert.NotNull(retried);

        server.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(await RefreshAsync(server, first)); // somebody else has it
        Assert.Null(await RefreshAsync(server, second));
        Assert.Null(await RefreshAsync(server, retried));
        Assert.NotNull((await server.LogInAsync()).GetProperty("RefreshToken").GetString());
    }

    [Fact]
    public async Task A_refresh_token_lives_thirty_days_and_is_stored_only_as_a_hash()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = (await server.LogInAsync()).GetProperty("RefreshToken").GetString()!;
        var other = (await server.LogInAsync()).GetProperty("RefreshToken").GetString()!;

        server.Time.Advance(TimeSpan.FromDays(30) - TimeSpan.FromSeconds(1));
        Assert.NotNull(await RefreshAsync(server, token));
        server.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(await RefreshAsync(server, other));

        foreach (var file in Directory.EnumerateFiles(server.Data.Path, "catalog*"))
            Assert.DoesNotContain(other, Encoding.Latin1.GetString(await ReadSharedAsync(file)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_refresh_forms_of_the_original_identity_provider_work_too()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = (await server.LogInAsync()).GetProperty("RefreshToken").GetString()!;

        using var response = await server.PostAsync("/", $$$"""{"AuthFlow":"REFRESH_TOKEN_AUTH","AuthParameters":{"REFRESH_TOKEN":"{{{token}}}"}}""");

        var answer = (await ServerUnderTest.ReadJsonAsync(response)).GetProperty("AuthenticationResult");
        Assert.Null(await RefusalOfAsync(server, answer.GetProperty("IdToken").GetString()!));
    }

    static async Task<string?> RefreshAsync(ServerUnderTest server, string token)
    {
        using var response = await server.PostAsync("/", $$"""{"REFRESH_TOKEN":"{{token}}"}""");
        var answer = await ServerUnderTest.ReadJsonAsync(response);
        return answer.TryGetProperty("AuthenticationResult", out var result) ? result.GetProperty("RefreshToken").GetString() : null;
    }

    /// <returns>The code of the 401; <c>null</c> when the token was taken.</returns>
    static async Task<string?> RefusalOfAsync(ServerUnderTest server, string? authorization)
    {
        using var response = await server.SendAsync(HttpMethod.Get, Protected, authorization);
        if (response.StatusCode == HttpStatusCode.OK)
            return null;

        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.Equal("Bearer", response.Headers.WwwAuthenticate.Single().Scheme);
        return (await ServerUnderTest.ReadJsonAsync(response)).GetProperty("code").GetString();
    }

    static async Task<string> UserIdAsync(ServerUnderTest server)
    {
        await using var context = await CatalogOf(server);
        return (await context.Users.SingleAsync(TestContext.Current.CancellationToken)).Id.ToString();
    }

    static Task<CatalogContext> CatalogOf(ServerUnderTest server) =>
        server.Services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(TestContext.Current.CancellationToken);

    static async Task<byte[]> ReadSharedAsync(string file)
    {
        await using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var bytes = new MemoryStream();
        await stream.CopyToAsync(bytes, TestContext.Current.CancellationToken);
        return bytes.ToArray();
    }

    static (JsonObject Header, JsonObject Payload, string Signature) Parts(string token)
    {
        var parts = token.Split('.');
        return (Decode(parts[0]), Decode(parts[1]), parts[2]);
    }

    static JsonObject Decode(string part) => JsonNode.Parse(Base64Url.DecodeFromChars(part))!.AsObject();

    static string Encode(JsonObject part) => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(part));

    static JsonObject With(JsonObject payload, string claim, string? value)
    {
        var changed = payload.DeepClone().AsObject();
        if (value is null)
            changed.Remove(claim);
        else
            changed[claim] = value;
        return changed;
    }

    static string Sign(JsonObject payload, ECDsaSecurityKey key) =>
        new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(payload.ToJsonString(), new SigningCredentials(key, "ES256"));

    static string Foreign(JsonObject payload, string? kid)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return Sign(payload, new ECDsaSecurityKey(key) { KeyId = kid, CryptoProviderFactory = new CryptoProviderFactory { CacheSignatureProviders = false } });
    }

    /// <summary>Signed by another key, which the header offers.</summary>
    static string SelfCertified(JsonObject payload, string kid, string member)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var point = key.ExportParameters(false).Q;
        JsonNode offer = member == "jku" ? "https://example.org/keys"
            : new JsonObject { ["kty"] = "EC", ["crv"] = "P-256", ["x"] = Base64Url.EncodeToString(point.X), ["y"] = Base64Url.EncodeToString(point.Y) };
        return SignedBy(key, new JsonObject { ["alg"] = "ES256", ["typ"] = "JWT", ["kid"] = kid, [member] = offer }, payload);
    }

    static string Resigned(ServerUnderTest server, JsonObject header, JsonObject payload) =>
        SignedBy(server.Services.GetRequiredService<TokenKey>().SecurityKey.ECDsa, header, payload);

    static string SignedBy(ECDsa key, JsonObject header, JsonObject payload)
    {
        var signed = $"{Encode(header)}.{Encode(payload)}";
        return $"{signed}.{Base64Url.EncodeToString(key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256))}";
    }

    static string Hmac(JsonObject payload, string kid, string publicKey)
    {
        var signed = $"{Encode(new JsonObject { ["alg"] = "HS256", ["typ"] = "JWT", ["kid"] = kid })}.{Encode(payload)}";
        return $"{signed}.{Base64Url.EncodeToString(HMACSHA256.HashData(Encoding.UTF8.GetBytes(publicKey), Encoding.ASCII.GetBytes(signed)))}";
    }

    static string PublicKeyPem(ServerUnderTest server) => server.Services.GetRequiredService<TokenKey>().SecurityKey.ECDsa.ExportSubjectPublicKeyInfoPem();
}
