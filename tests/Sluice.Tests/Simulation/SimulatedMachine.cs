using System.Diagnostics.Metrics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Tests.Load;
using Sluice.Tests.Log;

namespace Sluice.Tests.Simulation;

/// <summary>What is wrong with a machine on purpose: such a history must be found out.</summary>
sealed record Defects(DiskDefect Disk, StoreDefect Store)
{
    public static Defects None { get; } = new(DiskDefect.None, StoreDefect.None);
}

/// <summary>What histories consisted of, added up.</summary>
sealed class SimulationCounts
{
    public int Requests, Acknowledged, Unknown, Kills, PowerCuts, Drains, FailedDiskCalls, FailedStoreCalls, SchemaChanges, Deletions, Trims, Repeats, Damages;
    public TimeSpan Time;

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Time.TotalHours:0.0} simulated hours, {Requests} requests ({Acknowledged} acknowledged, {Unknown} unknown, {Repeats} repeated), {Kills} kills, {PowerCuts} power cuts, {Drains} drains, {FailedDiskCalls} failed disk calls, {FailedStoreCalls} failed store calls, {SchemaChanges} schema changes, {Deletions} deletions, {Trims} trims, {Damages} damaged logs");
}

/// <summary>
/// A machine on which the real engine runs, on one thread, on a disk in memory, with databases in memory and a clock that is moved: a seed gives the order in which
/// its tasks run, what is sent, and what fails when. Processes of it die and start again; the disk, the databases, the catalogue and the senders go on.
/// </summary>
sealed partial class SimulatedMachine
{
    const int MaxNested = 3;
    static readonly TimeSpan s_keyWindow = TimeSpan.FromHours(23); // an hour less than promised
    static readonly SharedMeters s_meters = new();

    readonly Random _random;
    readonly Defects _defects;
    readonly SimulationCounts _counts;
    readonly List<SimulatedTable> _tables = [new(1, isAutoId: false), new(2, isAutoId: true)];
    readonly EngineOptions _options;
    readonly BodyBudget _budget = new(long.MaxValue);
    readonly Dictionary<Guid, SinkLedger> _seen = [];
    DateTimeOffset _now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);
    MemoryFiles _disk = new();
    Process _process = null!;

    // what is about to happen
    int _diskFaultIn;
    DiskFate _diskFault;
    int _storeFaultIn;
    bool _hasDiskFailed; // in the present process
    bool _isCalm; // nothing fails any more
    int _nested;

    public SimulatedMachine(int seed, Defects defects, SimulationCounts counts)
    {
        (_random, _defects, _counts) = (new Random(seed), defects, counts);
        _options = new EngineOptions
        {
            DataDirectory = "/",
            DiskReserveBytes = 0,
            Log = new LogOptions { SegmentBytes = _random.Next(200, 4_000), RetainedBytes = _random.Next(0, 6_000), RetainedAge = TimeSpan.FromDays(1) },
            Load = new LoadOptions { MaxRecords = _random.Next(1, 60), MaxBytes = _random.Next(500, 20_000), TombstoneWindow = TimeSpan.FromDays(1_000) },
        };
        foreach (var database in _tables.Select(table => table.Database))
        {
            database.Defect = defects.Store;
            database.OnRead = () => OnStore(database, isWrite: false);
            database.OnCall = () => OnStore(database, isWrite: true);
            database.OnEffect = OnStoreEffect;
        }
    }

    /// <summary>What happened, in order.</summary>
    public List<string> Trace { get; } = [];

    /// <summary>Lives through one history and holds every promise against what became of it.</summary>
    public void Run()
    {
        Start();
        for (var steps = _random.Next(10, 90); steps > 0; steps--)
        {
            Act();
            RunSome(_random.Next(_random.Next(3) == 0 ? 60 : 12));
            RestartIfEnded();
        }
        if (_random.Next(6) == 0)
        {
            LoseAcknowledgedFrame();
            return;
        }
        Settle();
        Judge();
        Crash(isPowerCut: true);
        Start();
        Settle();
        Judge();
    }

    /// <summary>One process: everything of it that is not on the disk or in a database.</summary>
    sealed class Process(SeededScheduler scheduler, FakeTimeProvider time)
    {
        public SeededScheduler Scheduler => scheduler;

        public FakeTimeProvider Time => time;

        public Engine? Engine { get; set; }

        /// <summary>Completes when it takes requests.</summary>
        public Task Start { get; set; } = Task.CompletedTask;

        public bool IsUp => Start.IsCompletedSuccessfully;

        public bool IsDead { get; set; }

        public List<Task> Clients { get; } = [];
    }

    void Start()
    {
        var process = _process = new Process(new SeededScheduler(_random), new FakeTimeProvider(_now));
        _hasDiskFailed = false;
        var files = new SimulatedFiles(_disk, _defects.Disk, _random, (call, path) => OnDisk(process, call, path));
        process.Start = RunOn(process, () => StartAsync(process, files));
        Note("start");
    }

    static Task RunOn(Process process, Func<Task> run) =>
        Task.Factory.StartNew(run, CancellationToken.None, TaskCreationOptions.None, process.Scheduler).Unwrap();

    async Task StartAsync(Process process, SimulatedFiles files)
    {
        var made = _tables.Where(table => table.IsMade).ToList();
        var engine = await Engine.OpenAsync(
            files, _options, [.. made.Select(Definition)], [.. made.SelectMany(table => table.Sinks)], (_, tableId, _) => new(_tables.Single(table => table.Schema.TableId == tableId).Database.Open()),
            process.Time, NullLoggerFactory.Instance, s_meters, CancellationToken.None);
        process.Engine = engine;
        foreach (var table in _tables)
        {
            if (!table.IsMade)
            {
                await engine.CreateTableAsync(Definition(table), CancellationToken.None);
                table.IsMade = true;
                foreach (var sink in table.Sinks) engine.PutSink(sink);
            }
            await ChangeAsync(engine, table); // what was decided and perhaps not done
        }
    }

    static TableDefinition Definition(SimulatedTable table) => new(Guid.Empty, table.FirstSchema);

    static async Task ChangeAsync(Engine engine, SimulatedTable table)
    {
        var schema = table.Schema;
        await engine.ChangeTableAsync(schema, CancellationToken.None);
        if (schema.Version > table.CertainSchema.Version) table.CertainSchema = schema;
    }

    void Act()
    {
        var table = _tables[_random.Next(_tables.Count)];
        switch (_random.Next(24))
        {
            case < 9:
                if (_process.IsUp) Send(table.NextRequest(_random));
                break;
            case < 11:
                if (_process.IsUp) Repeat(table);
                break;
            case < 14:
                Pass(TimeSpan.FromMilliseconds(_random.Next(1, 400)));
                break;
            case 14:
                Pass(TimeSpan.FromSeconds(_random.Next(11, 30))); // trimming is tried every ten seconds
                break;
            case 15:
                if (_random.Next(4) == 0) Pass(TimeSpan.FromHours(_random.Next(1, 26)));
                break;
            case 16:
                Arm(DiskFate.Fails);
                break;
            case 17:
                Arm(_random.Next(2) == 0 ? DiskFate.DiesBefore : DiskFate.DiesAfter);
                break;
            case 18:
                _storeFaultIn = _random.Next(1, 12);
                break;
            case 19:
                if (_process.IsUp) ChangeSchema(table);
                break;
            case 20:
                if (_process.IsUp && _random.Next(3) == 0) Delete(table);
                break;
            case 21:
                Crash(isPowerCut: _random.Next(2) == 0);
                Start();
                break;
            case 22:
                if (_process.IsUp && _random.Next(3) == 0) Drain();
                break;
            default:
                ReadLedgers();
                break;
        }
    }

    void Arm(DiskFate fate) => (_diskFault, _diskFaultIn) = (fate, _random.Next(1, 40));

    void Pass(TimeSpan time)
    {
        Note($"{time} pass");
        PassQuietly(time);
    }

    void PassQuietly(TimeSpan time)
    {
        _now += time;
        _counts.Time += time;
        _process.Time.Advance(time);
    }

    void Crash(bool isPowerCut)
    {
        Die();
        Note(isPowerCut ? "power cut" : "kill");
        if (isPowerCut)
        {
            _counts.PowerCuts++;
            _disk = _disk.PowerCut(_random.Next(4) == 0 ? null : _random);
        }
        else
        {
            _counts.Kills++;
        }
    }

    void Die()
    {
        _process.IsDead = true;
        _process.Scheduler.Clear();
    }

    void RunSome(int tasks)
    {
        while (tasks-- > 0 && !_process.IsDead && _process.Scheduler.RunOne())
        {
        }
        if (_process.IsDead) _process.Scheduler.Clear(); // what the dying queued
    }

    /// <summary>A process that died, or that ended because its log failed or a start did not succeed, is started again.</summary>
    void RestartIfEnded()
    {
        if (_process.IsDead)
        {
            Crash(isPowerCut: _random.Next(3) == 0); // in a call: decided by whatever killed it
            Start();
        }
        else if (Failure() is { } failure)
        {
            if (failure.Code != ErrorCode.LogFailed || !_hasDiskFailed) throw new InvalidOperationException($"the engine ended for no reason: {failure}", failure);
            Crash(isPowerCut: false);
            Start();
        }
        else if (_process.Start.IsFaulted)
        {
            var cause = _process.Start.Exception!.InnerException!;
            var isFault = cause is StoreException { IsTransient: true } || (_hasDiskFailed && cause is IOException or SluiceException { Code: ErrorCode.LogFailed });
            if (!isFault) throw new InvalidOperationException($"the start failed for no reason: {cause}", cause);
            Crash(isPowerCut: false);
            Start();
        }
    }

    /// <summary>Why the process must end, as the engine tells its host; it learns of a failed log on another thread, so the logs are asked themselves.</summary>
    SluiceException? Failure()
    {
        if (_process.Engine is not { } engine) return null;
        foreach (var table in _tables)
            if (engine.FindTable(table.Schema.TableId)?.Log.Failed is { IsCompleted: true } failed) return failed.Result;
        if (_process.Scheduler.HasStrayTask) throw new InvalidOperationException("a task came from another thread: the history is not the seed's alone");
        return engine.Failed.IsCompleted ? engine.Failed.Result : null;
    }

    DiskFate OnDisk(Process process, DiskCall call, string path)
    {
        if (process.IsDead) throw new SimulatedCrashException();
        RunOthers();
        if (process.IsDead) throw new SimulatedCrashException();
        if (call is DiskCall.Rename or DiskCall.Create or DiskCall.Delete) Note($"{call} {path}");
        if (call == DiskCall.Rename && path.EndsWith(LogSummary.FileName, StringComparison.Ordinal)) _counts.Trims++;
        if (_isCalm || _diskFaultIn == 0 || --_diskFaultIn > 0) return DiskFate.Works;
        Note($"{call} {path} {_diskFault}");
        if (_diskFault == DiskFate.Fails)
        {
            if (call is DiskCall.Create or DiskCall.Delete or DiskCall.SetLength && _random.Next(2) == 0) return DiskFate.Works;
            _hasDiskFailed = true;
            _counts.FailedDiskCalls++;
        }
        else
        {
            process.IsDead = true;
        }
        return _diskFault;
    }

    void OnStore(MemoryDatabase database, bool isWrite)
    {
        var process = _process;
        if (process.IsDead) throw new SimulatedCrashException();
        RunOthers();
        if (process.IsDead || process != _process) throw new SimulatedCrashException();
        if (_isCalm || _storeFaultIn == 0 || --_storeFaultIn > 0) return;
        if (!isWrite && !process.IsUp) return; // a database that cannot be read at the start closes its table, for an operator to see
        _counts.FailedStoreCalls++;
        switch (_random.Next(isWrite ? 4 : 2))
        {
            case 0:
                Note("the process dies in the store");
                process.IsDead = true;
                throw new SimulatedCrashException();
            case 1 when !isWrite:
                Note("the store cannot be read");
                throw new StoreException(isTransient: true, "the store is busy");
            case 1:
                Note("the store fails");
                database.FailCalls(1, _random.Next(1, 4));
                break;
            case 2:
                Note("the store commits and fails");
                database.FailAfterEffectInCall(1);
                break;
            default:
                Note("the process will die when the store has committed");
                _diesAtEffect = true;
                break;
        }
    }

    bool _diesAtEffect;

    void OnStoreEffect()
    {
        if (!_diesAtEffect) return;
        _diesAtEffect = false;
        _process.IsDead = true;
        throw new SimulatedCrashException();
    }

    /// <summary>A call that takes its time: other threads run meanwhile.</summary>
    void RunOthers()
    {
        if (_nested == MaxNested || _random.Next(3) != 0) return;
        _nested++;
        for (var tasks = _random.Next(4); tasks > 0 && !_process.IsDead; tasks--) _process.Scheduler.RunOne();
        _nested--;
    }

    void Note(string what) => Trace.Add(what);

    /// <summary>A meter is global to the process that runs the tests: there is one for all histories.</summary>
    sealed class SharedMeters : IMeterFactory
    {
        Meter? _meter;

        public Meter Create(MeterOptions options) => _meter ??= new Meter(options);

        public void Dispose()
        {
        }
    }
}
