using System.Text;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>The values of rows that are made by a record which says nothing of a column.</summary>
public static class ColumnDefault
{
    /// <summary>Most bytes of a default: 65,536.</summary>
    public const int MaxBytes = 65_536;

    /// <summary>The default as the one row of a column.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: it is no value of the column's type, or loses digits in it.</exception>
    public static ColumnBuffer Read(Column column)
    {
        var json = Encoding.UTF8.GetBytes(column.Default ?? throw new ArgumentException($"column {column.Name} has no default", nameof(column)));
        if (json.Length > MaxBytes) throw Refuse(column, $"is longer than {MaxBytes} bytes");
        var cell = ColumnBuffer.For(column);
        var field = new MappedField(0, column.Name, "", column.Type, IsKey: false, Unit: null, column.Type.Epoch?.ToUnixTimeSeconds() ?? 0, RejectTruncation: true);
        var rows = new RecordRows([cell], columnCount: 1, nodeCount: 0);
        rows.Begin();
        var reader = new Utf8JsonReader(json);
        reader.Read();
        CellDecoder.Decode(ref reader, field, rows);
        if (rows.FirstError is { } error) throw Refuse(column, $"is no value of its type: expected {error.Expected}, got {error.Got} ({error.Code})");
        return cell.States[0] == CellState.Value ? cell : throw Refuse(column, "is null, or text that is stored as null");
    }

    /// <summary>The default as it is kept and shown: in the one form that its value has; but members with a time as they were given.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: as <see cref="Read"/>.</exception>
    public static string Normalize(Column column)
    {
        var cell = Read(column);
        if (column.Type.IsQuantum) return column.Default!;
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text)) CellText.Write(json, cell, column.Type, 0);
        return Encoding.UTF8.GetString(text.ToArray());
    }

    /// <summary>Whether a row of the batch says nothing of a column that has a default.</summary>
    public static bool IsNeeded(Column column, RowBatch rows) =>
        column.Default is not null && (rows.FindColumn(column.Id) is not { } cells || (cells.ValueCount < cells.RowCount && cells.States.Contains(CellState.Absent)));

    /// <summary>The rows as they are when the table has none of their keys.</summary>
    public static RowBatch Fill(TableSchema schema, RowBatch rows)
    {
        var needed = schema.Columns.Where(column => IsNeeded(column, rows)).ToList();
        if (needed.Count == 0) return rows;
        var others = rows.Columns.Where(cells => needed.TrueForAll(column => column.Id != cells.ColumnId));
        return rows.With(others.Concat(needed.Select(column => Fill(column, rows))));
    }

    static ColumnBuffer Fill(Column column, RowBatch rows)
    {
        var (given, fresh, filled) = (rows.FindColumn(column.Id), Read(column), ColumnBuffer.For(column));
        for (var row = 0; row < rows.RowCount; row++)
        {
            if (given is null || given.States[row] == CellState.Absent) filled.AddFrom(fresh, 0);
            else filled.AddFrom(given, row);
        }
        return filled;
    }

    static SluiceException Refuse(Column column, string why) => new(ErrorCode.InvalidParameter, $"The default of column '{column.Name}' {why}.");
}
