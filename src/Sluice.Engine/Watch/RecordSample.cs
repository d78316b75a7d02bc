using Sluice.Records;

namespace Sluice.Watch;

/// <summary>A record as it was sent, kept for trying mappings.</summary>
/// <param name="TimeMicroseconds">When it was received, microseconds since 1970-01-01 UTC.</param>
public sealed record SampledRecord(byte[] Raw, RecordForm Form, long TimeMicroseconds);

/// <summary>
/// The newest records of a sink, in memory, right or wrong: a few of a request, and of so many requests a second that taking them costs nothing that could be
/// measured. Best effort: outside log and ledger, gone with the process. Any thread.
/// </summary>
sealed class RecordSample(TimeProvider time)
{
    /// <summary>Most records kept.</summary>
    public const int MaxRecords = 100;

    /// <summary>Most bytes of text kept: 1 MiB.</summary>
    public const int MaxBytes = 1 << 20;

    /// <summary>Most records taken of one request: a large first request is a sample already.</summary>
    const int MaxOfRequest = 10;

    const int MaxRecordBytes = 65_536;
    static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(50);

    readonly Lock _lock = new();
    readonly Queue<SampledRecord> _records = []; // under _lock
    int _bytes; // under _lock
    long _next = time.GetTimestamp();

    /// <summary>Takes some records of a request.</summary>
    /// <param name="body">What the places of <paramref name="rows"/> count in.</param>
    public void Take(RecordRows rows, ReadOnlySpan<byte> body, long receivedAtMicroseconds)
    {
        var now = time.GetTimestamp();
        var next = Volatile.Read(ref _next);
        if (now < next || rows.RecordCount == 0 || Interlocked.CompareExchange(ref _next, now + (long)(s_interval.TotalSeconds * time.TimestampFrequency), next) != next) return;
        var step = Math.Max(1, rows.RecordCount / MaxOfRequest);
        lock (_lock)
        {
            for (var i = 0; i < rows.RecordCount && i / step < MaxOfRequest; i += step)
            {
                var place = rows.Records[i];
                if (place.Length <= MaxRecordBytes) Add(new SampledRecord(body.Slice(place.Start, place.Length).ToArray(), rows.Form, receivedAtMicroseconds));
            }
        }
    }

    /// <summary>The newest first.</summary>
    public IReadOnlyList<SampledRecord> Read()
    {
        lock (_lock) return [.. _records.Reverse()];
    }

    public void Clear()
    {
        lock (_lock)
        {
            _records.Clear();
            _bytes = 0;
        }
    }

    void Add(SampledRecord record)
    {
        _records.Enqueue(record);
        _bytes += record.Raw.Length;
        while (_records.Count > MaxRecords || _bytes > MaxBytes) _bytes -= _records.Dequeue().Raw.Length;
    }
}
