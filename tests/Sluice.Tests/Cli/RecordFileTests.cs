using System.IO.Compression;
using System.Text;
using Sluice.Cli;
using Sluice.Cli.Sending;

namespace Sluice.Tests.Cli;

/// <summary>What <c>sluice send</c> reads out of files: nothing is left out or altered without a word.</summary>
public sealed class RecordFileTests : IDisposable
{
    readonly string _directory = Directory.CreateTempSubdirectory("sluice-records").FullName;

    [Fact]
    public async Task A_row_of_CSV_that_begins_with_a_hash_is_a_row() =>
        Assert.Equal(["""{"id":"#1","v":"a"}""", """{"id":"2"}"""], await ReadAsync("a.csv", "id,v\n#1,a\n2,\n"));

    [Fact]
    public async Task A_row_of_CSV_may_be_long() =>
        Assert.Equal(3_000_009, (await ReadAsync("a.csv", $"id\n{new string('x', 3_000_000)}\n"))[0].Length);

    [Fact]
    public async Task A_row_of_CSV_that_no_request_takes_is_told_by_its_number()
    {
        var large = $"id,v\n1,a\n2,\"{new string('x', 33 * 1024 * 1024)}";
        Assert.Contains("a.csv, row 3: longer than a request may be", await SentenceAsync("a.csv", large), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Empty_rows_of_CSV_are_left_out() =>
        Assert.Equal(["""{"id":"1"}""", """{"id":"2","v":"b"}""", "{}"], await ReadAsync("a.csv", "id,v\n\n1\n\r\n  \n2,b\n,\n\n"));

    [Fact]
    public async Task A_row_of_CSV_with_more_than_the_header_names_is_handed_on_for_rejection() => Assert.Equal(
        ["""{"id":"1","v":"a"}""", "CSV row 3 has 4 fields, the header 2: 2,b,c,\"d e\"", """{"id":"3","v":"d"}"""],
        await ReadAsync("a.csv", "id,v\n1,a,,\n2,b,c,\"d\ne\"\n3,d\n"));

    [Theory]
    [InlineData("", "id,v\n1,a\n2,\u00e9\n", "row 3")]
    [InlineData("\u00ef\u00bb\u00bf", "id,v\n1,a\n2,\u00e9\n", "row 3")] // behind a byte order mark
    [InlineData("", "id,\u00e9\n1,a\n", "row 1")]
    public async Task CSV_that_is_not_UTF_8_stops_at_the_row(string mark, string text, string row) =>
        Assert.Contains($"a.csv, {row}: not UTF-8", await SentenceAsync("a.csv", Encoding.Latin1.GetBytes(mark + text)), StringComparison.Ordinal);

    [Fact]
    public async Task CSV_may_hold_the_sign_for_what_is_not_UTF_8_and_begin_with_a_byte_order_mark() =>
        Assert.Equal(["{\"id\":\"\\uFFFD\"}"], await ReadAsync("a.csv", "\uFEFFid\n\uFFFD\n"));

    [Theory]
    [InlineData("id,v\n1,a\n2,\"b\n3,c\n", "row 3")]
    [InlineData("id,v\n1,a\n2,\"b\"c\n3,c\n", "row 3")]
    [InlineData("\"id,v\n1,a\n", "row 1")]
    public async Task CSV_with_a_wrong_quote_is_told_by_its_row(string text, string row) =>
        Assert.Contains($"a.csv, {row}: ", await SentenceAsync("a.csv", text), StringComparison.Ordinal);

    [Theory]
    [InlineData("a.csv", "")]
    [InlineData("a.csv", "id,v\n")]
    [InlineData("a.json", "")]
    [InlineData("a.ndjson", "")]
    public async Task A_file_without_records_has_none(string name, string text) => Assert.Empty(await ReadAsync(name, text));

    [Fact]
    public async Task Records_of_JSON_come_as_they_stand_on_one_line()
    {
        const string half = """{ "id": 1,  "v": "\ud800 \"[ é\\" , "n": 1.50E+3 }""";
        const string compact = """{"id":1,"v":"\ud800 \"[ é\\","n":1.50E+3}""";
        Assert.Equal([compact, """{"id":2}"""], await ReadAsync("a.json", $"[\n {half},\r\n {{\n\t\"id\": 2\n}}\n]"));
        Assert.Equal([$$"""{"value":{{compact}}}"""], await ReadAsync("b.json", $$"""{"records": [{"value": {{half}}}]}"""));
        Assert.Equal([compact], await ReadAsync("c.json", half));
    }

    [Fact]
    public async Task A_gzip_file_may_have_several_members_and_none_may_be_cut()
    {
        var (first, second) = (Gzip("{\"id\":1}\n"), Gzip("{\"id\":2}\n"));
        Assert.Equal(["""{"id":1}""", """{"id":2}"""], await ReadAsync("a.ndjson.gz", [.. first, .. second]));
        foreach (var cut in new[] { first[..^1], first[..^8], first[..^12], first[..5], [.. first, .. second[..^8]] })
            Assert.Contains("a.ndjson.gz cannot be decompressed: it ends in the middle", await SentenceAsync("a.ndjson.gz", cut), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a.ndjson.gz")]
    [InlineData("a.csv.gz")]
    [InlineData("a.json.zst")]
    [InlineData("a.ndjson.zst")]
    public async Task What_is_not_compressed_as_its_name_says_is_told(string name) =>
        Assert.Contains($"{name} cannot be decompressed", await SentenceAsync(name, "{\"id\":1}\n"), StringComparison.Ordinal);

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    static byte[] Gzip(string text)
    {
        var output = new MemoryStream();
        using (var gzip = new GZipStream(output, CompressionLevel.Fastest)) gzip.Write(Encoding.UTF8.GetBytes(text));
        return output.ToArray();
    }

    Task<List<string>> ReadAsync(string name, string text) => ReadAsync(name, Encoding.UTF8.GetBytes(text));

    async Task<List<string>> ReadAsync(string name, byte[] content)
    {
        var path = Path.Combine(_directory, name);
        await File.WriteAllBytesAsync(path, content, TestContext.Current.CancellationToken);
        using var file = RecordFile.Open(path, format: null);
        var records = new List<string>();
        await foreach (var record in file.ReadAsync(TestContext.Current.CancellationToken)) records.Add(Encoding.UTF8.GetString(record.Json.Span));
        return records;
    }

    Task<string> SentenceAsync(string name, string text) => SentenceAsync(name, Encoding.UTF8.GetBytes(text));

    async Task<string> SentenceAsync(string name, byte[] content) => (await Assert.ThrowsAsync<CommandException>(() => ReadAsync(name, content))).Message;
}
