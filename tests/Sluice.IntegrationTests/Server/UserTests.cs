using System.Net;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Who may come in: invites, users, roles, statuses, passwords, logins.</summary>
public sealed class UserTests(SharedServer shared) : IClassFixture<SharedServer>
{
    const string NewPassword = "Better-Horse-10";

    [Fact]
    public async Task An_invited_person_is_open_until_a_password_is_chosen_and_then_logs_in()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();

        var invite = await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/invites", administrator, """{"email":" Ann@Example.org "}""");
        var token = invite.GetProperty("token").GetString()!;
        Assert.Equal(("ann@example.org", "User"), (Text(invite, "email"), Text(invite, "role")));
        Assert.Equal($"{server.Http.BaseAddress}invite#{token}", Text(invite, "invite_url"));
        Assert.Equal(TimeSpan.FromDays(7), invite.GetProperty("expires_at").GetDateTime() - invite.GetProperty("created_at").GetDateTime());
        Assert.Equal("Open", await StatusAsync(server, administrator, invite.GetProperty("user_id").GetString()!));
        Assert.Equal("Incorrect username or password.", await LoginFaultAsync(server, "ann@example.org", ""));
        Assert.DoesNotContain(token, (await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/invites", administrator)).GetRawText(), StringComparison.Ordinal);

        var accepted = await AcceptAsync(server, HttpStatusCode.OK, token, NewPassword, "Ann Example");
        Assert.Equal(("Active", "Ann Example"), (Text(accepted, "status"), Text(accepted, "full_name")));
        var own = await server.IdTokenAsync("ann@example.org", NewPassword);
        Assert.Equal("ann@example.org", Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", own), "email"));

        Assert.Equal("InvalidParameter", Text(await AcceptAsync(server, HttpStatusCode.BadRequest, token, NewPassword), "code")); // once
        Assert.Empty((await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/invites", administrator)).GetProperty("resources").EnumerateArray());
    }

    [Fact]
    public async Task Several_people_are_invited_at_once_or_none()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();

        var made = await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/invites", administrator, """{"emails":["a@x.org","b@x.org","a@x.org"],"role":"Reader"}""");
        Assert.Equal(["a@x.org", "b@x.org"], made.GetProperty("resources").EnumerateArray().Select(invite => Text(invite, "email")));

        var refused = await server.JsonAsync(HttpStatusCode.Conflict, HttpMethod.Post, "/v2/invites", administrator, $$"""{"emails":["c@x.org","{{ServerUnderTest.Email}}"]}""");
        Assert.Equal("ResourceAlreadyExists", Text(refused, "code"));
        Assert.Equal(3, (await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users", administrator)).GetProperty("resources").GetArrayLength());
    }

    [Theory]
    [InlineData("""{}""", "MissingParameter")]
    [InlineData("""{"email":"nobody"}""", "InvalidParameter")]
    [InlineData("""{"email":"a b@x.org"}""", "InvalidParameter")]
    [InlineData("""{"email":"a@x.org\n"}""", null)]
    [InlineData("""{"email":"a@x\n.org"}""", "InvalidParameter")]
    [InlineData("""{"emails":[]}""", "InvalidParameter")]
    [InlineData("""{"emails":[5]}""", "InvalidParameter")]
    [InlineData("""{"email":"a@x.org","role":"IngestKey"}""", "InvalidParameter")]
    [InlineData("""{"email":"a@x.org","role":"Emperor"}""", "InvalidParameter")]
    public async Task A_malformed_invite_is_refused(string body, string? code)
    {
        var server = shared.Server;
        using var response = await server.SendAsync(HttpMethod.Post, "/v2/invites", await server.IdTokenAsync(), body: body);
        var answer = await ServerUnderTest.ReadJsonAsync(response);
        Assert.Equal(code, answer.TryGetProperty("code", out var found) ? found.GetString() : null);
    }

    [Theory]
    [InlineData("Short-1", "at least 8 characters")]
    [InlineData("lower-case-1", "an upper-case letter")]
    [InlineData("No-Digit-Here", "a digit")]
    [InlineData("NoSpecial123", "a character that is neither letter nor digit")]
    public async Task A_password_follows_the_four_rules_of_the_original(string password, string rule)
    {
        await using var server = await ServerUnderTest.StartAsync();
        var invite = await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/invites", await server.IdTokenAsync(), """{"email":"a@x.org"}""");

        var refused = await AcceptAsync(server, HttpStatusCode.BadRequest, Text(invite, "token"), password);
        Assert.EndsWith($"needs {rule}.", Text(refused, "message"), StringComparison.Ordinal);
        await AcceptAsync(server, HttpStatusCode.OK, Text(invite, "token"), NewPassword); // a refusal does not use it up
    }

    [Fact]
    public async Task An_invite_ends_after_seven_days_when_it_is_withdrawn_and_when_another_is_made()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();
        Task<JsonElement> Invite(string email) => server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/invites", administrator, $$"""{"email":"{{email}}"}""");

        var replaced = await Invite("a@x.org");
        var last = await Invite("a@x.org");
        await AcceptAsync(server, HttpStatusCode.BadRequest, Text(replaced, "token"), NewPassword);

        var withdrawn = await Invite("b@x.org");
        await server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Delete, $"/v2/invites/{Text(withdrawn, "id")}", administrator);
        await AcceptAsync(server, HttpStatusCode.BadRequest, Text(withdrawn, "token"), NewPassword);
        await server.JsonAsync(HttpStatusCode.NotFound, HttpMethod.Delete, $"/v2/invites/{Text(withdrawn, "id")}", administrator);

        server.Time.Advance(TimeSpan.FromDays(7) - TimeSpan.FromSeconds(1));
        administrator = await server.IdTokenAsync();
        var late = await Invite("c@x.org");
        await AcceptAsync(server, HttpStatusCode.OK, Text(last, "token"), NewPassword);
        server.Time.Advance(TimeSpan.FromDays(7));
        await AcceptAsync(server, HttpStatusCode.BadRequest, Text(late, "token"), NewPassword);
    }

    [Fact]
    public async Task A_lost_password_is_replaced_by_a_new_invite_and_all_logins_end()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();
        var (id, token) = await server.AddUserAsync(administrator, "ann@x.org");

        var invite = await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, $"/v2/users/{id}/invites", administrator);
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", token); // nothing has changed yet
        await AcceptAsync(server, HttpStatusCode.OK, Text(invite, "token"), NewPassword);

        await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/users/current", token);
        Assert.Equal("Incorrect username or password.", await LoginFaultAsync(server, "ann@x.org", ServerUnderTest.Password));
        await server.LogInAsync("ann@x.org", NewPassword);
    }

    [Fact]
    public async Task A_deactivated_user_is_refused_at_once_everywhere_and_comes_back_by_a_login()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();
        var (id, token) = await server.AddUserAsync(administrator, "ann@x.org");
        var session = await server.LogInAsync("ann@x.org");
        var secret = Text(await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", token, "{}"), "secret");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", key: secret);

        var changed = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{id}", administrator, """{"status":"Deactivated"}""");
        Assert.Equal("Deactivated", Text(changed, "status"));
        Assert.Equal("The user is deactivated.", Text(await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/users/current", token), "message"));
        Assert.Equal("The user is deactivated.", Text(await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/users/current", key: secret), "message"));
        Assert.Equal("The user is deactivated.", await LoginFaultAsync(server, "ann@x.org", ServerUnderTest.Password));
        using (var refresh = await server.PostAsync("/", $$"""{"REFRESH_TOKEN":"{{Text(session, "RefreshToken")}}"}"""))
            Assert.Equal(HttpStatusCode.BadRequest, refresh.StatusCode);

        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{id}", administrator, """{"status":"Active"}""");
        await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/users/current", token); // the old logins stay ended
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", key: secret);
        await server.LogInAsync("ann@x.org");
    }

    [Fact]
    public async Task Who_is_deactivated_before_choosing_a_password_is_open_again_after_reactivation()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();
        var invite = await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/invites", administrator, """{"email":"a@x.org"}""");
        var path = $"/v2/users/{Text(invite, "user_id")}";

        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, path, administrator, """{"status":"Deactivated"}""");
        await AcceptAsync(server, HttpStatusCode.BadRequest, Text(invite, "token"), NewPassword);
        Assert.Equal("Open", Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, path, administrator, """{"status":"Active"}"""), "status"));
        await AcceptAsync(server, HttpStatusCode.OK, Text(invite, "token"), NewPassword);
    }

    [Fact]
    public async Task A_role_holds_from_the_next_request_on_and_nobody_changes_their_own()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();
        var (id, token) = await server.AddUserAsync(administrator, "ann@x.org");
        await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/databases", token, """{"name":"a"}""");

        Assert.Equal("Forbidden", Text(await server.JsonAsync(HttpStatusCode.Forbidden, HttpMethod.Put, "/v2/users/current", token, """{"role":"Administrator"}"""), "code"));
        Assert.Equal("Forbidden", Text(await server.JsonAsync(HttpStatusCode.Forbidden, HttpMethod.Put, "/v2/users/current", administrator, """{"role":"User"}"""), "code"));

        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{id}", administrator, """{"role":"reader"}""");
        await server.JsonAsync(HttpStatusCode.Forbidden, HttpMethod.Post, "/v2/databases", token, """{"name":"b"}""");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/databases", token);
    }

    [Fact]
    public async Task One_administrator_always_stays()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var first = await server.IdTokenAsync();
        Assert.Equal("IncorrectState", Text(await server.JsonAsync(HttpStatusCode.Conflict, HttpMethod.Put, "/v2/users/current", first, """{"status":"Left"}"""), "code"));

        var (_, second) = await server.AddUserAsync(first, "ann@x.org", "Administrator");
        var firstId = Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", first), "id");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{firstId}", second, """{"role":"User"}""");
        Assert.Equal("IncorrectState", Text(await server.JsonAsync(HttpStatusCode.Conflict, HttpMethod.Put, "/v2/users/current", second, """{"status":"Left"}"""), "code"));

        Assert.Equal("Left", Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, "/v2/users/current", first, """{"status":"Left"}"""), "status"));
        Assert.Equal("The user is left.", Text(await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/users/current", first), "message"));
    }

    [Fact]
    public async Task Two_administrators_who_remove_each_other_at_once_leave_one()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var first = await server.IdTokenAsync();
        var (secondId, second) = await server.AddUserAsync(first, "ann@x.org", "Administrator");
        var firstId = Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", first), "id");

        var answers = await Task.WhenAll(
            server.SendAsync(HttpMethod.Put, $"/v2/users/{secondId}", first, body: """{"status":"Deactivated"}"""),
            server.SendAsync(HttpMethod.Put, $"/v2/users/{firstId}", second, body: """{"status":"Deactivated"}"""));

        Assert.Single(answers, answer => answer.StatusCode == HttpStatusCode.OK);
        Array.ForEach(answers, answer => answer.Dispose());
    }

    [Fact]
    public async Task A_user_sees_and_changes_themselves_and_nobody_else_exists()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();
        var (id, token) = await server.AddUserAsync(administrator, "ann@x.org");
        var other = Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", administrator), "id");

        var list = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users", token);
        Assert.Equal(id, Text(Assert.Single(list.GetProperty("resources").EnumerateArray()), "id"));
        Assert.Equal(2, (await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users", administrator)).GetProperty("resources").GetArrayLength());
        Assert.Equal("Ann", Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{id}", token, """{"full_name":"Ann","email":"ann@x.org"}"""), "full_name"));
        await server.JsonAsync(HttpStatusCode.BadRequest, HttpMethod.Put, $"/v2/users/{id}", token, """{"email":"eve@x.org"}""");
        foreach (var method in new[] { HttpMethod.Get, HttpMethod.Put })
            await server.JsonAsync(HttpStatusCode.NotFound, method, $"/v2/users/{other}", token, "{}");
    }

    [Fact]
    public async Task A_changed_password_ends_every_other_login_and_keeps_this_one()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var here = await server.LogInAsync();
        var elsewhere = await server.LogInAsync();
        var body = $$"""{"current_password":"{{ServerUnderTest.Password}}","password":"{{NewPassword}}"}""";

        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", Text(elsewhere, "IdToken"));
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, "/v2/users/current/password", Text(here, "IdToken"), body);

        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", Text(here, "IdToken"));
        await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/users/current", Text(elsewhere, "IdToken"));
        Assert.Equal(HttpStatusCode.OK, await RefreshAsync(server, Text(here, "RefreshToken")));
        Assert.Equal(HttpStatusCode.BadRequest, await RefreshAsync(server, Text(elsewhere, "RefreshToken")));
        Assert.Equal("Incorrect username or password.", await LoginFaultAsync(server, ServerUnderTest.Email, ServerUnderTest.Password));
    }

    [Fact]
    public async Task The_present_password_cannot_be_guessed_with_a_stolen_token()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();
        const string guess = $$"""{"current_password":"wrong","password":"{{NewPassword}}"}""";

        for (var i = 0; i < 5; i++)
            Assert.Equal("The present password is wrong.", Text(await server.JsonAsync(HttpStatusCode.BadRequest, HttpMethod.Put, "/v2/users/current/password", token, guess), "message"));
        await server.JsonAsync(HttpStatusCode.TooManyRequests, HttpMethod.Put, "/v2/users/current/password", token, guess);
    }

    [Fact]
    public async Task A_logout_ends_this_login_and_no_other()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var here = await server.LogInAsync();
        var elsewhere = await server.IdTokenAsync();

        await server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Post, "/v2/logout", Text(here, "IdToken"));

        Assert.Equal("The login of this token has ended.", Text(await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/users/current", Text(here, "AccessToken")), "message"));
        Assert.Equal(HttpStatusCode.BadRequest, await RefreshAsync(server, Text(here, "RefreshToken")));
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", elsewhere);
    }

    [Fact]
    public async Task What_outlives_a_key_is_not_done_with_a_key()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();
        var secret = Text(await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", token, "{}"), "secret");

        foreach (var (method, path) in new[]
        {
            (HttpMethod.Post, "/v2/invites"), (HttpMethod.Post, "/v2/users/current/invites"), (HttpMethod.Put, "/v2/users/current"), (HttpMethod.Put, "/v2/users/current/password"),
            (HttpMethod.Post, "/v2/users/current/keys"), (HttpMethod.Put, "/v2/orgs/current"), (HttpMethod.Post, "/v2/logout"),
        })
            Assert.Contains("not with a key", Text(await server.JsonAsync(HttpStatusCode.Forbidden, method, path, key: secret, body: "{}"), "message"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_organization_says_what_an_administrator_wrote()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var administrator = await server.IdTokenAsync();
        var (_, token) = await server.AddUserAsync(administrator, "ann@x.org");

        await server.JsonAsync(HttpStatusCode.Forbidden, HttpMethod.Put, "/v2/orgs/current", token, """{"name":"x"}""");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, "/v2/orgs/current", administrator, """{"name":"Example","billing_contact":"bills@x.org"}""");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, "/v2/orgs/current", administrator, """{"address":"Main Street 1"}""");
        var seen = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/orgs/current", token);
        Assert.Equal(("Example", "Main Street 1", "", "bills@x.org"), (Text(seen, "name"), Text(seen, "address"), Text(seen, "technical_contact"), Text(seen, "billing_contact")));
        await server.JsonAsync(HttpStatusCode.BadRequest, HttpMethod.Put, "/v2/orgs/current", administrator, $$"""{"name":"{{new string('x', 1_001)}}"}""");
    }

    static string Text(JsonElement element, string member) => element.GetProperty(member).GetString()!;

    static async Task<string> StatusAsync(ServerUnderTest server, string administrator, string id) =>
        Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, $"/v2/users/{id}", administrator), "status");

    static Task<JsonElement> AcceptAsync(ServerUnderTest server, HttpStatusCode expected, string token, string password, string? name = null) => server.JsonAsync(
        expected, HttpMethod.Post, "/v2/invites/accept", null, JsonSerializer.Serialize(new { token, password, full_name = name }));

    static async Task<string> LoginFaultAsync(ServerUnderTest server, string email, string password)
    {
        using var response = await server.PostAsync("/", $$"""{"USERNAME":"{{email}}","PASSWORD":"{{password}}"}""");
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        return Text(await ServerUnderTest.ReadJsonAsync(response), "message");
    }

    static async Task<HttpStatusCode> RefreshAsync(ServerUnderTest server, string token)
    {
        using var response = await server.PostAsync("/", $$"""{"REFRESH_TOKEN":"{{token}}"}""");
        return response.StatusCode;
    }
}
