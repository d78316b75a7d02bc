using System.Collections.Immutable;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>A table as SQL sees it.</summary>
/// <param name="Source">The table in the store, for <see cref="QueryTable.Source"/>.</param>
/// <param name="SpaceUsed">Bytes; 0 when not known.</param>
sealed record SqlTable(
    TableSchema Schema, string Source, string Description, string Owner, string UpdatedBy, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt, long SpaceUsed)
{
    /// <summary>When columns were added, by their ids; one that is not here is as old as the table.</summary>
    public IReadOnlyDictionary<int, DateTimeOffset> ColumnTimes { get; init; } = ImmutableDictionary<int, DateTimeOffset>.Empty;
}

sealed record SqlDatabase(
    Guid Id, string Name, string Description, string Owner, string UpdatedBy, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt);

/// <summary>Who runs a statement, and on which database.</summary>
sealed record SqlContext(Guid DatabaseId, Caller Caller)
{
    /// <summary>Answers the plan of a query beside its rows.</summary>
    public bool WithPlan { get; init; }

    /// <summary>Most rows of a query that are answered; what comes after them is left out. <c>null</c>: all.</summary>
    public long? FirstRows { get; init; }

    /// <summary>The statement runs only when the rows of these requests are visible; <c>null</c>: at once.</summary>
    public QueryAfter? After { get; init; }
}

/// <summary>Runs a query; see <see cref="UserQuery.RunAsync"/>.</summary>
delegate Task RunQuery(
    Guid databaseId, string sql, QueryForm form, IReadOnlyCollection<QueryTable> tables, Func<QueryResult, ValueTask> consume, CancellationToken cancellation);

/// <summary>Runs a query and makes a Parquet file of its rows; see <see cref="UserQuery.ExportAsync"/>.</summary>
delegate Task<FileStream> ExportQuery(Guid databaseId, string sql, IReadOnlyCollection<QueryTable> tables, CancellationToken cancellation);

/// <summary>Appends rows and returns when they are loaded; see <see cref="Table.InsertAsync"/>.</summary>
delegate ValueTask<BatchOutcome> InsertValues(
    SqlContext context, Guid tableId, ReadOnlyMemory<byte> values, IReadOnlyList<string> columns, RecordOperation operation, CancellationToken cancellation);

/// <summary>
/// What SQL statements act on: the host's control plane, engine and stores. Every member authorises its caller. All throw
/// <see cref="SluiceException"/>; an unknown database is <see cref="ErrorCode.NotFound"/>.
/// </summary>
sealed record SqlPlane
{
    public required Func<SqlContext, CancellationToken, Task<IReadOnlyList<SqlTable>>> ListTables { get; init; }

    /// <summary>Returns when the rows of the requests are visible; throws when that takes too long.</summary>
    public required Func<SqlContext, QueryAfter, CancellationToken, Task> WaitLoaded { get; init; }

    public required Func<SqlContext, CancellationToken, Task<IReadOnlyList<SqlDatabase>>> ListDatabases { get; init; }

    /// <summary>Makes a table with its columns; returns when the store has it.</summary>
    public required Func<SqlContext, CreateTable, CancellationToken, Task> CreateTable { get; init; }

    public required Func<SqlContext, SqlTable, NewColumn, CancellationToken, Task> AddColumn { get; init; }

    public required Func<SqlContext, SqlTable, string, CancellationToken, Task> DropColumn { get; init; }

    /// <summary>From a name to another.</summary>
    public required Func<SqlContext, SqlTable, string, string, CancellationToken, Task> RenameColumn { get; init; }

    public required Func<SqlContext, SqlTable, CancellationToken, Task> DropTable { get; init; }

    /// <summary>Zero: rows are kept for ever.</summary>
    public required Func<SqlContext, SqlTable, TimeSpan, CancellationToken, Task> SetRetention { get; init; }

    public required InsertValues Insert { get; init; }

    /// <summary>Deletes the rows a predicate names, all when there is none; see <see cref="Table.DeleteAsync"/>.</summary>
    public required Func<SqlContext, SqlTable, string?, CancellationToken, Task<long?>> Delete { get; init; }

    public required RunQuery Query { get; init; }

    public required ExportQuery Export { get; init; }

    /// <summary>Is told of every statement that changes rows or definitions, with its text, after it ran or failed.</summary>
    public required Action<SqlContext, string, AuditResult> NoteWrite { get; init; }

    /// <summary>Bytes of one answer; more is an error.</summary>
    public required long MaxAnswerBytes { get; init; }

    public required TimeProvider Time { get; init; }
}
