using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Server.Backup;

/// <summary>Where a table is in a backup.</summary>
/// <param name="Sequence">Every request acknowledged up to this sequence of the log is in the backup.</param>
/// <param name="LoadedSequence">What is up to here is in the database file, the rest in the log.</param>
sealed record BackupTable(Guid TableId, Guid DatabaseId, string Name, Guid LogId, uint Incarnation, ulong Sequence, ulong LoadedSequence);

/// <param name="Path">In the backup and in a data directory, with slashes.</param>
sealed record BackupFile(string Path, long Bytes, string Sha256);

/// <summary>What is in a backup: <c>manifest.json</c>, with the SHA-256 of its own in <c>manifest.sha256</c>, as sha256sum writes it.</summary>
sealed record BackupManifest(int Format, string Name, DateTime TakenAt, IReadOnlyList<BackupTable> Tables, IReadOnlyList<BackupFile> Files)
{
    public const int CurrentFormat = 1;

    const string FileName = "manifest.json";
    const string HashName = "manifest.sha256";

    public long Bytes => Files.Sum(file => file.Bytes);

    /// <summary>The files in a directory, with their checksums.</summary>
    public static IReadOnlyList<BackupFile> ReadFiles(string directory, CancellationToken cancellation) =>
    [
        .. FindFiles(directory).Select(path =>
        {
            cancellation.ThrowIfCancellationRequested();
            var full = Path.Combine(directory, path);
            return new BackupFile(path, new FileInfo(full).Length, HashOf(full));
        }),
    ];

    public void Write(string directory)
    {
        var json = JsonSerializer.Serialize(this, BackupJson.Default.BackupManifest);
        SafeFile.WriteSecret(Path.Combine(directory, FileName), json);
        SafeFile.WriteSecret(Path.Combine(directory, HashName), $"{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(json)))}  {FileName}\n");
    }

    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: no backup, or its manifest is damaged or of a later version.</exception>
    public static BackupManifest Read(string directory)
    {
        var path = Path.Combine(directory, FileName);
        if (!File.Exists(path) || !File.Exists(Path.Combine(directory, HashName)))
            throw Damaged($"{directory} is no complete backup: it has no {FileName}, or no {HashName}");
        var json = File.ReadAllBytes(path);
        if (File.ReadAllText(Path.Combine(directory, HashName)) != $"{Convert.ToHexStringLower(SHA256.HashData(json))}  {FileName}\n")
            throw Damaged($"{path} is damaged: it has not the checksum of {HashName}");
        var manifest = JsonSerializer.Deserialize(json, BackupJson.Default.BackupManifest)!;
        return manifest.Format == CurrentFormat ? manifest : throw Damaged($"{path} was written by a later version (format {manifest.Format})");
    }

    /// <summary>Holds the files of a backup against the manifest.</summary>
    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: a file is missing, damaged, or not of the backup; all are named.</exception>
    public void Verify(string directory)
    {
        var present = FindFiles(directory).ToHashSet(StringComparer.Ordinal);
        var faults = new List<string>();
        foreach (var file in Files)
        {
            var path = Path.Combine(directory, file.Path);
            if (!present.Remove(file.Path)) faults.Add($"{path} is missing");
            else if (new FileInfo(path).Length is var length && length != file.Bytes) faults.Add($"{path} has {length} bytes instead of {file.Bytes}");
            else if (HashOf(path) != file.Sha256) faults.Add($"{path} is damaged: its checksum is another");
        }
        faults.AddRange(present.Where(path => path is not (FileName or HashName)).Select(path => $"{Path.Combine(directory, path)} is not of the backup"));
        if (faults.Count > 0) throw Damaged(string.Join(Environment.NewLine, faults));
    }

    /// <summary>Paths of all files below a directory, sorted, with slashes.</summary>
    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: something below it is a link: it may lead anywhere.</exception>
    static IEnumerable<string> FindFiles(string directory)
    {
        var everything = new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 };
        foreach (var entry in new DirectoryInfo(directory).EnumerateFileSystemInfos("*", everything).OrderBy(entry => entry.FullName, StringComparer.Ordinal))
        {
            if (entry.LinkTarget is not null) throw Damaged($"{entry.FullName} is a link; a backup has none");
            if (entry is FileInfo) yield return Path.GetRelativePath(directory, entry.FullName);
        }
    }

    static string HashOf(string path)
    {
        using var file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    static StartupException Damaged(string message) => new(ExitCode.DamagedData, message);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(BackupManifest))]
sealed partial class BackupJson : JsonSerializerContext;
