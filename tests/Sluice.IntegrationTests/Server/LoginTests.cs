using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class LoginTests(SharedServer shared) : IClassFixture<SharedServer>
{
    const string Credentials = $$"""{"USERNAME":"{{ServerUnderTest.Email}}","PASSWORD":"{{ServerUnderTest.Password}}"}""";

    [Theory]
    [InlineData("/", "application/json", Credentials)]
    [InlineData("/v2/login", "application/json", Credentials)]
    [InlineData("/v1/login", "text/plain", Credentials)]
    [InlineData("/", null, Credentials)]
    [InlineData("/", "application/x-www-form-urlencoded", Credentials)]
    [InlineData("/", "application/x-www-form-urlencoded", "USERNAME=admin%40localhost&PASSWORD=Correct-Horse-9")]
    [InlineData("/", "Content-Type: application/json", Credentials)]
    [InlineData("/", "application/x-amz-json-1.1", """{"AuthFlow":"USER_PASSWORD_AUTH","ClientId":"x","AuthParameters":{"USERNAME":"ADMIN@localhost","PASSWORD":"Correct-Horse-9"}}""")]
    public async Task A_login_is_taken_in_every_form_that_clients_send(string path, string? contentType, string body)
    {
        var server = shared.Server;

        using var response = await server.PostAsync(path, body, contentType);

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var answer = await ServerUnderTest.ReadJsonAsync(response);
        var result = answer.GetProperty("AuthenticationResult");
        Assert.Equal(["AccessToken", "ExpiresIn", "IdToken", "RefreshToken", "TokenType"], result.EnumerateObject().Select(member => member.Name));
        Assert.Equal((3600, "Bearer"), (result.GetProperty("ExpiresIn").GetInt32(), result.GetProperty("TokenType").GetString()));
        Assert.Equal("{}", answer.GetProperty("ChallengeParameters").GetRawText());
        Assert.True(response.Headers.CacheControl!.NoStore);

        using var current = await server.SendAsync(HttpMethod.Get, "/v2/users/current", $"Bearer {result.GetProperty("IdToken").GetString()}");
        Assert.Equal(ServerUnderTest.Email, (await ServerUnderTest.ReadJsonAsync(current)).GetProperty("email").GetString());
    }

    /// <summary>The one-liner of the original's quick start depends on indented members and on a comma after IdToken.</summary>
    [Fact]
    public async Task The_documented_shell_pipeline_cuts_out_the_id_token()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var response = await server.PostAsync("/", Credentials, null);
        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);

        var token = await BashAsync("""grep -Eo '"IdToken":.*?[^\\]",' | sed -e 's/[\"\,\: ]*//g' | sed -e 's/IdToken//'""", text);

        Assert.Equal(JsonElement.Parse(text).GetProperty("AuthenticationResult").GetProperty("IdToken").GetString(), token.Trim());
        using var current = await server.SendAsync(HttpMethod.Get, "/v2/users/current", token.Trim());
        Assert.Equal(HttpStatusCode.OK, current.StatusCode);
    }

    [Theory]
    [InlineData("""{"USERNAME":"admin@localhost","PASSWORD":"wrong"}""", "NotAuthorizedException", "Unauthorized")]
    [InlineData("""{"USERNAME":"nobody@localhost","PASSWORD":"Correct-Horse-9"}""", "NotAuthorizedException", "Unauthorized")]
    [InlineData("""{"REFRESH_TOKEN":"never-issued"}""", "NotAuthorizedException", "Unauthorized")]
    [InlineData("""{"USERNAME":"admin@localhost"}""", "InvalidParameterException", "InvalidBody")]
    [InlineData("""{"USERNAME":"admin@localhost",}""", "InvalidParameterException", "InvalidBody")]
    [InlineData("", "InvalidParameterException", "InvalidBody")]
    [InlineData("[]", "InvalidParameterException", "InvalidBody")]
    public async Task A_failed_login_is_answered_as_the_identity_provider_of_the_original_did(string body, string type, string code)
    {
        var server = shared.Server;

        using var response = await server.PostAsync("/", body);

        var answer = await ServerUnderTest.ReadJsonAsync(response);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal((type, code), (answer.GetProperty("__type").GetString(), answer.GetProperty("code").GetString()));
        Assert.False(answer.TryGetProperty("AuthenticationResult", out _));
    }

    [Fact]
    public async Task Wrong_names_and_wrong_passwords_are_told_apart_by_nothing()
    {
        await using var server = await ServerUnderTest.StartAsync();

        using var wrongPassword = await server.PostAsync("/", """{"USERNAME":"admin@localhost","PASSWORD":"wrong"}""");
        using var wrongName = await server.PostAsync("/", """{"USERNAME":"nobody@localhost","PASSWORD":"wrong"}""");

        Assert.Equal(await MessageOfAsync(wrongPassword), await MessageOfAsync(wrongName));
    }

    [Fact]
    public async Task Five_failures_hold_the_account_back_even_for_the_right_password_and_a_wait_lets_it_in()
    {
        await using var server = await ServerUnderTest.StartAsync();
        for (var i = 0; i < 5; i++)
            (await server.PostAsync("/", """{"USERNAME":"admin@localhost","PASSWORD":"wrong"}""")).Dispose();

        using var held = await server.PostAsync("/", Credentials);
        server.Time.Advance(held.Headers.RetryAfter!.Delta!.Value);
        using var free = await server.PostAsync("/", Credentials);

        Assert.Equal((HttpStatusCode.TooManyRequests, TimeSpan.FromSeconds(30)), (held.StatusCode, held.Headers.RetryAfter.Delta!.Value));
        Assert.Equal(HttpStatusCode.OK, free.StatusCode);
    }

    [Fact]
    public async Task Guesses_sent_at_once_do_not_slip_past_the_limit()
    {
        await using var server = await ServerUnderTest.StartAsync();

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => server.PostAsync("/", """{"USERNAME":"admin@localhost","PASSWORD":"wrong"}""")));

        // as many more as are checked at the same time
        Assert.InRange(answers.Count(answer => answer.StatusCode == HttpStatusCode.BadRequest), 5, 5 + Environment.ProcessorCount / 2);
        Array.ForEach(answers, answer => answer.Dispose());
    }

    [Fact]
    public async Task A_multipart_or_huge_login_is_refused()
    {
        await using var server = await ServerUnderTest.StartAsync();

        using var multipart = await server.PostAsync("/", "--x", "multipart/form-data; boundary=x");
        using var huge = await server.PostAsync("/", new string(' ', 20_000) + Credentials);

        Assert.Equal("InvalidContentType", (await ServerUnderTest.ReadJsonAsync(multipart)).GetProperty("code").GetString());
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, huge.StatusCode);
    }

    static async Task<string?> MessageOfAsync(HttpResponseMessage response) => (await ServerUnderTest.ReadJsonAsync(response)).GetProperty("message").GetString();

    static async Task<string> BashAsync(string script, string input)
    {
        using var bash = Process.Start(new ProcessStartInfo("bash", ["-c", script]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        await bash.StandardInput.WriteAsync(input);
        bash.StandardInput.Close();
        var output = await bash.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await bash.WaitForExitAsync(TestContext.Current.CancellationToken);
        return output;
    }
}
