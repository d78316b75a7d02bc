using System.Text.Json;

namespace Sluice.Records;

/// <summary>
/// Writes a row back as the value it was decoded from, each cell at the path that its mapping names: what the same mapping decodes to the same row.
/// One thread at a time.
/// </summary>
sealed class RecordText(RecordDecoder decoder)
{
    RowBatch _rows = null!;
    int _row;
    string[] _keyParts = [];
    long _recordTime;

    /// <returns>False: the mapping does not tell how the row came to be, and nothing was written.</returns>
    public bool TryWrite(Utf8JsonWriter json, RowBatch rows, int row)
    {
        (_rows, _row) = (rows, row);
        _keyParts = decoder.KeyParts.Count == 0 ? [] : CellText.OfKey(rows.Key, row).Split('|');
        if (_keyParts.Length != decoder.KeyParts.Count) return false; // a part has the separator in it
        if (rows.Columns.Any(column => column.States[row] != CellState.Absent && decoder.Root.AllFields.All(field => ColumnOf(field) != column))) return false;
        _recordTime = FindRecordTime();
        Write(json, decoder.Root, isRoot: true);
        return true;
    }

    void Write(Utf8JsonWriter json, MappingNode node, bool isRoot = false)
    {
        if (node.Fields.FirstOrDefault(field => StateOf(field) == CellState.Value) is { } field) WriteValue(json, field);
        else if (node.Elements.Any(IsPresent) && !node.Members.Any(IsPresent)) WriteArray(json, node);
        else if (isRoot || node.Members.Any(IsPresent) || node is { Fields.IsEmpty: true, Members.IsEmpty: false }) WriteObject(json, node);
        else json.WriteNullValue();
    }

    void WriteObject(Utf8JsonWriter json, MappingNode node)
    {
        json.WriteStartObject();
        foreach (var member in node.Members.Where(IsPresent))
        {
            json.WritePropertyName(member.Name);
            Write(json, member);
        }
        json.WriteEndObject();
    }

    /// <summary>Elements that no path names, or that held nothing, stand in front of those that did all the same.</summary>
    void WriteArray(Utf8JsonWriter json, MappingNode node)
    {
        json.WriteStartArray();
        var index = 0;
        foreach (var element in node.Elements.Take(1 + node.Elements.LastIndexOf(node.Elements.Last(IsPresent))))
        {
            for (; index < element.ElementIndex; index++) json.WriteNullValue();
            Write(json, element);
            index++;
        }
        json.WriteEndArray();
    }

    void WriteValue(Utf8JsonWriter json, MappedField field)
    {
        if (field.Index < 0) json.WriteStringValue(DateTimeOffset.FromUnixTimeSeconds(_recordTime));
        else if (!field.IsKey) CellText.Write(json, ColumnOf(field)!, field.Type, _row);
        else if (_keyParts.Length > 0) json.WriteStringValue(_keyParts[IndexOfPart(field)]);
        else CellText.Write(json, _rows.Key, field.Type, _row);
    }

    bool IsPresent(MappingNode node) => node.AllFields.Any(field => StateOf(field) != CellState.Absent);

    CellState StateOf(MappedField field)
    {
        if (field.IsKey) return CellState.Value;
        if (field.Index < 0) return _recordTime == ColumnBuffer.NoTime ? CellState.Absent : CellState.Value;
        return ColumnOf(field)?.States[_row] ?? CellState.Absent;
    }

    ColumnBuffer? ColumnOf(MappedField field) => decoder.Schema.FindColumn(field.Column) is { } column ? _rows.FindColumn(column.Id) : null;

    int IndexOfPart(MappedField field)
    {
        var index = 0;
        while (decoder.KeyParts[index] != field) index++;
        return index;
    }

    /// <summary>Members of sets have the time of their record where they have no other.</summary>
    long FindRecordTime()
    {
        foreach (var column in _rows.Columns)
        {
            if (!column.HasTimes || column.States[_row] != CellState.Value) continue;
            for (var member = column.Start(_row); member < column.End(_row); member++)
                if (column.MemberTimes[member] != ColumnBuffer.NoTime) return column.MemberTimes[member];
        }
        return ColumnBuffer.NoTime;
    }
}
