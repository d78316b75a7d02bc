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
