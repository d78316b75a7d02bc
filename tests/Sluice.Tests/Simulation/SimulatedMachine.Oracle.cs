using System.Globalization;
using System.Text.RegularExpressions;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;

namespace Sluice.Tests.Simulation;

/// <summary>What must have become of everything.</summary>
sealed partial class SimulatedMachine
{
    /// <summary>Nothing fails any more: everything that was accepted must be loaded in reasonable time.</summary>
    void Settle()
    {
        _isCalm = true;
        var hasRepeated = false;
        for (var i = 0; ; i++)
        {
            RunSome(200);
            RestartIfEnded();
            if (_process.IsUp && !hasRepeated)
            {
                hasRepeated = true;
                foreach (var request in _tables.SelectMany(table => table.Requests).Where(request => request is { Key: not null, IsUnknown: true } && IsKeyKnown(request)).ToList())
                    Repeat(request);
            }
            if (_process.IsUp && _process.Clients.TrueForAll(client => client.IsCompleted) && _process.Scheduler.IsIdle && _tables.TrueForAll(IsLoaded)) break;
            if (i == 2_000) Assert.Fail($"stuck: nothing fails, and not everything is done: {State()}");
            if (_process.Scheduler.IsIdle) PassQuietly(TimeSpan.FromMilliseconds(200));
        }
        foreach (var client in _process.Clients.Where(client => client.IsFaulted)) throw client.Exception!.InnerException!;
        _isCalm = false;
    }

    /// <summary>But for parts of requests that were never completed, which may stand behind everything else.</summary>
    bool IsLoaded(SimulatedTable table)
    {
        var opened = _process.Engine!.FindTable(table.Schema.TableId)!;
        return opened.ReadLedger().Pending == 0 && table.Requests.TrueForAll(request => request.Answer is null || request.Answer.Sequence <= opened.LoadedSequence)
            && Deletions(table).All(sequence => sequence <= opened.LoadedSequence);
    }

    /// <summary>The places in the log of the deletions that the loader has come to, also of those that failed and are tried again.</summary>
    static IEnumerable<ulong> Deletions(SimulatedTable table) => table.Database.Calls.Select(call => DeleteCall().Match(call)).Where(match => match.Success)
        .Select(match => ulong.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture)).Distinct();

    string State() => string.Join(
        ", ",
        _tables.Select(table => $"{table.Schema.Name} is at {table.Database.Position.Sequence}, {_process.Engine?.FindTable(table.Schema.TableId)?.ReadLedger()}")
            .Prepend($"{(_process.IsUp ? "up" : "down")}, {_process.Clients.Count(client => !client.IsCompleted)} clients wait"));

    void Judge()
    {
        ReadLedgers();
        foreach (var table in _tables) Judge(table);
    }

    void Judge(SimulatedTable table)
    {
        var autoKeys = table.IsAutoId ? table.AutoKeys() : [];
        var present = new List<(ulong Sequence, SimulatedRequest Request)>();
        var (doubtful, discardsInDoubt) = (new List<SimulatedRequest>(), 0);
        foreach (var request in table.Requests)
        {
            var found = request.HasWitness ? table.FindInDatabase(request, autoKeys) : null;
            if (request.Answer is { } answer)
            {
                if (request.HasWitness) Assert.True(found == answer.Sequence || (found < answer.Sequence && request.IsPlaceUnsure), $"{(found is null ? "lost" : "moved")}: request {request.Number} of {table.Schema.Name}, answered as {answer.Sequence}, is at {found}");
                present.Add((answer.Sequence, request));
            }
            else if (!request.IsUnknown)
            {
                Assert.True(found is null, $"phantom: request {request.Number} was refused and is at {found}");
            }
            else if (found is { } sequence)
            {
                present.Add((sequence, request));
            }
            else if (!request.HasWitness)
            {
                doubtful.Add(request);
                if (request.IsDiscarded) discardsInDoubt++;
            }
        }
        _counts.Unknown += table.Requests.Count(request => request.IsUnknown);
        if (present.Exists(entry => entry.Request is { IsUnknown: true, IsPlaceUnsure: true })) return; // nobody knows what came first
        var model = Replay(table, present);
        if (table.IsAutoId) JudgeAutoRows(table, present, autoKeys);
        else Assert.Equal(model.Rows(), table.Database.Rows());
        JudgeCounts(table, model, present, doubtful);
        JudgeErrors(table, model, discardsInDoubt);
    }

    /// <summary>One after the other, by their places in the log, with the deletions among them.</summary>
    static TableModel Replay(SimulatedTable table, List<(ulong Sequence, SimulatedRequest Request)> present)
    {
        var model = new TableModel();
        var witnesses = table.Database.Rows().ToDictionary(row => row.Split(':')[0], row => row.Split(' '));
        var steps = present.Select(entry => (entry.Sequence, Request: (SimulatedRequest?)entry.Request)).Concat(Deletions(table).Select(sequence => (Sequence: sequence, Request: (SimulatedRequest?)null)));
        foreach (var (sequence, request) in steps.OrderBy(step => step.Sequence))
        {
            if (request is null) model.Delete(SimulatedTable.Predicate);
            else model.Apply(request, sequence, request.HasWitness && !table.IsAutoId ? Optional(table, request, witnesses[request.Records[^1].Key]) : []);
        }
        return model;
    }

    /// <summary>Of the columns that come and go, those that a request was decoded with: its witness has them; and those that were certain to be there when it was sent.</summary>
    static List<int> Optional(SimulatedTable table, SimulatedRequest request, string[] witness)
    {
        if (!request.Sink.AllowMissingFields) return [];
        var had = SimulatedTable.Optional(table.Schema).Where(column => witness.Any(cell => cell.StartsWith($"{column.Id}=", StringComparison.Ordinal))).Select(column => column.Id).ToList();
        var certain = SimulatedTable.Optional(request.SchemaAtTry!).Where(column => table.Schema.FindColumn(column.Id) is not null).Select(column => column.Id);
        Assert.All(certain, id => Assert.True(had.Contains(id), $"lost: column {id} of request {request.Number} of {table.Schema.Name}"));
        return had;
    }

    /// <summary>Rows with ids of the server: one a record that was accepted and not refused, with its own values, and where it stands in the log.</summary>
    static void JudgeAutoRows(SimulatedTable table, List<(ulong Sequence, SimulatedRequest Request)> present, Dictionary<long, ulong> autoKeys)
    {
        var expected = present.Where(entry => !entry.Request.IsDiscarded).SelectMany(entry => entry.Request.Records.Where(record => record is { IsRejected: false, IsRefused: false })).ToDictionary(record => record.Number);
        Assert.Equal(expected.Keys.Order(), autoKeys.Keys.Order());
        foreach (var row in table.Database.Rows())
        {
            var cells = row.Split(' ');
            var number = long.Parse(cells.Single(cell => cell.StartsWith("1=", StringComparison.Ordinal)).AsSpan(2), CultureInfo.InvariantCulture);
            Assert.All(expected[number].Cells, cell => Assert.True(cells.Contains($"{cell.Key}={cell.Value}"), $"corrupt: {row}"));
        }
        foreach (var (sequence, request) in present.Where(entry => entry.Request.HasWitness))
            Assert.True(request.IsPlaceUnsure || sequence == autoKeys[request.Records[^1].Number] >> LogPosition.RecordIndexBits);
    }

    void JudgeCounts(SimulatedTable table, TableModel model, List<(ulong Sequence, SimulatedRequest Request)> present, List<SimulatedRequest> doubtful)
    {
        foreach (var sink in table.Sinks)
        {
            var of = present.Select(entry => entry.Request).Where(request => request.Sink == sink).ToList();
            var perhaps = doubtful.Where(request => request.Sink == sink).ToList();
            Assert.Equal(model.Counts.GetValueOrDefault(sink.Id), table.Database.CountsOf(sink.Id));
            var ledger = _process.Engine!.FindSink(sink.Id)!.ReadLedger();
            var counts = table.Database.CountsOf(sink.Id);
            Assert.Equal((of.Sum(request => request.AcceptedCount), 0L, counts.Loaded, counts.Failed), (ledger.Accepted, ledger.Pending, ledger.Loaded, ledger.Failed));
            Assert.InRange(ledger.Requests, of.Count, of.Count + perhaps.Count);
            var received = of.Sum(request => request.Records.Count);
            Assert.InRange(ledger.Received, received, received + perhaps.Sum(request => request.Records.Count));
            CheckMinutes(sink.Id, ledger);
        }
    }

    /// <summary>The history a minute adds up to the ledger, whatever was trimmed.</summary>
    void CheckMinutes(Guid sinkId, SinkLedger ledger)
    {
        var minutes = _process.Engine!.FindSink(sinkId)!.ReadMinutes();
        Assert.Equal((ledger.Requests, ledger.Accepted, ledger.Rejected), (minutes.Sum(minute => minute.Requests), minutes.Sum(minute => minute.Accepted), minutes.Sum(minute => minute.Rejected)));
    }

    static void JudgeErrors(SimulatedTable table, TableModel model, int discardsInDoubt)
    {
        var found = table.Database.Errors.Select(error =>
        {
            Assert.True(FrameHeader.TryParseRequestId(error.RequestId, out _, out var sequence));
            return string.Create(CultureInfo.InvariantCulture, $"{sequence}/{error.RecordIndex} {error.Code}");
        }).ToList();
        Assert.True(found.Count == found.Distinct().Count(), "duplicate: a late error is listed twice");
        Assert.Empty(model.Errors.Except(found));
        var unexpected = found.Except(model.Errors).ToList();
        Assert.All(unexpected, error => Assert.EndsWith(nameof(LateErrorCode.BatchDiscarded), error, StringComparison.Ordinal));
        Assert.InRange(unexpected.Count, 0, discardsInDoubt);
        Assert.Equal(table.Database.Errors.Count, table.Database.Errors.Select(error => (error.Position, error.RecordIndex)).Distinct().Count());
    }

    /// <summary>
    /// Something that no crash does: an acknowledged frame, which no database has yet, goes from the end of a log while the process is down. No start may say
    /// that all is well.
    /// </summary>
    void LoseAcknowledgedFrame()
    {
        Settle();
        _isCalm = true;
        var table = _tables[0];
        var log = _process.Engine!.FindTable(table.Schema.TableId)!.Log;
        table.Database.FailCalls(1, int.MaxValue);
        var request = table.NextRequest(new Random(1));
        Send(request);
        for (var i = 0; i < 200 && request.Answer is null; i++) RunSome(20);
        Assert.True(request.Answer is not null, $"stuck: nothing fails, and a request is not answered: {_process.Clients[^1].Exception}, {State()}");
        var last = log.FindSegmentAfter(request.Answer.Sequence - 1)!;
        Die();
        var bytes = _disk.Read(last.Path);
        _disk.Put(last.Path, bytes[..^_random.Next(1, 40)]);
        _counts.Damages++;
        Note("an acknowledged frame is cut off");
        Start();
        for (var i = 0; i < 200 && !_process.Start.IsCompleted; i++)
        {
            RunSome(50);
            if (_process.Scheduler.IsIdle) PassQuietly(TimeSpan.FromMilliseconds(200));
        }
        Assert.True(_process.Start.Exception?.InnerException is SluiceException { Code: ErrorCode.Corrupt }, $"lost: an acknowledged frame is gone, and the start says {_process.Start.Exception?.InnerException?.Message ?? "nothing"}");
    }

    [GeneratedRegex(@"^delete \w+ @(\d+)")]
    private static partial Regex DeleteCall();
}
