using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Text;
using Sluice.Records;

namespace Sluice.Server.DataPlane;

/// <summary>
/// Writes the answer to a request with records: <c>{"success_count","error_count","request_id","records":[...]}</c>, straight to the
/// connection. Accepted records cost a block copy of 21 bytes each and allocate nothing.
/// </summary>
/// <remarks>docs/http-api.md, "Answer". Status is 200 also when every record failed; 202 when loading was waited for in vain.</remarks>
static class OutcomeWriter
{
    const int EntryBytes = 21; // {"status":"success"} and its comma
    const int EntriesInBlock = 390;

    // what Kestrel buffers of an answer before the sender of it has to wait
    public const int FlushBytes = 64 * 1024;

    static readonly byte[] Successes = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(""",{"status":"success"}""", EntriesInBlock)));

    /// <param name="isPending">Loading was waited for in vain: 202, still a promise.</param>
    public static async ValueTask WriteAsync(HttpResponse response, BatchOutcome outcome, bool isPending, ReturnedRecords returned, CancellationToken cancellation)
    {
        response.StatusCode = isPending ? StatusCodes.Status202Accepted : StatusCodes.Status200OK;
        response.ContentType = "application/json";
        response.Headers["X-Success-Count"] = outcome.AcceptedCount.ToString(CultureInfo.InvariantCulture);
        response.Headers["X-Error-Count"] = outcome.RejectedCount.ToString(CultureInfo.InvariantCulture);

        var pipe = response.BodyWriter;
        WriteCounts(pipe, outcome);
        if (isPending)
            pipe.Write(",\"state\":\"pending\""u8);
        if (outcome.UndetailedCount > 0)
            WriteOmitted(pipe, ",\"errors_omitted\":"u8, outcome.UndetailedCount);
        if (outcome.OmittedWarningCount > 0)
            WriteOmitted(pipe, ",\"warnings_omitted\":"u8, outcome.OmittedWarningCount);

        if (returned == ReturnedRecords.Summary)
        {
            pipe.Write("}"u8);
        }
        else
        {
            pipe.Write(",\"records\":["u8);
            if (returned == ReturnedRecords.Errors || outcome.RejectedCount + outcome.Warnings.Count > 0)
                await WriteMixedAsync(pipe, outcome, withSuccesses: returned == ReturnedRecords.All, cancellation);
            else
                await WriteSuccessesAsync(pipe, outcome.RecordCount, isFirst: true, cancellation);
            pipe.Write("]}"u8);
        }

        await pipe.FlushAsync(cancellation);
    }

    static void WriteCounts(PipeWriter pipe, BatchOutcome outcome)
    {
        pipe.Write("{\"success_count\":"u8);
        WriteNumber(pipe, outcome.AcceptedCount);
        pipe.Write(",\"error_count\":"u8);
        WriteNumber(pipe, outcome.RejectedCount);
        pipe.Write(",\"request_id\":\""u8);
        Encoding.UTF8.GetBytes(outcome.RequestId, pipe); // our own text: hexadecimal digits and dashes
        pipe.Write("\""u8);
    }

    static void WriteOmitted(PipeWriter pipe, ReadOnlySpan<byte> name, int count)
    {
        pipe.Write(name);
        WriteNumber(pipe, count);
    }

    static async ValueTask WriteMixedAsync(PipeWriter pipe, BatchOutcome outcome, bool withSuccesses, CancellationToken cancellation)
    {
        using var notes = new RecordNotes(pipe, withIndex: !withSuccesses);
        var (next, rejected, warning) = (0, 0, 0);
        var isFirst = true;

        while (rejected < outcome.Rejected.Count || warning < outcome.Warnings.Count)
        {
            var rejectedAt = rejected < outcome.Rejected.Count ? outcome.Rejected[rejected].Index : int.MaxValue;
            var warningAt = warning < outcome.Warnings.Count ? outcome.Warnings[warning].RecordIndex : int.MaxValue;
            var index = Math.Min(rejectedAt, warningAt);

            if (withSuccesses && index > next)
            {
                await WriteSuccessesAsync(pipe, index - next, isFirst, cancellation);
                isFirst = false;
            }

            if (!isFirst)
                pipe.Write(","u8);
            isFirst = false;

            if (rejectedAt == index)
                notes.WriteRejected(outcome.Rejected[rejected++]);
            else
                warning = notes.WriteWarned(outcome.Warnings, warning);

            next = index + 1;
            if (pipe.UnflushedBytes >= FlushBytes)
                await pipe.FlushAsync(cancellation);
        }

        if (withSuccesses && outcome.RecordCount > next)
            await WriteSuccessesAsync(pipe, outcome.RecordCount - next, isFirst, cancellation);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    static async ValueTask WriteSuccessesAsync(PipeWriter pipe, int count, bool isFirst, CancellationToken cancellation)
    {
        // the block begins with a comma, which the first entry of the array does not have
        var skipped = isFirst ? 1 : 0;

        while (count > 0)
        {
            var entries = Math.Min(count, EntriesInBlock);
            pipe.Write(Successes.AsSpan(skipped, entries * EntryBytes - skipped));
            skipped = 0;
            count -= entries;

            if (pipe.UnflushedBytes >= FlushBytes)
                await pipe.FlushAsync(cancellation);
        }
    }

    static void WriteNumber(PipeWriter pipe, int number)
    {
        number.TryFormat(pipe.GetSpan(11), out var written, provider: CultureInfo.InvariantCulture);
        pipe.Advance(written);
    }
}
