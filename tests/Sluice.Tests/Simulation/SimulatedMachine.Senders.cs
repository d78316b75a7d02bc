using Sluice.Load;
using Sluice.Log;
using Sluice.Records;

namespace Sluice.Tests.Simulation;

/// <summary>Those who send requests, change tables, and look at ledgers.</summary>
sealed partial class SimulatedMachine
{
    void Send(SimulatedRequest request)
    {
        _counts.Requests++;
        Repeat(request);
    }

    /// <summary>Sends a request with a key again, as its sender may who got no answer, or who did not keep it.</summary>
    void Repeat(SimulatedTable table)
    {
        var known = table.Requests.Where(request => request.Key is not null && IsKeyKnown(request)).ToList();
        if (known.Count == 0) return;
        var request = known[_random.Next(known.Count)];
        var process = _process;
        if (request.Answer is not null && _random.Next(5) == 0) process.Clients.Add(RunOn(process, () => ReuseKeyAsync(process, request)));
        else Repeat(request);
    }

    bool IsKeyKnown(SimulatedRequest request) => _now - request.FirstTry < s_keyWindow;

    void Repeat(SimulatedRequest request)
    {
        var process = _process;
        process.Clients.Add(RunOn(process, () => SendAsync(process, request)));
    }

    async Task SendAsync(Process process, SimulatedRequest request)
    {
        if (request.FirstTry == default) request.FirstTry = _now;
        if (!IsKeyKnown(request)) return; // time has passed since this was decided
        var wasAnswered = request.Answer is not null;
        request.OpenTries++; // until something else is known
        request.SchemaAtTry ??= request.Table.CertainSchema;
        try
        {
            var sink = process.Engine!.FindSink(request.Sink.Id)!;
            sink.ThrowIfNotAdmitting();
            using var watch = sink.WatchLoad();
            var isWaiting = _random.Next(4) == 0;
            var outcome = await IngestAsync(sink, request, isWaiting ? watch : null);
            Answered(request, outcome, wasAnswered);
            if (!isWaiting) return;
            await sink.Table.WaitLoadedAsync(outcome.Sequence, CancellationToken.None);
            if (await sink.WaitLoadedAsync(outcome, watch, TimeSpan.FromSeconds(10), CancellationToken.None) is { } loaded) CheckLoaded(request, loaded);
        }
        catch (SluiceException e) when (e.Code is ErrorCode.LogFailed or ErrorCode.Draining or ErrorCode.LogBacklog or ErrorCode.LoaderStalled or ErrorCode.RequestTimeout || (e.Code == ErrorCode.Unavailable && request.Answer is not null))
        {
            if (e.Outcome == RefusalOutcome.NotStored) request.OpenTries--;
        }
        catch (StoreException) when (request.Key is not null)
        {
            request.OpenTries--; // looking the key up failed: nothing was appended
        }
    }

    async Task<BatchOutcome> IngestAsync(Sink sink, SimulatedRequest request, LoadWatch? watch)
    {
        var isInParts = _random.Next(4) == 0;
        if (!isInParts && request.Key is null) return await sink.IngestAsync(request.Body, BodyFormat.Records, RecordOperation.Upsert, "caller", CancellationToken.None, watch);
        using var body = isInParts ? InPieces(request) : new BodyWindow(request.Body);
        return request.Key is null
            ? await sink.IngestLargeAsync(body, BodyFormat.Records, RecordOperation.Upsert, "caller", CancellationToken.None, watch)
            : await sink.IngestOnceAsync(request.Key, body, BodyFormat.Records, RecordOperation.Upsert, "caller", CancellationToken.None, watch);
    }

    /// <summary>
    /// A body that arrives while it is decoded, through a window so small that it makes several parts. Spaces before the last record see to it that it is in the
    /// last part; where the body must be the same each time there are none.
    /// </summary>
    BodyWindow InPieces(SimulatedRequest request)
    {
        var (bytes, sent, spaces) = (request.Body, 0, 0);
        if (request.Key is not null) request.IsPlaceUnsure = true;
        return new BodyWindow(PooledBody.Rent(_random.Next(100, 600), _budget), long.MaxValue, _budget, async (room, _) =>
        {
            await Task.Yield();
            if (request is { Key: null, HasWitness: true } && sent <= request.Last.Start && sent + room.Length is var end && end >= request.Last.End && end <= bytes.Length)
                spaces = end - request.Last.End + 2;
            var count = Math.Min(room.Length, bytes.Length - sent + spaces);
            var before = spaces == 0 ? count : Math.Min(count, request.Last.Start - sent);
            var gap = Math.Min(spaces, count - before);
            bytes.AsMemory(sent, before).CopyTo(room);
            room.Slice(before, gap).Span.Fill((byte)' ');
            bytes.AsMemory(sent + before, count - before - gap).CopyTo(room[(before + gap)..]);
            sent += count - gap;
            spaces -= gap;
            return count;
        });
    }

    void Answered(SimulatedRequest request, BatchOutcome outcome, bool wasAnswered)
    {
        Note($"answered {request.Table.Schema.Name} {request.Number} @{outcome.Sequence}{(outcome.IsRepeated ? " again" : "")}");
        Assert.Equal(request.Records.Count, outcome.RecordCount);
        Assert.Equal(request.Rejected, outcome.Rejected.Select(record => record.Index));
        if (request.Answer is { } first) Assert.True(first.RequestId == outcome.RequestId, $"duplicate: request {request.Number} was answered as {first.RequestId} and as {outcome.RequestId}");
        if (wasAnswered) Assert.True(outcome.IsRepeated, $"duplicate: request {request.Number} with a key was answered before");
        if (outcome.IsRepeated)
        {
            Assert.NotNull(request.Key);
            _counts.Repeats++;
        }
        if (request.Answer is null) _counts.Acknowledged++;
        request.Answer ??= outcome with { IsRepeated = false };
    }

    async Task ReuseKeyAsync(Process process, SimulatedRequest request)
    {
        if (!IsKeyKnown(request)) return;
        try
        {
            await process.Engine!.FindSink(request.Sink.Id)!.IngestOnceAsync(request.Key!, new BodyWindow("{\"records\":[ ]}"u8.ToArray()), BodyFormat.Records, RecordOperation.Upsert, "caller", CancellationToken.None);
            Assert.Fail($"another body was taken under the key of request {request.Number}");
        }
        catch (SluiceException e)
        {
            Assert.True(e is { Outcome: RefusalOutcome.NotStored, Code: ErrorCode.KeyReused or ErrorCode.LogFailed or ErrorCode.Draining }, e.ToString());
        }
        catch (StoreException)
        {
            // looking the key up failed
        }
    }

    /// <summary>What was said to be loaded is visible, and whatever failed is named.</summary>
    static void CheckLoaded(SimulatedRequest request, BatchOutcome loaded)
    {
        var failed = loaded.Rejected.Where(record => record.LateCode == LateErrorCode.StoreRefused).Select(record => record.Index);
        if (!request.IsDiscarded) Assert.Equal(Enumerable.Range(0, request.Records.Count).Where(i => request.Records[i].IsRefused), failed);
        if (!request.HasWitness) return;
        var keys = request.Table.IsAutoId ? request.Table.AutoKeys() : [];
        Assert.True(request.Table.FindInDatabase(request, keys) is { } found && (found == loaded.Sequence || request.IsPlaceUnsure), $"request {request.Number} was said to be loaded and is not in its table");
    }

    void ChangeSchema(SimulatedTable table)
    {
        if (table.Schema.Version > table.CertainSchema.Version) return; // one change at a time
        table.ChangeSchema(_random);
        _counts.SchemaChanges++;
        Note($"schema {table.Schema.Version} of {table.Schema.Name}");
        var process = _process;
        process.Clients.Add(RunOn(process, async () =>
        {
            try
            {
                await ChangeAsync(process.Engine!, table);
            }
            catch (SluiceException e) when (e.Code is ErrorCode.LogFailed or ErrorCode.Draining or ErrorCode.Unavailable)
            {
                // done at the next start
            }
        }));
    }

    /// <summary>Nobody waits for it: the frame alone is what counts.</summary>
    void Delete(SimulatedTable table)
    {
        _counts.Deletions++;
        var process = _process;
        var frame = DeletionFrame.Encode(new Deletion(Guid.NewGuid(), SimulatedTable.Predicate), table.CertainSchema.Version, 0);
        process.Clients.Add(RunOn(process, async () =>
        {
            try
            {
                await process.Engine!.FindTable(table.Schema.TableId)!.Log.AppendAsync(frame);
            }
            catch (SluiceException e) when (e.Code is ErrorCode.LogFailed or ErrorCode.Draining)
            {
                // may be found, once
            }
        }));
    }

    /// <summary>SIGTERM: what is under way is answered, and then the process ends.</summary>
    void Drain()
    {
        _counts.Drains++;
        Note("drain");
        var process = _process;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10), process.Time);
        var drain = RunOn(process, () => process.Engine!.DrainAsync(patience.Token));
        for (var i = 0; i < 400 && !drain.IsCompleted && !process.IsDead; i++)
        {
            RunSome(20);
            if (process.Scheduler.IsIdle) PassQuietly(TimeSpan.FromMilliseconds(50));
        }
        if (process.IsDead || Failure() is not null) return;
        Assert.True(drain.IsCompletedSuccessfully, $"stuck: a drain does not end: {drain.Exception}");
        RunSome(int.MaxValue);
        Assert.True(patience.IsCancellationRequested || process.Clients.TrueForAll(client => client.IsCompleted), "a drain left a request without an answer");
        Crash(isPowerCut: _random.Next(2) == 0);
        Start();
    }

    /// <summary>The ledger of every sink adds up at any moment, has what was acknowledged, and never goes back, over all restarts.</summary>
    void ReadLedgers()
    {
        if (!_process.IsUp) return;
        foreach (var table in _tables)
        {
            foreach (var sink in table.Sinks)
            {
                var ledger = _process.Engine!.FindSink(sink.Id)!.ReadLedger();
                Assert.True(
                    ledger.Received == ledger.Accepted + ledger.Rejected && ledger.Accepted == ledger.Loaded + ledger.Failed + ledger.Pending && ledger is { Rejected: >= 0, Loaded: >= 0, Failed: >= 0, Pending: >= 0 },
                    $"the ledger does not add up: {ledger}");
                var acknowledged = table.Requests.Where(request => request.Sink == sink && request.Answer is not null).ToList();
                Assert.True(
                    ledger.Requests >= acknowledged.Count && ledger.Received >= acknowledged.Sum(request => request.Records.Count) && ledger.Accepted >= acknowledged.Sum(request => request.AcceptedCount),
                    $"lost: the ledger has less than was acknowledged: {ledger}");
                var last = _seen.GetValueOrDefault(sink.Id);
                Assert.True(
                    ledger.Requests >= last.Requests && ledger.Received >= last.Received && ledger.Accepted >= last.Accepted && ledger.Rejected >= last.Rejected && ledger.Loaded >= last.Loaded && ledger.Failed >= last.Failed,
                    $"the ledger went back: {last} and then {ledger}");
                _seen[sink.Id] = ledger;
            }
        }
    }
}
