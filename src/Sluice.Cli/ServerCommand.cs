using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Text.Json;
using Sluice.Client;

namespace Sluice.Cli;

/// <summary>
/// A command that talks to a server. Where it is and who asks comes from the options, else from SLUICE_URL, SLUICE_CA and SLUICE_API_KEY, else from
/// what <c>sluice login</c> kept.
/// </summary>
sealed class ServerCommand : Command
{
    static readonly Uri DefaultUrl = new("https://localhost:7443");

    readonly Option<Uri?> _url = UrlOption();
    readonly Option<string?> _ca = new("--ca") { Description = "Certificate authority to trust (PEM), as in data/tls/ca.crt." };
    readonly Option<string?> _apiKey = new("--api-key") { Description = "API key to use instead of a login; better given as SLUICE_API_KEY." };
    readonly Option<bool> _json = new("--json") { Description = "Print the server's JSON." };

    /// <summary>How long an answer may take; by default longer than a server lets anything take that it limits.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(6);

    public ServerCommand(string name, string description, params Symbol[] symbols) : base(name, description)
    {
        foreach (var symbol in symbols)
        {
            if (symbol is Argument argument) Add(argument);
            else Add((Option)symbol);
        }
        foreach (var option in new Option[] { _url, _ca, _apiKey, _json }) Add(option);
    }

    /// <summary>Runs with a client that is logged in.</summary>
    public ServerCommand Does(Func<Session, CancellationToken, Task<int>> run)
    {
        SetAction((parse, cancellation) => RunAsync(
            async () =>
            {
                var saved = SavedLogin.Read();
                var server = Find(parse, saved);
                using var http = server.Connect();
                http.Timeout = Patience;
                return await run(new Session(parse, server, () => Client(parse, http, saved), parse.GetValue(_json)), cancellation);
            },
            cancellation));
        return this;
    }

    /// <summary>Runs without a login, with what finds the server that is meant.</summary>
    public ServerCommand DoesUnauthenticated(Func<ParseResult, Func<ServerAddress>, CancellationToken, Task<int>> run)
    {
        SetAction((parse, cancellation) => RunAsync(() => run(parse, () => Find(parse, SavedLogin.Read()), cancellation), cancellation));
        return this;
    }

    ServerAddress Find(ParseResult parse, SavedLogin? saved)
    {
        var url = parse.GetValue(_url) ?? (Text("SLUICE_URL") is { } text ? ParseUrl(text) : null) ?? saved?.Url ?? DefaultUrl;
        // whom a login trusts, it trusts for its own server
        return new ServerAddress(url, parse.GetValue(_ca) ?? Text("SLUICE_CA") ?? (saved?.Url == url ? saved.CaFile : null));
    }

    SluiceClient Client(ParseResult parse, HttpClient http, SavedLogin? saved)
    {
        if ((parse.GetValue(_apiKey) ?? Text("SLUICE_API_KEY")) is { } key)
        {
            var client = new SluiceClient(http);
            client.UseApiKey(key);
            return client;
        }
        if (saved?.IdToken is null) throw new CommandException("Log in first (sluice login), or set SLUICE_API_KEY.");
        if (saved.Url != http.BaseAddress) throw new CommandException($"The login is for {saved.Url}; log in to {http.BaseAddress} first.");
        return LoggedIn(http, saved);
    }

    /// <summary>A client with a kept login that other processes use and renew too.</summary>
    static SluiceClient LoggedIn(HttpClient http, SavedLogin ours)
    {
        SluiceClient? client = null;
        client = new SluiceClient(http)
        {
            OnRenewal = async renew =>
            {
                using var only = await SavedLogin.LockAsync();
                if (SavedLogin.Read() is { RefreshToken: { } newest } kept && kept.Url == ours.Url) ours = ours with { RefreshToken = newest };
                client!.UseToken(ours.IdToken!, ours.RefreshToken);
                await renew();
            },
            OnTokens = tokens =>
            {
                var isKept = SavedLogin.Read() is { } kept && kept.RefreshToken == ours.RefreshToken; // else it was forgotten, or is for another server now
                ours = ours with { IdToken = tokens.IdToken, RefreshToken = tokens.RefreshToken ?? ours.RefreshToken };
                if (isKept) ours.Write();
                return Task.CompletedTask;
            },
        };
        client.UseToken(ours.IdToken!, ours.RefreshToken);
        return client;
    }

    /// <summary>The edge of every command: what goes wrong becomes a sentence and an exit code.</summary>
    static async Task<int> RunAsync(Func<Task<int>> run, CancellationToken cancellation)
    {
        try
        {
            return await run();
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return ExitCode.Interrupted;
        }
        catch (Exception e) when (Sentence(e) is { } sentence)
        {
            await Console.Error.WriteLineAsync(sentence);
            return ExitCode.Failed;
        }
    }

    /// <returns><c>null</c>: nothing that its user could help.</returns>
    public static string? Sentence(Exception e) => e switch
    {
        SluiceApiException refused => $"The server refused: {refused.Message}",
        HttpRequestException { InnerException: AuthenticationException } => "The server's certificate is not trusted; give its authority with --ca (data/tls/ca.crt).",
        HttpRequestException { InnerException: SocketException socket } => $"The server cannot be reached: {socket.Message}.",
        HttpRequestException { HttpRequestError: HttpRequestError.Unknown, InnerException: null, StatusCode: null } unsent => $"The request cannot be sent; is the API key one? {unsent.Message}",
        HttpRequestException http => $"The server cannot be reached: {http.Message}",
        FormatException format => $"The request cannot be sent; is the API key one? {format.Message}", // of a header
        TaskCanceledException => "The server did not answer in time.",
        CommandException or IOException or UnauthorizedAccessException or CryptographicException => e.Message,
        JsonException => $"Not the JSON that was expected: {e.Message}",
        _ => null,
    };

    static Option<Uri?> UrlOption() => new("--url")
    {
        Description = "Origin of the server; https://localhost:7443 unless set or kept by login.",
        CustomParser = ParseUrl,
    };

    public static Uri? ParseUrl(ArgumentResult argument)
    {
        if (TryParseUrl(argument.Tokens[0].Value, out var parsed)) return parsed;
        argument.AddError($"{argument.Tokens[0].Value} is not an absolute URL with http or https");
        return null;
    }

    static Uri ParseUrl(string text) => TryParseUrl(text, out var url) ? url : throw new CommandException($"SLUICE_URL: {text} is not an absolute URL with http or https.");

    static bool TryParseUrl(string text, [NotNullWhen(true)] out Uri? url) => Uri.TryCreate(text, UriKind.Absolute, out url) && (url.Scheme == Uri.UriSchemeHttps || url.Scheme == Uri.UriSchemeHttp);

    static string? Text(string variable) => Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
