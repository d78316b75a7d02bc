using System.Net;
using System.Text;
using System.Text.Json;

namespace Sluice.Tests.Client;

/// <summary>Answers requests with records as it is told to, and keeps what came.</summary>
sealed class ScriptedServer : HttpMessageHandler
{
    readonly Lock _lock = new();
    readonly List<Received> _requests = []; // under _lock
    int _underWay;

    /// <summary>A request that came: its key, its records as they stood in the body.</summary>
    public sealed record Received(string? Key, string Query, string ContentType, IReadOnlyList<string> Records);

    /// <summary>What to answer; throws to lose the answer. Defaults to success for every record.</summary>
    public Func<Received, int, Task<HttpResponseMessage>> Answer { get; set; } = (request, _) => Task.FromResult(Success(request));

    public IReadOnlyList<Received> Requests
    {
        get
        {
            lock (_lock) return [.. _requests];
        }
    }

    public int MostUnderWay { get; private set; }

    public static HttpResponseMessage Success(Received request) => Json(HttpStatusCode.OK, $$"""{"success_count":{{request.Records.Count}},"error_count":0,"request_id":"r","records":[]}""");

    public static HttpResponseMessage Refuse(HttpStatusCode status, string code) => Json(status, $$"""{"code":"{{code}}","message":"no","request_id":"r","outcome":"not_stored"}""");

    public static HttpResponseMessage Json(HttpStatusCode status, string body) => new(status) { Content = new StringContent(body, Encoding.UTF8, "application/json") };

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var body = await request.Content!.ReadAsStringAsync(cancellationToken);
        var contentType = request.Content.Headers.ContentType!.ToString();
        var records = contentType == "application/x-ndjson" ? body.Split('\n') : [.. JsonElement.Parse(body).GetProperty("records").EnumerateArray().Select(element => element.GetRawText())];
        var received = new Received(
            request.Headers.TryGetValues("Idempotency-Key", out var keys) ? keys.Single() : null, request.RequestUri!.Query, contentType, records);
        int number;
        lock (_lock)
        {
            number = _requests.Count;
            _requests.Add(received);
            MostUnderWay = Math.Max(MostUnderWay, ++_underWay);
        }
        try
        {
            return await Answer(received, number).WaitAsync(cancellationToken);
        }
        finally
        {
            lock (_lock) _underWay--;
        }
    }
}
