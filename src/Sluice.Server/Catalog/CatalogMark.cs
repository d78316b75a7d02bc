using System.Globalization;
using System.IO.Hashing;
using System.Text;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Sluice.Server.Catalog;

/// <summary>
/// How many changes of the catalogue were acknowledged: <c>catalog.mark</c>, replaced after each change is durable and before anybody is told. SQLite takes its
/// write-ahead log up to the first frame that is damaged and says nothing: without the mark, the changes from there on would be gone silently. Any thread.
/// </summary>
/// <remarks>A process that dies between a change and its mark leaves a mark that is too low, which is no fault; none is ever too high.</remarks>
sealed class CatalogMark(DataDirectory data, ILogger<CatalogMark> logger)
{
    readonly Lock _gate = new();
    long _written = long.MaxValue; // until the catalogue is open

    /// <returns>0: there is none, as in a restored directory.</returns>
    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>.</exception>
    public static long Read(DataDirectory data)
    {
        var path = PathOf(data);
        if (!File.Exists(path)) return 0;
        var text = File.ReadAllText(path, Encoding.Latin1);
        return long.TryParse(text.Split(' ')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var changes) && text == TextOf(changes)
            ? changes
            : throw new StartupException(ExitCode.DamagedData, $"{path}, which says how far catalog.sqlite was acknowledged, is damaged: delete it if the catalogue is known to be good");
    }

    /// <summary>Begins to keep the mark. The catalogue is open, and has its checksum.</summary>
    public void Begin(SqliteConnection connection)
    {
        Volatile.Write(ref _written, Read(data));
        Advance(connection);
    }

    /// <summary>Moves the mark to what is durable. The connection is about to be closed.</summary>
    public void Advance(SqliteConnection connection)
    {
        if (Volatile.Read(ref _written) == long.MaxValue || raw.sqlite3_get_autocommit(connection.Handle) == 0) return; // what is in a transaction is not durable
        try
        {
            var changes = CatalogSum.ChangesOf(connection);
            lock (_gate)
            {
                if (changes <= _written) return;
                SafeFile.WriteSecret(PathOf(data), TextOf(changes));
                Volatile.Write(ref _written, changes);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or SqliteException)
        {
            logger.CatalogueNotMarked(e); // the change is durable, and damage to it would not be noticed
        }
    }

    static string PathOf(DataDirectory data) => Path.Combine(data.Path, "catalog.mark");

    static string TextOf(long changes)
    {
        var number = changes.ToString(CultureInfo.InvariantCulture);
        return $"{number} {XxHash3.HashToUInt64(Encoding.ASCII.GetBytes(number)):x16}\n";
    }
}
