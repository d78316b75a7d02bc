using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Sluice.Records;
using Sluice.Server.DataPlane;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class OutcomeWriterTests
{
    static readonly FieldError Price = new("price", "/price", FieldErrorCode.NotADecimal, "decimal(2)", "string \"abc\"");

    [Fact]
    public async Task The_answer_is_the_documented_one()
    {
        var (response, body) = await WriteAsync(new("5f-2a", 42, 2, [new(1, false, [Price])], []));

        Assert.Equal(
            """
            {"success_count":1,"error_count":1,"request_id":"5f-2a","records":[{"status":"success"},
            {"status":"error","error_code":"InvalidBody",
            "error_message":"Incorrect values for one or more of record fields: price: expected decimal(2), got string \"abc\"",
            "errors":[{"column":"price","path":"/price","code":"NotADecimal","expected":"decimal(2)","got":"string \"abc\""}]}]}
            """.ReplaceLineEndings(""),
            body);
        Assert.Equal((200, "application/json"), (response.StatusCode, response.ContentType));
        Assert.Equal(("1", "1"), (response.Headers["X-Success-Count"].ToString(), response.Headers["X-Error-Count"].ToString()));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(389)]
    [InlineData(390)]
    [InlineData(391)]
    [InlineData(100_000)]
    public async Task Accepted_records_have_one_entry_each(int count)
    {
        var (_, body) = await WriteAsync(new("1-1", 1, count, [], []));

        var expected = string.Join(",", Enumerable.Repeat("""{"status":"success"}""", count));
        Assert.Equal($$"""{"success_count":{{count}},"error_count":0,"request_id":"1-1","records":[{{expected}}]}""", body);
    }

    [Fact]
    public async Task Entries_stand_at_their_records_place_wherever_the_bad_ones_are()
    {
        var random = new Random(17);
        for (var round = 0; round < 200; round++)
        {
            var count = random.Next(1, 1_000);
            var bad = Enumerable.Range(0, count).Where(_ => random.Next(10) == 0).ToHashSet();
            var warned = Enumerable.Range(0, count).Where(index => !bad.Contains(index) && random.Next(10) == 0).ToHashSet();
            var outcome = new BatchOutcome("1-1", 1, count, [.. bad.Order().Select(index => new RejectedRecord(index, false, [Price]))], [.. warned.Order().Select(index => new TruncationWarning(index, "c"))]);

            var records = JsonElement.Parse((await WriteAsync(outcome)).Body).GetProperty("records").EnumerateArray().ToList();

            Assert.Equal(count, records.Count);
            for (var index = 0; index < count; index++)
            {
                Assert.Equal(bad.Contains(index) ? "error" : "success", records[index].GetProperty("status").GetString());
                Assert.Equal(warned.Contains(index), records[index].TryGetProperty("warnings", out _));
            }
        }
    }

    [Fact]
    public async Task All_wrong_fields_are_listed_and_a_wrong_record_has_no_column()
    {
        var (_, body) = await WriteAsync(new("1-1", 1, 2,
            [new(0, false, [Price, new("at", "/a~1b", FieldErrorCode.NotATimestamp, "timestamp", "true")]), new(1, false, [new("", "", FieldErrorCode.ValueNotAnObject, "an object", "number 5")])], []));

        var records = JsonElement.Parse(body).GetProperty("records");
        Assert.Equal(2, records[0].GetProperty("errors").GetArrayLength());
        Assert.EndsWith("fields: price: expected decimal(2), got string \"abc\"; at: expected timestamp, got true", records[0].GetProperty("error_message").GetString(), StringComparison.Ordinal);
        Assert.EndsWith("fields: expected an object, got number 5", records[1].GetProperty("error_message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_record_that_was_discarded_with_its_request_says_so_and_has_no_errors_of_its_own()
    {
        var (_, body) = await WriteAsync(new("1-1", 1, 2, [new(0, true, []), new(1, false, [Price])], []));

        var record = JsonElement.Parse(body).GetProperty("records")[0];
        Assert.Equal("BatchDiscarded", record.GetProperty("error_code").GetString());
        Assert.False(record.TryGetProperty("errors", out _));
    }

    [Fact]
    public async Task All_warnings_of_a_record_stand_together()
    {
        var (_, body) = await WriteAsync(new("1-1", 1, 3, [], [new(1, "a"), new(1, "b"), new(2, "a")]));

        Assert.EndsWith(
            """[{"status":"success"},{"status":"success","warnings":[{"column":"a","code":"Truncated"},{"column":"b","code":"Truncated"}]},{"status":"success","warnings":[{"column":"a","code":"Truncated"}]}]}""",
            body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Errors_only_leaves_the_good_ones_out_and_numbers_the_rest()
    {
        var outcome = new BatchOutcome("1-1", 1, 5, [new(3, false, [Price])], [new(1, "a")]);

        var records = JsonElement.Parse((await WriteAsync(outcome, ReturnedRecords.Errors)).Body).GetProperty("records");
        var none = (await WriteAsync(new("1-1", 1, 5, [], []), ReturnedRecords.Errors)).Body;

        Assert.Equal([1, 3], records.EnumerateArray().Select(record => record.GetProperty("index").GetInt32()));
        Assert.EndsWith("\"records\":[]}", none, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_summary_has_counts_only()
    {
        Assert.Equal("""{"success_count":4,"error_count":1,"request_id":"1-1"}""", (await WriteAsync(new("1-1", 1, 5, [new(3, false, [Price])], []), ReturnedRecords.Summary)).Body);
    }

    [Fact]
    public async Task Text_of_the_sender_cannot_break_the_answer()
    {
        var hostile = "\"},{\"status\":\"success\"}\\ \u0000\u001b\r\n\u2028 \ud800 \U0001F600 <script>";
        var (_, body) = await WriteAsync(new("1-1", 1, 1, [new(0, false, [new(hostile, hostile, FieldErrorCode.WrongType, "x", hostile)])], []));

        var records = JsonElement.Parse(body).GetProperty("records");
        Assert.Equal(1, records.GetArrayLength());
        Assert.Equal(hostile.Replace('\ud800', '\ufffd'), records[0].GetProperty("errors")[0].GetProperty("got").GetString());
        Assert.DoesNotContain('\n', body);
    }

    [Fact]
    public async Task Accepted_records_cost_no_memory()
    {
        var small = await AllocatedAsync(new("1-1", 1, 1, [], []));
        var large = await AllocatedAsync(new("1-1", 1, 3_000, [], []));

        Assert.InRange(large - small, -100, 100);
    }

    static async Task<long> AllocatedAsync(BatchOutcome outcome)
    {
        long allocated = 0;
        for (var i = 0; i < 20; i++)
        {
            var context = new DefaultHttpContext { Response = { Body = Stream.Null } };
            _ = context.Response.BodyWriter.GetMemory(128 * 1024); // the writer's own buffer, which Kestrel pools
            var before = GC.GetAllocatedBytesForCurrentThread();
            await OutcomeWriter.WriteAsync(context.Response, outcome, isPending: false, ReturnedRecords.All, CancellationToken.None);
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        return allocated;
    }

    static async Task<(HttpResponse Response, string Body)> WriteAsync(BatchOutcome outcome, ReturnedRecords returned = ReturnedRecords.All)
    {
        using var body = new MemoryStream();
        var context = new DefaultHttpContext { Response = { Body = body } };
        await OutcomeWriter.WriteAsync(context.Response, outcome, isPending: false, returned, TestContext.Current.CancellationToken);
        return (context.Response, Encoding.UTF8.GetString(body.ToArray()));
    }
}
