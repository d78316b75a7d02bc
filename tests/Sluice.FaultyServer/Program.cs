// The server, broken on purpose: the negative control of the crash tests. SLUICE_FAULT_POSITION says where the position is kept:
//   before   in a file beside the store, written before the rows: a kill in between loses rows
//   after    in a file beside the store, written after the rows: a kill in between loads rows twice
using Sluice.FaultyServer;
using Sluice.Server;

var isBefore = Environment.GetEnvironmentVariable("SLUICE_FAULT_POSITION") == "before";
return await ServerApp.RunAsync(args, (open, dataDirectory) => async (databaseId, tableId, cancellation) =>
    new PositionBesideStore(await open(databaseId, tableId, cancellation), Path.Combine(dataDirectory, $"position-{tableId}"), isBefore));
