using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Time.Testing;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Server.Sql;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>Long answers: who makes their bytes, and how many of them wait for a client.</summary>
public sealed class SqlAnswerTests : IDisposable
{
    const int Room = 64 * 1024; // as Kestrel's, for a connection

    static readonly SqlContext s_context = new(Guid.Empty, new Caller(Guid.Empty, "tester@localhost", Role.Administrator, null));

    readonly QueryDatabase _database = new() { MaxAnswerBytes = 1 << 30 };

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _database.Dispose();

    [Fact]
    public async Task Who_takes_nothing_holds_few_bytes_and_the_query_no_longer_than_it_may_run()
    {
        var time = new FakeTimeProvider(); // on a busy machine a second may pass before the first row
        using var queries = new UserQuery(new QueryLimits { Time = TimeSpan.FromSeconds(1) }, time);
        _database.Queries = queries;
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: Room, resumeWriterThreshold: Room / 2));
        var answering = new SqlStatements(_database.Plane()).RunAsync(s_context, "SELECT repeat('x', 10000) AS x FROM range(10000)", pipe.Writer, Cancellation);
        long waitingBytes;
        while ((waitingBytes = WaitingBytes(pipe.Reader)) < Room) await PauseAsync();
        for (var i = 0; i < 1_000 && (queries.CountEnded(QueryEnd.TimedOut) == 0 || queries.RunningCount > 0); i++, time.Advance(TimeSpan.FromMilliseconds(100))) await PauseAsync();
        Assert.Equal((1, 0), (queries.CountEnded(QueryEnd.TimedOut), queries.RunningCount));
        Assert.False(answering.IsCompleted);

        Assert.Equal(waitingBytes, WaitingBytes(pipe.Reader));
        Assert.InRange(waitingBytes, 1, 3 * Room);
        using var reader = new StreamReader(pipe.Reader.AsStream());
        var read = reader.ReadToEndAsync(Cancellation);
        await answering;
        await pipe.Writer.CompleteAsync();
        Assert.Equal("the query took longer than 1 s and was stopped", JsonElement.Parse(await read).GetProperty("error").GetString());
    }

    static Task PauseAsync() => Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);

    static long WaitingBytes(PipeReader reader)
    {
        if (!reader.TryRead(out var waiting)) return 0;
        reader.AdvanceTo(waiting.Buffer.Start);
        return waiting.Buffer.Length;
    }

    [Fact]
    public async Task The_bytes_of_rows_are_made_on_the_thread_of_the_query()
    {
        using var body = new MemoryStream();
        var output = new NotingWriter(PipeWriter.Create(body));
        await new SqlStatements(_database.Plane()).RunAsync(s_context, "SELECT repeat('x', 10000) AS x FROM range(1000)", output, Cancellation);
        await output.CompleteAsync();
        Assert.Equal(1_000, JsonElement.Parse(Encoding.UTF8.GetString(body.ToArray())).GetProperty("data").GetArrayLength());
        Assert.InRange(output.ElsewhereBytes, 1, 1_000); // what stands around the rows
    }

    /// <summary>Counts the bytes that other threads than those of queries write.</summary>
    sealed class NotingWriter(PipeWriter inner) : PipeWriter
    {
        public long ElsewhereBytes { get; private set; }

        public override void Advance(int bytes)
        {
            if (Thread.CurrentThread.Name != "query") ElsewhereBytes += bytes;
            inner.Advance(bytes);
        }

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => inner.FlushAsync(cancellationToken);

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);
    }
}
