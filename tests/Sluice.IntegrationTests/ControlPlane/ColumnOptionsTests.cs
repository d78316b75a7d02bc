using System.Text.Json;
using Sluice.Client;
using Sluice.Schema;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.ControlPlane;

public sealed class ColumnOptionsTests
{
    public static TheoryData<string, string> Types => new()
    {
        { """{"type":"int","min":-9007199254740991,"max":9007199254740991}""", "int -9007199254740991 9007199254740991" },
        { """{"type":"int"}""", "int -9223372036854775808 9223372036854775807" },
        { """{"type":"int","min":-1e30,"max":1e30}""", "int -9223372036854775808 9223372036854775807" },
        { """{"type":"int","min":-9223372036854775809,"max":18446744073709551615}""", "int -9223372036854775808 9223372036854775807" },
        { """{"type":"int","min":1e3,"max":2000.0,"keys":false,"foreignIndex":""}""", "int 1000 2000" },
        { """{"type":"timestamp","timeUnit":"s"}""", "timestamp Second" },
        { """{"type":"timestamp","timeUnit":"\u00b5s"}""", "timestamp Microsecond" },
        { """{"type":"timestamp","timeUnit":"ns","epoch":"2020-01-01T00:00:00+01:00"}""", "timestamp Nanosecond 2019-12-31T23:00:00Z" },
        { """{"type":"decimal","scale":2}""", "decimal(2)" },
        { """{"type":"decimal","scale":18}""", "decimal(18)" },
        { """{"type":"mutex","keys":true}""", "string" },
        { """{"type":"set","keys":true,"cacheType":"none"}""", "stringset" },
        { """{"type":"mutex"}""", "id" },
        { """{"type":"set","cacheType":"ranked","cacheSize":50000}""", "idset" },
        { "{}", "idset" },
        { """{"keys":true}""", "stringset" },
        { """{"type":"bool"}""", "bool" },
        { """{"type":"time","timeQuantum":"YMD","ttl":"24h","keys":true}""", "stringsetq YMD 1.00:00:00" },
        { """{"type":"time","timeQuantum":"DH"}""", "idsetq DH 00:00:00" },
        { """{"type":"string"}""", "string" },
        { """{"type":"stringset","keys":true}""", "stringset" },
        { """{"type":"id"}""", "id" },
        { """{"type":"idset"}""", "idset" },
        { """{"type":"idsetq","timeQuantum":"H","ttl":"30d"}""", "idsetq H 30.00:00:00" },
        { """{"type":"stringsetq","timeQuantum":"Y"}""", "stringsetq Y 00:00:00" },
        { """{"type":"vector","length":768}""", "vector(768)" },
    };

    [Theory]
    [MemberData(nameof(Types))]
    public void Options_give_a_type(string options, string expected) => Assert.Equal(expected, Describe(Parse(options)));

    [Theory]
    [MemberData(nameof(Types))]
    public void What_is_written_reads_back_as_the_same_type(string options, string expected)
    {
        var written = JsonSerializer.Serialize(new ColumnRequest(null, ColumnOptions.Write(Parse(options))), WireJson.Default.ColumnRequest);

        var read = ColumnOptions.Parse(JsonBody.Parse(System.Text.Encoding.UTF8.GetBytes(written)).RequiredObject("options"));

        Assert.Equal(expected, Describe(read));
    }

    [Theory]
    [InlineData("""{"type":"decimal"}""", "decimal field requires a scale argument")]
    [InlineData("""{"type":"decimal","scale":19}""", "scale 19 is not supported: decimals are kept in 18 digits, so that every value of the column fits; use a scale from 0 to 18")]
    [InlineData("""{"type":"decimal","scale":20}""", "Parameter 'scale' must be an integer from 0 to 18, not 20.")]
    [InlineData("""{"type":"decimal","scale":"2"}""", "Parameter 'scale' must be an integer from 0 to 18, not the string \"2\".")]
    [InlineData("""{"type":"decimal","scale":2,"min":1}""", "min does not apply to field type decimal")]
    [InlineData("""{"type":"decimal","scale":2,"cacheType":"none"}""", "cacheType does not apply to field type decimal")]
    [InlineData("""{"type":"timestamp"}""", "timestamp field requires a timeUnit argument")]
    [InlineData("""{"type":"timestamp","timeUnit":"h"}""", "invalid timeUnit argument: it is one of s, ms, us, ns")]
    [InlineData("""{"type":"timestamp","timeUnit":"s","epoch":"yesterday"}""", "Parameter 'epoch' must be a time in whole seconds as in 2006-01-02T15:04:05Z.")]
    [InlineData("""{"type":"timestamp","timeUnit":"ms","epoch":"2000-01-01T00:00:00.5Z"}""", "Parameter 'epoch' must be a time in whole seconds as in 2006-01-02T15:04:05Z.")]
    [InlineData("""{"type":"set","min":1}""", "min does not apply to field type set")]
    [InlineData("""{"max":1}""", "max does not apply to field type set")]
    [InlineData("""{"type":"set","timeQuantum":"Y"}""", "timeQuantum does not apply to field type set")]
    [InlineData("""{"type":"set","ttl":"1h"}""", "ttl does not apply to field type set")]
    [InlineData("""{"type":"set","cacheType":"big"}""", "invalid cacheType argument: it is one of ranked, lru, none")]
    [InlineData("""{"type":"int","min":2,"max":1}""", "int field min cannot be greater than max")]
    [InlineData("""{"type":"int","min":1.5}""", "Parameter 'min' must be an integer, not 1.5.")]
    [InlineData("""{"type":"int","min":"1"}""", "Parameter 'min' must be an integer, not the string \"1\".")]
    [InlineData("""{"type":"int","keys":true}""", "keys does not apply to field type int")]
    [InlineData("""{"type":"id","keys":true}""", "keys does not apply to field type id")]
    [InlineData("""{"type":"int","foreignIndex":"other"}""", "foreignIndex is not supported")]
    [InlineData("""{"type":"time"}""", "timeQuantum is required for field type time")]
    [InlineData("""{"type":"time","timeQuantum":"YH"}""", "invalid timeQuantum argument: it is one of D, DH, H, M, MD, MDH, Y, YM, YMD, YMDH")]
    [InlineData("""{"type":"time","timeQuantum":"Y","ttl":"soon"}""", "invalid ttl argument: it is a duration in whole seconds such as 24h or 30d; 0s keeps for ever")]
    [InlineData("""{"type":"time","timeQuantum":"Y","noStandardView":true}""", "noStandardView is not supported: a quantum set always keeps its standard view")]
    [InlineData("""{"type":"vector"}""", "vector field requires a length argument")]
    [InlineData("""{"type":"vector","length":0}""", "Parameter 'length' must be an integer from 1 to 65535, not 0.")]
    [InlineData("""{"type":"geo"}""", "invalid field type: geo")]
    [InlineData("""{"type":"int","minimum":1}""", "Parameter 'minimum' is not known here.")]
    [InlineData("""{"type":7}""", "Parameter 'type' must be a string, not 7.")]
    public void Wrong_options_are_refused_with_the_reason(string options, string message)
    {
        var refusal = Assert.Throws<SluiceException>(() => Parse(options));

        Assert.Equal(ErrorCode.InvalidParameter, refusal.Code);
        Assert.Equal(message, refusal.Message);
    }

    [Theory]
    [InlineData("24h", 86_400)]
    [InlineData("1h30m", 5_400)]
    [InlineData("1.5h", 5_400)]
    [InlineData("30d", 2_592_000)]
    [InlineData("1000ms", 1)]
    [InlineData("0s", 0)]
    [InlineData("0", 0)]
    public void A_duration_is_read(string text, int seconds)
    {
        Assert.True(TimeToLive.TryParse(text, out var duration));
        Assert.Equal(TimeSpan.FromSeconds(seconds), duration);
    }

    [Theory]
    [InlineData("")]
    [InlineData("-1h")]
    [InlineData("1")]
    [InlineData("1w")]
    [InlineData("1h ")]
    [InlineData("1h\n")]
    [InlineData("500ms")]
    [InlineData("36501d")]
    [InlineData("99999999999999999999999999999999999h")]
    [InlineData("\u0661h")]
    public void What_is_no_duration_is_not_read(string text) => Assert.False(TimeToLive.TryParse(text, out _));

    static ColumnType Parse(string options) => ColumnOptions.Parse(JsonBody.Parse(System.Text.Encoding.UTF8.GetBytes(options)));

    static string Describe(ColumnType type) => type.Kind switch
    {
        ColumnKind.Int => $"{type} {type.Min} {type.Max}",
        ColumnKind.Timestamp => $"{type} {type.Unit} {type.Epoch:yyyy-MM-ddTHH:mm:ssZ}".TrimEnd(),
        ColumnKind.IdSetQ or ColumnKind.StringSetQ => $"{type} {type.TimeQuantum} {type.TimeToLive}",
        _ => type.ToString(),
    };
}
