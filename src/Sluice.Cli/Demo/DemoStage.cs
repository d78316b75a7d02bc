using System.Text.Json;
using System.Text.Json.Nodes;
using Sluice.Client;

namespace Sluice.Cli.Demo;

/// <summary>The demo's tables and sinks, and the senders that keep them moving.</summary>
sealed class DemoStage
{
    const int FlowersPerRequest = 30;
    const int QuakesPerRequest = 25;
    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    readonly JsonArray _flowers;
    readonly JsonArray _quakes;
    long _accepted;
    long _rejected;

    DemoStage(SluiceClient client, Guid databaseId, JsonArray flowers, JsonArray quakes)
    {
        (Client, DatabaseId, _flowers, _quakes) = (client, databaseId, flowers, quakes);
    }

    public SluiceClient Client { get; }

    public Guid DatabaseId { get; }

    public Guid IrisSink { get; private init; }

    public Guid QuakeSink { get; private init; }

    public long Accepted => Interlocked.Read(ref _accepted);

    public long Rejected => Interlocked.Read(ref _rejected);

    /// <summary>What the server said of the last record it refused.</summary>
    public string LastError { get; private set; } = "";

    public static async Task<DemoStage> CreateAsync(SluiceClient client, string samples, CancellationToken cancellation)
    {
        var flowers = await ReadAsync(Path.Combine(samples, "iris.json"), "records", cancellation);
        var quakes = await ReadAsync(Path.Combine(samples, "earthquakes.json"), "features", cancellation);
        var database = (await client.CreateDatabaseAsync(new DatabaseRequest("demo"), cancellation)).Id;
        await client.CreateTableAsync(database, new TableRequest("iris", "Fisher's irises, again and again", new TableOptions(Keys: false), [
            Column("sepallength", "decimal", scale: 2), Column("sepalwidth", "decimal", scale: 2),
            Column("petallength", "decimal", scale: 2), Column("petalwidth", "decimal", scale: 2), Column("species", "string"),
        ]), cancellation);
        await client.CreateTableAsync(database, new TableRequest("earthquakes", "A week of earthquakes, as if now", new TableOptions(Keys: true), [
            Column("mag", "decimal", scale: 2), Column("place", "string"), Column("time", "timestamp", timeUnit: "ms"),
            Column("longitude", "decimal", scale: 6), Column("latitude", "decimal", scale: 6), Column("depth", "decimal", scale: 2),
            Column("net", "string"), Column("kind", "string"),
        ]), cancellation);
        return new DemoStage(client, database, flowers, quakes)
        {
            IrisSink = await CreateSinkAsync(client, database, "iris", isNumber: true, cancellation,
                ("_id", ["id"]), ("sepallength", ["sepalLength"]), ("sepalwidth", ["sepalWidth"]), ("petallength", ["petalLength"]),
                ("petalwidth", ["petalWidth"]), ("species", ["species"])),
            QuakeSink = await CreateSinkAsync(client, database, "earthquakes", isNumber: false, cancellation,
                ("_id", ["id"]), ("mag", ["properties", "mag"]), ("place", ["properties", "place"]), ("time", ["properties", "time"]),
                ("net", ["properties", "net"]), ("kind", ["properties", "type"]),
                ("longitude", ["geometry", "coordinates", 0]), ("latitude", ["geometry", "coordinates", 1]), ("depth", ["geometry", "coordinates", 2])),
        };
    }

    /// <summary>Sends until cancelled.</summary>
    public async Task StreamFlowersAsync(CancellationToken cancellation)
    {
        for (var sent = 0; ; sent += FlowersPerRequest)
        {
            var records = new JsonArray();
            for (var i = sent; i < sent + FlowersPerRequest; i++)
            {
                var record = _flowers[i % _flowers.Count]!.DeepClone();
                record["value"]!["id"] = i + 1;
                records.Add(record);
            }
            await SendAsync(IrisSink, records, cancellation);
        }
    }

    /// <summary>Sends until cancelled.</summary>
    public async Task StreamQuakesAsync(CancellationToken cancellation)
    {
        for (var sent = 0; ; sent += QuakesPerRequest)
        {
            var records = new JsonArray();
            for (var i = sent; i < sent + QuakesPerRequest; i++)
            {
                var quake = _quakes[i % _quakes.Count]!.DeepClone();
                quake["id"] = $"{quake["id"]}-{i / _quakes.Count}";
                quake["properties"]!["time"] = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
                if (i % 100 == 99) quake["properties"]!["mag"] = "strong"; // what a broken sensor would send
                records.Add(new JsonObject { ["value"] = quake });
            }
            await SendAsync(QuakeSink, records, cancellation);
        }
    }

    async Task SendAsync(Guid sink, JsonArray records, CancellationToken cancellation)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(new JsonObject { ["records"] = records });
        var answer = await Client.SendAsync(sink, body, SendOptions.Default, cancellation);
        Interlocked.Add(ref _accepted, answer.SuccessCount);
        Interlocked.Add(ref _rejected, answer.ErrorCount);
        if (answer.Records?.FirstOrDefault(record => record.Status == "error") is { } wrong) LastError = wrong.ErrorMessage ?? "";
        await Task.Delay(Pause, TimeProvider.System, cancellation);
    }

    static async Task<JsonArray> ReadAsync(string path, string member, CancellationToken cancellation)
    {
        await using var file = File.OpenRead(path);
        var document = await JsonNode.ParseAsync(file, cancellationToken: cancellation);
        return document?[member]?.AsArray() ?? throw new CommandException($"{path} has no array \"{member}\".");
    }

    static ColumnRequest Column(string name, string type, int? scale = null, string? timeUnit = null) =>
        new(name, new ColumnOptionsBody(type, Scale: scale, TimeUnit: timeUnit));

    static async Task<Guid> CreateSinkAsync(
        SluiceClient client, Guid database, string table, bool isNumber, CancellationToken cancellation, params (string Column, WirePathStep[] Path)[] mapping)
    {
        var schema = new SinkSchema(
            "json", isNumber ? "_id" : null, isNumber ? null : ["_id"], AllowMissingFields: true, [.. mapping.Select(entry => new SinkField(entry.Column, entry.Path))]);
        return (await client.CreateSinkAsync(new SinkRequest($"{table}-stream", new SinkDetails(database, table), schema), cancellation)).Id;
    }
}
