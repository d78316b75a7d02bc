using System.Net;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>A tail is for those who may watch it now, not for all who might when it began.</summary>
public sealed class TailCallerTests : IAsyncLifetime
{
    ServerUnderTest _server = null!;
    string _administrator = "";
    string _sink = "";
    string _userId = "";
    string _token = "";
    string _keyId = "";
    string _secret = "";

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _server = await ServerUnderTest.StartRunningAsync();
        _administrator = await _server.IdTokenAsync();
        _sink = await _server.MakeSinkAsync(_administrator);
        (_userId, _token) = await _server.AddUserAsync(_administrator, "ann@x.org");
        var key = await _server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", _token, "{}");
        (_keyId, _secret) = (key.GetProperty("id").GetString()!, key.GetProperty("secret").GetString()!);
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData("key")]
    [InlineData("login")]
    [InlineData("user")]
    [InlineData("token")]
    public async Task It_ends_without_records_soon_after_what_began_it(string what)
    {
        using var lines = await WatchAsync(what == "key" ? _secret : _token);
        await SendAsync(1);
        Assert.Equal(1, IdOf(await NextAsync(lines)));

        await EndAsync(what);

        var rest = lines.ReadToEndAsync(Cancellation);
        for (var i = 0; i < 100 && !rest.IsCompleted; i++)
        {
            _server.Time.Advance(TimeSpan.FromSeconds(15));
            await Task.WhenAny(rest, Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, Cancellation));
        }
        Assert.True(rest.IsCompleted, "the tail goes on");
        Assert.Equal("", (await rest).Trim());
    }

    /// <summary>Records come so often that there is no time for a sign of life.</summary>
    [Fact]
    public async Task It_goes_on_among_records_and_ends_among_them()
    {
        using var lines = await WatchAsync(_secret);
        for (var id = 1; id <= 4; id++)
            Assert.Equal(id, IdOf(await SendLaterAsync(lines, id)));

        await EndAsync("key");

        string? line = "";
        for (var id = 5; line is not null && id <= 6; id++)
            line = await SendLaterAsync(lines, id);
        Assert.Null(line);
    }

    [Fact]
    public async Task Head_of_it_ends_with_its_headers()
    {
        using var answer = await _server.SendAsync(HttpMethod.Head, $"/v2/sinks/{_sink}/tail", _token).WaitAsync(TimeSpan.FromSeconds(30), TimeProvider.System, Cancellation);
        Assert.Equal((HttpStatusCode.OK, "application/x-ndjson"), (answer.StatusCode, answer.Content.Headers.ContentType!.ToString()));

        using var missing = await _server.SendAsync(HttpMethod.Head, $"/v2/sinks/{Guid.NewGuid()}/tail", _token);
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
        await _server.StopAsync().WaitAsync(TimeSpan.FromSeconds(20), TimeProvider.System, Cancellation); // nothing of it is under way
    }

    Task<JsonElement> SendAsync(int id) =>
        _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/sinks/{_sink}", _administrator, $$$"""{"records":[{"value":{"id":{{{id}}} }}]}""");

    async Task<string?> SendLaterAsync(StreamReader lines, int id)
    {
        _server.Time.Advance(TimeSpan.FromSeconds(10));
        await SendAsync(id);
        return await NextAsync(lines);
    }

    async Task<StreamReader> WatchAsync(string credential)
    {
        var answer = await _server.SendAsync(HttpMethod.Get, $"/v2/sinks/{_sink}/tail", credential, until: HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return new StreamReader(await answer.Content.ReadAsStreamAsync(Cancellation));
    }

    async Task EndAsync(string what)
    {
        switch (what)
        {
            case "key":
                await _server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Delete, $"/v2/users/current/keys/{_keyId}", _token);
                break;
            case "login":
                await _server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Post, "/v2/logout", _token);
                break;
            case "user":
                await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{_userId}", _administrator, """{"status":"Deactivated"}""");
                break;
            default:
                _server.Time.Advance(TimeSpan.FromMinutes(62));
                break;
        }
    }

    /// <returns><c>null</c>: the tail has ended.</returns>
    static async Task<string?> NextAsync(StreamReader lines)
    {
        var line = "";
        while (line is "")
            line = await lines.ReadLineAsync(Cancellation).AsTask().WaitAsync(TimeSpan.FromSeconds(30), TimeProvider.System, Cancellation);
        return line;
    }

    static int IdOf(string? line) => JsonElement.Parse(JsonElement.Parse(line!).GetProperty("raw").GetString()!).GetProperty("value").GetProperty("id").GetInt32();
}
