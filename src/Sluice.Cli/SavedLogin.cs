using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Cli;

/// <summary>Where the server is and who we are, as <c>sluice login</c> keeps it: <c>~/.config/sluice/login.json</c>, readable by its owner only.</summary>
sealed record SavedLogin(Uri Url, string? CaFile, string? IdToken, string? RefreshToken)
{
    static readonly TimeSpan LockPatience = TimeSpan.FromSeconds(30);
    static readonly TimeSpan LockPoll = TimeSpan.FromMilliseconds(50);

    static string FilePath => Environment.GetEnvironmentVariable("SLUICE_LOGIN_FILE") is { Length: > 0 } path
        ? path
        : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ApplicationData, Environment.SpecialFolderOption.DoNotVerify), "sluice", "login.json");

    /// <summary><c>null</c>: there is none.</summary>
    /// <exception cref="CommandException">The file is not one of ours.</exception>
    public static SavedLogin? Read()
    {
        if (!File.Exists(FilePath)) return null;
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(FilePath), SavedLoginJson.Default.SavedLogin);
        }
        catch (JsonException e)
        {
            throw new CommandException($"{FilePath} is not readable ({e.Message}). Forget it (sluice login --forget) and log in again.");
        }
    }

    public void Write()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(FilePath))!);
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        var partial = FilePath + ".new";
        File.Delete(partial); // its mode is set when it is made
        using (var file = new FileStream(partial, options)) JsonSerializer.Serialize(file, this, SavedLoginJson.Default.SavedLogin);
        File.Move(partial, FilePath, overwrite: true);
    }

    public static void Delete() => File.Delete(FilePath);

    /// <summary>Waits until no other process renews the login; none does until the result is disposed.</summary>
    /// <exception cref="IOException">Another did not come to an end in <see cref="LockPatience"/>.</exception>
    public static async Task<IDisposable> LockAsync()
    {
        for (var started = TimeProvider.System.GetTimestamp(); ;)
        {
            try
            {
                return new FileStream(FilePath + ".lock", FileMode.OpenOrCreate, FileAccess.Write, FileShare.None); // stays: who deletes it may delete another's
            }
            catch (IOException) when (TimeProvider.System.GetElapsedTime(started) < LockPatience)
            {
                await Task.Delay(LockPoll, TimeProvider.System);
            }
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(SavedLogin))]
sealed partial class SavedLoginJson : JsonSerializerContext;
