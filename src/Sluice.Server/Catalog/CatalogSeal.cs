using System.Security.Cryptography;
using Microsoft.Data.Sqlite;

namespace Sluice.Server.Catalog;

/// <summary>
/// The checksum of the catalogue's file while no server runs: <c>catalog.sha256</c>, written when a server has stopped and removed when one starts. It finds every
/// flipped bit and another catalogue; a server that was killed leaves no seal, and its catalogue is held against <see cref="CatalogSum"/> alone.
/// </summary>
static class CatalogSeal
{
    /// <summary>Writes the seal. All connections of the host are closed but for those in the pool.</summary>
    public static void Write(DataDirectory data)
    {
        if (!File.Exists(data.CatalogFile)) return;
        using (var catalog = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = data.CatalogFile, Pooling = false }.ToString()))
        {
            catalog.Open();
            using var command = catalog.CreateCommand();
            command.CommandText = "PRAGMA wal_checkpoint(TRUNCATE)"; // into the one file
            command.ExecuteNonQuery();
        }
        if (!HasLog(data)) SafeFile.WriteSecret(PathOf(data), HashOf(data));
    }

    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: the catalogue is not what the last server left.</exception>
    public static void Verify(DataDirectory data)
    {
        if (!File.Exists(PathOf(data)) || !File.Exists(data.CatalogFile)) return;
        if (HasLog(data) || File.ReadAllText(PathOf(data)) != HashOf(data))
            throw new StartupException(
                ExitCode.DamagedData, $"the catalogue {data.CatalogFile} is not what the last server left: it is damaged, or another. Restore it from a backup, or delete {PathOf(data)} if it was changed on purpose");
    }

    /// <summary>From here on the catalogue changes. Durable before it does: an old seal would be held against it after a power loss.</summary>
    public static void Break(DataDirectory data)
    {
        if (!File.Exists(PathOf(data))) return;
        File.Delete(PathOf(data));
        Posix.SyncDirectory(data.Path);
    }

    static string PathOf(DataDirectory data) => Path.Combine(data.Path, "catalog.sha256");

    static bool HasLog(DataDirectory data) => new FileInfo(data.CatalogFile + "-wal") is { Exists: true, Length: > 0 };

    static string HashOf(DataDirectory data)
    {
        using var file = new FileStream(data.CatalogFile, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        return Convert.ToHexStringLower(SHA256.HashData(file)) + "  catalog.sqlite\n";
    }
}
