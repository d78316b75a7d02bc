using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Sluice.Records;
using Sluice.Server;
using Sluice.Server.DataPlane;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class RequestBodyTests
{
    static readonly ReceiveTime s_ample = new(TimeProvider.System, TimeSpan.FromHours(1));

    readonly BodyBudget _budget = new(1L << 40);

    public static TheoryData<string?, int, bool> Bodies
    {
        get
        {
            var bodies = new TheoryData<string?, int, bool>();
            foreach (var encoding in new[] { null, "identity", "gzip", "x-gzip", "br", "zstd", "GZIP" })
            {
                foreach (var length in new[] { 0, 1, 16_383, 16_384, 16_385, 1_048_576, 1_048_577, 3_000_000 })
                    bodies.Add(encoding, length, length % 2 == 0);
            }

            return bodies;
        }
    }

    [Theory]
    [MemberData(nameof(Bodies))]
    public async Task A_body_is_read_whole_in_any_encoding_and_gives_its_memory_back(string? encoding, int length, bool announced)
    {
        var bytes = Random(length);

        using (var body = await ReadAsync(Compress(bytes, encoding), encoding, 3_000_000, announced))
            Assert.Equal(bytes, body.Memory.ToArray());

        Assert.Equal(0, _budget.UsedBytes);
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData(null, false)]
    [InlineData("gzip", true)]
    [InlineData("br", false)]
    [InlineData("zstd", true)]
    public async Task One_byte_more_than_the_limit_is_refused_and_the_limit_is_named(string? encoding, bool announced)
    {
        using (var body = await ReadAsync(Compress(Random(100_000), encoding), encoding, 100_000, announced))
            Assert.Equal(100_000, body.Memory.Length);

        var fault = await Assert.ThrowsAsync<SluiceException>(() => ReadAsync(Compress(Random(100_001), encoding), encoding, 100_000, announced));

        Assert.Equal(ErrorCode.RequestTooLarge, fault.Code);
        Assert.Contains("100000 bytes", fault.Message, StringComparison.Ordinal);
        Assert.Equal(0, _budget.UsedBytes);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("zstd")]
    public async Task A_bomb_costs_no_more_than_the_limit(string encoding)
    {
        var bomb = Compress(new byte[200_000_000], encoding);
        var small = new BodyBudget(4 * 1024 * 1024);

        var fault = await Assert.ThrowsAsync<SluiceException>(() => ReadAsync(bomb, encoding, 1_000_000, announced: true, small));

        Assert.InRange(bomb.Length, 1, 2_500_000);
        Assert.Equal(ErrorCode.RequestTooLarge, fault.Code);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("zstd")]
    public async Task A_body_that_is_cut_or_damaged_is_refused_and_not_taken_as_far_as_it_goes(string encoding)
    {
        var whole = Compress(Random(50_000), encoding);
        var damaged = whole.ToArray();
        damaged.AsSpan(whole.Length / 2, 20).Fill(0x55);

        foreach (var bad in new[] { whole[..^20], whole[..(whole.Length / 2)], whole[..5], Encoding.ASCII.GetBytes("{\"records\":[]}") })
            Assert.Equal(ErrorCode.InvalidBody, (await Assert.ThrowsAsync<SluiceException>(() => ReadAsync(bad, encoding, 100_000, announced: true))).Code);

        // brotli has no checksum: damage shows only where it breaks the format
        if (encoding == "gzip")
            Assert.Equal(ErrorCode.InvalidBody, (await Assert.ThrowsAsync<SluiceException>(() => ReadAsync(damaged, encoding, 100_000, announced: true))).Code);
        Assert.Equal(0, _budget.UsedBytes);
    }

    /// <summary>The tests' own process has the switch too, so what they see is no proof for the server.</summary>
    [Fact]
    public void The_server_runs_with_the_switch_that_refuses_cut_bodies() => Assert.Contains(
        "\"System.IO.Compression.UseStrictValidation\": true",
        File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Sluice.Server.runtimeconfig.json")), StringComparison.Ordinal);

    [Theory]
    [InlineData("deflate")]
    [InlineData("gzip, gzip")]
    [InlineData("utf-8")]
    public async Task An_unknown_encoding_is_refused_and_the_known_ones_are_named(string encoding)
    {
        var context = Context([1], encoding, announced: true);

        var fault = await Assert.ThrowsAsync<SluiceException>(async () => await RequestBody.ReadAsync(context, 100, _budget, s_ample, TestContext.Current.CancellationToken));

        Assert.Equal((ErrorCode.UnsupportedEncoding, "gzip, br, zstd"), (fault.Code, context.Response.Headers.AcceptEncoding.ToString()));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("tapplication/json")]
    [InlineData("text/plain")]
    [InlineData("Content-Type: application/json")]
    [InlineData("application/x-www-form-urlencoded")]
    public async Task Any_content_type_but_multipart_is_taken(string? contentType)
    {
        var context = Context([1, 2], null, announced: true);
        context.Request.ContentType = contentType;

        using var body = await RequestBody.ReadAsync(context, 100, _budget, s_ample, TestContext.Current.CancellationToken);
        Assert.Equal(2, body.Memory.Length);

        context.Request.ContentType = "multipart/form-data; boundary=x";
        await Assert.ThrowsAsync<RefusedException>(async () => await RequestBody.ReadAsync(context, 100, _budget, s_ample, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Memory_beyond_the_budget_is_refused_for_now_and_given_back()
    {
        var budget = new BodyBudget(2 * 1024 * 1024); // a buffer that grows is there twice for a moment
        using var first = await ReadAsync(Random(600_000), null, 1_000_000, announced: true, budget);
        var used = budget.UsedBytes;

        var fault = await Assert.ThrowsAsync<SluiceException>(() => ReadAsync(Random(600_000), null, 1_000_000, announced: true, budget));

        Assert.Equal((503, "memory"), (Refusals.For(fault.Code).Status, Refusals.For(fault.Code).Cause));
        Assert.Equal(used, budget.UsedBytes);
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData(null, false)]
    [InlineData("gzip", true)]
    [InlineData("br", true)]
    [InlineData("zstd", false)]
    public async Task A_large_body_is_read_through_a_window_in_bounded_memory(string? encoding, bool announced)
    {
        var bytes = Random(20_000_000);
        var hash = SHA256.HashData(bytes);
        using (var body = await ReadAsync(Compress(bytes, encoding), encoding, bytes.Length, announced))
        {
            using var read = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var window = body.Window!;
            for (var isDone = false; !isDone;)
            {
                await window.FillAsync(TestContext.Current.CancellationToken);
                isDone = window.IsComplete;
                var count = isDone ? window.Bytes.Length : window.Bytes.Length - 1_000; // a record that is not complete stays
                read.AppendData(window.Bytes.Span[..count]);
                window.Take(count);
            }
            Assert.Equal((bytes.Length, true), ((int)window.BodyBytes, read.GetHashAndReset().SequenceEqual(hash)));
        }

        Assert.Equal(0, _budget.UsedBytes);
        Assert.InRange(_budget.HighestUsedBytes, BodyWindow.DefaultBytes, 3 * BodyWindow.DefaultBytes);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("zstd")]
    public async Task A_large_body_that_is_too_long_or_cut_is_refused_where_that_shows(string? encoding)
    {
        var bytes = Random(10_000_000);
        var tooLong = await Assert.ThrowsAsync<SluiceException>(() => DrainAsync(Compress(bytes, encoding), encoding, bytes.Length - 1));
        Assert.Equal(ErrorCode.RequestTooLarge, tooLong.Code);
        if (encoding is not null)
        {
            var cut = await Assert.ThrowsAsync<SluiceException>(() => DrainAsync(Compress(bytes, encoding)[..^1_000], encoding, bytes.Length));
            Assert.Equal((ErrorCode.InvalidBody, $"The body is not valid {encoding}."), (cut.Code, cut.Message));
        }
        Assert.Equal(0, _budget.UsedBytes);
    }

    [Fact]
    public async Task A_record_longer_than_the_window_makes_it_grow_within_the_budget()
    {
        var budget = new BodyBudget(64 << 20);
        using var body = await ReadAsync(Random(30_000_000), null, 1L << 40, announced: true, budget);
        var window = body.Window!;
        var refused = await Assert.ThrowsAsync<SluiceException>(async () =>
        {
            while (!window.IsComplete)
            {
                await window.FillAsync(TestContext.Current.CancellationToken);
                window.Take(0);
            }
        });
        Assert.Equal(ErrorCode.MemoryLow, refused.Code);
        Assert.InRange(budget.HighestUsedBytes, 1, 64 << 20);
    }

    [Fact]
    public async Task A_large_announcement_costs_nothing_until_it_is_kept()
    {
        var context = Context(Random(10), null, announced: false);
        context.Request.ContentLength = 30_000_000;

        using var body = await RequestBody.ReadAsync(context, 32_000_000, _budget, s_ample, TestContext.Current.CancellationToken);

        Assert.InRange(_budget.HighestUsedBytes, 1, 16 * 1024);
    }

    [Theory]
    [InlineData(500, 65 * 1024)]
    [InlineData(2_500, 513 * 1024)]
    public async Task A_body_costs_about_what_has_come_of_it(int pieces, int most)
    {
        var context = Context([], null, announced: false);
        context.Request.ContentLength = 1_000_000;
        context.Request.Body = new Pieces(Enumerable.Repeat(new byte[100], pieces));

        using var body = await RequestBody.ReadAsync(context, 32_000_000, _budget, s_ample, TestContext.Current.CancellationToken);

        Assert.Equal(100 * pieces, body.Memory.Length);
        Assert.InRange(_budget.UsedBytes, 100 * pieces, most);
    }

    [Theory]
    [InlineData(6, true)]
    [InlineData(7, false)]
    public async Task A_body_that_takes_too_long_is_refused_while_it_is_read(int pieces, bool isInTime)
    {
        var time = new FakeTimeProvider();
        var context = Context([], null, announced: false);
        context.Request.Body = new Pieces(Enumerable.Repeat(new byte[100], pieces)) { BeforeEach = () => time.Advance(TimeSpan.FromSeconds(10)) };
        var limit = new ReceiveTime(time, TimeSpan.FromSeconds(60));

        var reading = RequestBody.ReadAsync(context, 32_000_000, _budget, limit, TestContext.Current.CancellationToken).AsTask();

        if (isInTime)
            (await reading).Dispose();
        else
            Assert.Equal(ErrorCode.RequestTimeout, (await Assert.ThrowsAsync<SluiceException>(() => reading)).Code);
        Assert.Equal(0, _budget.UsedBytes);
    }

    public static TheoryData<string, string, bool> Leftovers
    {
        get
        {
            var all = new TheoryData<string, string, bool>();
            foreach (var encoding in new[] { "gzip", "br", "zstd" })
            {
                foreach (var leftover in new[] { "{\"id\":1}\n", "\n", "\0", "\u001f", "(", "other", "cut" })
                {
                    all.Add(encoding, leftover, false);
                    all.Add(encoding, leftover, true);
                }
            }

            return all;
        }
    }

    /// <param name="apart">The rest comes when what precedes it has been read.</param>
    [Theory]
    [MemberData(nameof(Leftovers))]
    public async Task What_follows_compressed_data_is_not_thrown_away(string encoding, string leftover, bool apart)
    {
        foreach (var length in new[] { 10, 100_000, 5_000_000 })
        {
            var whole = Compress(Random(length), encoding);
            var rest = leftover switch
            {
                "other" => Compress(Random(10), encoding == "br" ? "gzip" : "br"),
                "cut" => Compress(Random(50), encoding)[..^2],
                _ => Encoding.ASCII.GetBytes(leftover),
            };
            var context = Context([], encoding, announced: false);
            context.Request.Body = new Pieces(apart ? [whole, rest] : [[.. whole, .. rest]]);

            var fault = await Assert.ThrowsAsync<SluiceException>(() => DrainAsync(context, 6_000_000));

            Assert.Equal(ErrorCode.InvalidBody, fault.Code);
        }
        Assert.Equal(0, _budget.UsedBytes);
    }

    [Theory]
    [InlineData("gzip", true)]
    [InlineData("gzip", false)]
    [InlineData("zstd", true)]
    [InlineData("zstd", false)]
    public async Task Several_members_or_frames_are_one_body(string encoding, bool apart)
    {
        var (first, second) = (Random(30_000), Random(5_000));
        var (one, two) = (Compress(first, encoding), Compress(second, encoding));
        var context = Context([], encoding, announced: false);
        context.Request.Body = new Pieces(apart ? [one, two] : [[.. one, .. two]]);

        using var body = await RequestBody.ReadAsync(context, 100_000, _budget, s_ample, TestContext.Current.CancellationToken);

        Assert.Equal([.. first, .. second], body.Memory.ToArray());
    }

    [Fact]
    public async Task Brotli_has_one_stream_and_a_second_one_is_refused()
    {
        var fault = await Assert.ThrowsAsync<SluiceException>(() => ReadAsync([.. Compress(Random(10), "br"), .. Compress(Random(5), "br")], "br", 100, announced: true));

        Assert.Equal((ErrorCode.InvalidBody, "Something follows the br data of the body, which has ended; nothing was stored."), (fault.Code, fault.Message));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("zstd")]
    public async Task Compressed_data_may_come_byte_by_byte(string encoding)
    {
        var bytes = Random(3_000);
        var context = Context([], encoding, announced: false);
        context.Request.Body = new Pieces(Compress(bytes, encoding).Select(one => new[] { one }));

        using var body = await RequestBody.ReadAsync(context, 3_000, _budget, s_ample, TestContext.Current.CancellationToken);

        Assert.Equal(bytes, body.Memory.ToArray());
    }

    [Fact]
    public async Task The_steady_state_allocates_next_to_nothing()
    {
        var bytes = Random(100_000);
        var context = Context(bytes, null, announced: true);
        for (var i = 0; i < 50; i++)
            await ReadOnceAsync();

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
            await ReadOnceAsync();

        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / 100, 0, 1_024); // debug builds box each state machine

        async ValueTask ReadOnceAsync()
        {
            context.Request.Body.Position = 0;
            using var body = await RequestBody.ReadAsync(context, 1_000_000, _budget, s_ample, CancellationToken.None);
        }
    }

    Task<RequestBody> ReadAsync(byte[] sent, string? encoding, long maxBytes, bool announced, BodyBudget? budget = null) =>
        RequestBody.ReadAsync(Context(sent, encoding, announced), maxBytes, budget ?? _budget, s_ample, TestContext.Current.CancellationToken).AsTask();

    Task DrainAsync(byte[] sent, string? encoding, long maxBytes) => DrainAsync(Context(sent, encoding, announced: false), maxBytes);

    async Task DrainAsync(HttpContext context, long maxBytes)
    {
        using var body = await RequestBody.ReadAsync(context, maxBytes, _budget, s_ample, TestContext.Current.CancellationToken);
        while (body.Window is { IsComplete: false })
        {
            body.Window.Take(body.Window.Bytes.Length);
            await body.Window.FillAsync(TestContext.Current.CancellationToken);
        }
    }

    static DefaultHttpContext Context(byte[] sent, string? encoding, bool announced)
    {
        var context = new DefaultHttpContext();
        context.Request.Body = new MemoryStream(sent);
        context.Request.ContentLength = announced ? sent.Length : null;
        if (encoding is not null)
            context.Request.Headers.ContentEncoding = encoding;
        return context;
    }

    static byte[] Random(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    static byte[] Compress(byte[] bytes, string? encoding)
    {
        using var output = new MemoryStream();
        using (Stream? stream = encoding?.ToLowerInvariant() switch
        {
            "gzip" or "x-gzip" => new GZipStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "br" => new BrotliStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "zstd" => new ZstdSharp.CompressionStream(output, leaveOpen: true),
            _ => null,
        })
        {
            (stream ?? output).Write(bytes);
        }

        return output.ToArray();
    }

    /// <summary>No read gives bytes of two pieces.</summary>
    sealed class Pieces(IEnumerable<byte[]> pieces) : InputStream
    {
        readonly Queue<byte[]> _later = new(pieces);
        ReadOnlyMemory<byte> _piece;

        public Action? BeforeEach { get; init; }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_piece.IsEmpty && _later.TryDequeue(out var next))
            {
                BeforeEach?.Invoke();
                _piece = next;
            }

            var count = Math.Min(_piece.Length, buffer.Length);
            _piece[..count].CopyTo(buffer);
            _piece = _piece[count..];
            return new(count);
        }
    }
}
