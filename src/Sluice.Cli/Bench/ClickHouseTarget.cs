using System.Globalization;

namespace Sluice.Cli.Bench;

/// <summary>A ClickHouse server behind its HTTP interface, for comparison: the same records as JSONEachRow into a MergeTree ordered by the key.</summary>
sealed class ClickHouseTarget(Uri origin) : BenchTarget
{
    readonly HttpClient _http = new() { BaseAddress = origin, Timeout = TimeSpan.FromMinutes(6) };
    readonly string _database = FreshName("bench_");

    public override string Name => "clickhouse";

    public override Uri Origin => origin;

    public override string TimeFormat => "yyyy-MM-dd HH:mm:ss";

    public override bool ReplacesRows => false;

    public override bool LoadsLater => false;

    public override BodyForm FormOf(BenchLoad load) => BodyForm.Ndjson;

    public override async Task CreateAsync(BenchLoad load, CancellationToken cancellation)
    {
        var columns = BenchRequest.Columns(load.Shape).Select(column => $"{column.Name} {Type(column.Type)}");
        await RunAsync($"CREATE DATABASE {_database}", cancellation);
        await RunAsync($"CREATE TABLE {_database}.load (id UInt64, {string.Join(", ", columns)}) ENGINE = MergeTree ORDER BY id", cancellation);
    }

    public override string RequestHead(BodyForm form, bool waitLoaded) =>
        $"POST /?query=INSERT%20INTO%20{_database}.load%20FORMAT%20JSONEachRow HTTP/1.1\r\nHost: {origin.Authority}\r\nConnection: keep-alive\r\n";

    public override async Task<long> CountRowsAsync(CancellationToken cancellation) =>
        long.Parse(await RunAsync($"SELECT count() FROM {_database}.load", cancellation), CultureInfo.InvariantCulture);

    public override async ValueTask DisposeAsync()
    {
        await RunAsync($"DROP DATABASE IF EXISTS {_database}", CancellationToken.None);
        _http.Dispose();
    }

    async Task<string> RunAsync(string sql, CancellationToken cancellation)
    {
        using var answer = await _http.PostAsync("/", new StringContent(sql), cancellation);
        var text = (await answer.Content.ReadAsStringAsync(cancellation)).Trim();
        return answer.IsSuccessStatusCode ? text : throw new CommandException($"ClickHouse: {text}");
    }

    static string Type(string type) => type switch
    {
        "STRING" => "String",
        "INT" => "Int64",
        "DECIMAL(2)" => "Decimal(18, 2)",
        "TIMESTAMP" => "DateTime",
        "BOOL" => "UInt8",
        "STRINGSET" => "Array(String)",
        _ => throw new InvalidOperationException($"no ClickHouse type for {type}"),
    };
}
