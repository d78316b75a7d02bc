using Sluice.Log;

namespace Sluice.Tests.Log;

/// <summary>Another file system with switches: it counts, holds and fails writes and syncs. Any thread.</summary>
sealed class FaultyFiles(LogFiles inner) : LogFiles
{
    int _writeCount;
    int _syncCount;
    int _failWrite;
    int _failSync;

    public int WriteCount => Volatile.Read(ref _writeCount);

    /// <summary>Syncs of files, failed ones too; not those of directories.</summary>
    public int SyncCount => Volatile.Read(ref _syncCount);

    /// <summary>Called before a file is synced: a test holds the disk here.</summary>
    public Action? BeforeSync { get; set; }

    /// <summary>Called before anything changes on the disk: a test ends the process here.</summary>
    public Action? BeforeChange { get; set; }

    /// <summary>Files that cannot be deleted, by their path.</summary>
    public Func<string, bool> KeepsFile { get; set; } = _ => false;

    /// <summary>The n-th write from now on fails (1: the next) and leaves half of its bytes.</summary>
    public void FailNthWrite(int n) => _failWrite = n;

    /// <summary>The n-th sync from now on fails (1: the next).</summary>
    public void FailNthSync(int n) => _failSync = n;

    public override void CreateDirectory(string path)
    {
        BeforeChange?.Invoke();
        inner.CreateDirectory(path);
    }

    public override bool DirectoryExists(string path) => inner.DirectoryExists(path);

    public override IReadOnlyList<string> List(string directory) => inner.List(directory);

    public override LogFile Create(string path)
    {
        BeforeChange?.Invoke();
        return new FaultyFile(this, inner.Create(path), path);
    }

    public override LogFile Open(string path, bool writable) => new FaultyFile(this, inner.Open(path, writable), path);

    public override bool Exists(string path) => inner.Exists(path);

    public override void Delete(string path)
    {
        BeforeChange?.Invoke();
        if (KeepsFile(path)) throw new UnauthorizedAccessException("Operation not permitted"); // what .NET makes of EPERM
        inner.Delete(path);
    }

    public override void Rename(string from, string to)
    {
        BeforeChange?.Invoke();
        inner.Rename(from, to);
    }

    public override void SyncDirectory(string path)
    {
        BeforeChange?.Invoke();
        inner.SyncDirectory(path);
    }

    public override void DeleteDirectory(string path)
    {
        BeforeChange?.Invoke();
        inner.DeleteDirectory(path);
    }

    void FailSync(string path) => (inner as MemoryFiles)?.FailSync(path);

    sealed class FaultyFile(FaultyFiles files, LogFile file, string path) : LogFile
    {
        public override long Length => file.Length;

        public override int Read(Span<byte> buffer, long offset) => file.Read(buffer, offset);

        public override void Write(ReadOnlySpan<byte> bytes, long offset)
        {
            files.BeforeChange?.Invoke();
            Interlocked.Increment(ref files._writeCount);
            if (files._failWrite > 0 && --files._failWrite == 0)
            {
                file.Write(bytes[..(bytes.Length / 2)], offset);
                throw new IOException($"write of {path} failed: no space left on device");
            }
            file.Write(bytes, offset);
        }

        public override void Write(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset)
        {
            if (files._failWrite > 0)
            {
                Write(parts.SelectMany(part => part.ToArray()).ToArray(), offset);
                return;
            }
            files.BeforeChange?.Invoke();
            Interlocked.Increment(ref files._writeCount);
            file.Write(parts, offset);
        }

        public override void Sync()
        {
            files.BeforeChange?.Invoke();
            files.BeforeSync?.Invoke();
            Interlocked.Increment(ref files._syncCount);
            if (files._failSync > 0 && --files._failSync == 0)
            {
                files.FailSync(path);
                throw new IOException($"fdatasync of {path} failed: input/output error");
            }
            file.Sync();
        }

        public override void SetLength(long length) => file.SetLength(length);

        protected override void Dispose(bool disposing) => file.Dispose();
    }
}
