using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.IntegrationTests.Stores;

/// <summary>A row as it must be in the store: canonical texts by column name, and the hidden columns.</summary>
public sealed record StoredRow(IReadOnlyDictionary<string, string?> Values, Guid SinkId, long IngestedAtMicroseconds, ulong Position)
{
    public long? Version { get; init; }
}

/// <summary>One record as it was sent.</summary>
public sealed record TestRecord(TestRow Row, RecordOperation Operation, long? Version);

/// <summary>What becomes of a record.</summary>
public enum ModelOutcome
{
    Loaded,
    Superseded,
    KeyExists,
    KeyMissing,
}

/// <summary>What a table must hold: a dictionary with the rules of loading written as plainly as possible.</summary>
public sealed class TableModel
{
    sealed class Row
    {
        public Dictionary<int, object?> Values { get; } = [];
        public RowOrigin Origin { get; set; }
        public ulong Position { get; set; }
        public long? Version { get; set; }
    }

    readonly Dictionary<object, Row> _rows = [];
    readonly Dictionary<object, (long Version, DateTimeOffset Time)> _tombstones = [];

    public IReadOnlyCollection<object> Keys => _rows.Keys;

    /// <summary>Records applied so far.</summary>
    public int RecordCount { get; private set; }

    public void Load(TableSchema schema, IReadOnlyList<TestRow> rows, ulong sequence)
    {
        for (var i = 0; i < rows.Count; i++)
            Apply(schema, new TestRecord(rows[i], RecordOperation.Upsert, null), TestRows.OriginOf(sequence), LogPosition.OfRecord(sequence, i), DateTimeOffset.MinValue, TimeSpan.Zero);
    }

    /// <summary>Applies one record.</summary>
    /// <param name="now">When it is loaded.</param>
    /// <param name="tombstoneWindow">How long a delete with a version is remembered.</param>
    public ModelOutcome Apply(TableSchema schema, TestRecord record, RowOrigin origin, ulong position, DateTimeOffset now, TimeSpan tombstoneWindow)
    {
        RecordCount++;
        var key = record.Row.Key;
        _rows.TryGetValue(key, out var row);
        if (record.Version < row?.Version) return ModelOutcome.Superseded;
        if (_tombstones.TryGetValue(key, out var tombstone) && record.Version < tombstone.Version && tombstone.Time >= now - tombstoneWindow) return ModelOutcome.Superseded;
        switch (record.Operation)
        {
            case RecordOperation.Insert when row is not null: return ModelOutcome.KeyExists;
            case RecordOperation.Patch when row is null: return ModelOutcome.KeyMissing;
            case RecordOperation.Remove when row is null: return ModelOutcome.Loaded;
            case RecordOperation.Delete:
                _rows.Remove(key);
                if (record.Version is { } version) _tombstones[key] = (version, now);
                return ModelOutcome.Loaded;
        }
        var isNew = row is null || record.Operation == RecordOperation.Replace;
        if (row is null) _rows.Add(key, row = new Row());
        else if (isNew) row.Values.Clear();
        (row.Origin, row.Position, row.Version) = (origin, position, record.Version ?? row.Version);
        foreach (var column in schema.Columns)
        {
            var cell = TestRows.CellOf(record.Row, column);
            if (isNew && cell.State == CellState.Absent && column.Default is not null) row.Values[column.Id] = TestRows.DefaultOf(column.Type).Value;
            else if (record.Operation == RecordOperation.Remove) Remove(row, column, cell);
            else Apply(row, column, cell);
        }
        return ModelOutcome.Loaded;
    }

    public Dictionary<string, StoredRow> Rows(TableSchema schema) => _rows.ToDictionary(
        row => row.Key.ToString()!,
        row => new StoredRow(
            schema.Columns.ToDictionary(
                column => column.Name, column => TestRows.Canonical(column.Type, row.Value.Values.GetValueOrDefault(column.Id))),
            row.Value.Origin.SinkId, row.Value.Origin.ReceivedAtMicroseconds, row.Value.Position)
        { Version = row.Value.Version });

    /// <summary>Takes members out, whatever their times.</summary>
    static void Remove(Row row, Column column, Cell cell)
    {
        if (cell.State != CellState.Value || row.Values.GetValueOrDefault(column.Id) is not Member[] members) return;
        var removed = ((Member[])cell.Value!).Select(member => member.Value).ToHashSet();
        row.Values[column.Id] = members.Where(member => !removed.Contains(member.Value)).ToArray();
    }

    static void Apply(Row row, Column column, Cell cell)
    {
        var stored = row.Values.GetValueOrDefault(column.Id);
        row.Values[column.Id] = (cell.State, column.Type.IsSet) switch
        {
            (CellState.Absent, _) => stored,
            (CellState.Null, true) => stored,
            (CellState.Null, false) => null,
            (_, true) when stored is Member[] members => members.Union((Member[])cell.Value!).ToArray(),
            _ => cell.Value,
        };
    }
}
