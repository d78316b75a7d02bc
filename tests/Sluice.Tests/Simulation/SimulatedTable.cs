using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Load;
using Sluice.Tests.Records;

namespace Sluice.Tests.Simulation;

/// <summary>One record and what must become of it.</summary>
/// <param name="Number">Unique: it is in the record's values.</param>
/// <param name="IsRejected">At the door.</param>
/// <param name="IsRefused">By the store, whatever stands beside it.</param>
/// <param name="LacksField">A field that a strict sink wants.</param>
sealed record SimulatedRecord(long Number, string Json, string Key, RecordOperation Operation, long Version, bool IsRejected, bool IsRefused, bool LacksField)
{
    /// <summary>By column id; <c>null</c> clears. Columns that come and go are not among them.</summary>
    public ImmutableDictionary<int, string?> Cells { get; init; } = ImmutableDictionary<int, string?>.Empty;
}

/// <summary>One request and what its sender knows of it.</summary>
sealed class SimulatedRequest(int number, SimulatedTable table, SinkDefinition sink, string? key, IReadOnlyList<SimulatedRecord> records, bool hasWitness)
{
    public int Number => number;

    public SimulatedTable Table => table;

    public SinkDefinition Sink => sink;

    public string? Key => key;

    public IReadOnlyList<SimulatedRecord> Records => records;

    /// <summary>Its last record tells by its row whether, and where, the request is in the log.</summary>
    public bool HasWitness => hasWitness && !IsDiscarded;

    public bool IsDiscarded => !sink.AllowMissingFields && records.Any(record => record.LacksField && !record.IsRejected);

    public byte[] Body { get; } = Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', records.Select(record => record.Json))}]}}");

    public IEnumerable<int> Rejected => Enumerable.Range(0, records.Count).Where(i => IsDiscarded || records[i].IsRejected);

    public int AcceptedCount => IsDiscarded ? 0 : records.Count(record => !record.IsRejected);

    /// <summary>Tries that may be in the log, as far as their senders know.</summary>
    public int OpenTries { get; set; }

    public bool IsUnknown => OpenTries > 0 && Answer is null;

    public BatchOutcome? Answer { get; set; }

    /// <summary>Its witness may stand in a part before the last one, which gives the request its place.</summary>
    public bool IsPlaceUnsure { get; set; }

    /// <summary>Where in the body the last record begins and ends.</summary>
    public (int Start, int End) Last => (Body.Length - 2 - Encoding.UTF8.GetByteCount(records[^1].Json), Body.Length - 2);

    public DateTimeOffset FirstTry { get; set; }

    /// <summary>The columns that new requests were certain to be decoded with at its last try.</summary>
    public TableSchema? SchemaAtTry { get; set; }
}

/// <summary>A table, what was sent to it, and the database it lies in, which outlives every process.</summary>
sealed class SimulatedTable
{
    const int A = 1; // column ids
    const int S = 2;
    const int Tags = 3;
    const int HotKeys = 6;
    const long FirstWitness = 1_000_000;
    const long FirstRefused = 2_000_000;
    const string Doomed = "doomed";
    static readonly string[] s_comingAndGoing = ["x", "y", "z"];

    long _nextNumber = 1;

    public SimulatedTable(int number, bool isAutoId)
    {
        Schema = SampleTable.TableOf(KeyKind.Number, ("a", ColumnType.Int), ("s", ColumnType.String), ("tags", ColumnType.StringSet)) with
        {
            TableId = new Guid(number, 0, 0, [0, 0, 0, 0, 0, 0, 0, 1]),
            Name = $"t{number}",
            IsAutoId = isAutoId,
        };
        FirstSchema = CertainSchema = Schema;
        var fields = new[] { "a", "s", "tags" }.Concat(s_comingAndGoing).Select(name => (name, "/" + name)).ToList();
        if (!isAutoId) fields.Insert(0, ("_id", "/_id"));
        var loose = SampleTable.SinkWith(Schema, allowMissing: true, [.. fields]) with { Id = new Guid(number, 1, 0, new byte[8]), TableId = Schema.TableId };
        var strict = SampleTable.SinkWith(Schema, allowMissing: false, [.. fields.Where(field => field.name is "_id" or "a" or "s")]) with { Id = new Guid(number, 2, 0, new byte[8]), TableId = Schema.TableId };
        Sinks = [loose, strict];
        Database.Refuses = (rows, row) => rows.FindColumn(A) is { } column && column.States[row] == CellState.Value && column.Int64s[row] < 0;
    }

    public MemoryDatabase Database { get; } = new();

    public IReadOnlyList<SinkDefinition> Sinks { get; }

    public List<SimulatedRequest> Requests { get; } = [];

    /// <summary>What the catalogue wants.</summary>
    public TableSchema Schema { get; private set; }

    /// <summary>What the catalogue knows to be done.</summary>
    public TableSchema CertainSchema { get; set; }

    public TableSchema FirstSchema { get; }

    /// <summary>The catalogue knows that the table was made.</summary>
    public bool IsMade { get; set; }

    public bool IsAutoId => FirstSchema.IsAutoId;

    public static string Predicate => Doomed;

    /// <summary>The catalogue decides to add a column that is missing or to drop one.</summary>
    public void ChangeSchema(Random random)
    {
        var name = s_comingAndGoing[random.Next(s_comingAndGoing.Length)];
        Schema = Schema.FindColumn(name) is null ? Schema.WithColumn(name, ColumnType.Int) : Schema.WithoutColumn(name);
    }

    public SimulatedRequest NextRequest(Random random)
    {
        var number = Requests.Count + 1;
        var sink = Sinks[random.Next(3) == 0 ? 1 : 0];
        var isStrict = !sink.AllowMissingFields;
        var hasWitness = random.Next(8) != 0;
        var records = new List<SimulatedRecord>();
        for (var count = random.Next(random.Next(4) == 0 ? 30 : 6); count > 0; count--) records.Add(hasWitness ? NextRecord(random, isStrict) : Rejected());
        if (hasWitness) records.Add(Witness(number));
        var key = random.Next(3) == 0 ? $"key {number}" : null;
        var request = new SimulatedRequest(number, this, sink, key, records, hasWitness);
        Requests.Add(request);
        return request;
    }

    /// <summary>The sequence that the database has a request's witness under; <c>null</c>: the request is not in it.</summary>
    public ulong? FindInDatabase(SimulatedRequest request, IReadOnlyDictionary<long, ulong> autoKeys)
    {
        var number = request.Records[^1].Number;
        var position = IsAutoId ? autoKeys.GetValueOrDefault(number) : Database.PositionOf(request.Records[^1].Key);
        return position == 0 ? null : position >> LogPosition.RecordIndexBits;
    }

    /// <summary>Of a table whose ids the server makes: the ids by the records' numbers. A number that is there twice is an error.</summary>
    public Dictionary<long, ulong> AutoKeys()
    {
        var keys = new Dictionary<long, ulong>();
        foreach (var row in Database.Rows())
        {
            var (key, cells) = (ulong.Parse(row.Split(':')[0], CultureInfo.InvariantCulture), row.Split(' '));
            var number = Number(cells.Single(cell => cell.StartsWith($"{A}=", StringComparison.Ordinal))[2..]);
            Assert.True(keys.TryAdd(number, key), $"duplicate: record {number} is in rows {key} and {keys.GetValueOrDefault(number)}");
        }
        return keys;
    }

    SimulatedRecord NextRecord(Random random, bool isStrict)
    {
        var kind = random.Next(20);
        if (kind == 0) return Rejected();
        if (kind == 1) return Refused();
        var lacks = isStrict && random.Next(40) == 0;
        if (IsAutoId || isStrict) return Plain(random, lacks);
        var key = random.Next(2 * HotKeys); // the upper half have versions
        var number = _nextNumber++;
        var operation = kind switch { 2 or 3 => RecordOperation.Insert, 4 or 5 => RecordOperation.Patch, 6 => RecordOperation.Delete, 7 or 8 => RecordOperation.Remove, 9 => RecordOperation.Replace, _ => RecordOperation.Upsert };
        var version = key >= HotKeys && random.Next(4) != 0 ? random.Next(30) : RecordOperations.NoVersion;
        var cells = ImmutableDictionary<int, string?>.Empty;
        var members = new List<string> { $"\"_id\":{key}" };
        if (operation == RecordOperation.Remove || random.Next(2) == 0)
        {
            var tags = Enumerable.Range(0, random.Next(1, 3)).Select(_ => random.Next(12) == 0 ? Doomed : $"m{random.Next(4)}").Distinct().ToList();
            cells = cells.Add(Tags, $"[{string.Join(',', tags.Select(tag => $"'{tag}'"))}]");
            members.Add($"\"tags\":[{string.Join(',', tags.Select(tag => $"\"{tag}\""))}]");
        }
        if (operation is not (RecordOperation.Remove or RecordOperation.Delete))
        {
            cells = cells.Add(A, Text(number));
            members.Add($"\"a\":{number},\"x\":{number},\"y\":{number},\"z\":{number}");
            if (random.Next(4) == 0)
            {
                cells = cells.Add(S, null);
                members.Add("\"s\":null");
            }
            else
            {
                cells = cells.Add(S, $"'h{number}'");
                members.Add($"\"s\":\"h{number}\"");
            }
        }
        var json = $"{{\"value\":{{{string.Join(',', members)}}}";
        if (operation != RecordOperation.Upsert) json += $",\"op\":\"{operation.ToString().ToLowerInvariant()}\"";
        if (version != RecordOperations.NoVersion) json += $",\"version\":{version}";
        return new SimulatedRecord(number, json + "}", Text(key), operation, version, IsRejected: false, IsRefused: false, LacksField: false) { Cells = cells };
    }

    SimulatedRecord Plain(Random random, bool lacksField)
    {
        var number = _nextNumber++;
        return Good(number, random.Next(HotKeys), lacksField);
    }

    SimulatedRecord Witness(int request) => Good(_nextNumber++, FirstWitness + request, lacksField: false);

    SimulatedRecord Good(long number, long key, bool lacksField)
    {
        var id = IsAutoId ? "" : $"\"_id\":{key},";
        var cells = ImmutableDictionary<int, string?>.Empty.Add(A, Text(number));
        if (!lacksField) cells = cells.Add(S, $"'h{number}'");
        var text = lacksField ? "" : $",\"s\":\"h{number}\"";
        return new SimulatedRecord(
            number, $"{{\"value\":{{{id}\"a\":{number}{text},\"x\":{number},\"y\":{number},\"z\":{number}}}}}", Text(key), RecordOperation.Upsert, RecordOperations.NoVersion, IsRejected: false, IsRefused: false, lacksField)
        { Cells = cells };
    }

    SimulatedRecord Rejected()
    {
        var number = _nextNumber++;
        var id = IsAutoId ? "" : "\"_id\":3,";
        return new SimulatedRecord(number, $"{{\"value\":{{{id}\"a\":\"oops\",\"s\":\"h{number}\"}}}}", "", RecordOperation.Upsert, RecordOperations.NoVersion, IsRejected: true, IsRefused: false, LacksField: false);
    }

    SimulatedRecord Refused()
    {
        var number = _nextNumber++;
        var key = FirstRefused + number; // of its own: no later record of the batch may take its place
        var id = IsAutoId ? "" : $"\"_id\":{key},";
        return new SimulatedRecord(
            number, $"{{\"value\":{{{id}\"a\":-{number},\"s\":\"h{number}\"}}}}", Text(key), RecordOperation.Upsert, RecordOperations.NoVersion, IsRejected: false, IsRefused: true, LacksField: false);
    }

    /// <summary>Whether an optional column is in the request: it was decoded with a schema that had it.</summary>
    public static IEnumerable<Column> Optional(TableSchema schema) => schema.Columns.Where(column => s_comingAndGoing.Contains(column.Name));

    static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}
