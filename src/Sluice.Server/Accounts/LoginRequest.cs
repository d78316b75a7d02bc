using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;

namespace Sluice.Server.Accounts;

/// <summary>What a login sends: a user name and password, or a refresh token.</summary>
/// <param name="RefreshToken">Not <c>null</c>: the other two do not count.</param>
sealed record LoginRequest(string? UserName, string? Password, string? RefreshToken)
{
    const string NotALogin = "The body must be a JSON object with USERNAME and PASSWORD, or with REFRESH_TOKEN.";

    /// <summary>
    /// Reads <c>{"USERNAME","PASSWORD"}</c> or <c>{"REFRESH_TOKEN"}</c>, either of them under <c>AuthParameters</c> as AWS Cognito's
    /// InitiateAuth has them, or a urlencoded form. What the body is shows in the body: curl calls JSON a form.
    /// </summary>
    /// <exception cref="RefusedException">Nothing of that kind.</exception>
    public static LoginRequest Parse(ReadOnlySpan<byte> body)
    {
        var text = Encoding.UTF8.GetString(body).Trim();
        return text.StartsWith('{') ? ParseJson(text) : ParseForm(text);
    }

    static LoginRequest ParseJson(string text)
    {
        try
        {
            WellFormedText.Check(Encoding.UTF8.GetBytes(text));
            using var json = JsonDocument.Parse(text);
            var root = json.RootElement;
            var parameters = Find(root, "AuthParameters") is { ValueKind: JsonValueKind.Object } nested ? nested : root;
            return Complete(new LoginRequest(Text(parameters, "USERNAME"), Text(parameters, "PASSWORD"), Text(parameters, "REFRESH_TOKEN")));
        }
        catch (JsonException)
        {
            throw new RefusedException(Refusals.LoginMalformed, NotALogin);
        }
    }

    static LoginRequest ParseForm(string text)
    {
        // keys compare without case
        var form = QueryHelpers.ParseQuery(text);
        return Complete(new LoginRequest(Field("USERNAME"), Field("PASSWORD"), Field("REFRESH_TOKEN")));

        string? Field(string name) => form.TryGetValue(name, out var value) ? value.ToString() : null;
    }

    static LoginRequest Complete(LoginRequest login) => login is { RefreshToken: not null } or { UserName: not null, Password: not null }
        ? login
        : throw new RefusedException(Refusals.LoginMalformed, NotALogin);

    static string? Text(JsonElement parent, string name) => Find(parent, name) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;

    static JsonElement? Find(JsonElement parent, string name)
    {
        foreach (var member in parent.EnumerateObject())
        {
            if (member.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
                return member.Value;
        }

        return null;
    }
}
