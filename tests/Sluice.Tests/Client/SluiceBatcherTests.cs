using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Time.Testing;
using Sluice.Client;

namespace Sluice.Tests.Client;

public sealed class SluiceBatcherTests : IDisposable
{
    static readonly Guid Sink = new("0f0f0f0f-0000-4000-8000-000000000001");

    readonly ScriptedServer _server = new();
    readonly FakeTimeProvider _time = new();
    readonly HttpClient _http;
    readonly SluiceClient _client;

    public SluiceBatcherTests()
    {
        _http = new HttpClient(_server) { BaseAddress = new Uri("http://sluice.test/") };
        _client = new SluiceClient(_http);
    }

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _http.Dispose();

    [Fact]
    public async Task Records_are_cut_into_full_requests_and_the_rest_goes_at_the_end()
    {
        await using (var batcher = Open(new BatcherOptions { MaxRecords = 3 }))
            for (var i = 0; i < 7; i++) await batcher.AddAsync(Value(i), Cancellation);

        Assert.Equal([3, 3, 1], _server.Requests.Select(request => request.Records.Count));
        Assert.Equal(Enumerable.Range(0, 7).Select(i => $$"""{"id":{{i}}}"""), _server.Requests.SelectMany(request => request.Records));
    }

    [Fact]
    public async Task A_request_is_sent_before_it_would_grow_too_large()
    {
        await using (var batcher = Open(new BatcherOptions { MaxBytes = 24 }))
            for (var i = 0; i < 5; i++) await batcher.AddAsync(Value(i), Cancellation);

        Assert.Equal([2, 2, 1], _server.Requests.Select(request => request.Records.Count));
    }

    [Fact]
    public async Task A_record_waits_for_others_no_longer_than_asked()
    {
        await using var batcher = Open(new BatcherOptions { MaxDelay = TimeSpan.FromSeconds(1) });
        await batcher.AddAsync(Value(1), Cancellation);
        _time.Advance(TimeSpan.FromMilliseconds(900));
        Assert.Empty(_server.Requests);
        _time.Advance(TimeSpan.FromMilliseconds(200));
        await UntilAsync(() => _server.Requests.Count == 1);
    }

    [Theory]
    [InlineData(typeof(HttpRequestException))]
    [InlineData(typeof(IOException))]
    [InlineData(typeof(SocketException))]
    [InlineData(typeof(TaskCanceledException))]
    public async Task A_lost_answer_is_asked_for_again_under_the_same_key(Type loss)
    {
        _server.Answer = (request, number) => number < 2 ? throw (Exception)Activator.CreateInstance(loss)! : Task.FromResult(ScriptedServer.Success(request));
        var sent = new List<SentBatch>();
        await using (var batcher = Open(new BatcherOptions { OnSent = batch => { sent.Add(batch); return ValueTask.CompletedTask; } }, new InstantTime()))
            await batcher.AddAsync(Value(1), Cancellation);

        Assert.Equal(3, _server.Requests.Count);
        Assert.NotNull(_server.Requests[0].Key);
        Assert.Single(_server.Requests.Select(request => request.Key).Distinct());
        Assert.Equal(3, Assert.Single(sent).Tries);
    }

    [Fact]
    public async Task What_a_socket_throws_is_a_server_that_cannot_be_reached()
    {
        _server.Answer = (_, _) => throw new SocketException((int)SocketError.NotConnected);
        var thrown = await Assert.ThrowsAsync<HttpRequestException>(() => _client.SendAsync(Sink, """{"records":[]}"""u8.ToArray(), new SendOptions(), Cancellation));
        Assert.Equal(HttpRequestError.ConnectionError, thrown.HttpRequestError);
        Assert.IsType<SocketException>(thrown.InnerException);
    }

    [Fact]
    public async Task Different_requests_have_different_keys()
    {
        await using (var batcher = Open(new BatcherOptions { MaxRecords = 1, KeyPrefix = "run", FirstRequest = 7 }))
            for (var i = 0; i < 3; i++) await batcher.AddAsync(Value(i), Cancellation);

        Assert.Equal(["run-7", "run-8", "run-9"], _server.Requests.Select(request => request.Key));
    }

    [Theory]
    [InlineData(HttpStatusCode.ServiceUnavailable, 10)]
    [InlineData(HttpStatusCode.TooManyRequests, 10)]
    [InlineData(HttpStatusCode.TooManyRequests, 100)] // longer than it would wait by itself
    public async Task What_the_server_asks_to_wait_is_waited_and_never_less(HttpStatusCode status, int seconds)
    {
        _server.Answer = (request, number) => Task.FromResult(number < 8 ? Busy(status, seconds) : ScriptedServer.Success(request));
        var time = new InstantTime();
        await using (var batcher = Open(new BatcherOptions { MaxRetryTime = TimeSpan.FromHours(1) }, time))
            await batcher.AddAsync(Value(1), Cancellation);

        Assert.Equal((9, 8), (_server.Requests.Count, time.Waits.Count));
        Assert.All(time.Waits, wait => Assert.InRange(wait.TotalSeconds, seconds, seconds * 1.25)); // spread by a quarter
    }

    [Fact]
    public async Task A_server_that_asks_for_longer_than_one_would_wait_at_all_is_not_waited_for()
    {
        _server.Answer = (_, _) => Task.FromResult(Busy(HttpStatusCode.TooManyRequests, 3_600));
        var time = new InstantTime();
        var batcher = Open(new BatcherOptions(), time);
        await batcher.AddAsync(Value(1), Cancellation);
        var thrown = await Assert.ThrowsAsync<SluiceApiException>(() => batcher.DisposeAsync().AsTask());
        Assert.Equal(TimeSpan.FromHours(1), thrown.RetryAfter);
        Assert.Empty(time.Waits);
    }

    [Fact]
    public async Task A_quota_is_waited_for_as_long_as_it_takes_and_is_no_failing()
    {
        // 390 s is longer than is waited else, and 20 of them are longer than is tried else; then the connection is lost for the first time
        _server.Answer = (request, number) => number switch
        {
            < 20 => Task.FromResult(Busy(HttpStatusCode.TooManyRequests, 390, """{"code":"ResourceThroughputExceeded","message":"no","request_id":"r","outcome":"not_stored","cause":"quota"}""")),
            20 => throw new HttpRequestException("unreachable"),
            _ => Task.FromResult(ScriptedServer.Success(request)),
        };
        var time = new InstantTime();
        await using (var batcher = Open(new BatcherOptions(), time))
            await batcher.AddAsync(Value(1), Cancellation);

        Assert.Equal((22, 21), (_server.Requests.Count, time.Waits.Count));
        Assert.All(time.Waits[..20], wait => Assert.InRange(wait.TotalSeconds, 390, 390 * 1.25));
    }

    [Fact]
    public async Task What_waits_is_given_up_when_another_request_fails_for_good()
    {
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.Answer = async (_, number) =>
        {
            if (number == 0) return Busy(HttpStatusCode.ServiceUnavailable, 100);
            await open.Task;
            return ScriptedServer.Refuse(HttpStatusCode.NotFound, "ResourceNotFound");
        };
        var batcher = Open(new BatcherOptions { MaxRecords = 1, MaxRequests = 2 }); // on a clock that stands
        for (var i = 0; i < 2; i++) await batcher.AddAsync(Value(i), Cancellation);
        await UntilAsync(() => _server.Requests.Count == 2);
        open.SetResult();
        Assert.Equal("ResourceNotFound", (await Assert.ThrowsAsync<SluiceApiException>(() => batcher.DisposeAsync().AsTask())).Body.Code);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_the_server_asks_to_wait_may_be_a_date(bool hasClock)
    {
        var now = hasClock ? new DateTimeOffset(2001, 2, 3, 4, 5, 6, TimeSpan.Zero) : TimeProvider.System.GetUtcNow();
        _server.Answer = (request, number) =>
        {
            if (number > 0) return Task.FromResult(ScriptedServer.Success(request));
            var busy = ScriptedServer.Refuse(HttpStatusCode.ServiceUnavailable, "ServiceUnavailable");
            busy.Headers.RetryAfter = new System.Net.Http.Headers.RetryConditionHeaderValue(now.AddSeconds(100));
            if (hasClock) busy.Headers.Date = now;
            return Task.FromResult(busy);
        };
        var time = new InstantTime();
        await using (var batcher = Open(new BatcherOptions(), time))
            await batcher.AddAsync(Value(1), Cancellation);

        Assert.InRange(Assert.Single(time.Waits).TotalSeconds, hasClock ? 100 : 60, 125);
    }

    [Fact]
    public async Task A_page_in_the_place_of_the_answer_is_a_lost_answer()
    {
        _server.Answer = (request, number) => Task.FromResult(
            number == 0 ? new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent("<html>", Encoding.UTF8, "text/html") } : ScriptedServer.Success(request));
        await using (var batcher = Open(new BatcherOptions(), new InstantTime()))
            await batcher.AddAsync(Value(1), Cancellation);

        Assert.Equal(2, _server.Requests.Count);
        Assert.Single(_server.Requests.Select(request => request.Key).Distinct());
    }

    [Theory]
    [InlineData(typeof(IOException))]
    [InlineData(typeof(HttpRequestException))]
    [InlineData(typeof(SluiceApiException))]
    public async Task What_OnSent_throws_ends_the_batcher_and_sends_nothing_again(Type type)
    {
        var thrown = type == typeof(SluiceApiException)
            ? new SluiceApiException(HttpStatusCode.RequestEntityTooLarge, new RefusalBody("PayloadTooLarge", "of another call", null, null))
            : (Exception)Activator.CreateInstance(type)!;
        var batcher = Open(new BatcherOptions { OnSent = _ => throw thrown }, new InstantTime());
        for (var i = 0; i < 2; i++) await batcher.AddAsync(Value(i), Cancellation);
        Assert.Same(thrown, await Assert.ThrowsAnyAsync<Exception>(() => batcher.DisposeAsync().AsTask()));
        Assert.Single(_server.Requests);
    }

    [Fact]
    public async Task A_refusal_that_will_stand_is_not_repeated_and_ends_the_batcher()
    {
        _server.Answer = (_, _) => Task.FromResult(ScriptedServer.Refuse(HttpStatusCode.NotFound, "ResourceNotFound"));
        var batcher = Open(new BatcherOptions());
        await batcher.AddAsync(Value(1), Cancellation);
        var thrown = await Assert.ThrowsAsync<SluiceApiException>(() => batcher.FlushAsync(Cancellation));
        Assert.Equal("ResourceNotFound", thrown.Body.Code);
        await Assert.ThrowsAsync<SluiceApiException>(() => batcher.AddAsync(Value(2), Cancellation).AsTask());
        await Assert.ThrowsAsync<SluiceApiException>(() => batcher.DisposeAsync().AsTask());
        Assert.Single(_server.Requests);
    }

    [Fact]
    public async Task Repeating_ends_when_its_time_is_over()
    {
        _server.Answer = (_, _) => throw new HttpRequestException("unreachable");
        var time = new InstantTime();
        var batcher = Open(new BatcherOptions { MaxRetryTime = TimeSpan.FromMinutes(1) }, time);
        await batcher.AddAsync(Value(1), Cancellation);
        await Assert.ThrowsAsync<HttpRequestException>(() => batcher.DisposeAsync().AsTask());
        Assert.InRange(time.Waits.Sum(wait => wait.TotalSeconds), 60, 60 + (15 * 1.25)); // the last wait began before the end
        Assert.Equal(time.Waits.Count + 1, _server.Requests.Count);
    }

    [Fact]
    public async Task A_request_that_is_too_large_is_halved_until_it_fits()
    {
        _server.Answer = (request, _) => Task.FromResult(
            request.Records.Count > 2 ? ScriptedServer.Refuse(HttpStatusCode.RequestEntityTooLarge, "PayloadTooLarge") : ScriptedServer.Success(request));
        var sent = new List<SentBatch>();
        await using (var batcher = Open(new BatcherOptions { KeyPrefix = "k", OnSent = batch => { sent.Add(batch); return ValueTask.CompletedTask; } }))
            for (var i = 0; i < 6; i++) await batcher.AddRecordAsync(Encoding.UTF8.GetBytes($$$"""{"op":"patch","value":{"id":{{{i}}}}}"""), Cancellation);

        var answered = _server.Requests.Where(request => request.Records.Count <= 2).ToList();
        Assert.Equal(Enumerable.Range(0, 6).Select(i => $$$"""{"op":"patch","value":{"id":{{{i}}}}}"""), answered.SelectMany(request => request.Records));
        Assert.Equal(answered.Count, answered.Select(request => request.Key).Distinct().Count());
        Assert.All(sent, batch => Assert.Equal((0, 6), (batch.Request, batch.TotalCount)));
        Assert.Equal(6, sent.Sum(batch => batch.RecordCount));
        Assert.Equal([0, 1, 3, 4], sent.Select(batch => batch.FirstRecord));
    }

    [Fact]
    public async Task A_record_that_is_too_large_by_itself_is_rejected_and_what_follows_is_sent()
    {
        _server.Answer = (request, _) => Task.FromResult(
            request.Records.Contains("""{"id":1}""") ? ScriptedServer.Refuse(HttpStatusCode.RequestEntityTooLarge, "PayloadTooLarge") : ScriptedServer.Success(request));
        var sent = new List<SentBatch>();
        await using (var batcher = Open(new BatcherOptions { MaxRecords = 3, OnSent = batch => { sent.Add(batch); return ValueTask.CompletedTask; } }))
            for (var i = 0; i < 6; i++) await batcher.AddAsync(Value(i), Cancellation);

        Assert.Equal([(0, 1, 0), (1, 0, 1), (2, 1, 0), (3, 3, 0)], sent.Select(batch => ((int)batch.FirstRecord, batch.Answer.SuccessCount, batch.Answer.ErrorCount)));
        var rejected = Assert.Single(sent[1].Rejected);
        Assert.Equal(("PayloadTooLarge", "no"), (rejected.ErrorCode, rejected.ErrorMessage));
        Assert.Equal("""{"id":1}""", Encoding.UTF8.GetString(sent[1].Record(rejected.Index!.Value).Span));
    }

    [Fact]
    public async Task A_record_whose_adding_is_cancelled_is_not_in()
    {
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.Answer = async (request, _) =>
        {
            await open.Task;
            return ScriptedServer.Success(request);
        };
        await using (var batcher = Open(new BatcherOptions { MaxRecords = 2 }))
        {
            for (var i = 0; i < 3; i++) await batcher.AddAsync(Value(i), Cancellation);
            for (var tries = 0; tries < 3; tries++)
            {
                using var impatient = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
                var adding = batcher.AddAsync(Value(3), impatient.Token).AsTask();
                await impatient.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => adding);
            }
            open.SetResult();
            await batcher.AddAsync(Value(3), Cancellation);
        }

        Assert.Equal(Enumerable.Range(0, 4).Select(i => $$"""{"id":{{i}}}"""), _server.Requests.SelectMany(request => request.Records));
        Assert.Equal([2, 2], _server.Requests.Select(request => request.Records.Count));
    }

    [Fact]
    public async Task A_record_that_is_added_while_it_ends_is_refused()
    {
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.Answer = async (request, _) =>
        {
            await open.Task;
            return ScriptedServer.Success(request);
        };
        var batcher = Open(new BatcherOptions());
        await batcher.AddAsync(Value(1), Cancellation);
        var ending = batcher.DisposeAsync().AsTask();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => batcher.AddAsync(Value(2), Cancellation).AsTask());
        open.SetResult();
        await ending;
        await Assert.ThrowsAsync<ObjectDisposedException>(() => batcher.AddAsync(Value(2), Cancellation).AsTask());
        await batcher.DisposeAsync();
        Assert.Equal(["""{"id":1}"""], _server.Requests.SelectMany(request => request.Records));
    }

    [Fact]
    public async Task An_abort_drops_what_waits_and_waits_for_what_is_under_way()
    {
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.Answer = async (request, _) =>
        {
            await open.Task;
            return ScriptedServer.Success(request);
        };
        var answered = 0;
        await using (var batcher = Open(new BatcherOptions { MaxRecords = 2, OnSent = batch => { answered += batch.RecordCount; return ValueTask.CompletedTask; } }))
        {
            for (var i = 0; i < 3; i++) await batcher.AddAsync(Value(i), Cancellation);
            var aborting = batcher.AbortAsync(Cancellation).AsTask();
            Assert.False(aborting.IsCompleted);
            open.SetResult();
            await aborting;
            await Assert.ThrowsAsync<ObjectDisposedException>(() => batcher.AddAsync(Value(3), Cancellation).AsTask());
        }

        Assert.Equal(2, answered);
        Assert.Equal([2], _server.Requests.Select(request => request.Records.Count));
    }

    [Fact]
    public async Task An_abort_that_is_cancelled_gives_up_what_is_under_way()
    {
        _server.Answer = (_, _) => new TaskCompletionSource<HttpResponseMessage>(TaskCreationOptions.RunContinuationsAsynchronously).Task; // never
        await using var batcher = Open(new BatcherOptions { MaxRecords = 2 });
        for (var i = 0; i < 3; i++) await batcher.AddAsync(Value(i), Cancellation);
        var adding = batcher.AddAsync(Value(3), Cancellation).AsTask(); // waits for the first request
        await UntilAsync(() => _server.Requests.Count == 1);
        await batcher.AbortAsync(new CancellationToken(canceled: true));
        await Record.ExceptionAsync(() => adding);
        Assert.Single(_server.Requests);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" \t\r")]
    [InlineData("\n")]
    public async Task A_blank_record_is_refused(string blank)
    {
        await using var batcher = Open(new BatcherOptions());
        await Assert.ThrowsAsync<ArgumentException>(() => batcher.AddAsync(Encoding.UTF8.GetBytes(blank), Cancellation).AsTask());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task No_more_requests_are_under_way_than_allowed(int allowed)
    {
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.Answer = async (request, _) =>
        {
            await open.Task;
            return ScriptedServer.Success(request);
        };
        var batcher = Open(new BatcherOptions { MaxRecords = 1, MaxRequests = allowed });
        for (var i = 0; i < allowed; i++) await batcher.AddAsync(Value(i), Cancellation);
        var next = batcher.AddAsync(Value(allowed), Cancellation).AsTask();
        await UntilAsync(() => _server.Requests.Count == allowed);
        Assert.False(next.IsCompleted);
        open.SetResult();
        await next;
        await batcher.DisposeAsync();
        Assert.Equal(allowed, _server.MostUnderWay);
    }

    [Fact]
    public async Task Values_on_several_lines_and_typed_values_arrive_as_they_are()
    {
        await using (var batcher = Open(new BatcherOptions()))
        {
            await batcher.AddAsync("{\n\"id\": 1}"u8.ToArray(), Cancellation);
            await batcher.AddAsync(JsonElement.Parse("""{"id":2}"""), ElementJson.Default.JsonElement, Cancellation);
            await Assert.ThrowsAnyAsync<JsonException>(() => batcher.AddAsync("{\n\"id\": 1"u8.ToArray(), Cancellation).AsTask());
        }

        Assert.Equal(["application/json", "application/x-ndjson"], _server.Requests.Select(request => request.ContentType));
        Assert.Equal(["{\"value\":{\n\"id\": 1}}", """{"id":2}"""], _server.Requests.SelectMany(request => request.Records));
    }

    [Fact]
    public async Task The_rejected_records_of_an_answer_are_told_with_what_was_sent()
    {
        _server.Answer = (_, _) => Task.FromResult(ScriptedServer.Json(
            HttpStatusCode.OK, """{"success_count":1,"error_count":1,"request_id":"r","records":[{"index":1,"status":"error","error_code":"InvalidBody"}]}"""));
        var told = new List<string>();
        await using (var batcher = Open(new BatcherOptions { OnSent = batch => { told.AddRange(batch.Rejected.Select(record => Encoding.UTF8.GetString(batch.Record(record.Index!.Value).Span))); return ValueTask.CompletedTask; } }))
            for (var i = 0; i < 2; i++) await batcher.AddAsync(Value(i), Cancellation);

        Assert.Equal(["""{"id":1}"""], told);
    }

    SluiceBatcher Open(BatcherOptions options) => new(_client, Sink, options with { Time = _time });

    SluiceBatcher Open(BatcherOptions options, InstantTime time) => new(_client, Sink, options with { Time = time, MaxDelay = Timeout.InfiniteTimeSpan });

    static HttpResponseMessage Busy(HttpStatusCode status, int seconds, string? body = null)
    {
        var busy = body is null ? ScriptedServer.Refuse(status, "Busy") : ScriptedServer.Json(status, body);
        busy.Headers.RetryAfter = new System.Net.Http.Headers.RetryConditionHeaderValue(TimeSpan.FromSeconds(seconds));
        return busy;
    }

    static byte[] Value(int id) => Encoding.UTF8.GetBytes($$"""{"id":{{id}}}""");

    static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            Cancellation.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(JsonElement))]
sealed partial class ElementJson : System.Text.Json.Serialization.JsonSerializerContext;
