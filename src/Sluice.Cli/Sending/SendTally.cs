using System.Buffers;
using System.Text;
using System.Text.Json;
using Sluice.Client;

namespace Sluice.Cli.Sending;

/// <summary>
/// Takes the answers of requests in any order, and in their order counts them, writes rejected records with their reasons to a file, and keeps
/// how far the run is.
/// </summary>
/// <param name="begin">Where an earlier run stopped, or a new one begins.</param>
/// <param name="progressPath"><c>null</c>: not kept (standard input).</param>
sealed class SendTally(SendProgress begin, string? progressPath, string rejectedPath) : IDisposable
{
    static readonly TimeSpan KeepInterval = TimeSpan.FromSeconds(1);

    readonly long _earlierRecords = begin.Records; // the batcher counts from where this run begins
    readonly Lock _lock = new();
    readonly SortedDictionary<long, Answered> _answered = []; // under _lock
    readonly bool _isNewFile = !File.Exists(rejectedPath);
    readonly FileStream _rejectedFile = Open(rejectedPath); // under _lock; opened at once: what is rejected must have its place before it is sent
    bool _hasRejected; // under _lock
    long _lastKept = TimeProvider.System.GetTimestamp();

    public SendProgress Progress { get; private set; } = begin;

    /// <summary>An answered request: its counts, and the lines that tell of its rejected records.</summary>
    readonly record struct Answered(int Records, int Total, int Accepted, int Rejected, byte[] Lines);

    public ValueTask AddAsync(SentBatch batch)
    {
        var answered = new Answered(batch.RecordCount, batch.TotalCount, batch.Answer.SuccessCount, batch.Answer.ErrorCount, Describe(batch));
        lock (_lock)
        {
            // a request that was too large comes in parts under one number
            if (_answered.TryGetValue(batch.Request, out var other))
            {
                answered = answered with
                {
                    Records = other.Records + answered.Records,
                    Accepted = other.Accepted + answered.Accepted,
                    Rejected = other.Rejected + answered.Rejected,
                    Lines = [.. other.Lines, .. answered.Lines],
                };
            }
            _answered[batch.Request] = answered;
        }
        return ValueTask.CompletedTask;
    }

    /// <summary>Moves on over requests that are answered.</summary>
    public void Settle()
    {
        lock (_lock)
        {
            while (_answered.TryGetValue(Progress.Requests, out var next) && next.Records == next.Total)
            {
                _answered.Remove(Progress.Requests);
                if (next.Lines.Length > 0) WriteRejected(next.Lines);
                Progress = Progress with
                {
                    Requests = Progress.Requests + 1,
                    Records = Progress.Records + next.Records,
                    Accepted = Progress.Accepted + next.Accepted,
                    Rejected = Progress.Rejected + next.Rejected,
                    RejectedBytes = _hasRejected && _rejectedFile.CanSeek ? _rejectedFile.Position : Progress.RejectedBytes,
                };
            }
            _rejectedFile.Flush();
            if (progressPath is null || TimeProvider.System.GetElapsedTime(_lastKept) < KeepInterval) return;
            Keep();
        }
    }

    /// <summary>Keeps how far the run is: at its begin, and at its end when it was cut short.</summary>
    public void Keep()
    {
        if (progressPath is null) return;
        _rejectedFile.Flush();
        (Progress with { KeptAt = TimeProvider.System.GetUtcNow().UtcDateTime }).Write(progressPath);
        _lastKept = TimeProvider.System.GetTimestamp();
    }

    public void Dispose()
    {
        _rejectedFile.Dispose();
        if (_isNewFile && !_hasRejected) File.Delete(rejectedPath);
    }

    static FileStream Open(string path)
    {
        // a device has no writer to be kept apart from
        var share = path.StartsWith("/dev/", StringComparison.Ordinal) ? FileShare.ReadWrite : FileShare.None;
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write, share);
        }
        catch (IOException) when (File.Exists(path))
        {
            throw new CommandException($"{path} is in use, perhaps by another run; give this one a file of its own with --rejected.");
        }
    }

    void WriteRejected(ReadOnlySpan<byte> lines)
    {
        if (!_hasRejected && _rejectedFile.CanSeek)
        {
            // what a run wrote beyond its last kept point is written again; a file that was made shorter since gets no gap
            if (_rejectedFile.Length > Progress.RejectedBytes) _rejectedFile.SetLength(Progress.RejectedBytes);
            _rejectedFile.Position = _rejectedFile.Length;
        }
        _hasRejected = true;
        _rejectedFile.Write(lines);
    }

    byte[] Describe(SentBatch batch)
    {
        var lines = new ArrayBufferWriter<byte>();
        foreach (var record in batch.Rejected)
        {
            var index = record.Index ?? throw new JsonException("the server's answer does not name the rejected record");
            var sent = batch.Record(index);
            var line = new RejectedLine(_earlierRecords + batch.FirstRecord + index, record.ErrorCode, record.ErrorMessage, record.Errors, Sent: null, Text: null);
            lines.Write(TryDescribe(line, sent) ?? Utf8(line with { Text = Encoding.UTF8.GetString(sent.Span) }));
            lines.Write("\n"u8);
        }
        return lines.WrittenSpan.ToArray();
    }

    /// <returns><c>null</c>: the record is not JSON, or holds half a surrogate pair, which cannot be written.</returns>
    static byte[]? TryDescribe(RejectedLine line, ReadOnlyMemory<byte> sent)
    {
        try
        {
            return Utf8(line with { Sent = JsonElement.Parse(sent.Span, new JsonDocumentOptions { MaxDepth = 128 }) });
        }
        catch (JsonException)
        {
            return null;
        }
    }

    static byte[] Utf8(RejectedLine line) => JsonSerializer.SerializeToUtf8Bytes(line, SendJson.Default.RejectedLine);
}
