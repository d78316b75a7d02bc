using System.Buffers.Binary;
using Sluice.Log;

namespace Sluice.Tests.Log;

public enum FileSystem
{
    Memory,
    Disk,
}

/// <summary>A log under test, in memory or in a directory of its own, whose frames hold numbered payloads.</summary>
sealed class TestLog : IDisposable
{
    readonly string? _temporary;

    TestLog(LogFiles files, string directory, LogOptions options, string? temporary)
    {
        (Real, Files, Directory, Options, _temporary) = (files, new FaultyFiles(files), directory, options, temporary);
    }

    /// <summary>The files below the fault switches.</summary>
    public LogFiles Real { get; }

    public MemoryFiles Memory => (MemoryFiles)Real;

    public FaultyFiles Files { get; }

    public string Directory { get; }

    public LogOptions Options { get; }

    public TableLog Log { get; private set; } = null!;

    /// <summary>What the log has called durable, found at opening or appended since.</summary>
    public List<Framed> Durable { get; } = [];

    /// <summary>Called for every durable frame too.</summary>
    public FrameVisitor? OnDurable { get; set; }

    /// <summary>The segment files, oldest first.</summary>
    public List<string> Segments => [.. Real.List(Directory).Where(name => name.StartsWith("segment-", StringComparison.Ordinal)).Select(name => Path.Combine(Directory, name))];

    public string WatermarkPath => Path.Combine(Directory, "watermark");

    public static TestLog Create(FileSystem system, LogOptions? options = null)
    {
        var temporary = system == FileSystem.Disk ? System.IO.Directory.CreateTempSubdirectory("sluice-log-").FullName : null;
        var log = new TestLog(temporary is null ? new MemoryFiles() : DiskFiles.Instance, Path.Combine(temporary ?? "/memory", "log"), options ?? new LogOptions(), temporary);
        TableLog.Create(log.Files, log.Directory);
        log.Open();
        return log;
    }

    /// <summary>The same log on other files, as found after a crash; not opened.</summary>
    public TestLog On(MemoryFiles files) => new(files, Directory, Options, null);

    public TestLog Open(ulong summarised = 0, IReadOnlySet<ulong>? torn = null)
    {
        Durable.Clear();
        Log = TableLog.Open(Files, Directory, Options, summarised, (in FrameHeader header, ReadOnlySpan<byte> payload) =>
        {
            lock (Durable) Durable.Add(new Framed(header.Position.Sequence, payload.ToArray()));
            OnDurable?.Invoke(header, payload);
        }, torn);
        return this;
    }

    /// <summary>Ends the log without ceremony, as a killed process does, and opens it again.</summary>
    public void Reopen(ulong summarised = 0)
    {
        Log.Dispose();
        Open(summarised);
    }

    public Task<LogPosition> AppendAsync(long number, int size = 16, long receivedAt = 0) => Log.AppendAsync(Frame(number, size, receivedAt));

    /// <summary>Appends one frame after the other, numbered from <paramref name="first"/>.</summary>
    public async Task AppendAllAsync(long first, int count, int size = 16, long receivedAt = 0)
    {
        for (var i = 0; i < count; i++) await AppendAsync(first + i, size, receivedAt);
    }

    /// <summary>All durable frames after a sequence, read from the files.</summary>
    public List<Framed> Read(ulong after = 0)
    {
        using var reader = Log.OpenReader(after);
        var frames = new List<Framed>();
        while (reader.TryPeek(out var frame))
        {
            frames.Add(new Framed(frame.Header.Position.Sequence, frame.Payload.ToArray()));
            reader.Take();
        }
        return frames;
    }

    /// <summary>The numbers of the frames of each request that takes effect after a sequence, by the sequence of its last part.</summary>
    public Dictionary<ulong, List<long>> ReadRequests(ulong after = 0)
    {
        using var reader = new RequestReader(Log, Log.DurablePosition with { Sequence = after });
        var requests = new Dictionary<ulong, List<long>>();
        while (reader.TryPeek(out var frame))
        {
            if (!requests.TryGetValue(frame.Request.Sequence, out var numbers)) requests.Add(frame.Request.Sequence, numbers = []);
            numbers.Add(BinaryPrimitives.ReadInt64LittleEndian(frame.Payload.Span));
            reader.Take();
        }
        return requests;
    }

    public byte[] ReadFile(string path)
    {
        using var file = Real.Open(path, writable: false);
        var bytes = new byte[file.Length];
        file.Read(bytes, 0);
        return bytes;
    }

    /// <summary>Overwrites a whole file.</summary>
    public void WriteFile(string path, byte[] bytes)
    {
        if (Real.Exists(path)) Real.Delete(path);
        using var file = Real.Create(path);
        file.Write(bytes, 0);
        file.Sync();
        Real.SyncDirectory(Directory);
    }

    public void Dispose()
    {
        Log?.Dispose();
        if (_temporary is not null) System.IO.Directory.Delete(_temporary, recursive: true);
    }

    public static FrameBuffer Frame(long number, int size, long receivedAt = 0) => Frame(number, size, receivedAt, default, 0);

    /// <summary>A part of a request whose every frame holds one record.</summary>
    public static FrameBuffer Frame(long number, int size, long receivedAt, RecordsFrame.Part part, int index)
    {
        var frame = new FrameBuffer(FrameHeader.PaddedSize(size));
        frame.Take(FrameHeader.Size);
        Payload(number, size).CopyTo(frame.Take(size));
        return RecordsFrame.Close(frame, new FrameHeader
        {
            Kind = FrameKind.Records,
            Flags = part.HasMore ? FrameFlags.None : FrameFlags.LastPart,
            ReceivedAtMicroseconds = receivedAt,
            SinkId = Guid.Empty,
            MappingVersion = 1,
            SchemaVersion = 1,
            RecordCount = 1,
            AcceptedCount = 1,
            FirstRecordIndex = index,
            FirstPart = part.First,
            AcceptedBefore = part.AcceptedBefore,
        });
    }

    /// <summary>At least 8 bytes: the number, then bytes that follow from it.</summary>
    static Span<byte> Payload(long number, int size)
    {
        var payload = new byte[size];
        BinaryPrimitives.WriteInt64LittleEndian(payload, number);
        new Random((int)number).NextBytes(payload.AsSpan(8));
        return payload;
    }

    public readonly record struct Framed(ulong Sequence, byte[] Payload)
    {
        public long Number => BinaryPrimitives.ReadInt64LittleEndian(Payload);

        /// <summary>The payload is, to the last byte, what was appended under its number.</summary>
        public bool IsIntact => TestLog.Payload(Number, Payload.Length).SequenceEqual(Payload);
    }
}
