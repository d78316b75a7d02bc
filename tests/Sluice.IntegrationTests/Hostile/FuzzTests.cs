using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Sluice.IntegrationTests.Faults;
using Sluice.IntegrationTests.Server;
using Xunit;

#pragma warning disable CA5394 // a seed that can be printed is the point

namespace Sluice.IntegrationTests.Hostile;

/// <summary>
/// Mutated requests, bodies and parameters at the port. Whatever comes: no 500, a refusal of the documented shape, within seconds, one line for each event in the log, and afterwards a valid request
/// works and the ledger balances. A failure prints the case's seed; <c>SLUICE_FUZZ_SEED</c> starts with it.
/// </summary>
public sealed partial class FuzzTests(IngestServer server) : IClassFixture<IngestServer>
{
    static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(25);

    static int FirstSeed => int.Parse(Environment.GetEnvironmentVariable("SLUICE_FUZZ_SEED") ?? "1", CultureInfo.InvariantCulture);

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Mutated_http_over_a_bare_socket_is_answered_or_cut()
    {
        var sink = await server.MakeSinkAsync();
        var corpus = Requests(sink);

        await EachAsync("raw HTTP/1.1", short_: 1_500, long_: 60_000, sink, async random =>
        {
            var bytes = Mutation.Mutate(corpus[random.Next(corpus.Length)], random);
            if (random.Next(4) == 0) bytes = [.. corpus[random.Next(corpus.Length)], .. bytes, .. corpus[random.Next(corpus.Length)]]; // pipelined
            using var socket = await ConnectAsync(server.Process.HttpPort);
            await using var stream = socket.GetStream();
            var answer = await ExchangeAsync(stream, bytes, socket);
            foreach (Match match in StatusLine().Matches(answer))
            {
                var status = int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
                Assert.True(status is < 500 or 503 or 505, answer);
            }
            if (RefusalBody().Match(answer) is { Success: true } body && body.Groups[1].Length > 0) AssertRefusal(body.Groups[1].Value, answer);
        });
    }

    [Theory]
    [InlineData("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde")]
    [InlineData("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("GET /health HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n")]
    [InlineData("GET /health HTTP/1.1\nHost: x\n\n")]
    [InlineData("GET /health HTTP/1.1\r\nHost: x\nX: a\r\n\r\n")]
    public async Task A_request_that_two_servers_could_read_differently_is_refused_and_its_connection_closed(string request)
    {
        using var socket = await ConnectAsync(server.Process.HttpPort);
        await using var stream = socket.GetStream();

        // the second request must not be answered
        var answer = await ExchangeAsync(stream, Encoding.ASCII.GetBytes(request + "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), socket);

        Assert.Equal("400", Assert.Single(StatusLine().Matches(answer)).Groups[1].Value);
    }

    [Fact]
    public async Task Http2_frames_of_no_sense_end_their_connection_only()
    {
        var sink = await server.MakeSinkAsync();
        var port = int.Parse(HttpsPort().Match(server.Process.Output).Groups[1].ValueSpan, CultureInfo.InvariantCulture);

        await EachAsync("HTTP/2 frames", short_: 200, long_: 5_000, sink, async random =>
        {
            using var socket = await ConnectAsync(port);
#pragma warning disable CA5359 // this client looks at what is answered, by whomever
            await using var tls = new SslStream(socket.GetStream(), leaveInnerStreamOpen: false, (_, _, _, _) => true);
#pragma warning restore CA5359
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", ApplicationProtocols = [SslApplicationProtocol.Http2] }, Cancellation);
            Assert.Equal(SslApplicationProtocol.Http2, tls.NegotiatedApplicationProtocol);
            List<byte> bytes = random.Next(10) == 0 ? [] : [.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, 0, 0, 0, 4, 0, 0, 0, 0, 0];
            for (var frames = random.Next(1, 20); frames > 0; frames--)
            {
                var payload = new byte[random.Next(60)];
                random.NextBytes(payload);
                var length = random.Next(8) == 0 ? random.Next(1 << 24) : payload.Length;
                bytes.AddRange([(byte)(length >> 16), (byte)(length >> 8), (byte)length, (byte)random.Next(12), (byte)random.Next(256), 0, 0, 0, (byte)random.Next(8)]);
                bytes.AddRange(payload);
            }
            await ExchangeAsync(tls, [.. bytes], socket);
        });
    }

    [Fact]
    public async Task Mutated_bodies_in_every_format_and_encoding_are_answered_in_the_documented_shape()
    {
        var sink = await server.MakeSinkAsync();
        (string Type, string Body)[] corpus =
        [
            ("application/json", """{"records":[{"value":{"id":1,"price":1.25}},{"op":"patch","version":3,"value":{"id":2,"price":"7.5"}},{"op":"delete","value":{"id":1}}]}"""),
            ("application/x-ndjson", "{\"id\":1,\"price\":1.25}\n{\"id\":2,\"price\":null}\n{\"id\":\"3\",\"price\":1e2}\n"),
            ("application/vnd.sluice.values+json", """[{"id":1,"price":1.25},{"id":2,"price":"\u0031"},{"id":3,"price":[{"a":{"b":"ü"}}]}]"""),
        ];

        await EachAsync("ingest bodies", short_: 1_500, long_: 60_000, sink, async random =>
        {
            var (type, text) = corpus[random.Next(corpus.Length)];
            var encoding = random.Next(6) switch { 0 => "gzip", 1 => "br", 2 => "zstd", _ => null };
            var body = Encoding.UTF8.GetBytes(text);
            if (encoding is null || random.Next(2) == 0) body = Mutation.Mutate(body, random);
            if (encoding is not null)
            {
                body = Compress(body, encoding);
                if (random.Next(2) == 0) body = Mutation.Mutate(body, random);
            }
            using var request = new HttpRequestMessage(HttpMethod.Post, $"v2/sinks/{sink}") { Content = new ByteArrayContent(body) };
            request.Content.Headers.TryAddWithoutValidation("Content-Type", type);
            if (encoding is not null) request.Content.Headers.TryAddWithoutValidation("Content-Encoding", encoding);
            await AskAsync(request);
        });
    }

    [Fact]
    public async Task Every_route_answers_mutated_bodies_and_names_in_the_documented_shape()
    {
        var sink = await server.MakeSinkAsync();
        var victim = await server.MakeSinkAsync();
        var paths = (await server.Api.GetAsync("openapi/v2.json", Cancellation)).Json["paths"]!.AsObject();
        var routes = paths.SelectMany(path => path.Value!.AsObject().Select(method => (Path: path.Key, Method: method.Key.ToUpperInvariant())))
            .Where(route => route.Path is not "/v2/logout" && !(route.Path.EndsWith("/tail", StringComparison.Ordinal))) // the first ends the test's own tokens, the second waits for records
            .ToArray();
        Assert.True(routes.Length > 40, $"{routes.Length} routes");

        await EachAsync("routes", short_: 2_000, long_: 60_000, sink, async random =>
        {
            var (path, method) = routes[random.Next(routes.Length)];
            var isRemoval = method == "DELETE";
            var address = Parameter().Replace(path, _ => random.Next(3) switch
            {
                0 => Uri.EscapeDataString(Names[random.Next(Names.Length)]),
                1 => Raw[random.Next(Raw.Length)],
                _ => isRemoval ? Guid.NewGuid().ToString() : random.Next(4) switch { 0 => victim, 1 => server.DatabaseId, 2 => "current", _ => Guid.NewGuid().ToString() },
            });
            if (random.Next(3) == 0) address += $"?{Queries[random.Next(Queries.Length)]}={Uri.EscapeDataString(Names[random.Next(Names.Length)])}";
            var bytes = Body(random, victim);
            using var request = Request(method, address);
            if (method is not "GET") request.Content = new ByteArrayContent(bytes);
            await AskAsync(request);
        });
    }

    byte[] Body(Random random, string sink)
    {
        var body = Bodies[random.Next(Bodies.Length)]
            .Replace("{name}", JsonEncodedText.Encode(Names[random.Next(Names.Length)].Replace('\ud800', '?')).ToString(), StringComparison.Ordinal)
            .Replace("{db}", server.DatabaseId, StringComparison.Ordinal).Replace("{sink}", sink, StringComparison.Ordinal);
        var bytes = Encoding.UTF8.GetBytes(body);
        return random.Next(3) != 0 ? Mutation.Mutate(bytes, random) : bytes;
    }

    HttpRequestMessage Request(string method, string address) =>
        new(new HttpMethod(method), new Uri(server.Http.BaseAddress!.GetLeftPart(UriPartial.Authority) + address, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));

    static readonly string[] Names =
    [
        "", " ", ".", "..", "../../etc/passwd", "..\\..\\x", "/etc/passwd", "a/b", "a\0b", "a\r\nforged line", "\u001b[31mred\u001b[0m", "a\u2028b\u2029c\u0085d", "\u009b", "'; DROP TABLE t; --", "\"; DROP TABLE t; --", "a\"b", "%s%n", "{0}", "${jndi:ldap://x}",
        "<script>alert(1)</script>", "ﷺ", "Ω≈ç√", "\u202etest", "\ud83d\ude00", "nul", "CON", "_sluice", "sqlite_master", "null", "undefined", "NaN", "true", "-1", "0", "99999999999999999999", "1e400", "0x10",
        "2147483648", "9223372036854775808", "2026-13-45T99:99:99Z", "0001-01-01", "9999-12-31T23:59:59Z", new string('x', 300), new string('é', 2_000), "\ufeff", "\u0000", "tbl", "T1", "t1",
    ];

    static readonly string[] Raw = ["..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "%ff%fe", "%c0%ae", "..;", "%0d%0aX:1", "%252e%252e%252f", "..", ".", "%", "a%5cb", "%ed%a0%80"];

    static readonly string[] Queries = ["limit", "offset", "after", "before", "next_before", "timeout", "wait", "from", "to", "force", "format", "op", "code", "return", "cursor", "state", "window"];

    static readonly string[] Bodies =
    [
        "{}", "[]", "null", "\"x\"", "", """{"name":"{name}"}""", """{"name":"{name}","options":{"keys":true,"trackExistence":true},"description":"{name}"}""",
        """{"options":{"type":"decimal","scale":2}}""", """{"options":{"type":"{name}","min":-1,"max":1e30}}""", """{"name":"{name}","columns":[{"name":"{name}","type":"int"}]}""",
        """{"name":"{name}","sink_details":{"database_id":"{db}","table":"t1"},"schema":{"type":"json","id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"{name}","path":["{name}"]}]}}""",
        """{"name":"{name}","sink_details":{"database_id":"{db}","table":"t2"},"schema":{"type":"json","id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]}]}}""",
        """{"max_records":5,"quarantine":{"keep_raw":true,"max_bytes":67108864,"max_age":"7d"}}""", """{"email":"{name}"}""", """{"email":"x@example.org","role":"{name}"}""", """{"token":"{name}","password":"{name}"}""",
        """{"description":"{name}","role":"IngestKey","sinks":["{sink}"]}""", """{"description":"{name}","role":"Reader","expires_at":"{name}"}""", """{"language":"sql","statement":"SELECT '{name}'"}""", """SELECT '{name}' AS "{name}" FROM t1""",
        """{"USERNAME":"{name}","PASSWORD":"{name}"}""", """{"REFRESH_TOKEN":"{name}"}""", """{"record":{"id":1,"price":"{name}"}}""", """{"records":[{"value":{"id":1}}],"values":[{"id":1,"{name}":2}]}""", """{"ids":["{name}"],"code":"{name}"}""",
        """{"retention":"{name}"}""", """{"current_password":"{name}","password":"{name}"}""", """{"samples":[{"id":1,"{name}":"{name}"}]}""",
    ];

    byte[][] Requests(string sink)
    {
        var token = server.Api.Token;
        return
        [
            Request($"POST /v2/sinks/{sink} HTTP/1.1", """{"records":[{"value":{"id":1,"price":1.25}}]}""", $"Authorization: Bearer {token}"),
            Request($"POST /v2/sinks/{sink}?format=ndjson HTTP/1.1", "{\"id\":2}\n{\"id\":3}\n", $"X-API-Key: {token}", "Idempotency-Key: k1"),
            Encoding.UTF8.GetBytes($"POST /v2/sinks/{sink} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{{\"records\":[{{\"va\r\n12\r\nlue\":{{\"id\":4}}}}]}}  \r\n0\r\n\r\n"),
            Request("POST / HTTP/1.1", """{"USERNAME":"nobody@example.com","PASSWORD":"Wrong-Password-1"}"""),
            Request("POST /v2/databases HTTP/1.1", """{"name":"x/y"}""", $"Authorization: Bearer {token}"),
            Request($"POST /v2/databases/{server.DatabaseId}/query/sql HTTP/1.1", "SELECT 1 AS one", $"Authorization: Bearer {token}"),
            Request("GET /v2/sinks?limit=1 HTTP/1.1", "", $"Authorization: Bearer {token}"),
            Request("GET /console HTTP/1.1", "", "Accept: text/html", "Cookie: a=b; c=d"),
            Request("GET /health/ready HTTP/1.1", ""),
            Request("GET /metrics HTTP/1.1", "", $"Authorization: Bearer {token}", "Connection: close"),
        ];

        static byte[] Request(string line, string body, params string[] headers) =>
            Encoding.UTF8.GetBytes($"{line}\r\nHost: localhost\r\n{string.Concat(headers.Select(header => header + "\r\n"))}{(body.Length == 0 ? "" : $"Content-Length: {body.Length}\r\n")}\r\n{body}");
    }

    /// <summary>Runs the cases, eight at a time, and looks at the server after them.</summary>
    Task EachAsync(string what, int short_, int long_, string canary, Func<Random, Task> run) => EachAsync(what, short_, long_, canary, (_, random) => run(random));

    async Task EachAsync(string what, int short_, int long_, string canary, Func<int, Random, Task> run)
    {
        var logged = server.Process.Output.Length;
        var started = Stopwatch.GetTimestamp();
        var cases = FaultTools.IsLong ? long_ : short_;
        await Parallel.ForAsync(FirstSeed, FirstSeed + cases, new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = Cancellation }, async (seed, _) =>
        {
            try
            {
                await run(seed, new Random(seed));
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"{what}, seed {seed}: {e.Message}", e);
            }
        });
        TestContext.Current.TestOutputHelper!.WriteLine($"{what}: {cases} cases in {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s");

        Assert.False(server.Process.HasExited);
        using (var answer = await server.SendAsync(canary, IngestServer.Records(1_000_000, 10), query: "?wait=loaded"))
            Assert.True(answer.StatusCode == HttpStatusCode.OK, await answer.Content.ReadAsStringAsync(Cancellation));
        var ledger = await server.Api.WaitLoadedAsync(canary, Cancellation);
        long Count(string name) => ledger[name]!.GetValue<long>();
        Assert.True(Count("received") == Count("accepted") + Count("rejected") && Count("accepted") == Count("loaded") + Count("failed") && Count("pending") == 0 && Count("lost") == 0, ledger.ToJsonString());
        Assert.All(
            server.Process.Output[logged..].Split('\n', StringSplitOptions.RemoveEmptyEntries),
            line => Assert.True(LogLine().IsMatch(line.TrimEnd('\r')), $"no event of one line: {line}"));
    }

    async Task AskAsync(HttpRequestMessage request)
    {
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", server.Api.Token);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        deadline.CancelAfter(AnswerWithin);
        using var answer = await server.Http.SendAsync(request, deadline.Token);
        AssertAnswer(request, answer, await answer.Content.ReadAsStringAsync(deadline.Token));
    }

    static void AssertAnswer(HttpRequestMessage request, HttpResponseMessage answer, string text)
    {
        var call = $"{request.Method} {request.RequestUri} {(int)answer.StatusCode} {text}";
        Assert.True((int)answer.StatusCode is < 500 or 503, call);
        // a request line that is none, or too long, is refused before there is a request to speak of
        if ((int)answer.StatusCode < 400 || (text.Length == 0 && (int)answer.StatusCode is 400 or 414)) return;
        if (text.StartsWith("""{"code":"Bad Request","message":""", StringComparison.Ordinal)) Assert.StartsWith("/v2/databases/", request.RequestUri!.AbsolutePath, StringComparison.OrdinalIgnoreCase); // a query, as the original answered it
        else AssertRefusal(text, call);
    }

    static void AssertRefusal(string text, string call)
    {
        Assert.True(text is ['{', ..], call);
        var body = JsonElement.Parse(text);
        foreach (var member in new[] { "code", "message", "request_id", "outcome" }) Assert.True(body.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.String && value.GetString() is not "", text);
    }

    static async Task<TcpClient> ConnectAsync(int port)
    {
        var socket = new TcpClient { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port, Cancellation);
        return socket;
    }

    /// <summary>Sends all, reads until the server is silent, says that no more comes, and reads until the server closes.</summary>
    static async Task<string> ExchangeAsync(Stream stream, byte[] bytes, TcpClient socket)
    {
        using var answer = new MemoryStream();
        var buffer = new byte[16 << 10];
        try
        {
            await stream.WriteAsync(bytes, Cancellation);
            var isOpen = true;
            while (isOpen)
            {
                var read = stream.ReadAsync(buffer, Cancellation).AsTask();
                if (await Task.WhenAny(read, Task.Delay(TimeSpan.FromMilliseconds(150), TimeProvider.System, Cancellation)) != read && isOpen)
                {
                    socket.Client.Shutdown(SocketShutdown.Send);
                    isOpen = false;
                }
                var count = await read.WaitAsync(AnswerWithin, TimeProvider.System, Cancellation);
                if (count == 0) break;
                answer.Write(buffer, 0, count);
                while (!isOpen && (count = await stream.ReadAsync(buffer, Cancellation).AsTask().WaitAsync(AnswerWithin, TimeProvider.System, Cancellation)) > 0) answer.Write(buffer, 0, count);
            }
        }
        catch (IOException)
        {
            // reset: cut, as it may be
        }
        return Encoding.UTF8.GetString(answer.GetBuffer(), 0, (int)answer.Length);
    }

    static byte[] Compress(byte[] body, string encoding)
    {
        using var output = new MemoryStream();
        if (encoding == "zstd") // one raw block: RFC 8878 3.1.1
        {
            output.Write([0x28, 0xb5, 0x2f, 0xfd, 0xa0, .. BitConverter.GetBytes(body.Length)]);
            var header = (body.Length << 3) | 1;
            output.Write([(byte)header, (byte)(header >> 8), (byte)(header >> 16), .. body]);
            return output.ToArray();
        }
        using (Stream stream = encoding == "gzip" ? new GZipStream(output, CompressionLevel.Fastest) : new BrotliStream(output, CompressionLevel.Fastest)) stream.Write(body);
        return output.ToArray();
    }

    [GeneratedRegex(@"(?:^|\n)HTTP/1\.1 (\d{3}) ")]
    private static partial Regex StatusLine();

    /// <summary>The only answer of a connection, when it is a refusal with a length.</summary>
    [GeneratedRegex(@"\AHTTP/1\.1 [45]\d\d [^\n]*\n(?:[^\r\n]+\r\n)*\r\n(\{(?:(?!HTTP/1\.1)[\s\S])*\})\s*\z")]
    private static partial Regex RefusalBody();

    [GeneratedRegex(@"listening on https://[^\s/]*:(\d+)")]
    private static partial Regex HttpsPort();

    [GeneratedRegex(@"\{[^}]*\}")]
    private static partial Regex Parameter();

    [GeneratedRegex(@"\A\d{4}-\d\d-\d\dT\S+ (info|warn): [^\p{Cc}\u2028\u2029\u202e]*\z")]
    private static partial Regex LogLine();
}
