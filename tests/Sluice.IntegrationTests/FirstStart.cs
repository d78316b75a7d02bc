using System.Collections.Concurrent;
using System.Text.Json;
using Sluice.Server;

namespace Sluice.IntegrationTests;

/// <summary>
/// What a first start leaves in its data directory, made once and copied for each test that is not about first starts: catalogue, certificates and keys take seconds
/// to make, and so does a password's hash. The administrator has logged in, so that nobody has to do so again.
/// </summary>
static class FirstStart
{
    static readonly TimeSpan TokenIsGoodFor = TimeSpan.FromMinutes(30); // half of its life
    static readonly ConcurrentDictionary<string, Lazy<Task<Made>>> s_made = new(StringComparer.Ordinal); // by the administrator's address

    /// <param name="LogIn">The answer to the login.</param>
    sealed record Made(string Directory, JsonElement LogIn, long At);

    /// <summary>Copies it into a data directory, unless somebody has started there before.</summary>
    public static async Task CopyAsync(string email, string dataDirectory)
    {
        if (File.Exists(Path.Combine(dataDirectory, "catalog.sqlite"))) return;
        var from = (await MadeAsync(email)).Directory;
        Directory.CreateDirectory(dataDirectory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (var directory in Directory.EnumerateDirectories(from, "*", SearchOption.AllDirectories))
            Directory.CreateDirectory(Path.Combine(dataDirectory, Path.GetRelativePath(from, directory)), File.GetUnixFileMode(directory));
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories)) File.Copy(file, Path.Combine(dataDirectory, Path.GetRelativePath(from, file)));
    }

    /// <summary>What the administrator got who logged in before the copies were made; <c>null</c>: too long ago.</summary>
    public static async Task<JsonElement?> LogInAsync(string email)
    {
        var made = await MadeAsync(email);
        return TimeProvider.System.GetElapsedTime(made.At) < TokenIsGoodFor ? made.LogIn : null;
    }

    static Task<Made> MadeAsync(string email) => s_made.GetOrAdd(email, _ => new Lazy<Task<Made>>(() => MakeAsync(email))).Value;

    static async Task<Made> MakeAsync(string email)
    {
        var directory = Directory.CreateTempSubdirectory("sluice-first-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(directory, recursive: true);
        await using (var app = ServerApp.Build(
            [
                "--data", directory, "--https-port", "0", "--http-port", "0", "--Sluice:Administrator:Email", email, "--Sluice:Administrator:Password", ServerProcess.Password,
                "--Logging:LogLevel:Default", "None", "--Logging:LogLevel:Microsoft", "None",
            ],
            TimeProvider.System, TextWriter.Null, (_, _) => Task.FromResult<Engine?>(null)))
        {
            await app.StartAsync(CancellationToken.None);
            using var anonymous = new ApiClient(app.HttpAddress.Port);
            var answer = await anonymous.PostAsync("", $$"""{"USERNAME":"{{email}}","PASSWORD":"{{ServerProcess.Password}}"}""", CancellationToken.None);
            var logIn = JsonElement.Parse(answer.Text).GetProperty("AuthenticationResult");
            await app.StopAsync();
            Directory.Delete(Path.Combine(directory, "audit"), recursive: true);
            File.Delete(Path.Combine(directory, "lock"));
            return new Made(directory, logIn, TimeProvider.System.GetTimestamp());
        }
    }
}
