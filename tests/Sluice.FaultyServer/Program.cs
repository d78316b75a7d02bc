// The server, broken on purpose, for tests that need a store which misbehaves. One of:
//   SLUICE_FAULT_POSITION=before          the position is kept in a file beside the store, written before the rows: a kill in between loses rows
//   SLUICE_FAULT_POSITION=after           written after the rows: a kill in between loads rows twice
//     and SLUICE_FAULT_STAYS=1            after a few loads a table stays between the two writes, and position-….between is there
//   SLUICE_FAULT_RECORDS_PER_SECOND=N     loads are held up to this rate
//   SLUICE_FAULT_FAILING_WHILE=FILE       loads fail as long as the file is there
//   SLUICE_FAULT_FORGETTING=N             of every N-th load the rows are dropped
using System.Globalization;
using Sluice.FaultyServer;
using Sluice.Load;
using Sluice.Server;

var position = Environment.GetEnvironmentVariable("SLUICE_FAULT_POSITION");
var recordsPerSecond = Environment.GetEnvironmentVariable("SLUICE_FAULT_RECORDS_PER_SECOND");
var failingWhile = Environment.GetEnvironmentVariable("SLUICE_FAULT_FAILING_WHILE");
var forgetting = Environment.GetEnvironmentVariable("SLUICE_FAULT_FORGETTING");
return await ServerApp.RunAsync(args, (open, dataDirectory) => async (databaseId, tableId, cancellation) => Wrap(
    await open(databaseId, tableId, cancellation), Path.Combine(dataDirectory, $"position-{tableId}")));

ITableStore Wrap(ITableStore store, string positionFile) =>
    recordsPerSecond is not null ? SteeredStore.Slow(store, double.Parse(recordsPerSecond, CultureInfo.InvariantCulture))
    : failingWhile is not null ? SteeredStore.FailingWhile(store, failingWhile)
    : forgetting is not null ? SteeredStore.Forgetting(store, int.Parse(forgetting, CultureInfo.InvariantCulture))
    : new PositionBesideStore(store, positionFile, position == "before", Environment.GetEnvironmentVariable("SLUICE_FAULT_STAYS") == "1");
