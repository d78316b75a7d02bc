using DuckDB.NET.Data;
using Sluice.Stores.DuckDb;

namespace Sluice.IntegrationTests.Sql;

/// <summary>A Parquet file, read by a DuckDB of its own.</summary>
static class ParquetFile
{
    public static string Scalar(string path, string expression)
    {
        using var connection = new DuckDBConnection("DataSource=:memory:");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = $"SELECT ({expression})::VARCHAR FROM read_parquet({UserQuery.Literal(path)})";
        return (string)command.ExecuteScalar()!;
    }
}
