using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Sluice.Client;

/// <summary>
/// Gathers records into requests and sends them to one sink. A request that is refused for a passing reason, or whose answer is lost, is sent
/// again under the same idempotency key, so that its records are stored once.
/// </summary>
/// <remarks>
/// Any thread may add. Adding waits while <see cref="BatcherOptions.MaxRequests"/> requests are under way: memory stays bounded. After the
/// first request that failed for good every call throws its exception. <see cref="DisposeAsync"/> sends what is left and throws if anything was not stored;
/// <see cref="AbortAsync"/> does neither.
/// </remarks>
/// <example>
/// <code>
/// await using var batcher = new SluiceBatcher(client, sinkId, new BatcherOptions { OnSent = batch => ... });
/// await batcher.AddAsync(new Reading(7, 21.5m), ReadingJson.Default.Reading, cancellation);
/// </code>
/// </example>
public sealed class SluiceBatcher : IAsyncDisposable
{
    static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(200);
    static readonly TimeSpan MaxDelay = TimeSpan.FromSeconds(15);

    readonly SluiceClient _client;
    readonly Guid _sinkId;
    readonly BatcherOptions _options;
    readonly SemaphoreSlim _adding = new(1);
    readonly SemaphoreSlim _slots;
    readonly CancellationTokenSource _stop = new(); // as the two above not disposed: it holds nothing, and who waits is to be told
    readonly CancellationTokenSource _retrying; // ends the waits between tries: with the above, and when a request has failed for good
    readonly ITimer _timer;

    // under _adding
    readonly List<Task> _underWay = [];
    Batch? _open;
    long _nextRequest;
    long _nextRecord;
    bool _isEnding;

    Exception? _failure;

    public SluiceBatcher(SluiceClient client, Guid sinkId, BatcherOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxRecords, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxRequests, 1);
        (_client, _sinkId, _options) = (client, sinkId, options);
        _slots = new SemaphoreSlim(options.MaxRequests);
        _retrying = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        _nextRequest = options.FirstRequest;
        _timer = options.Time.CreateTimer(_ => _ = SendOverdueAsync(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Adds a record. When this is cancelled, or throws, it was not added.</summary>
    public ValueTask AddAsync<T>(T value, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        AddAsync(JsonSerializer.SerializeToUtf8Bytes(value, type), cancellation);

    /// <summary>Adds a record that is JSON already. It is not read here: the server rejects what is not JSON, and says so in the answer.</summary>
    /// <exception cref="ArgumentException">It is blank, which is no record to the server.</exception>
    /// <exception cref="JsonException">It has several lines and is not one JSON value.</exception>
    public ValueTask AddAsync(ReadOnlyMemory<byte> utf8Value, CancellationToken cancellation)
    {
        if (utf8Value.Span.IndexOfAnyExcept(" \t\r\n"u8) < 0) throw new ArgumentException("the record is blank", nameof(utf8Value));
        var isLine = !utf8Value.Span.Contains((byte)'\n');
        if (isLine) return AddAsync(utf8Value, isLine, cancellation);
        ThrowIfNotJson(utf8Value.Span);
        return AddAsync((byte[])[.. "{\"value\":"u8, .. utf8Value.Span, (byte)'}'], isLine, cancellation);
    }

    /// <summary>Adds an element of <c>records</c> as it is: <c>{"value":{...},"op":"delete"}</c>.</summary>
    /// <exception cref="JsonException">It is not one JSON value.</exception>
    public ValueTask AddRecordAsync(ReadOnlyMemory<byte> utf8Record, CancellationToken cancellation)
    {
        ThrowIfNotJson(utf8Record.Span);
        return AddAsync(utf8Record, isLine: false, cancellation);
    }

    /// <summary>Sends what was added and waits for all answers.</summary>
    public async Task FlushAsync(CancellationToken cancellation)
    {
        await _adding.WaitAsync(cancellation);
        Task[] underWay;
        try
        {
            await SendOpenAsync(cancellation);
            underWay = [.. _underWay];
        }
        finally
        {
            _adding.Release();
        }
        await Task.WhenAll(underWay).WaitAsync(cancellation);
        ThrowIfFailed();
    }

    /// <summary>Sends what was added, waits for all answers, and ends.</summary>
    /// <exception cref="Exception">Why records are not stored: a <see cref="SluiceApiException"/> or <see cref="HttpRequestException"/>.</exception>
    public async ValueTask DisposeAsync()
    {
        if (await EndAsync(sendsOpen: true)) ThrowIfFailed();
    }

    /// <summary>
    /// Drops what is not under way yet, waits for the answers to what is, and ends. For a run that another goes on with: half a request, once sent, keeps
    /// its key from the whole one.
    /// </summary>
    /// <param name="cancellation">Gives up what is under way: it may be stored or not, and is stored once when it is sent again under the same keys.</param>
    public async ValueTask AbortAsync(CancellationToken cancellation)
    {
        using var giveUp = cancellation.Register(_stop.Cancel);
        await EndAsync(sendsOpen: false);
    }

    /// <returns>False: it was ended before.</returns>
    async Task<bool> EndAsync(bool sendsOpen)
    {
        await _adding.WaitAsync(CancellationToken.None);
        try
        {
            if (_isEnding) return false;
            _isEnding = true;
            if (!sendsOpen) _open = null;
            await SendOpenAsync(CancellationToken.None);
        }
        finally
        {
            _adding.Release();
        }
        await Task.WhenAll(_underWay); // to which nothing is added any more
        await _timer.DisposeAsync();
        await _stop.CancelAsync();
        return true;
    }

    async ValueTask AddAsync(ReadOnlyMemory<byte> record, bool isLine, CancellationToken cancellation)
    {
        await _adding.WaitAsync(cancellation);
        try
        {
            ObjectDisposedException.ThrowIf(_isEnding, this);
            ThrowIfFailed();
            if (_open is { } full && (full.IsLines != isLine || full.Bytes + record.Length > _options.MaxBytes)) await SendOpenAsync(cancellation);
            var isLast = (_open?.RecordCount ?? 0) + 1 >= _options.MaxRecords;
            if (isLast) await _slots.WaitAsync(cancellation); // before it is added: a record whose adding was cancelled is not in
            if (_open is null)
            {
                _open = new Batch(_nextRequest++, _nextRecord, isLine);
                _timer.Change(_options.MaxDelay, Timeout.InfiniteTimeSpan);
            }
            _open.Add(record.Span);
            _nextRecord++;
            if (isLast) Send(_open);
        }
        finally
        {
            _adding.Release();
        }
    }

    /// <summary>Hands the open request over as soon as one may begin. Needs <see cref="_adding"/>.</summary>
    async ValueTask SendOpenAsync(CancellationToken cancellation)
    {
        if (_open is not { } batch) return;
        await _slots.WaitAsync(cancellation);
        Send(batch);
    }

    /// <summary>Hands the open request over. Needs <see cref="_adding"/> and a slot.</summary>
    void Send(Batch batch)
    {
        _open = null;
        _underWay.RemoveAll(task => task.IsCompleted);
        _underWay.Add(Task.Run(() => SendAsync(batch), CancellationToken.None));
    }

    async Task SendOverdueAsync()
    {
        try
        {
            await _adding.WaitAsync(_stop.Token);
            try
            {
                await SendOpenAsync(_stop.Token);
            }
            finally
            {
                _adding.Release();
            }
        }
        catch (OperationCanceledException)
        {
            // ended meanwhile
        }
    }

    async Task SendAsync(Batch batch)
    {
        try
        {
            if (Volatile.Read(ref _failure) is null) await SendAsync(batch, $"{_options.KeyPrefix}-{batch.Request}");
        }
        catch (Exception e)
        {
            Interlocked.CompareExchange(ref _failure, e, null); // the first is the cause
            await _retrying.CancelAsync();
        }
        finally
        {
            _slots.Release();
        }
    }

    async Task SendAsync(Batch batch, string key)
    {
        var started = _options.Time.GetTimestamp();
        var failing = started;
        var body = batch.Close();
        var options = new SendOptions
        {
            ContentType = batch.IsLines ? "application/x-ndjson" : "application/json",
            IdempotencyKey = key,
            Return = "errors",
            Operation = _options.Operation,
            WaitLoaded = _options.WaitLoaded,
        };
        for (var tries = 1; ; tries++)
        {
            IngestAnswer answer;
            try
            {
                answer = await _client.SendAsync(_sinkId, body, options, _stop.Token);
            }
            catch (SluiceApiException e) when (e.Status == HttpStatusCode.RequestEntityTooLarge && batch.RecordCount > 1)
            {
                var (first, second) = batch.Halve();
                await SendAsync(first, key + ".0");
                await SendAsync(second, key + ".1");
                return;
            }
            catch (SluiceApiException e) when (e.Status == HttpStatusCode.RequestEntityTooLarge)
            {
                answer = Rejection(e.Body);
            }
            catch (SluiceApiException e) when (e.IsQuota)
            {
                await Task.Delay(DelayAfter(tries, e.RetryAfter), _options.Time, _retrying.Token);
                failing = _options.Time.GetTimestamp(); // nothing fails: the server lets senders pass as fast as it is told to
                continue;
            }
            catch (Exception e) when (IsPassing(e) && _options.Time.GetElapsedTime(failing) < _options.MaxRetryTime && !(AskedOf(e) > _options.MaxRetryTime))
            {
                await Task.Delay(DelayAfter(tries, AskedOf(e)), _options.Time, _retrying.Token);
                continue;
            }
            if (_options.OnSent is { } onSent) await onSent(new SentBatch(batch, answer, _options.Time.GetElapsedTime(started), tries));
            return;
        }
    }

    /// <summary>The answer to a request of one record that is too large by itself: it is wrong, and what follows it is not.</summary>
    static IngestAnswer Rejection(RefusalBody why) =>
        new(0, 1, why.RequestId, [new RecordStatus("error") { Index = 0, ErrorCode = why.Code, ErrorMessage = why.Message }]);

    bool IsPassing(Exception e) => e switch
    {
        SluiceApiException refused => refused.IsTransient || refused.Status is HttpStatusCode.InternalServerError or HttpStatusCode.BadGateway or HttpStatusCode.GatewayTimeout,
        OperationCanceledException => !_stop.IsCancellationRequested, // no answer in time
        _ => e is HttpRequestException or IOException or JsonException, // the last: a proxy's page in place of the answer
    };

    static TimeSpan? AskedOf(Exception e) => (e as SluiceApiException)?.RetryAfter;

    /// <summary>What the server asks for, never less, or doubled each time; spread, so that many senders do not come back together.</summary>
    static TimeSpan DelayAfter(int tries, TimeSpan? asked)
    {
        if (asked is { } least) return least * (1 + (Random.Shared.NextDouble() / 4));
        var delay = FirstDelay * Math.Pow(2, Math.Min(tries - 1, 10));
        if (delay > MaxDelay) delay = MaxDelay;
        return delay * (0.75 + (Random.Shared.NextDouble() / 2));
    }

    void ThrowIfFailed()
    {
        if (Volatile.Read(ref _failure) is { } failure) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
    }

    static void ThrowIfNotJson(ReadOnlySpan<byte> text)
    {
        var reader = new Utf8JsonReader(text, new JsonReaderOptions { MaxDepth = 128 });
        reader.Read();
        reader.Skip();
        reader.Read(); // throws when anything follows
    }
}
