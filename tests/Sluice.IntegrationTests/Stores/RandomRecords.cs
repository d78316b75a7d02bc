using System.Globalization;
using System.Text.Json;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.IntegrationTests.Stores;

/// <summary>Random tables, and records for them as a client sends them, the same for the same seed.</summary>
public sealed class RandomRecords
{
    static readonly (string Name, ColumnType Type)[] s_columns =
    [
        ("id", ColumnType.Id), ("i", ColumnType.Int), ("d", ColumnType.Decimal(2)), ("b", ColumnType.Bool), ("s", ColumnType.String), ("t", ColumnType.Timestamp(TimeUnit.Millisecond)),
        ("v", ColumnType.Vector(2)), ("is", ColumnType.IdSet), ("ss", ColumnType.StringSet), ("iq", ColumnType.IdSetQ("YMDH")), ("sq", ColumnType.StringSetQ("YMD")),
    ];

    readonly Random _random;
    readonly int _keyCount;
    readonly double _absentShare;
    readonly int _maxVersion;
    long _newKey = 1_000;

    public RandomRecords(int seed)
    {
        _random = new Random(seed);
        _keyCount = _random.Next(3) == 0 ? 40 : _random.Next(1, 8);
        _absentShare = _random.Next(3) * 0.3;
        _maxVersion = _random.Next(2) == 0 ? 4 : 30;
        var withSets = _random.Next(4) != 0;
        var empty = new TableSchema
        {
            TableId = Guid.NewGuid(),
            Name = "model",
            Key = _random.Next(2) == 0 ? KeyKind.Number : KeyKind.String,
            Version = 1,
            Columns = [],
            NextColumnId = 1,
        };
        Schema = s_columns.Where(column => (withSets || !column.Type.IsSet) && _random.Next(2) == 0)
            .Aggregate(empty, (made, column) => made.WithColumn(column.Name, column.Type));
        if (_random.Next(2) == 0) Schema = Schema with { Columns = [.. Schema.Columns.Select(column => column with { Default = column.Name is "v" or "iq" ? null : TestRows.DefaultOf(column.Type).Json })] };
    }

    public TableSchema Schema { get; }

    public Random Random => _random;

    /// <summary>A sink that maps all columns, or some.</summary>
    public SinkDefinition Sink(bool mapsAll) => new()
    {
        Id = Guid.NewGuid(),
        Name = "sink",
        TableId = Schema.TableId,
        MappingVersion = 1,
        AllowMissingFields = true,
        Fields =
        [
            new FieldMapping("_id", [PathStep.Member("_id")]),
            .. Schema.Columns.Where(_ => mapsAll || _random.Next(2) == 0).Select(column => new FieldMapping(column.Name, [PathStep.Member(column.Name)]) { Unit = TimeUnit.Millisecond }),
        ],
    };

    /// <summary>The records of one request: of all operations, or of one alone, with versions or without.</summary>
    public List<TestRecord> Request(SinkDefinition sink)
    {
        RecordOperation? only = _random.Next(3) switch { 0 => RecordOperation.Upsert, 1 => Operation(), _ => null };
        var versionShare = _random.Next(3) * 0.5;
        var isWhole = _random.Next(3) == 0;
        return [.. Enumerable.Range(0, _random.Next(1, 25)).Select(_ => Record(sink, only ?? Operation(), _random.NextDouble() < versionShare, isWhole))];
    }

    /// <summary>The record as an element of <c>records</c>, its members in any order.</summary>
    /// <param name="unnamed">The operation that is not named.</param>
    public string Json(TestRecord record, RecordOperation unnamed)
    {
        var value = Schema.Columns.Where(column => TestRows.CellOf(record.Row, column).State != CellState.Absent)
            .Select(column => $"\"{column.Name}\":{Json(column.Type, TestRows.CellOf(record.Row, column))}")
            .Append($"\"_id\":{(record.Row.Key is string text ? JsonSerializer.Serialize(text) : record.Row.Key)}");
        if (record.Operation == RecordOperation.Delete && _random.Next(2) == 0) value = value.Append("\"i\":\"passed over\"");
        var members = new List<string> { $"\"value\":{{{string.Join(',', value.OrderBy(_ => _random.Next()))}}}" };
        if (record.Operation != unnamed || _random.Next(2) == 0) members.Add($"\"op\":\"{record.Operation.ToString().ToLowerInvariant()}\"");
        if (record.Version is { } version) members.Add($"\"version\":{version}");
        return $"{{{string.Join(',', members.OrderBy(_ => _random.Next()))}}}";
    }

    TestRecord Record(SinkDefinition sink, RecordOperation operation, bool hasVersion, bool isWhole)
    {
        var cells = new Dictionary<int, Cell>();
        foreach (var column in Schema.Columns.Where(column => sink.Fields.Any(field => field.Column == column.Name)))
        {
            if (operation == RecordOperation.Delete || (operation == RecordOperation.Remove && !column.Type.IsSet)) continue;
            if (!isWhole && _random.NextDouble() < _absentShare) continue;
            cells.Add(column.Id, !isWhole && _random.Next(8) == 0 && operation != RecordOperation.Remove ? Cell.Null : CellOf(column.Type));
        }
        return new TestRecord(new TestRow(Key(), cells), operation, hasVersion ? _random.Next(_maxVersion) : null);
    }

    object Key()
    {
        var number = _random.Next(5) == 0 ? _newKey++ : _random.Next(_keyCount);
        return Schema.Key == KeyKind.Number ? number : $"k{number} \u00e9";
    }

    RecordOperation Operation() => (RecordOperation)_random.Next(6);

    Cell CellOf(ColumnType type)
    {
        if (type.IsSet) return Set(type);
        return Cell.Of(type.Kind switch
        {
            ColumnKind.Bool => _random.Next(2) == 0,
            ColumnKind.String => $"text {_random.Next(20)} \"\u00e9\"",
            ColumnKind.Vector => (object)Enumerable.Range(0, type.VectorLength).Select(_ => _random.NextDouble()).ToArray(),
            _ => _random.NextInt64(1_000_000),
        });
    }

    /// <summary>All members of one time: so they are sent.</summary>
    Cell Set(ColumnType type)
    {
        var isIds = type.Physical == PhysicalKind.Int64List;
        var time = type.IsQuantum && _random.Next(2) == 0 ? 1_767_225_600 + (86_400L * _random.Next(3)) : ColumnBuffer.NoTime;
        var members = Enumerable.Range(0, _random.Next(4)).Select(_ => _random.Next(5)).Distinct()
            .Select(number => new Member(isIds ? (long)number : $"member {number}", time)).ToArray();
        return members.Length == 0 && isIds ? Cell.Null : Cell.Of(members); // an empty array changes no idset
    }

    static string Json(ColumnType type, Cell cell) => cell.Value switch
    {
        null => "null",
        bool flag => flag ? "true" : "false",
        string text => JsonSerializer.Serialize(text),
        double[] vector => JsonSerializer.Serialize(vector),
        Member[] members when members.Length > 0 && members[0].Time != ColumnBuffer.NoTime =>
            $"{{\"time\":\"{DateTimeOffset.FromUnixTimeSeconds(members[0].Time):yyyy-MM-ddTHH:mm:ssZ}\",\"members\":{Json(members)}}}",
        Member[] members => Json(members),
        long number when type.Kind == ColumnKind.Decimal => string.Create(CultureInfo.InvariantCulture, $"{number / 100}.{number % 100:00}"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{cell.Value}"),
    };

    static string Json(Member[] members) => JsonSerializer.Serialize(members.Select(member => member.Value));
}
