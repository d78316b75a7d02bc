namespace Sluice.Comparison;

/// <summary>benchmarks/results/SUMMARY.md: one section a part; a run replaces the sections of its parts.</summary>
static class Summary
{
    const string Introduction =
        """
        # Measured by `./bench`

        Written by `./bench`; not by hand. What other measurements there are is in [MICRO.md](MICRO.md).

        Load generator, Sluice and ClickHouse share one machine, one of the two servers running at a time, each run on a fresh one with an empty data directory unless said otherwise, and default settings.
        One generator (`sluice bench`) sends the same records to both, with as many connections, over plain HTTP/1.1 unless said otherwise; bodies are made before, only keys are written over. ClickHouse gets
        them as JSONEachRow into a MergeTree ordered by the key, with times in the form it reads fastest; a record is 116 bytes there and 127 in Sluice's `{"records":[{"value":...}]}`.

        **What an answer means.** Sluice: every record is validated and on the disk (`fdatasync`), and will be in its table exactly once, one row a key. ClickHouse 18.16: neither validated nor fsynced; the rows can be queried, one row an insert. It runs with its defaults: from 150 parts of a table on it holds inserts back, which is what most of its small requests wait for and why its rounds differ so much.

        Figures are medians of the rounds, with the lowest and the highest behind them. *CPU* is of the server's process, all cores, for a million rows, with its loader.
        """;

    public static void Write(string root, Part part, string conditions, string text)
    {
        var path = Path.Combine(root, "benchmarks", "results", "SUMMARY.md");
        var sections = Part.All.ToDictionary(it => it, it => Section(File.Exists(path) ? File.ReadAllText(path) : "", it));
        sections[part] = $"## {part.Title}\n\n{text.Trim()}\n\n*{conditions}*";
        var parts = Part.All.Where(it => sections[it].Length > 0).Select(it => $"{Start(it)}\n{sections[it]}\n{End(it)}");
        File.WriteAllText(path, $"{Introduction}\n\n{string.Join("\n\n", parts)}\n");
        Console.WriteLine($"\n{sections[part]}\n");
    }

    static string Section(string file, Part part)
    {
        var (start, end) = (file.IndexOf(Start(part), StringComparison.Ordinal), file.IndexOf(End(part), StringComparison.Ordinal));
        return start < 0 || end < start ? "" : file[(start + Start(part).Length)..end].Trim();
    }

    static string Start(Part part) => $"<!-- {part.Name} -->";

    static string End(Part part) => $"<!-- /{part.Name} -->";
}
