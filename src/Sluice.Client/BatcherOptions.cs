namespace Sluice.Client;

/// <summary>How a <see cref="SluiceBatcher"/> gathers, sends and repeats.</summary>
public sealed record BatcherOptions
{
    /// <summary>Most records in a request. Defaults to 1,000: larger requests gain little, and an answer comes sooner.</summary>
    public int MaxRecords { get; init; } = 1_000;

    /// <summary>A request is sent when it has this many bytes. Defaults to 4,194,304 (4 MiB), far below what a server takes.</summary>
    public int MaxBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>Longest time a record waits for others. Defaults to 200 ms. <see cref="System.Threading.Timeout.InfiniteTimeSpan"/>: until the request is full.</summary>
    public TimeSpan MaxDelay { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>
    /// Requests under way at once. Defaults to 1, which keeps the order of records. With more, two records with the same <c>_id</c> in
    /// different requests may be applied in either order.
    /// </summary>
    public int MaxRequests { get; init; } = 1;

    /// <summary>
    /// How long a request that is refused for a passing reason, or gets no answer, is sent again. A server that asks to wait is waited for, but no
    /// longer than this at a time. A quota is waited for as long as it takes, and begins this anew. Defaults to 5 minutes.
    /// </summary>
    public TimeSpan MaxRetryTime { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Begins every idempotency key; the number of the request follows. Defaults to a random text. Give the same prefix and the same
    /// records in the same order to go on where an earlier run stopped: what it stored is not stored again.
    /// </summary>
    public string KeyPrefix { get; init; } = Guid.NewGuid().ToString("n");

    /// <summary>Number of the first request. Defaults to 0.</summary>
    public long FirstRequest { get; init; }

    /// <summary>What is done with the records; <c>null</c>: upsert.</summary>
    public string? Operation { get; init; }

    /// <summary>Each request returns when its records are visible to SQL, not when they are durable.</summary>
    public bool WaitLoaded { get; init; }

    /// <summary>Called for every answered request, on any thread, possibly several at once; the batcher waits for it. What it throws ends the batcher.</summary>
    public Func<SentBatch, ValueTask>? OnSent { get; init; }

    /// <summary>For the waits between tries. Defaults to the system's clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>One answered request.</summary>
public sealed class SentBatch
{
    readonly Batch _batch;

    internal SentBatch(Batch batch, IngestAnswer answer, TimeSpan elapsed, int tries) => (_batch, Answer, Elapsed, Tries) = (batch, answer, elapsed, tries);

    /// <summary>Its number, from <see cref="BatcherOptions.FirstRequest"/>.</summary>
    public long Request => _batch.Request;

    /// <summary>Number of its first record among all that were added, from 0.</summary>
    public long FirstRecord => _batch.FirstRecord;

    public int RecordCount => _batch.RecordCount;

    /// <summary>
    /// Records under this number. More than <see cref="RecordCount"/> when the server found the request too large: then it was sent in parts, each of which
    /// is told of.
    /// </summary>
    public int TotalCount => _batch.TotalCount;

    public IngestAnswer Answer { get; }

    /// <summary>From the first try to the answer.</summary>
    public TimeSpan Elapsed { get; }

    /// <summary>1 unless it was sent again.</summary>
    public int Tries { get; }

    /// <summary>The records that were not accepted; each has its <see cref="RecordStatus.Index"/> in the request.</summary>
    public IEnumerable<RecordStatus> Rejected => (Answer.Records ?? []).Where(record => record.Status == "error");

    /// <summary>A record as it was added.</summary>
    public ReadOnlyMemory<byte> Record(int index) => _batch.Record(index);
}
