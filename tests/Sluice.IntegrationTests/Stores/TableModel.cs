using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.IntegrationTests.Stores;

/// <summary>A row as it must be in the store: canonical texts by column name, and the hidden columns.</summary>
public sealed record StoredRow(IReadOnlyDictionary<string, string?> Values, Guid SinkId, long IngestedAtMicroseconds, ulong Position);

/// <summary>What a table must hold: a dictionary with the rules of loading written as plainly as possible.</summary>
public sealed class TableModel
{
    sealed class Row
    {
        public Dictionary<int, object?> Values { get; } = [];
        public RowOrigin Origin { get; set; }
        public ulong Position { get; set; }
    }

    readonly Dictionary<object, Row> _rows = [];

    public IReadOnlyCollection<object> Keys => _rows.Keys;

    public void Load(TableSchema schema, IReadOnlyList<TestRow> rows, ulong sequence)
    {
        for (var i = 0; i < rows.Count; i++)
        {
            var isNew = !_rows.TryGetValue(rows[i].Key, out var row);
            if (row is null) _rows.Add(rows[i].Key, row = new Row());
            row.Origin = TestRows.OriginOf(sequence);
            row.Position = LogPosition.OfRecord(sequence, i);
            foreach (var column in schema.Columns)
            {
                var cell = TestRows.CellOf(rows[i], column);
                if (isNew && cell.State == CellState.Absent && column.Default is not null) row.Values[column.Id] = TestRows.DefaultOf(column.Type).Value;
                else Apply(row, column, cell);
            }
        }
    }

    public Dictionary<string, StoredRow> Rows(TableSchema schema) => _rows.ToDictionary(
        row => row.Key.ToString()!,
        row => new StoredRow(
            schema.Columns.ToDictionary(
                column => column.Name, column => TestRows.Canonical(column.Type, row.Value.Values.GetValueOrDefault(column.Id))),
            row.Value.Origin.SinkId, row.Value.Origin.ReceivedAtMicroseconds, row.Value.Position));

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
