using Sluice.Log;
using Sluice.Tests.Load;
using Sluice.Tests.Log;

namespace Sluice.Tests.Simulation;

/// <summary>A call that changes a disk.</summary>
enum DiskCall
{
    Write,
    Sync,
    SetLength,
    Create,
    Rename,
    Delete,
    SyncDirectory,
}

/// <summary>What becomes of it.</summary>
enum DiskFate
{
    Works,

    /// <summary>The operating system reports an error; of a write a part is done.</summary>
    Fails,

    /// <summary>The process dies; of a write a part is done.</summary>
    DiesBefore,
    DiesAfter,
}

/// <summary>What the files of a process do wrong, for histories that must be found out.</summary>
enum DiskDefect
{
    None,

    /// <summary>A sync does nothing and says that it did.</summary>
    SyncsNothing,

    /// <summary>A sync that fails says that it did not, as that of .NET 10.0 on Linux.</summary>
    HidesFailedSync,

    /// <summary>Renaming without syncing the new file before.</summary>
    RenamesUnsynced,

    /// <summary>The watermark is never moved.</summary>
    NoWatermark,
}

/// <summary>A disk as one simulated process sees it: every call may fail, or be the last of the process.</summary>
/// <param name="decide">Asked before each call that changes the disk; others may run meanwhile.</param>
sealed class SimulatedFiles(MemoryFiles disk, DiskDefect defect, Random random, Func<DiskCall, string, DiskFate> decide) : LogFiles
{
    public override void CreateDirectory(string path) => disk.CreateDirectory(path);

    public override bool DirectoryExists(string path) => disk.DirectoryExists(path);

    public override IReadOnlyList<string> List(string directory) => disk.List(directory);

    public override LogFile Create(string path)
    {
        LogFile? file = null;
        Do(DiskCall.Create, path, () => file = new SimulatedFile(this, disk.Create(path), path));
        return file!;
    }

    public override LogFile Open(string path, bool writable) => new SimulatedFile(this, disk.Open(path, writable), path);

    public override bool Exists(string path) => disk.Exists(path);

    public override void Delete(string path) => Do(DiskCall.Delete, path, () => disk.Delete(path));

    public override void Rename(string from, string to) => Do(DiskCall.Rename, to, () => disk.Rename(from, to));

    public override void SyncDirectory(string path) => Do(DiskCall.SyncDirectory, path, () => disk.SyncDirectory(path));

    public override void DeleteDirectory(string path) => Do(DiskCall.Delete, path, () => disk.DeleteDirectory(path));

    /// <param name="half">What is done of a call that does not come to its end.</param>
    void Do(DiskCall call, string path, Action effect, Action? half = null)
    {
        var fate = decide(call, path);
        if (fate is DiskFate.Works or DiskFate.DiesAfter) effect();
        else half?.Invoke();
        if (fate == DiskFate.Fails) throw new IOException($"{call} of {path} failed: input/output error");
        if (fate != DiskFate.Works) throw new SimulatedCrashException();
    }

    sealed class SimulatedFile(SimulatedFiles files, LogFile file, string path) : LogFile
    {
        public override long Length => file.Length;

        public override int Read(Span<byte> buffer, long offset) => file.Read(buffer, offset);

        public override void Write(ReadOnlySpan<byte> bytes, long offset) => Write([bytes.ToArray()], offset);

        public override void Write(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset)
        {
            if (files.Has(DiskDefect.NoWatermark) && path.EndsWith(Watermark.FileName, StringComparison.Ordinal)) return;
            var bytes = parts.SelectMany(part => part.ToArray()).ToArray();
            files.Do(DiskCall.Write, path, () => file.Write(bytes, offset), half: () => file.Write(bytes.AsSpan(0, files.Random.Next(bytes.Length)), offset));
        }

        public override void Sync()
        {
            if (files.Has(DiskDefect.SyncsNothing) || (files.Has(DiskDefect.RenamesUnsynced) && path.EndsWith(".new", StringComparison.Ordinal))) return;
            try
            {
                files.Do(DiskCall.Sync, path, file.Sync);
            }
            catch (IOException)
            {
                files.Disk.FailSync(path);
                if (!files.Has(DiskDefect.HidesFailedSync)) throw;
            }
        }

        public override void SetLength(long length) => files.Do(DiskCall.SetLength, path, () => file.SetLength(length));

        protected override void Dispose(bool disposing) => file.Dispose();
    }

    MemoryFiles Disk => disk;

    Random Random => random;

    bool Has(DiskDefect other) => defect == other;
}
