using System.CommandLine;
using System.CommandLine.Parsing;
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
                using var http = Open(parse, out var saved);
                return await run(new Session(parse, http.BaseAddress!, Ca(parse, saved), () => Client(parse, http, saved), parse.GetValue(_json)), cancellation);
            },
            cancellation));
        return this;
    }

    /// <summary>Runs with a client that is not, and the URL and authority it was asked for.</summary>
    public ServerCommand DoesUnauthenticated(Func<ParseResult, HttpClient, string?, CancellationToken, Task<int>> run)
    {
        SetAction((parse, cancellation) => RunAsync(
            async () =>
            {
                using var http = Open(parse, out var saved);
                return await run(parse, http, Ca(parse, saved), cancellation);
            },
            cancellation));
        return this;
    }

    HttpClient Open(ParseResult parse, out SavedLogin? saved)
    {
        saved = SavedLogin.Read();
        var fromEnvironment = Environment.GetEnvironmentVariable("SLUICE_URL") is { Length: > 0 } text ? ParseUrl(text) : null;
        var http = ServerConnection.Open(parse.GetValue(_url) ?? fromEnvironment ?? saved?.Url ?? DefaultUrl, Ca(parse, saved));
        http.Timeout = Patience;
        return http;
    }

    string? Ca(ParseResult parse, SavedLogin? saved) => parse.GetValue(_ca) ?? Text("SLUICE_CA") ?? saved?.CaFile;

    SluiceClient Client(ParseResult parse, HttpClient http, SavedLogin? saved)
    {
        if ((parse.GetValue(_apiKey) ?? Text("SLUICE_API_KEY") ?? saved?.ApiKey) is { } key)
        {
            var client = new SluiceClient(http);
            client.UseApiKey(key);
            return client;
        }
        if (saved?.IdToken is null) throw new CommandException("Log in first (sluice login), or set SLUICE_API_KEY.");
        if (saved.Url != http.BaseAddress) throw new CommandException($"The login is for {saved.Url}; log in to {http.BaseAddress} first.");
        var loggedIn = new SluiceClient(http)
        {
            OnTokens = tokens =>
            {
                (saved with { IdToken = tokens.IdToken, RefreshToken = tokens.RefreshToken ?? saved.RefreshToken }).Write();
                return Task.CompletedTask;
            },
        };
        loggedIn.UseToken(saved.IdToken, saved.RefreshToken);
        return loggedIn;
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

    static string? Sentence(Exception e) => e switch
    {
        SluiceApiException refused => $"The server refused: {refused.Message}",
        HttpRequestException { InnerException: AuthenticationException } => "The server's certificate is not trusted; give its authority with --ca (data/tls/ca.crt).",
        HttpRequestException { InnerException: SocketException socket } => $"The server cannot be reached: {socket.Message}.",
        HttpRequestException http => $"The server cannot be reached: {http.Message}",
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
        if (Uri.TryCreate(argument.Tokens[0].Value, UriKind.Absolute, out var parsed)) return parsed;
        argument.AddError($"{argument.Tokens[0].Value} is not an absolute URL");
        return null;
    }

    static Uri ParseUrl(string text) => Uri.TryCreate(text, UriKind.Absolute, out var url) ? url : throw new CommandException($"SLUICE_URL: {text} is not an absolute URL.");

    static string? Text(string variable) => Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
