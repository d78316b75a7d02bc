using System.Globalization;
using System.Net.Security;
using Sluice.Client;

namespace Sluice.Cli.Bench;

/// <summary>A Sluice server.</summary>
sealed class SluiceTarget(SluiceClient client, ServerAddress server) : BenchTarget
{
    const int DefaultMaxRecords = 100_000;
    const int MostRecords = 10_000_000;
    const long MostBytes = 16L * 1024 * 1024 * 1024;

    Guid? _database;
    Guid _sink;

    public override string Name => "sluice";

    public override Uri Origin => server.Url;

    public override SslClientAuthenticationOptions? Tls { get; } = server.Url.Scheme == Uri.UriSchemeHttps ? server.Trust() : null;

    public override string TimeFormat => "yyyy-MM-dd'T'HH:mm:ss'Z'";

    public override bool ReplacesRows => true;

    public override bool LoadsLater => true;

    public override async Task CreateAsync(BenchLoad load, CancellationToken cancellation)
    {
        var database = (await client.CreateDatabaseAsync(new DatabaseRequest(FreshName("bench-")), cancellation)).Id;
        _database = database;
        var columns = BenchRequest.Columns(load.Shape).ToList();
        var made = await client.QueryAsync(database, $"CREATE TABLE load (_id ID, {string.Join(", ", columns.Select(column => $"{column.Name} {column.Type}"))})", cancellation);
        if (made.Error is { } error) throw new CommandException(error);
        SinkField[] fields = [new("_id", ["id"]), .. columns.Select(column => new SinkField(column.Name, [column.Name]))];
        var isLarge = load.Batch > DefaultMaxRecords; // beyond what a sink takes by itself
        _sink = (await client.CreateSinkAsync(
            new SinkRequest(
                "load", new SinkDetails(database, "load"), new SinkSchema("json", "_id", null, AllowMissingFields: true, fields),
                MaxRecords: isLarge ? MostRecords : null, MaxBytes: isLarge ? MostBytes : null),
            cancellation)).Id;
    }

    public override string RequestHead(BodyForm form, bool waitLoaded)
    {
        var (name, value) = client.Credential ?? throw new CommandException("Log in first (sluice login), or set SLUICE_API_KEY.");
        return string.Create(
            CultureInfo.InvariantCulture,
            $"POST /v2/sinks/{_sink}?return=summary{(waitLoaded ? "&wait=loaded&timeout=60" : "")} HTTP/1.1\r\nHost: {server.Url.Authority}\r\n{name}: {value}\r\nContent-Type: {(form == BodyForm.Ndjson ? "application/x-ndjson" : "application/json")}\r\n");
    }

    public override async Task<LoadProgress?> ReadProgressAsync(CancellationToken cancellation)
    {
        var ledger = await client.GetLedgerAsync(_sink, cancellation);
        return new LoadProgress(ledger.Loaded, ledger.Pending);
    }

    public override async Task<long> CountRowsAsync(CancellationToken cancellation)
    {
        var answer = await client.QueryAsync(_database!.Value, "SELECT count(*) FROM load", cancellation);
        return answer.Error is { } error ? throw new CommandException(error) : answer.Data![0][0].GetInt64();
    }

    public override async ValueTask DisposeAsync()
    {
        if (_database is { } database) await client.DeleteDatabaseAsync(database, force: true, CancellationToken.None);
    }
}
