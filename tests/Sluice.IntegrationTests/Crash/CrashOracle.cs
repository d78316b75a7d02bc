using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Xunit;

namespace Sluice.IntegrationTests.Crash;

/// <summary>What the oracle found; everything but <see cref="Unknown"/> must be zero.</summary>
/// <param name="Acknowledged">Batches that were answered 200.</param>
/// <param name="Unknown">Batches whose answer was lost: they may be there once or not at all.</param>
/// <param name="Lost">Acknowledged batches that are not all there.</param>
/// <param name="Partial">Batches of which some records are there and some not.</param>
/// <param name="Duplicated">Rows beyond one per key, and loads the ledger counted twice.</param>
/// <param name="Corrupt">Batches whose values are not those that were sent.</param>
/// <param name="Stale">Keys that hold an older value than the last acknowledged one.</param>
/// <param name="Pending">Records that the ledger says are neither loaded nor failed when nothing moves any more; negative: loaded twice.</param>
sealed record Verdict(int Acknowledged, int Unknown, int Lost, int Partial, int Duplicated, int Corrupt, int Stale, long Pending)
{
    public bool IsClean => Lost == 0 && Partial == 0 && Duplicated == 0 && Corrupt == 0 && Stale == 0 && Pending == 0;
}

/// <summary>
/// The sender's side of a crash test: sends batches, keeps a journal of what was answered, and afterwards holds the table against it.
/// </summary>
sealed class CrashOracle
{
    const int RecordsPerBatch = 50;
    const long FirstHotKey = 1_000_000_000_000;

    readonly ConcurrentDictionary<int, bool> _batches = []; // batch -> acknowledged
    readonly ConcurrentDictionary<int, int> _lastAcknowledged = []; // sender -> batch
    readonly ConcurrentDictionary<int, int> _lastSent = [];
    int _nextBatch;
    long _firstRefusal;
    int _acknowledgedAfterRefusal;

    public string DatabaseId { get; private set; } = "";

    public string SinkId { get; private set; } = "";

    /// <summary>Batches answered 200 that were sent after a server's first answer of 5xx, since <see cref="Forget"/>: a log that has failed must take nothing.</summary>
    public int AcknowledgedAfterRefusal => _acknowledgedAfterRefusal;

    /// <summary>Whether any batch has been refused with 5xx since <see cref="Forget"/>.</summary>
    public bool HasRefusal => Volatile.Read(ref _firstRefusal) != 0;

    public int AcknowledgedCount => _batches.Count(batch => batch.Value);

    /// <summary>Begins with another server process: what it refuses counts anew.</summary>
    public void Forget() => (_firstRefusal, _acknowledgedAfterRefusal) = (0, 0);

    public async Task CreateAsync(ApiClient api, CancellationToken cancellation)
    {
        DatabaseId = await api.CreateAsync("v2/databases", """{"name":"crash"}""", cancellation);
        await api.CreateAsync($"v2/tables/{DatabaseId}", """{"name":"events","options":{"keys":false,"trackExistence":true}}""", cancellation);
        await api.CreateAsync($"v2/tables/{DatabaseId}/events/fields/batch", """{"options":{"type":"int"}}""", cancellation);
        await api.CreateAsync($"v2/tables/{DatabaseId}/events/fields/val", """{"options":{"type":"int"}}""", cancellation);
        SinkId = await api.CreateAsync("v2/sinks", $$"""
            {"name":"crash","sink_details":{"database_id":"{{DatabaseId}}","table":"events"},
             "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[
               {"name":"_id","path":["id"]},{"name":"batch","path":["batch"]},{"name":"val","path":["val"]}] } }
            """, cancellation);
    }

    /// <summary>What is known at this moment, to hold a table against that is of this moment or later: what was under way may be there or not.</summary>
    public CrashOracle Copy()
    {
        var copy = new CrashOracle { DatabaseId = DatabaseId, SinkId = SinkId };
        foreach (var (sender, batch) in _lastAcknowledged) copy._lastAcknowledged[sender] = batch;
        foreach (var (batch, isAcknowledged) in _batches) copy._batches[batch] = isAcknowledged;
        for (var sender = 0; sender < 100; sender++) copy._lastSent[sender] = int.MaxValue; // later batches may have come in
        copy._nextBatch = _nextBatch;
        return copy;
    }

    /// <summary>Sends batch after batch, each once, until the server is gone or time is up.</summary>
    public async Task SendAsync(int sender, int httpPort, string token, CancellationToken cancellation)
    {
        using var api = new ApiClient(httpPort);
        api.UseToken(token);
        while (!cancellation.IsCancellationRequested)
        {
            var batch = Interlocked.Increment(ref _nextBatch);
            _batches[batch] = false;
            _lastSent[sender] = batch;
            var started = TimeProvider.System.GetTimestamp();
            try
            {
                var answer = await api.PostAsync($"v2/sinks/{SinkId}", Body(sender, batch), cancellation);
                if ((int)answer.Status >= 500)
                {
                    Interlocked.CompareExchange(ref _firstRefusal, TimeProvider.System.GetTimestamp(), 0);
                    return; // the outcome may be unknown: counted as such
                }
                Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
                if (Volatile.Read(ref _firstRefusal) is var refused and not 0 && started > refused) Interlocked.Increment(ref _acknowledgedAfterRefusal);
                Assert.Equal(RecordsPerBatch + 1, answer.Json["success_count"]!.GetValue<int>());
                _batches[batch] = true;
                _lastAcknowledged[sender] = batch;
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
            {
                return; // the answer is lost
            }
        }
    }

    /// <summary>Whether a server knows the account and the sink that were made with another.</summary>
    public async Task<bool> IsKnownAsync(int httpPort, CancellationToken cancellation)
    {
        using var anonymous = new ApiClient(httpPort);
        var login = await anonymous.PostAsync("", $$"""{"USERNAME":"{{ServerProcess.Email}}","PASSWORD":"{{ServerProcess.Password}}"}""", cancellation);
        if (login.Status != HttpStatusCode.OK) return false;
        using var api = await ApiClient.LoginAsync(httpPort, cancellation);
        return (await api.GetAsync($"v2/sinks/{SinkId}", cancellation)).Status == HttpStatusCode.OK;
    }

    /// <summary>Waits until the table is loaded and compares it with the journal.</summary>
    public async Task<Verdict> JudgeAsync(ApiClient api, CancellationToken cancellation)
    {
        var ledger = await api.WaitLoadedAsync(SinkId, cancellation);
        var stored = new Dictionary<int, (int Count, long Sum)>();
        const int page = 5_000;
        for (var from = 0; from <= _nextBatch; from += page)
        {
            var sql = string.Create(CultureInfo.InvariantCulture, $"SELECT batch, COUNT(*) AS n, SUM(val) AS total FROM events WHERE _id < {FirstHotKey} AND batch >= {from} AND batch < {from + page} GROUP BY batch");
            foreach (var row in await api.QueryAsync(DatabaseId, sql, cancellation))
                stored.Add(Int(row![0]), (Int(row[1]), row[2]!.GetValue<long>()));
        }
        var (lost, partial, corrupt, unknown) = (0, 0, 0, 0);
        foreach (var (batch, isAcknowledged) in _batches)
        {
            if (!isAcknowledged) unknown++;
            if (!stored.TryGetValue(batch, out var found))
            {
                if (isAcknowledged) lost++;
            }
            else if (found.Count != RecordsPerBatch)
            {
                partial++;
            }
            else if (found.Sum != Enumerable.Range(0, RecordsPerBatch).Sum(i => Value(batch, i)))
            {
                corrupt++;
            }
        }
        return new Verdict(_batches.Count - unknown, unknown, lost, partial, await CountDuplicatesAsync(api, ledger, cancellation), corrupt, await CountStaleAsync(api, cancellation), ledger["pending"]!.GetValue<long>());
    }

    async Task<int> CountDuplicatesAsync(ApiClient api, JsonNode ledger, CancellationToken cancellation)
    {
        var rows = (await api.QueryAsync(DatabaseId, "SELECT COUNT(*) AS n, COUNT(DISTINCT _id) AS keys FROM events", cancellation))[0]!;
        var doubledRows = Int(rows[0]) - Int(rows[1]);
        // an upsert hides a batch that is loaded twice; the counters of the same transaction do not
        var doubledLoads = Math.Max(0, -ledger["pending"]!.GetValue<long>());
        return doubledRows + (int)doubledLoads;
    }

    async Task<int> CountStaleAsync(ApiClient api, CancellationToken cancellation)
    {
        var stale = 0;
        foreach (var row in await api.QueryAsync(DatabaseId, $"SELECT _id, batch FROM events WHERE _id >= {FirstHotKey}", cancellation))
        {
            var sender = (int)(row![0]!.GetValue<long>() - FirstHotKey);
            var batch = Int(row[1]);
            if (batch < _lastAcknowledged.GetValueOrDefault(sender) || batch > _lastSent[sender]) stale++;
        }
        return stale;
    }

    /// <summary>Records of a batch have keys of their own; one more record overwrites the sender's hot key.</summary>
    static string Body(int sender, int batch)
    {
        var body = new StringBuilder("{\"records\":[");
        for (var i = 0; i < RecordsPerBatch; i++) body.Append(Record(((long)batch * 1_000) + i, batch, Value(batch, i))).Append(',');
        return body.Append(Record(FirstHotKey + sender, batch, 0)).Append("]}").ToString();
    }

    static string Record(long id, int batch, long value) =>
        string.Create(CultureInfo.InvariantCulture, $$"""{"value":{"id":{{id}},"batch":{{batch}},"val":{{value}} } }""");

    static long Value(int batch, int index) => ((long)batch * 7_919 % 100_003 * 31) + index;

    static int Int(JsonNode? node) => (int)node!.GetValue<long>();
}
