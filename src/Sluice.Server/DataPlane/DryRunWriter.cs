using System.Globalization;
using System.Text;

namespace Sluice.Server.DataPlane;

/// <summary>Writes the answer to <c>dry_run=true</c>: that of a real request, without an id and with what each column would get.</summary>
static class DryRunWriter
{
    public static async ValueTask WriteAsync(HttpResponse response, DryRun dryRun, ReturnedRecords returned, CancellationToken cancellation)
    {
        var outcome = dryRun.Outcome;
        response.ContentType = "application/json";
        response.Headers["X-Success-Count"] = outcome.AcceptedCount.ToString(CultureInfo.InvariantCulture);
        response.Headers["X-Error-Count"] = outcome.RejectedCount.ToString(CultureInfo.InvariantCulture);

        var pipe = response.BodyWriter;
        var counts = string.Create(
            CultureInfo.InvariantCulture,
            $$"""{"success_count":{{outcome.AcceptedCount}},"error_count":{{outcome.RejectedCount}},"request_id":"","dry_run":true,"values_left_out":{{(returned == ReturnedRecords.All ? dryRun.LeftOut : outcome.AcceptedCount)}}""");
        Encoding.UTF8.GetBytes(counts, pipe);
        if (returned != ReturnedRecords.Summary)
        {
            Encoding.UTF8.GetBytes(",\"records\":[", pipe);
            using var notes = new RecordNotes(pipe, withIndex: returned == ReturnedRecords.Errors);
            var (rejected, warning) = (0, 0);
            var isFirst = true;
            for (var index = 0; index < outcome.RecordCount; index++)
            {
                var isRejected = rejected < outcome.Rejected.Count && outcome.Rejected[rejected].Index == index;
                var isWarned = warning < outcome.Warnings.Count && outcome.Warnings[warning].RecordIndex == index;
                if (returned == ReturnedRecords.Errors && !isRejected && !isWarned)
                    continue;

                if (!isFirst)
                    Encoding.UTF8.GetBytes(",", pipe);
                isFirst = false;
                if (isRejected)
                    notes.WriteRejected(outcome.Rejected[rejected++]);
                else
                    warning = notes.WriteAccepted(index, returned == ReturnedRecords.All ? dryRun.Values.GetValueOrDefault(index) : null, outcome.Warnings, warning);
                if (pipe.UnflushedBytes >= OutcomeWriter.FlushBytes)
                    await pipe.FlushAsync(cancellation);
            }
            Encoding.UTF8.GetBytes("]", pipe);
        }
        Encoding.UTF8.GetBytes("}", pipe);
        await pipe.FlushAsync(cancellation);
    }
}
