using System.Text.Json;
using System.Text.Json.Nodes;
using Sluice.Client;
using Sluice.Schema;

namespace Sluice.Server;

/// <summary>The first version's definitions, which describe columns: <c>type</c> and <c>config</c> make those that the table lacks.</summary>
static class SinkColumns
{
    // what clients left out, the original's pages filled in
    const int DefaultScale = 2;

    /// <summary>The schema with its record time, whatever name the definition gave it, under the name that it has here.</summary>
    public static SinkSchema NameRecordTime(SinkSchema schema)
    {
        if (schema.Definition.Any(field => field.Name == SinkDefinition.TimeQuantumName))
            return schema;
        var fields = schema.Definition.ToList();
        var index = fields.FindIndex(field => field.Type == "recordTime");
        if (index < 0)
            return schema;
        fields[index] = fields[index] with { Name = SinkDefinition.TimeQuantumName };
        return schema with { Definition = fields };
    }

    /// <summary>The columns of typed entries that the table does not have, in their order.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: a name or a config breaks the rules of columns, or a type has no column here.</exception>
    public static IReadOnlyList<NewColumn> Missing(SinkSchema schema, TableSchema table)
    {
        var missing = new List<NewColumn>();
        for (var i = 0; i < schema.Definition.Count; i++)
        {
            var field = schema.Definition[i];
            var isColumn = field.Name is not (TableSchema.KeyColumnName or SinkDefinition.TimeQuantumName) && table.FindColumn(field.Name) is null;
            if (isColumn && field.Type is { Length: > 0 })
                missing.Add(Column(field, $"schema.definition[{i}]"));
        }
        return missing;
    }

    static NewColumn Column(SinkField field, string path)
    {
        ResourceNames.CheckColumn(field.Name, $"{path}.name");
        var config = field.Config is { ValueKind: JsonValueKind.Object } given ? JsonObject.Create(given)! : [];
        var isOne = config["Mutex"] is JsonValue mutex && mutex.GetValueKind() == JsonValueKind.True;
        var options = field.Type switch
        {
            "string" => Set(config, isOne, texts: true),
            "strings" => Set(config, isOne: false, texts: true),
            "id" => Set(config, isOne, texts: false),
            "ids" => Set(config, isOne: false, texts: false),
            "bool" => Options("bool"),
            "int" => Options("int", ("min", config["Min"]), ("max", config["Max"])),
            "decimal" => Options("decimal", ("scale", config["Scale"] ?? DefaultScale)),
            "timestamp" => Options("timestamp", ("timeUnit", Text(config, "Granularity") ?? JsonValue.Create("s"))),
            _ => throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter '{path}.type' makes no column: it must be one of string, strings, id, ids, bool, int, decimal, timestamp, recordTime."),
        };
        try
        {
            return new NewColumn(field.Name, ColumnOptions.Parse(JsonBody.Parse(JsonSerializer.SerializeToUtf8Bytes(options))));
        }
        catch (SluiceException e)
        {
            throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter '{path}.config': {e.Message}", e);
        }
    }

    static JsonObject Set(JsonObject config, bool isOne, bool texts) => Text(config, "Quantum") is { } quantum
        ? Options("time", ("keys", texts), ("timeQuantum", quantum), ("ttl", Text(config, "TTL")))
        : Options(isOne ? "mutex" : "set", ("keys", texts));

    // empty texts count as not given, as the original wrote them
    static JsonValue? Text(JsonObject config, string member) =>
        config[member] is JsonValue value && (value.GetValueKind() != JsonValueKind.String || value.GetValue<string>().Length > 0) ? value : null;

    static JsonObject Options(string type, params (string Name, JsonNode? Value)[] members)
    {
        var options = new JsonObject { ["type"] = type };
        foreach (var (name, value) in members)
            if (value is not null)
                options[name] = value.DeepClone();
        return options;
    }
}
