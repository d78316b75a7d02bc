using BenchmarkDotNet.Attributes;
using Sluice.Log;
using Sluice.Records;

namespace Sluice.Benchmarks;

public enum LogDisk
{
    /// <summary>Nothing is kept: the cost of the log itself.</summary>
    None,

    /// <summary>The disk of the temporary directory, with every fdatasync.</summary>
    Real,
}

/// <summary>
/// A round of concurrent appends, from the call to the answer: how far group commit shares a sync. The time is that of the whole round; records a second are
/// Records x Appenders / time.
/// </summary>
[MemoryDiagnoser]
[ShortRunJob]
public class LogAppendBenchmarks
{
    const long TrimEveryBytes = 256L * 1024 * 1024;

    byte[] _frame = [];
    string _directory = "";
    LogFiles _files = DiskFiles.Instance;
    TableLog? _log;
    Task<LogPosition>[] _appends = [];

    [Params(1, 100, 1000)]
    public int Records { get; set; }

    [Params(1, 16, 64)]
    public int Appenders { get; set; }

    [Params(LogDisk.None, LogDisk.Real)]
    public LogDisk Disk { get; set; }

    [GlobalSetup]
    public void Open()
    {
        var body = SampleBatch.Body(Records);
        var rows = SampleBatch.Decoder.Rent();
        BatchReader.Read(body, BodyFormat.Records, RecordOperation.Upsert, SampleBatch.Decoder, SampleBatch.Sink.MaxRecordsPerRequest, rows);
        using (var frame = RecordsFrame.Encode(SampleBatch.Decoder, SampleBatch.Sink.Id, 0, new RecordsFrame.Meta("caller", "", default, 0), rows, body)) _frame = frame.Span.ToArray();

        _directory = Directory.CreateTempSubdirectory("sluice-bench-").FullName;
        _files = Disk == LogDisk.Real ? DiskFiles.Instance : new ForgetfulFiles();
        TableLog.Create(_files, _directory);
        _log = TableLog.Open(_files, _directory, new LogOptions(), 0, (in FrameHeader _, ReadOnlySpan<byte> _) => { });
        _appends = new Task<LogPosition>[Appenders];
    }

    [GlobalCleanup]
    public void Close()
    {
        _log!.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Benchmark]
    public async Task<ulong> Append()
    {
        for (var i = 0; i < _appends.Length; i++)
        {
            var frame = new FrameBuffer(_frame.Length);
            frame.Bytes(_frame);
            _appends[i] = _log!.AppendAsync(frame);
        }
        var last = (await Task.WhenAll(_appends))[^1].Sequence;
        if (_log!.BytesAfter(0) > TrimEveryBytes) _log.TrimTo(last); // so that the disk does not fill
        return last;
    }

    /// <summary>Keeps the first bytes of each file, which is all that opening a new log reads, and the length of the rest.</summary>
    sealed class ForgetfulFiles : LogFiles
    {
        readonly Dictionary<string, ForgetfulFile> _files = [];

        public override void CreateDirectory(string path)
        {
        }

        public override bool DirectoryExists(string path) => true;

        public override IReadOnlyList<string> List(string directory) => [.. _files.Keys.Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

        public override LogFile Create(string path) => _files[path] = new ForgetfulFile();

        public override LogFile Open(string path, bool writable) => _files[path];

        public override bool Exists(string path) => _files.ContainsKey(path);

        public override void Delete(string path) => _files.Remove(path);

        public override void Rename(string from, string to)
        {
            _files[to] = _files[from];
            _files.Remove(from);
        }

        public override void SyncDirectory(string path)
        {
        }

        public override void DeleteDirectory(string path) => _files.Clear();
    }

    sealed class ForgetfulFile : LogFile
    {
        readonly byte[] _head = new byte[8_192];
        long _length;

        public override long Length => _length;

        public override int Read(Span<byte> buffer, long offset)
        {
            var kept = _head.AsSpan((int)Math.Min(offset, _head.Length));
            var count = Math.Min(buffer.Length, kept.Length);
            kept[..count].CopyTo(buffer);
            return count;
        }

        public override void Write(ReadOnlySpan<byte> bytes, long offset)
        {
            var kept = (int)Math.Clamp(_head.Length - offset, 0, bytes.Length);
            bytes[..kept].CopyTo(_head.AsSpan((int)Math.Min(offset, _head.Length)));
            _length = Math.Max(_length, offset + bytes.Length);
        }

        public override void Write(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset)
        {
            foreach (var part in parts)
            {
                Write(part.Span, offset);
                offset += part.Length;
            }
        }

        public override void Sync()
        {
        }

        public override void SetLength(long length) => _length = length;

        protected override void Dispose(bool disposing)
        {
        }
    }
}
