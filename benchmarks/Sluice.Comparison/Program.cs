// Run by ./bench: measures Sluice and ClickHouse in turn, each run on a fresh server, and rewrites benchmarks/results/SUMMARY.md.
using System.CommandLine;
using Sluice.Comparison;

var only = new Option<string[]>("--only") { Description = $"Parts to measure: {string.Join(", ", Part.All.Select(part => part.Name))}. All unless given.", AllowMultipleArgumentsPerToken = true };
only.AcceptOnlyFromAmong([.. Part.All.Select(part => part.Name)]);
var seconds = new Option<int?>("--seconds") { Description = "How long each run sends; each part has a length of its own unless given." };
var rounds = new Option<int>("--rounds") { Description = "How often each run is done, in turn: A B A B.", DefaultValueFactory = _ => 2 };
var isLong = new Option<bool>("--long") { Description = "Growth up to 100 M rows." };
var port = new Option<int>("--port") { Description = "The first of four loopback ports.", DefaultValueFactory = _ => 21450 };
var directory = new Option<DirectoryInfo>("--dir") { Description = "Where the servers keep their data meanwhile; on a real disk, or fsync costs nothing.", DefaultValueFactory = _ => new DirectoryInfo("/var/tmp") };
var root = new Option<DirectoryInfo>("--root") { Description = "The repository.", Required = true, Hidden = true };
var command = new RootCommand("Measures Sluice against ClickHouse and rewrites benchmarks/results/SUMMARY.md.") { only, seconds, rounds, isLong, port, directory, root };
command.SetAction(async (parse, cancellation) =>
{
    var wanted = parse.GetValue(only) is { Length: > 0 } names ? Part.All.Where(part => names.Contains(part.Name)) : Part.All;
    var place = new TestBed(parse.GetValue(root)!.FullName, Directory.CreateDirectory(Path.Combine(parse.GetValue(directory)!.FullName, $"sluice-bench-{Environment.ProcessId}")).FullName, parse.GetValue(port));
    try
    {
        foreach (var part in wanted)
        {
            Console.WriteLine($"== {part.Name}");
            var bench = new Bench(place, parse.GetValue(seconds) ?? part.Seconds, parse.GetValue(rounds), parse.GetValue(isLong));
            var text = await part.Measure(bench, cancellation);
            Summary.Write(place.Root, part, await Conditions.ReadAsync(bench, part, cancellation), text);
        }
        return 0;
    }
    catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
    {
        return 130;
    }
    catch (ComparisonException e)
    {
        Console.Error.WriteLine(e.Message);
        return 1;
    }
    finally
    {
        Directory.Delete(place.Scratch, recursive: true);
    }
});
return await command.Parse(args).InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromMinutes(1) }); // servers are ended first
