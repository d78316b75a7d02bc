namespace Sluice.Comparison;

/// <summary>Ends the comparison with a sentence for whoever started it.</summary>
sealed class ComparisonException(string message) : Exception(message);

/// <param name="Root">The repository.</param>
/// <param name="Scratch">A directory for the servers' data.</param>
/// <param name="Port">First of four loopback ports.</param>
sealed record TestBed(string Root, string Scratch, int Port)
{
    public string MakeDirectory(string name) => Directory.CreateDirectory(Path.Combine(Scratch, name)).FullName;
}
