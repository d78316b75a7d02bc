using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Sluice.IntegrationTests.Server;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Hostile;

/// <summary>Clients that send slowly, nothing, or too many at once: they lose their own connections, and nobody else notices.</summary>
public sealed class SlowClientTests
{
    const int Idle = 2_000;
    const int Slow = 20;

    static readonly TimeSpan ClosedWithin = TimeSpan.FromSeconds(60);

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void The_times_are_those_that_are_documented()
    {
        var limits = new LimitOptions();
        Assert.Equal(
            (TimeSpan.FromSeconds(15), TimeSpan.FromSeconds(130), 240, 9_000),
            (limits.HeaderTimeout, limits.KeepAliveTimeout, limits.MinBytesPerSecond, limits.MaxConnections));
    }

    [Fact]
    public async Task Slow_senders_are_cut_and_nothing_of_them_is_stored_while_others_send_beside_thousands_of_idle_connections()
    {
        using var data = new TemporaryDirectory();
        await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", Cancellation, ("Sluice__Limits__HeaderTimeout", "00:00:02"));
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var sink = await MakeSinkAsync(api);
        var idle = new List<TcpClient>();
        try
        {
            while (idle.Count < Idle) idle.Add(await ConnectAsync(server.HttpPort));
            var head = $"POST /v2/sinks/{sink} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.Token}\r\nConnection: close\r\nContent-Length: ";
            var slowHeaders = Enumerable.Range(0, Slow).Select(_ => DripAsync(server.HttpPort, "GET /health HTTP/1.1\r\nX: ", "a", 10_000)).ToList();
            // every record is whole but the last: what has arrived could be stored
            var slowBodies = Enumerable.Range(0, Slow).Select(_ => DripAsync(server.HttpPort, head + "100000\r\n\r\n{\"records\":[{\"value\":{\"id\":7}}", " ", 10_000)).ToList();
            const string record = """{"records":[{"value":{"id":8}}]}""";
            const string pad = "                                                                                                    ";
            // the control: slower than the two seconds and the grace, yet above the rate
            var patient = DripAsync(server.HttpPort, head + (80 * pad.Length + record.Length).ToString(CultureInfo.InvariantCulture) + "\r\n\r\n", pad, 80, record);

            var sent = 0;
            var all = Task.WhenAll([.. slowHeaders, .. slowBodies, patient]).WaitAsync(ClosedWithin, TimeProvider.System, Cancellation);
            do
            {
                var answer = await api.PostAsync($"v2/sinks/{sink}", $$$"""{"records":[{"value":{"id":{{{1_000 + sent++}}}}}]}""", Cancellation);
                Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);
            }
            while (!all.IsCompleted);
            await all;

            foreach (var slow in slowHeaders) Assert.StartsWith("HTTP/1.1 408", await slow, StringComparison.Ordinal);
            foreach (var slow in slowBodies)
            {
                Assert.StartsWith("HTTP/1.1 408", await slow, StringComparison.Ordinal);
                Assert.Contains("\"not_stored\"", await slow, StringComparison.Ordinal);
            }
            Assert.StartsWith("HTTP/1.1 200", await patient, StringComparison.Ordinal);
            Assert.All(idle, client => Assert.False(client.Client.Poll(0, SelectMode.SelectRead), "an idle connection was closed before its time"));
            var ledger = await api.WaitLoadedAsync(sink, Cancellation);
            Assert.Equal((sent + 1, sent + 1), (ledger["received"]!.GetValue<int>(), ledger["loaded"]!.GetValue<int>()));
            Assert.Equal(0, (await api.QueryAsync(await DatabaseAsync(api), "SELECT COUNT(*) FROM t WHERE _id = 7", Cancellation))[0]![0]!.GetValue<int>());
        }
        finally
        {
            idle.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task A_large_body_that_takes_longer_than_is_allowed_is_refused_and_others_are_not()
    {
        const int quick = 60_000; // records, of more than a window
        const string line = """{"id":7,"pad":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}""" + "\n";
        using var data = new TemporaryDirectory();
        string sink;
        long sent = 0;
        await using (var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", Cancellation, ("Sluice__Storage__MaxReceiveTime", "00:00:06")))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            sink = await MakeSinkAsync(api);
            var start = string.Concat(Enumerable.Repeat(line, quick)); // 5 MiB: a part of it is in the log when it is refused
            string Head(int length) => $"POST /v2/sinks/{sink}?format=ndjson&return=summary HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.Token}\r\nConnection: close\r\nContent-Length: {length.ToString(CultureInfo.InvariantCulture)}\r\n\r\n";
            var started = TimeProvider.System.GetTimestamp();
            // far above the least rate, and far from filling the next window
            var slow = Enumerable.Range(0, 5).Select(_ => DripAsync(server.HttpPort, Head(30_000_000) + start, line, 10_000)).ToList();
            // the control: as slow, and done in time
            var inTime = DripAsync(server.HttpPort, Head(start.Length + (11 * line.Length)) + start.Replace(":7,", ":8,", StringComparison.Ordinal), line.Replace(":7,", ":8,", StringComparison.Ordinal), 10, line.Replace(":7,", ":8,", StringComparison.Ordinal));
            var all = Task.WhenAll([.. slow, inTime]).WaitAsync(ClosedWithin, TimeProvider.System, Cancellation);
            do
            {
                var answer = await api.PostAsync($"v2/sinks/{sink}", $$$"""{"records":[{"value":{"id":{{{1_000 + sent++}}}}}]}""", Cancellation);
                Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);
            }
            while (!all.IsCompleted);
            await all;

            Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.FromSeconds(6), ClosedWithin);
            foreach (var body in slow)
            {
                Assert.StartsWith("HTTP/1.1 408", await body, StringComparison.Ordinal);
                Assert.Contains("\"RequestTimeout\"", await body, StringComparison.Ordinal);
                Assert.Contains("\"not_stored\"", await body, StringComparison.Ordinal);
            }
            Assert.StartsWith("HTTP/1.1 200", await inTime, StringComparison.Ordinal);
            await AssertStoredAsync(api);
            await server.KillAsync();
        }

        // nor do the parts that are in the log come back
        await using var again = await ServerProcess.StartAsync(data.Path, "Sluice.Server", Cancellation);
        using var reader = await ApiClient.LoginAsync(again.HttpPort, Cancellation);
        await AssertStoredAsync(reader);

        async Task AssertStoredAsync(ApiClient api)
        {
            var ledger = await api.WaitLoadedAsync(sink, Cancellation);
            long Count(string name) => ledger[name]!.GetValue<long>();
            Assert.Equal((sent + 1, sent + quick + 11, sent + quick + 11, 0, 0), (Count("requests"), Count("received"), Count("loaded"), Count("rejected"), Count("pending")));
            var database = await DatabaseAsync(api);
            Assert.Equal((0, sent + 1), ((await api.QueryAsync(database, "SELECT COUNT(*) FROM t WHERE _id = 7", Cancellation))[0]![0]!.GetValue<int>(), (await api.QueryAsync(database, "SELECT COUNT(*) FROM t", Cancellation))[0]![0]!.GetValue<long>()));
        }
    }

    [Fact]
    public async Task Senders_that_announce_much_and_send_little_leave_room_for_others()
    {
        const int patient = 200; // 1 MB each, of 8 MiB
        using var data = new TemporaryDirectory();
        await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", Cancellation, ("Sluice__Limits__MaxBodyBytesInFlight", "8388608"));
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var sink = await MakeSinkAsync(api);
        var head = $"POST /v2/sinks/{sink} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.Token}\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n";
        var open = new List<TcpClient>();
        try
        {
            while (open.Count < patient)
            {
                open.Add(await ConnectAsync(server.HttpPort));
                await open[^1].GetStream().WriteAsync(Encoding.ASCII.GetBytes(head), Cancellation);
            }
            foreach (var client in open)
            {
                // the server asks for the body: the request has its memory
                var asked = new byte["HTTP/1.1 100 Continue\r\n\r\n".Length];
                await client.GetStream().ReadExactlyAsync(asked, Cancellation);
                Assert.StartsWith("HTTP/1.1 100", Encoding.ASCII.GetString(asked), StringComparison.Ordinal);
                await client.GetStream().WriteAsync("{\"records\":["u8.ToArray(), Cancellation);
            }
            var answer = await api.PostAsync($"v2/sinks/{sink}", $$$$"""{"records":[{"value":{"id":1,"pad":"{{{{new string('x', 1_000_000)}}}}"}}]}""", Cancellation);
            Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
        }
        finally
        {
            open.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task A_connection_too_many_is_closed_without_an_answer_and_the_next_one_comes_in_when_another_has_gone()
    {
        const int most = 20;
        await using var server = await ServerUnderTest.StartAsync("--Sluice:Limits:MaxConnections", most.ToString(CultureInfo.InvariantCulture));
        var port = server.Http.BaseAddress!.Port;
        var open = new List<TcpClient>();
        try
        {
            while (open.Count < most)
            {
                open.Add(await ConnectAsync(port));
                Assert.StartsWith("HTTP/1.1 200", await AskAsync(open[^1]), StringComparison.Ordinal);
            }
            using (var more = await ConnectAsync(port)) Assert.Equal("", await AskAsync(more));
            foreach (var client in open) Assert.StartsWith("HTTP/1.1 200", await AskAsync(client), StringComparison.Ordinal);

            open[0].Dispose();
            var answer = "";
            for (var patience = 200; answer.Length == 0 && patience > 0; patience--)
            {
                using var next = await ConnectAsync(port);
                answer = await AskAsync(next);
                if (answer.Length == 0) await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, Cancellation);
            }
            Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        }
        finally
        {
            open.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task A_client_that_takes_its_answer_slowly_is_told_that_the_query_was_stopped()
    {
        using var data = new TemporaryDirectory();
        await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", Cancellation, ("Sluice__Query__Time", "00:00:01"));
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var database = await api.CreateAsync("v2/databases", """{"name":"slow"}""", Cancellation);
        const string sql = "SELECT repeat('x', 1000) AS x FROM range(60000)"; // more than the sockets hold
        var head = string.Create(CultureInfo.InvariantCulture, $"POST /v2/databases/{database}/query/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.Token}\r\nConnection: close\r\nContent-Length: {sql.Length}\r\n\r\n");
        var answer = "";
        for (var patience = 10; answer.Length < 100_000 && patience > 0; patience--) // on a busy machine it may be stopped before its first row
        {
            using var client = await ConnectAsync(server.HttpPort);
            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head + sql), Cancellation);
            await client.GetStream().ReadExactlyAsync(new byte[100], Cancellation);
            await Task.Delay(TimeSpan.FromSeconds(3), TimeProvider.System, Cancellation); // three times what a query may take
            using var reader = new StreamReader(client.GetStream());
            answer = await reader.ReadToEndAsync(Cancellation);
        }
        Assert.InRange(answer.Length, 100_000, 50_000_000);
        Assert.Contains("\"error\":\"the query took longer than 1 s and was stopped\"", answer[^200..], StringComparison.Ordinal);
        Assert.EndsWith("\r\n0\r\n\r\n", answer, StringComparison.Ordinal); // the whole of it came
    }

    static async Task<string> MakeSinkAsync(ApiClient api)
    {
        var database = await api.CreateAsync("v2/databases", """{"name":"slow"}""", Cancellation);
        await api.CreateAsync($"v2/tables/{database}", """{"name":"t","options":{"keys":false}}""", Cancellation);
        return await api.CreateAsync("v2/sinks", $$$"""
            {"name":"t","sink_details":{"database_id":"{{{database}}}","table":"t"},"schema":{"type":"json","id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
            """, Cancellation);
    }

    static async Task<string> DatabaseAsync(ApiClient api) => (await api.GetAsync("v2/databases", Cancellation)).Json["resources"]![0]!["id"]!.GetValue<string>();

    static async Task<TcpClient> ConnectAsync(int port)
    {
        var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(IPAddress.Loopback, port, Cancellation);
        return client;
    }

    /// <summary>What is answered to a request that leaves the connection open; empty: it was closed.</summary>
    static async Task<string> AskAsync(TcpClient client)
    {
        var buffer = new byte[4_096];
        var length = 0;
        try
        {
            await client.GetStream().WriteAsync("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), Cancellation);
            while (!buffer.AsSpan(0, length).EndsWith("\r\n0\r\n\r\n"u8)) // its last chunk may come by itself
            {
                var read = await client.GetStream().ReadAsync(buffer.AsMemory(length), Cancellation);
                if (read == 0) break;
                length += read;
            }
            return Encoding.ASCII.GetString(buffer, 0, length);
        }
        catch (IOException)
        {
            return "";
        }
    }

    /// <summary>Sends the start, then a drop every 100 ms, then the end; returns all that was answered when the server has closed.</summary>
    static async Task<string> DripAsync(int port, string start, string drop, int drops, string end = "")
    {
        using var client = await ConnectAsync(port);
        var stream = client.GetStream();
        var answer = new MemoryStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(start), Cancellation);
        var reading = stream.CopyToAsync(answer, Cancellation);
        try
        {
            for (; drops > 0 && !reading.IsCompleted; drops--)
            {
                await stream.WriteAsync(Encoding.ASCII.GetBytes(drop), Cancellation);
                await Task.WhenAny(reading, Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, Cancellation));
            }
            if (!reading.IsCompleted) await stream.WriteAsync(Encoding.ASCII.GetBytes(end), Cancellation);
            await reading;
        }
        catch (IOException)
        {
            // closed while a drop was on its way
        }
        return Encoding.UTF8.GetString(answer.ToArray());
    }
}
