using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class RefusalsTests
{
    public static TheoryData<ErrorCode> AllCodes => [.. Enum.GetValues<ErrorCode>()];

    [Theory]
    [MemberData(nameof(AllCodes))]
    public void Every_code_has_a_status_and_says_whether_to_retry(ErrorCode code)
    {
        var refusal = Refusals.For(code);

        Assert.InRange(refusal.Status, 400, 599);
        Assert.Matches("^[A-Z][A-Za-z]+$", refusal.Code);
        // 429 and 503 are a promise that waiting helps, and name their cause; a cause with another status would be a contradiction
        Assert.Equal(refusal.Status is 429 or 503, refusal.Cause is not null);
        if (refusal.Status is 429 or 503)
            Assert.NotNull(refusal.RetryAfterSeconds);
    }

    [Theory]
    [InlineData(ErrorCode.TooManyRecords, 413, "PayloadTooLarge")]
    [InlineData(ErrorCode.RequestTooLarge, 413, "PayloadTooLarge")]
    [InlineData(ErrorCode.UnsupportedEncoding, 415, "InvalidContentType")]
    [InlineData(ErrorCode.MissingToken, 401, "MissingAuthenticationToken")]
    [InlineData(ErrorCode.RelatedNotFound, 400, "RelatedResourceNotFound")]
    [InlineData(ErrorCode.IncorrectState, 409, "IncorrectState")]
    [InlineData(ErrorCode.LogFailed, 503, "ServiceUnavailable")]
    public void Codes_that_clients_know_keep_their_status(ErrorCode code, int status, string wireCode)
    {
        Assert.Equal((status, wireCode), (Refusals.For(code).Status, Refusals.For(code).Code));
    }

    [Theory]
    [InlineData(ErrorCode.LogBacklog, "log_backlog")]
    [InlineData(ErrorCode.LoaderStalled, "loader_stalled")]
    public async Task A_measured_time_is_what_Retry_After_says(ErrorCode code, string cause)
    {
        var (context, body) = await WriteAsync(new SluiceException(code, "Too much waits.") { RetryAfter = TimeSpan.FromSeconds(16.1) });

        Assert.Equal("17", context.Response.Headers.RetryAfter.ToString());
        Assert.Contains($"\"cause\": \"{cause}\"", body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_refusal_has_its_four_members_in_order_and_the_cause_of_a_503()
    {
        var fault = new SluiceException(ErrorCode.LogFailed, "The \"log\" has failed.") { Outcome = RefusalOutcome.Unknown };
        var (context, body) = await WriteAsync(fault);

        Assert.Equal(503, context.Response.StatusCode);
        Assert.Equal("application/json", context.Response.ContentType);
        Assert.Equal("10", context.Response.Headers.RetryAfter.ToString());
        Assert.Equal(
            """
            {
              "code": "ServiceUnavailable",
              "message": "The \"log\" has failed.",
              "request_id": "trace-1",
              "outcome": "unknown",
              "cause": "log_failed"
            }
            """, body);
    }

    [Fact]
    public async Task A_refusal_that_stored_nothing_says_so()
    {
        var (_, body) = await WriteAsync(new SluiceException(ErrorCode.InvalidBody, "no"));

        Assert.Contains("\"outcome\": \"not_stored\"", body, StringComparison.Ordinal);
        Assert.DoesNotContain("cause", body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unknown_routes_wrong_methods_and_malformed_requests_have_the_same_shape()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();

        using var unknown = await server.SendAsync(HttpMethod.Get, "/v2/nothing/here");
        using var wrongMethod = await server.SendAsync(HttpMethod.Patch, "/v2/users/current", token);

        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
        Assert.Equal("ResourceNotFound", (await ServerUnderTest.ReadJsonAsync(unknown)).GetProperty("code").GetString());
        Assert.Equal(HttpStatusCode.MethodNotAllowed, wrongMethod.StatusCode);
        Assert.Equal(["GET", "HEAD", "PUT"], wrongMethod.Content.Headers.Allow.Order());
        var refusal = await ServerUnderTest.ReadJsonAsync(wrongMethod);
        Assert.Equal(["code", "message", "request_id", "outcome"], refusal.EnumerateObject().Select(member => member.Name));
        Assert.Equal("nosniff", unknown.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.False(unknown.Headers.Contains("Server"));
    }

    static async Task<(HttpContext, string)> WriteAsync(SluiceException fault)
    {
        var body = new MemoryStream();
        var context = new DefaultHttpContext { TraceIdentifier = "trace-1", Response = { Body = body } };
        await Refusals.WriteAsync(context, fault);
        return (context, Encoding.UTF8.GetString(body.ToArray()).ReplaceLineEndings());
    }
}
