namespace Sluice.IntegrationTests.Stores;

/// <summary>A directory that goes with the test.</summary>
sealed class TempDirectory : IDisposable
{
    TempDirectory(string path) => Path = path;

    public TempDirectory() : this(Directory.CreateTempSubdirectory("sluice-test-").FullName)
    {
    }

    public string Path { get; }

    /// <summary>In memory, where the system has such a place: for many small files whose durability is not the question.</summary>
    public static TempDirectory InMemory()
    {
        const string memory = "/dev/shm";
        if (!Directory.Exists(memory)) return new TempDirectory();
        return new TempDirectory(Directory.CreateDirectory(System.IO.Path.Combine(memory, $"sluice-test-{Guid.NewGuid():N}")).FullName);
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
