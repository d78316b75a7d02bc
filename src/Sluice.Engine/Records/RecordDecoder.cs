using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>
/// Decodes records for one mapping version and one schema version: JSON text straight into column buffers, or all errors of the record.
/// Never throws for what a record holds.
/// </summary>
/// <remarks>Immutable but for the pool of buffers; any thread.</remarks>
public sealed class RecordDecoder
{
    const int PooledRows = 64;

    readonly MappingNode _root;
    readonly int _nodeCount;
    readonly MappedField[] _fields; // by buffer
    readonly Column[] _columns; // of _fields[1..]
    readonly MappedField[] _keyParts; // of a key that is joined; in buffers behind those of _fields
    readonly Column[] _unmappedRequired;
    readonly bool _hasRequired;
    readonly int? _unknownPaths; // null: drift is not counted
    readonly bool _allowMissing;
    readonly ConcurrentBag<RecordRows> _pool = [];

    RecordDecoder(TableSchema schema, SinkDefinition sink, MappedField[] fields, Column[] columns, MappedField[] keyParts, MappingNode root, int nodeCount, int? unknownPaths)
    {
        _unknownPaths = unknownPaths;
        (Schema, MappingVersion, _fields, _columns, _keyParts, _root, _nodeCount) = (schema, sink.MappingVersion, fields, columns, keyParts, root, nodeCount);
        _allowMissing = sink.AllowMissingFields;
        KeepsRaw = sink.Quarantine.KeepRaw;
        _unmappedRequired = [.. schema.Columns.Where(column => column.IsRequired && column.Default is null && !columns.Contains(column))];
        _hasRequired = _unmappedRequired.Length > 0 || columns.Any(column => column.IsRequired);
    }

    public TableSchema Schema { get; }

    public int MappingVersion { get; }

    internal MappingNode Root => _root;

    /// <summary>What a key is joined from, in order; none where it is one value, or made by the server.</summary>
    internal IReadOnlyList<MappedField> KeyParts => _keyParts;

    /// <summary>Whether the text of rejected records goes to the log.</summary>
    internal bool KeepsRaw { get; }

    /// <summary>Prepares a decoder. Mapped columns that the schema has no more are left out: their values go nowhere.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: the mapping has no <c>_id</c>, or has one and the server makes it.</exception>
    /// <param name="unknownPaths">Member names of paths that were seen and are not named; <c>null</c>: drift is not counted.</param>
    public static RecordDecoder Compile(SinkDefinition sink, TableSchema schema, IReadOnlyList<IReadOnlyList<string>>? unknownPaths = null)
    {
        var keys = sink.Fields.Where(field => field.Column == TableSchema.KeyColumnName).ToList();
        if (keys.Count == 0 != schema.IsAutoId)
            throw new SluiceException(ErrorCode.InvalidParameter, keys.Count == 0 ? "The mapping has no entry for _id." : "The mapping has an entry for _id, which the server makes.");
        var fields = new List<MappedField> { KeyField(0, keys.Count == 1 ? keys[0] : new FieldMapping(TableSchema.KeyColumnName, []), schema) };
        var mapping = new List<(ImmutableArray<PathStep>, MappedField)>();
        if (keys.Count == 1) mapping.Add((keys[0].Path, fields[0]));
        var columns = new List<Column>();
        foreach (var mapped in sink.Fields.Except(keys))
        {
            var epoch = mapped.Epoch ?? schema.FindColumn(mapped.Column)?.Type.Epoch;
            if (mapped.Column == SinkDefinition.TimeQuantumName)
            {
                mapping.Add((mapped.Path, new MappedField(-1, mapped.Column, mapped.Pointer, ColumnType.Timestamp(TimeUnit.Second), IsKey: false, mapped.Unit, epoch?.ToUnixTimeSeconds() ?? 0, sink.RejectTruncation)));
            }
            else if (schema.FindColumn(mapped.Column) is { } column)
            {
                var field = new MappedField(fields.Count, column.Name, mapped.Pointer, column.Type, IsKey: false, mapped.Unit, epoch?.ToUnixTimeSeconds() ?? 0, sink.RejectTruncation);
                fields.Add(field);
                columns.Add(column);
                mapping.Add((mapped.Path, field));
            }
        }
        MappedField[] keyParts = keys.Count < 2 ? [] : [.. keys.Select((key, part) => KeyField(fields.Count + part, key, schema))];
        mapping.InsertRange(0, keyParts.Zip(keys, (part, key) => (key.Path, part)));
        var root = MappingNode.Build(mapping, out var nodeCount);
        for (var i = 0; i < unknownPaths?.Count; i++) root.AddUnknown(unknownPaths[i], i);
        return new RecordDecoder(schema, sink, [.. fields], [.. columns], keyParts, root, nodeCount, unknownPaths?.Count);
    }

    static MappedField KeyField(int index, FieldMapping key, TableSchema schema) =>
        new(index, key.Column, key.Pointer, schema.Key == KeyKind.Number ? ColumnType.Id : ColumnType.String, IsKey: true, key.Unit, 0, RejectTruncation: false);

    /// <summary>Buffers for one request; give them back.</summary>
    public RecordRows Rent()
    {
        if (_pool.TryTake(out var rows)) return rows;
        return new RecordRows(
            [ColumnBuffer.ForKey(Schema.Key), .. _columns.Select(ColumnBuffer.For), .. _keyParts.Select(_ => ColumnBuffer.ForKey(KeyKind.String))], _fields.Length, _nodeCount,
            _unknownPaths is { } paths ? new DriftCounts(paths) : null);
    }

    public void Return(RecordRows rows)
    {
        if (_pool.Count < PooledRows && rows.TryReset()) _pool.Add(rows);
    }

    /// <summary>Decodes the object the reader stands on, the <c>value</c> of a record, and moves the reader to its end.</summary>
    /// <exception cref="JsonException">The text is not JSON: the whole body is in doubt.</exception>
    internal void DecodeValue(ref Utf8JsonReader reader, RecordRows rows)
    {
        DecodeObject(ref reader, _root, rows);
        rows.HasValue = true;
    }

    /// <summary>Completes the cells of a record whose operation is known now; does nothing when its value was no object.</summary>
    internal void FinishRecord(RecordRows rows)
    {
        if (!rows.HasValue) return;
        FinishKey(rows);
        switch (rows.Operation)
        {
            case RecordOperation.Delete: FinishDelete(rows); break;
            case RecordOperation.Remove: FinishRemove(rows); break;
            default: FinishCells(rows); break;
        }
    }

    /// <summary>The key, where it is not one value of the record: made by the server when the row's place is known, or joined from several.</summary>
    void FinishKey(RecordRows rows)
    {
        var key = rows.Buffers[0];
        if (Schema.IsAutoId)
        {
            key.AddAbsent();
            if (rows.Operation is not (RecordOperation.Upsert or RecordOperation.Insert or RecordOperation.Replace))
                rows.Fail(new FieldError(TableSchema.KeyColumnName, "", FieldErrorCode.MissingKey, "an upsert, insert or replace: the server makes the _id of this table", "an op that needs one"));
        }
        else if (_keyParts.Length == 0)
        {
            if (rows.FieldSeen[0] != rows.Stamp) FailKey(_fields[0], FieldErrorCode.MissingKey, "nothing", rows);
        }
        else
        {
            JoinKey(key, rows);
        }
    }

    void JoinKey(ColumnBuffer key, RecordRows rows)
    {
        var length = _keyParts.Length - 1;
        var isWhole = true;
        foreach (var part in _keyParts)
        {
            var buffer = rows.Buffers[part.Index];
            if (rows.FieldSeen[part.Index] != rows.Stamp) FailKey(part, FieldErrorCode.MissingKey, "nothing", rows);
            if (buffer.RowCount > rows.NextRow) length += buffer.Text(rows.NextRow).Length;
            else isWhole = false;
        }
        if (!isWhole) return; // and the record has failed
        if (length > TableSchema.MaxKeyBytes)
        {
            FailKey(_fields[0], FieldErrorCode.KeyTooLong, FormattableString.Invariant($"{length} bytes joined"), rows);
            return;
        }
        for (var i = 0; i < _keyParts.Length; i++)
        {
            if (i > 0) key.AppendText("|"u8);
            key.AppendText(rows.Buffers[_keyParts[i].Index].Text(rows.NextRow));
        }
        key.EndText();
    }

    static void FailKey(MappedField key, FieldErrorCode code, string got, RecordRows rows) => rows.Fail(new FieldError(key.Column, key.Pointer, code, key.Expected, got));

    void DecodeObject(ref Utf8JsonReader reader, MappingNode node, RecordRows rows)
    {
        var (expected, expectedUnknown) = (0, 0);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (node.FindMember(ref reader, rows, ref expected) is { } child)
            {
                reader.Read();
                DecodeNode(ref reader, child, rows);
            }
            else if (rows.Drift is { } drift)
            {
                drift.Count(ref reader, node.Unknown, ref expectedUnknown);
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }
    }

    void DecodeArray(ref Utf8JsonReader reader, MappingNode node, RecordRows rows)
    {
        var next = 0;
        for (var index = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; index++)
        {
            if (next < node.Elements.Length && node.Elements[next].ElementIndex == index) DecodeNode(ref reader, node.Elements[next++], rows);
            else reader.Skip();
        }
    }

    void DecodeNode(ref Utf8JsonReader reader, MappingNode node, RecordRows rows)
    {
        if (rows.NodeSeen[node.Id] == rows.Stamp)
        {
            var field = node.AllFields[0];
            rows.Fail(new FieldError(field.Column, field.Pointer, FieldErrorCode.DuplicateField, "each path once", "the path twice"));
            reader.Skip();
            return;
        }
        rows.NodeSeen[node.Id] = rows.Stamp;

        if (node.OnlyField is { } only)
        {
            DecodeField(ref reader, only, rows);
            return;
        }
        foreach (var field in node.Fields)
        {
            var copy = reader; // several columns read the same value
            DecodeField(ref copy, field, rows);
        }
        DecodeBelow(ref reader, node, rows);
    }

    void DecodeBelow(ref Utf8JsonReader reader, MappingNode node, RecordRows rows)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            foreach (var field in node.AllFields)
                if (!node.Fields.Contains(field)) DecodeField(ref reader, field, rows); // null on the way is null for all below
            return;
        }
        var isObject = reader.TokenType == JsonTokenType.StartObject;
        var isArray = reader.TokenType == JsonTokenType.StartArray;
        if (!isObject) FailBelow(ref reader, node.Members, "an object", rows);
        if (!isArray) FailBelow(ref reader, node.Elements, "an array", rows);
        if (isObject && !node.Members.IsEmpty) DecodeObject(ref reader, node, rows);
        else if (isArray && !node.Elements.IsEmpty) DecodeArray(ref reader, node, rows);
        else reader.Skip();
    }

    static void FailBelow(ref Utf8JsonReader reader, ImmutableArray<MappingNode> nodes, string expected, RecordRows rows)
    {
        foreach (var node in nodes)
            foreach (var field in node.AllFields)
                rows.Fail(new FieldError(field.Column, field.Pointer, FieldErrorCode.PathNotAnObject, expected + " on the way", CellDecoder.Describe(ref reader)));
    }

    static void DecodeField(ref Utf8JsonReader reader, MappedField field, RecordRows rows)
    {
        if (field.Index >= 0) rows.FieldSeen[field.Index] = rows.Stamp;
        CellDecoder.Decode(ref reader, field, rows);
    }

    /// <summary>Only the key counts: whatever else the value holds, right or wrong, is dropped.</summary>
    void FinishDelete(RecordRows rows)
    {
        rows.ForgetErrors(error => error.Column.Length > 0 && error.Column != _fields[0].Column);
        rows.ForgetWarnings();
        for (var i = 1; i < _fields.Length; i++) rows.ReplaceByAbsent(i);
    }

    /// <summary>Only sets can lose members; a member loses all its times, so that none is kept of what the record says.</summary>
    void FinishRemove(RecordRows rows)
    {
        for (var i = 1; i < _fields.Length; i++)
        {
            var (field, column) = (_fields[i], rows.Buffers[i]);
            if (rows.FieldSeen[i] != rows.Stamp)
            {
                column.AddAbsent();
            }
            else if (field.Type.IsSet)
            {
                if (column.HasTimes && column.RowCount > rows.NextRow) column.SetTimes(rows.NextRow, ColumnBuffer.NoTime);
            }
            else if (column.RowCount == rows.NextRow || column.States[rows.NextRow] != CellState.Absent)
            {
                rows.ForgetErrors(error => error.Column == field.Column);
                rows.Fail(new FieldError(field.Column, field.Pointer, FieldErrorCode.NotASet, "nothing: only members of sets can be removed", field.Expected));
            }
        }
        rows.ForgetWarnings();
    }

    /// <summary>Columns the record says nothing of, and the record's time.</summary>
    void FinishCells(RecordRows rows)
    {
        var allowMissing = _allowMissing || rows.Operation == RecordOperation.Patch;
        for (var i = 1; i < _fields.Length; i++)
        {
            if (rows.FieldSeen[i] == rows.Stamp) continue;
            if (allowMissing) rows.Buffers[i].AddAbsent();
            else rows.FailRequest(new FieldError(_fields[i].Column, _fields[i].Pointer, FieldErrorCode.MissingField, _fields[i].Expected, "nothing"));
        }
        CheckRequired(rows);
        if (rows.RecordTime != ColumnBuffer.NoTime && !rows.HasFailed) ApplyRecordTime(rows);
    }

    void CheckRequired(RecordRows rows)
    {
        if (!_hasRequired) return;
        var isPatch = rows.Operation == RecordOperation.Patch;
        for (var i = 0; i < _columns.Length; i++)
        {
            var (column, cells) = (_columns[i], rows.Buffers[i + 1]);
            if (!column.IsRequired || cells.RowCount == rows.NextRow) continue; // of no matter, or wrong already
            var state = cells.States[rows.NextRow];
            if (state == CellState.Null || (state == CellState.Absent && !isPatch && column.Default is null))
                rows.Fail(new FieldError(column.Name, _fields[i + 1].Pointer, FieldErrorCode.MissingRequired, _fields[i + 1].Expected, state == CellState.Null ? "null" : "nothing"));
        }
        if (isPatch) return;
        foreach (var column in _unmappedRequired)
            rows.Fail(new FieldError(column.Name, "", FieldErrorCode.MissingRequired, column.Type.ToString(), "nothing: the mapping has no entry for it"));
    }

    void ApplyRecordTime(RecordRows rows)
    {
        for (var i = 1; i < _fields.Length; i++)
        {
            var column = rows.Buffers[i];
            if (column.HasTimes && column.HasUntimedMembers(column.RowCount - 1)) column.SetTimes(column.RowCount - 1, TimeQuantum.Truncate(rows.RecordTime, _fields[i].Type.TimeQuantum));
        }
    }
}
