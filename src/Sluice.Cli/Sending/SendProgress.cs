using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Cli.Sending;

/// <summary>How far a file has been sent, kept beside it so that a run that was interrupted goes on where it stopped.</summary>
/// <param name="FileBytes">Size and time of the file: another file under the same name begins anew.</param>
/// <param name="Batching">What the cut into requests depends on: with another one the numbers below mean something else.</param>
/// <param name="KeyPrefix">Of the idempotency keys: what was stored and not answered for is not stored again.</param>
/// <param name="Requests">Requests answered, without a gap.</param>
/// <param name="Records">Records in them.</param>
/// <param name="RejectedBytes">Length of the file of rejected records at that point.</param>
/// <param name="RejectedFile">Full path of that file.</param>
/// <param name="KeptAt">When this was kept.</param>
sealed record SendProgress(
    long FileBytes, DateTime FileTime, string Batching, string KeyPrefix, long Requests, long Records, long Accepted, long Rejected, long RejectedBytes, string? RejectedFile, DateTime KeptAt)
{
    /// <summary>How long a server knows idempotency keys. Later it would store again what was under way when the run was cut short.</summary>
    public static TimeSpan KeysKnownFor => TimeSpan.FromHours(24);

    public static string PathFor(string file, Guid sink) => $"{file}.{sink:n}.progress";

    /// <summary><c>null</c>: there is none for this file as it is.</summary>
    public static SendProgress? Read(string path, FileInfo file, string batching)
    {
        if (!File.Exists(path)) return null;
        try
        {
            var progress = JsonSerializer.Deserialize(File.ReadAllBytes(path), SendProgressJson.Default.SendProgress);
            return progress is not null && progress.FileBytes == file.Length && progress.FileTime == file.LastWriteTimeUtc && progress.Batching == batching ? progress : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public void Write(string path)
    {
        File.WriteAllBytes(path + ".new", JsonSerializer.SerializeToUtf8Bytes(this, SendProgressJson.Default.SendProgress));
        File.Move(path + ".new", path, overwrite: true);
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(SendProgress))]
sealed partial class SendProgressJson : JsonSerializerContext;
