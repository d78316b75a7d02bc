using System.Globalization;
using System.Text.RegularExpressions;

namespace Sluice.IntegrationTests.Server;

/// <summary>An answer of <c>/metrics</c>: families by name, and samples by what stands before the value, <c>name{label="value"}</c>.</summary>
sealed partial record Exposition(IReadOnlyDictionary<string, Exposition.Family> Families, IReadOnlyDictionary<string, double> Samples)
{
    /// <param name="Labels">Of its first sample, without <c>le</c>; empty when it has none.</param>
    public sealed record Family(string Type, IReadOnlyList<string> Labels);

    public double this[string sample] => Samples.TryGetValue(sample, out var value) ? value : throw new KeyNotFoundException($"no sample {sample} among: {string.Join(' ', Samples.Keys)}");

    public static Exposition Parse(string text)
    {
        var families = new Dictionary<string, Family>(StringComparer.Ordinal);
        var samples = new Dictionary<string, double>(StringComparer.Ordinal);
        var name = "";
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (TypeLine().Match(line) is { Success: true } type)
            {
                name = type.Groups["name"].Value;
                families.Add(name, new Family(type.Groups["type"].Value, [])); // throws when there are two
            }
            else if (!line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                var sample = Sample().Match(line);
                if (!sample.Success || !sample.Value.StartsWith(name, StringComparison.Ordinal)) throw new InvalidDataException($"no sample of {name}: {line}");
                samples.Add(sample.Groups["key"].Value, double.Parse(sample.Groups["value"].Value, CultureInfo.InvariantCulture));
                families[name] = families[name] with { Labels = [.. sample.Groups["label"].Captures.Select(label => label.Value).Where(label => label != "le")] };
            }
        }

        return new Exposition(families, samples);
    }

    [GeneratedRegex(@"^# TYPE (?<name>\S+) (?<type>\S+)$")]
    private static partial Regex TypeLine();

    [GeneratedRegex("""^(?<key>[a-z_0-9]+(?:\{(?:(?<label>[a-z_]+)="(?:[^"\\]|\\.)*",?)*\})?) (?<value>\S+)$""")]
    private static partial Regex Sample();
}
