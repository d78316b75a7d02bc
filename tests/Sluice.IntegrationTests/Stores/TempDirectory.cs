namespace Sluice.IntegrationTests.Stores;

/// <summary>A directory that goes with the test.</summary>
sealed class TempDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("sluice-test-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
