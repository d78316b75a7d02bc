using System.IO.Pipelines;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;
using Sluice.Server.Sql;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>What the audit log is told of a statement that reached the plane and came to no answer.</summary>
public sealed class WriteAuditTests : IDisposable
{
    readonly QueryDatabase _database = new();

    public static TheoryData<string> Statements =>
    [
        "INSERT INTO iris (_id, count) VALUES (1, 2)",
        "BULK INSERT INTO iris (_id, count) MAP (0 ID, 1 INT) FROM '1,2' WITH INPUT 'INLINE' FORMAT 'CSV'",
        "DELETE FROM iris",
        "DROP TABLE iris",
    ];

    public void Dispose() => _database.Dispose();

    [Theory]
    [MemberData(nameof(Statements))]
    public async Task A_write_is_noted_as_unknown_when_its_caller_left_or_waited_for_too_long(string sql)
    {
        Exception[] faults =
        [
            new OperationCanceledException(), new IOException("gone"),
            new SluiceException(ErrorCode.Unavailable, "It is durable, but was not applied.") { Outcome = RefusalOutcome.Unknown },
        ];
        foreach (var fault in faults)
        {
            _database.Writes.Clear();
            Assert.Same(fault, await Assert.ThrowsAnyAsync<Exception>(() => RunAsync(sql, fault)));
            Assert.Equal([(sql, AuditResult.Unknown)], _database.Writes);
        }
    }

    [Theory]
    [MemberData(nameof(Statements))]
    public async Task A_write_that_is_refused_is_noted_as_failed_and_one_that_is_denied_elsewhere(string sql)
    {
        await Assert.ThrowsAsync<SluiceException>(() => RunAsync(sql, new SluiceException(ErrorCode.LogBacklog, "Too much waits.")));
        await Assert.ThrowsAsync<SluiceException>(() => RunAsync(sql, new SluiceException(ErrorCode.Forbidden, "No.")));
        Assert.Equal([(sql, AuditResult.Failed)], _database.Writes);
    }

    [Fact]
    public async Task A_query_that_is_given_up_is_not_noted()
    {
        await Assert.ThrowsAsync<OperationCanceledException>(() => RunAsync("SELECT 1", new OperationCanceledException()));
        Assert.Empty(_database.Writes);
    }

    /// <summary>Runs the statement on a plane whose changes, and whose queries of rows, end with the fault.</summary>
    async Task RunAsync(string sql, Exception fault)
    {
        var works = _database.Plane();
        var plane = works with
        {
            Insert = (_, _, _, _, _, _) => throw fault,
            Delete = (_, _, _, _) => throw fault,
            DropTable = (_, _, _) => throw fault,
            Query = (database, text, form, tables, consume, cancellation) => form == QueryForm.Rows ? throw fault : works.Query(database, text, form, tables, consume, cancellation),
        };
        var context = new SqlContext(Guid.Empty, new Caller(Guid.Empty, "tester@localhost", Role.Administrator, null));
        await new SqlStatements(plane).RunAsync(context, sql, new Pipe().Writer, TestContext.Current.CancellationToken);
    }
}
