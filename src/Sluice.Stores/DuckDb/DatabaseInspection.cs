using DuckDB.NET.Data;
using Sluice.Load;

namespace Sluice.Stores.DuckDb;

/// <summary>What a database file that no process has open says of itself, once all of it has been read.</summary>
/// <param name="Id">Of the database; <c>null</c>: an earlier version made the file, which did not write it down.</param>
/// <param name="Tables">By id.</param>
public sealed record DatabaseInspection(Guid? Id, IReadOnlyDictionary<Guid, StoredTable> Tables)
{
    /// <summary>Reads the whole file, so that every block's checksum is looked at. Nothing in it changes.</summary>
    /// <param name="tempDirectory">For what does not fit into memory; made and removed.</param>
    /// <exception cref="StoreException">The file is damaged, no database of ours, or cannot be read (<see cref="StoreException.Fault"/>).</exception>
    public static DatabaseInspection Run(string path, string tempDirectory)
    {
        var options = new DuckDbOptions();
        try
        {
            return Read(path, tempDirectory, options, options.MemoryBytes);
        }
        catch (Exception e) when (DuckDbErrors.IsOutOfMemory(e))
        {
            return Read(path, tempDirectory, options, Math.Max(options.MemoryBytes, options.MaxMemoryBytes));
        }
    }

    static DatabaseInspection Read(string path, string tempDirectory, DuckDbOptions options, long memoryBytes)
    {
        try
        {
            using var db = DuckDbInstance.OpenReadOnly(path, tempDirectory, memoryBytes, options);
            var tables = db.Query("SELECT DISTINCT table_id FROM _sluice.positions", row => row.GetGuid(0)).ToDictionary(id => id, id => InternalTables.ReadState(db, id)!);
            foreach (var name in db.Query("SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'", Name)) ReadAll(db, name);
            return new DatabaseInspection(InternalTables.ReadIdentity(db), tables);
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e))
        {
            var fault = DuckDbErrors.FaultOf(e);
            throw new StoreException(isTransient: false, $"{path}: {e.Message}{DuckDbErrors.WayOut(fault)}", e) { Fault = fault };
        }
        catch (Exception e) when (e is System.Text.Json.JsonException or InvalidDataException or FormatException or InvalidOperationException)
        {
            throw new StoreException(isTransient: false, $"{path}: what it says of its tables cannot be understood: {e.Message}{DuckDbErrors.WayOut(StoreFault.Damaged)}", e) { Fault = StoreFault.Damaged };
        }
        finally
        {
            if (Directory.Exists(tempDirectory)) Directory.Delete(tempDirectory, recursive: true);
        }
    }

    static string Name(DuckDBDataReader row) => $"{SqlTypes.Quote(row.GetString(0))}.{SqlTypes.Quote(row.GetString(1))}";

    /// <summary>A hash of every row needs every column of it.</summary>
    static void ReadAll(DuckDbInstance db, string table) => db.Query($"SELECT bit_xor(hash(t)) FROM {table} AS t", row => row.IsDBNull(0));
}
