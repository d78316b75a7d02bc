using Sluice.Log;

namespace Sluice.Tests.Log;

/// <summary>
/// A file system in memory that knows what a disk would still have after a power cut: content and directory entries count only once they
/// are synced. Any thread.
/// </summary>
sealed class MemoryFiles : LogFiles
{
    readonly Lock _lock = new();
    readonly HashSet<string> _directories = [];
    readonly Dictionary<string, Content> _files = []; // as a process sees it
    readonly Dictionary<string, Content> _durableEntries = []; // as the disk has it
    readonly List<(string? Removed, string? Added, Content Content)> _pendingEntries = [];

    /// <summary>
    /// The files as a process that is killed leaves them: everything that was written, and what of it was not synced is still in danger of a power cut.
    /// </summary>
    public MemoryFiles Kill()
    {
        lock (_lock)
        {
            var survivor = new MemoryFiles();
            var copies = new Dictionary<Content, Content>();
            survivor._directories.UnionWith(_directories);
            foreach (var (path, content) in _files) survivor._files.Add(path, Copy(content));
            foreach (var (path, content) in _durableEntries) survivor._durableEntries.Add(path, Copy(content));
            survivor._pendingEntries.AddRange(_pendingEntries.Select(entry => (entry.Removed, entry.Added, Copy(entry.Content))));
            return survivor;

            Content Copy(Content content)
            {
                if (!copies.TryGetValue(content, out var copy)) copies.Add(content, copy = content.Copy());
                return copy;
            }
        }
    }

    /// <summary>
    /// A sync of the file fails as Linux lets it fail: what was written is still read by every process, is lost in a power cut, and no later sync writes it.
    /// </summary>
    public void FailSync(string path)
    {
        lock (_lock) _files[path].FailSync();
    }

    /// <summary>
    /// The files as a power cut leaves them: what was synced, and of what was not, by <paramref name="random"/>, nothing, some blocks, or a
    /// torn one. Without it nothing of it.
    /// </summary>
    public MemoryFiles PowerCut(Random? random = null)
    {
        lock (_lock)
        {
            var survivor = new MemoryFiles();
            survivor._directories.UnionWith(_directories);
            var entries = new Dictionary<string, Content>(_durableEntries);
            foreach (var (removed, added, content) in _pendingEntries)
            {
                if (random is null || random.Next(2) == 0) continue;
                if (removed is not null) entries.Remove(removed);
                if (added is not null) entries[added] = content;
            }
            foreach (var (path, content) in entries) survivor.Put(path, content.AfterPowerCut(random));
            return survivor;
        }
    }

    /// <summary>The bytes of a file as they stand.</summary>
    public byte[] Read(string path)
    {
        lock (_lock) return [.. _files[path].Bytes];
    }

    /// <summary>Changes a file behind everyone's back, durably.</summary>
    public void Put(string path, byte[] bytes)
    {
        lock (_lock)
        {
            _directories.Add(Path.GetDirectoryName(path)!);
            var content = new Content { Bytes = [.. bytes], Synced = [.. bytes] };
            _files[path] = _durableEntries[path] = content;
        }
    }

    public override void CreateDirectory(string path)
    {
        lock (_lock) _directories.Add(path);
    }

    public override bool DirectoryExists(string path)
    {
        lock (_lock) return _directories.Contains(path);
    }

    public override IReadOnlyList<string> List(string directory)
    {
        lock (_lock)
            return [.. _files.Keys.Where(path => Path.GetDirectoryName(path) == directory).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];
    }

    public override LogFile Create(string path)
    {
        lock (_lock)
        {
            if (!_directories.Contains(Path.GetDirectoryName(path)!)) throw new DirectoryNotFoundException(path);
            if (_files.ContainsKey(path)) throw new IOException($"{path} exists");
            var content = new Content();
            _files.Add(path, content);
            _pendingEntries.Add((null, path, content));
            return new MemoryFile(this, path, content, writable: true);
        }
    }

    public override LogFile Open(string path, bool writable)
    {
        lock (_lock) return new MemoryFile(this, path, _files.TryGetValue(path, out var content) ? content : throw new FileNotFoundException(path), writable);
    }

    public override bool Exists(string path)
    {
        lock (_lock) return _files.ContainsKey(path);
    }

    public override void Delete(string path)
    {
        lock (_lock)
        {
            if (_files.Remove(path, out var content)) _pendingEntries.Add((path, null, content));
        }
    }

    public override void Rename(string from, string to)
    {
        lock (_lock)
        {
            if (!_files.Remove(from, out var content)) throw new FileNotFoundException(from);
            _files[to] = content;
            _pendingEntries.Add((from, to, content));
        }
    }

    public override void SyncDirectory(string path)
    {
        lock (_lock)
        {
            foreach (var (removed, added, content) in _pendingEntries.Where(entry => Path.GetDirectoryName(entry.Removed ?? entry.Added) == path))
            {
                if (removed is not null) _durableEntries.Remove(removed);
                if (added is not null) _durableEntries[added] = content;
            }
            _pendingEntries.RemoveAll(entry => Path.GetDirectoryName(entry.Removed ?? entry.Added) == path);
        }
    }

    public override void DeleteDirectory(string path)
    {
        lock (_lock)
        {
            foreach (var file in _files.Keys.Where(file => Path.GetDirectoryName(file) == path).ToList())
            {
                _files.Remove(file);
                _durableEntries.Remove(file);
            }
            _directories.Remove(path);
        }
    }

    /// <summary>What is written and what of it would survive.</summary>
    sealed class Content
    {
        const int BlockSize = 512;

        public List<byte> Bytes { get; set; } = [];

        public List<byte> Synced { get; set; } = [];

        readonly List<(int Start, int End)> _dirty = []; // what a sync writes

        public Content Copy()
        {
            var copy = new Content { Bytes = [.. Bytes], Synced = [.. Synced] };
            copy._dirty.AddRange(_dirty);
            return copy;
        }

        public void Write(ReadOnlySpan<byte> bytes, int offset)
        {
            if (Bytes.Count < offset + bytes.Length) Bytes.AddRange(new byte[offset + bytes.Length - Bytes.Count]);
            bytes.CopyTo(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(Bytes)[offset..]);
            _dirty.Add((offset, offset + bytes.Length));
        }

        public void Sync()
        {
            if (Synced.Count > Bytes.Count) Synced.RemoveRange(Bytes.Count, Synced.Count - Bytes.Count);
            else Synced.AddRange(new byte[Bytes.Count - Synced.Count]);
            foreach (var (start, end) in _dirty)
                for (var at = start; at < Math.Min(end, Bytes.Count); at++) Synced[at] = Bytes[at];
            _dirty.Clear();
        }

        public void FailSync() => _dirty.Clear();

        public byte[] AfterPowerCut(Random? random)
        {
            if (random is null) return [.. Synced];
            // the new length may be known without all of its blocks: those are zero, or hold what was synced before
            var length = Bytes.Count > Synced.Count ? random.Next(Synced.Count, Bytes.Count + 1) : random.Next(2) == 0 ? Bytes.Count : Synced.Count;
            if (random.Next(3) == 0) length = Bytes.Count;
            var bytes = new byte[length];
            Synced.Take(length).ToArray().CopyTo(bytes, 0);
            var keepsAll = random.Next(3) == 0;
            for (var block = 0; block < length; block += BlockSize)
            {
                if (!keepsAll && random.Next(2) == 0) continue;
                for (var at = block; at < Math.Min(block + BlockSize, Math.Min(length, Bytes.Count)); at++) bytes[at] = Bytes[at];
            }
            return bytes;
        }
    }

    sealed class MemoryFile(MemoryFiles files, string path, Content content, bool writable) : LogFile
    {
        bool _isDisposed;

        public override long Length
        {
            get
            {
                lock (files._lock) return content.Bytes.Count;
            }
        }

        public override int Read(Span<byte> buffer, long offset)
        {
            lock (files._lock)
            {
                ObjectDisposedException.ThrowIf(_isDisposed, this);
                var count = (int)Math.Clamp(content.Bytes.Count - offset, 0, buffer.Length);
                System.Runtime.InteropServices.CollectionsMarshal.AsSpan(content.Bytes).Slice((int)Math.Min(offset, content.Bytes.Count), count).CopyTo(buffer);
                return count;
            }
        }

        public override void Write(ReadOnlySpan<byte> bytes, long offset)
        {
            lock (files._lock)
            {
                ObjectDisposedException.ThrowIf(_isDisposed, this);
                if (!writable) throw new UnauthorizedAccessException(path);
                content.Write(bytes, (int)offset);
            }
        }

        public override void Write(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset) =>
            Write(parts.SelectMany(part => part.ToArray()).ToArray(), offset);

        public override void Sync()
        {
            lock (files._lock)
            {
                ObjectDisposedException.ThrowIf(_isDisposed, this);
                content.Sync();
            }
        }

        public override void SetLength(long length)
        {
            lock (files._lock)
            {
                if (length < content.Bytes.Count) content.Bytes.RemoveRange((int)length, content.Bytes.Count - (int)length);
                else content.Bytes.AddRange(new byte[length - content.Bytes.Count]);
            }
        }

        protected override void Dispose(bool disposing) => _isDisposed = true;
    }
}
