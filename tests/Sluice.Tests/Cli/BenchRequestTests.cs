using System.Text;
using System.Text.Json;
using Sluice.Cli.Bench;

namespace Sluice.Tests.Cli;

/// <summary>Requests of the load generator, which are made once and written over.</summary>
public sealed class BenchRequestTests
{
    const string Head = "POST / HTTP/1.1\r\n";
    const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss'Z'";

    [Theory]
    [InlineData(RecordShape.Flat, 6)]
    [InlineData(RecordShape.Sets, 7)]
    [InlineData(RecordShape.Wide, 38)]
    public void Records_have_the_columns_of_their_shape_and_the_keys_they_are_given(object shape, int columns)
    {
        var request = new BenchRequest(Head, (RecordShape)shape, BodyForm.Records, TimeFormat, records: 3);
        request.SetKeys(199_999_999_999);
        request.SetKey(0, 123_456_789_012);
        var records = JsonElement.Parse(Body(request)).GetProperty("records").EnumerateArray().Select(record => record.GetProperty("value")).ToList();
        Assert.Equal([123_456_789_012, 200_000_000_000, 200_000_000_001], records.Select(record => record.GetProperty("id").GetInt64()));
        Assert.Equal(columns, BenchRequest.Columns((RecordShape)shape).Count());
        Assert.All(records, record => Assert.Equal(BenchRequest.Columns((RecordShape)shape).Select(column => column.Name), record.EnumerateObject().Skip(1).Select(member => member.Name)));
    }

    [Fact]
    public void Lines_are_bare_values_of_116_bytes_as_the_summary_says()
    {
        var request = new BenchRequest(Head, RecordShape.Flat, BodyForm.Ndjson, TimeFormat, records: 1_000);
        request.SetKeys(BenchRequest.FirstKey);
        var lines = Body(request).Split('\n');
        Assert.Equal(Enumerable.Range(0, 1_000).Select(i => BenchRequest.FirstKey + i), lines.Select(line => JsonElement.Parse(line).GetProperty("id").GetInt64()));
        Assert.InRange(request.BodyBytes / 1_000.0, 115.5, 117.5);
        Assert.InRange(new BenchRequest(Head, RecordShape.Flat, BodyForm.Records, TimeFormat, records: 1_000).BodyBytes / 1_000.0, 126, 129);
    }

    static string Body(BenchRequest request)
    {
        var text = Encoding.UTF8.GetString(request.Utf8);
        var body = text[(text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        Assert.Contains($"Content-Length: {body.Length}\r\n", text, StringComparison.Ordinal);
        Assert.Equal(request.BodyBytes, body.Length);
        return body;
    }
}
