using System.Text;
using Microsoft.Extensions.Configuration;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>The file of options: what is wrong with it is told, and none of what it sets is passed over in silence.</summary>
public sealed class OptionSourcesTests(ITestOutputHelper output) : IDisposable
{
    const string Sound = """
        {
          "Sluice": {
            "Data": "/var/lib/sluice",
            "HttpsPort": 8443,
            "Administrator": { "Email": "operator@example.org" },
            "Tls": { "Names": [ "ingest.example.org", "10.0.0.7" ], "OriginalHosts": true },
            "Limits": { "MaxConnections": 1000, "HeaderTimeout": "00:00:10" },
            "Storage": { "MaxBacklogBytes": 1073741824 },
            "Quotas": { "Sink": { "RecordsPerSecond": 5000 } }
          }
        }
        """;

    readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_sound_file_is_read_and_the_command_line_wins()
    {
        var read = Read(Encoding.UTF8.GetBytes(Sound), "--https-port", "9443");

        Assert.Empty(read.UnknownKeys);
        Assert.Equal(("/var/lib/sluice", 9443, 1_073_741_824L), (read.Options.Data, read.Options.HttpsPort, read.Options.Storage.MaxBacklogBytes));
        Assert.Equal(["ingest.example.org", "10.0.0.7"], read.Options.Tls.Names);
    }

    [Theory]
    [InlineData("", "JSON")]
    [InlineData("{ \"Sluice\": { \"HttpPort\": 1 }", "JSON")]
    [InlineData("[ 1 ]", "JSON")]
    [InlineData("{ \"Sluice\": { \"HttpPort\": 7481, \"httpport\": 7482 } }", "duplicate")]
    [InlineData("{ \"Sluice\": { \"Data\": \"\u00ff\" } }", "UTF-8")]
    public void A_file_that_cannot_be_read_is_named(string text, string why)
    {
        var fault = Assert.Throws<StartupException>(() => Read(Encoding.Latin1.GetBytes(text)));

        Assert.Equal(ExitCode.BadOptions, fault.Code);
        Assert.Contains("appsettings.json", fault.Message, StringComparison.Ordinal);
        Assert.Contains(why, fault.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void A_section_that_nothing_reads_is_told()
    {
        var read = Read(Encoding.UTF8.GetBytes(Sound.Replace("\"Sluice\"", "\"Sluce\"", StringComparison.Ordinal)));

        Assert.Equal(["Sluce"], read.UnknownKeys);
    }

    [Theory]
    [InlineData("60")] // sixty days to .NET
    [InlineData("24:00:00")] // twenty-four days to .NET
    [InlineData("1.5")]
    [InlineData("soon")]
    public void A_time_is_written_with_hours_minutes_and_seconds(string text)
    {
        var fault = Assert.Throws<StartupException>(() => Read("{}"u8.ToArray(), "--Sluice:Limits:DrainTimeout", text));

        Assert.Equal(ExitCode.BadOptions, fault.Code);
        Assert.Contains($"Sluice:Limits:DrainTimeout is \"{text}\": give a time as hh:mm:ss", fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Limits:DrainTimeout", "1.00:00:01", "1.00:00:00")]
    [InlineData("Limits:HeaderTimeout", "01:00:01", "01:00:00")]
    [InlineData("Limits:KeepAliveTimeout", "01:00:01", "01:00:00")]
    [InlineData("Query:Time", "1.00:00:01", "1.00:00:00")]
    [InlineData("Query:Queue", "1.00:00:01", "1.00:00:00")]
    [InlineData("Limits:MaxHeaderBytes", "1048577", "1048576")]
    public void A_limit_beyond_what_works_is_a_fault(string key, string beyond, string most)
    {
        var fault = Assert.Throws<StartupException>(() => Read("{}"u8.ToArray(), $"--Sluice:{key}", beyond));

        Assert.Equal($"Sluice:{key} is {beyond}: give at most {most}", fault.Message);
        Read("{}"u8.ToArray(), $"--Sluice:{key}", most);
    }

    [Theory]
    [InlineData("Sluice:Tls:Names", "use Sluice:Tls:Names:0")]
    [InlineData("Sluice:Tls", "Sluice:Tls is a section")]
    [InlineData("Sluice:Quotas:Sink", "Sluice:Quotas:Sink is a section")]
    [InlineData("Sluice:Quotas:Sink:IsUnlimited", "Sluice:Quotas:Sink:IsUnlimited is computed")]
    [InlineData("Logging:LogLevel:Default", "Logging:LogLevel:Default is \"ingest.example.org\": give one of Trace, Debug")]
    [InlineData("Logging:Console:LogLevel:Sluice", "Logging:Console:LogLevel:Sluice is \"ingest.example.org\"")]
    [InlineData("Logging:loglevel:Microsoft:Hosting", "Microsoft:Hosting is \"ingest.example.org\"")]
    public void A_value_where_none_can_be_is_a_fault(string key, string why)
    {
        var fault = Assert.Throws<StartupException>(() => Read("{}"u8.ToArray(), $"--{key}", "ingest.example.org"));

        Assert.Equal(ExitCode.BadOptions, fault.Code);
        Assert.Contains(why, fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Sluice:HttpsPort:0")]
    [InlineData("Sluice:Tls:Names:0:Name")]
    public void A_key_below_a_value_is_told(string key) => Assert.Equal([key], Read("{}"u8.ToArray(), $"--{key}", "7").UnknownKeys);

    [Fact]
    public void An_empty_list_and_an_empty_section_set_nothing()
    {
        var read = Read("""{ "Sluice": { "Tls": { "Names": [] }, "Limits": {} }, "Logging": { "LogLevel": { "Default": "information", "Microsoft": "" } } }"""u8.ToArray());

        Assert.Empty(read.UnknownKeys);
        Assert.Empty(read.Options.Tls.Names);
    }

    [Fact]
    public void An_option_is_not_taken_for_the_value_of_the_one_before()
    {
        var fault = Assert.Throws<StartupException>(() => Read("{}"u8.ToArray(), "--data", "--https-port=8200"));
        Assert.Equal("--data needs a value", fault.Message);

        var read = Read("{}"u8.ToArray(), "--data=--here", "--https-port=8200");
        Assert.Equal(("--here", 8200), (read.Options.Data, read.Options.HttpsPort));
    }

    [Theory]
    [InlineData("a b")]
    [InlineData("üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü.example")] // beyond 63 letters once it is ASCII
    public void A_name_that_no_certificate_can_hold_is_a_fault(string name)
    {
        var fault = Assert.Throws<StartupException>(() => Read("{}"u8.ToArray(), "--Sluice:Tls:Names:0", name));
        Assert.Contains("Sluice:Tls:Names:0 is neither a host name nor an IP address", fault.Message, StringComparison.Ordinal);

        Read("{}"u8.ToArray(), "--Sluice:Tls:Names:0", "münchen.example");
    }

    [Fact]
    public void Connections_are_limited_by_the_open_files_however_many_are_asked_for() =>
        Assert.InRange(FileHandles.LimitConnections(int.MaxValue), 64, int.MaxValue - 1);

    /// <summary>A bit may make another value of the same option, which nobody can tell from one that was meant; but no option is lost.</summary>
    [Fact]
    public void Every_flipped_bit_is_told_or_leaves_every_option_set()
    {
        var bytes = Encoding.UTF8.GetBytes(Sound);
        var sound = Set(Read(bytes));
        var (told, same, other) = (0, 0, 0);
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            try
            {
                if (Read(bytes) is { UnknownKeys.Count: 0 } read)
                {
                    var set = Set(read);
                    Assert.True(sound.Keys.Order(StringComparer.OrdinalIgnoreCase).SequenceEqual(set.Keys.Order(StringComparer.OrdinalIgnoreCase), StringComparer.OrdinalIgnoreCase), $"bit {bit}: {string.Join(", ", set.Keys)}");
                    var changed = sound.Count(option => set[option.Key] != option.Value);
                    Assert.InRange(changed, 0, 1);
                    if (changed == 0) same++;
                    else other++;
                }
                else
                {
                    told++;
                }
            }
            catch (StartupException fault) when (fault.Code == ExitCode.BadOptions)
            {
                told++;
            }
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }
        output.WriteLine($"{bytes.Length * 8} bits: {told} told, {other} another value, {same} without effect");
        Assert.True(told > 3 * other, $"{told} told, {other} another value");
    }

    ReadOptions Read(byte[] text, params string[] args)
    {
        var file = Path.Combine(_directory.Path, "appsettings.json");
        File.WriteAllBytes(file, text);
        return OptionSources.Read(file, args);
    }

    static Dictionary<string, string?> Set(ReadOptions read) =>
        read.All.GetSection("Sluice").AsEnumerable().Where(option => option.Value is not null).ToDictionary(option => option.Key, option => option.Value, StringComparer.OrdinalIgnoreCase);
}
