using System.Diagnostics;

namespace Sluice.Comparison;

/// <summary>ClickHouse from Debian's packages with the settings it has by default, on loopback alone.</summary>
sealed class ClickHouseServer : MeasuredServer
{
    readonly string _origin;

    ClickHouseServer(TestBed bed, string data) : base(data, Start(bed, data)) => _origin = Origin(bed);

    public override IReadOnlyList<string> BenchArguments => ["--clickhouse", _origin];

    public static async Task<ClickHouseServer> StartAsync(TestBed bed, CancellationToken cancellation)
    {
        var server = new ClickHouseServer(bed, bed.MakeDirectory("clickhouse"));
        try
        {
            await server.WaitUntilAsync($"{Origin(bed)}/ping", cancellation);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    static string Origin(TestBed bed) => $"http://127.0.0.1:{bed.Port + 2}";

    static ProcessStartInfo Start(TestBed bed, string data)
    {
        var config = Path.Combine(data, "config.xml");
        File.WriteAllText(
            config,
            $"""
            <?xml version="1.0"?>
            <yandex>
              <logger><level>warning</level><console>1</console></logger>
              <listen_host>127.0.0.1</listen_host>
              <http_port>{bed.Port + 2}</http_port>
              <tcp_port>{bed.Port + 3}</tcp_port>
              <path>{data}/data/</path>
              <tmp_path>{data}/tmp/</tmp_path>
              <users_config>users.xml</users_config>
              <default_profile>default</default_profile>
              <default_database>default</default_database>
              <mark_cache_size>5368709120</mark_cache_size>
            </yandex>
            """);
        File.WriteAllText(
            Path.Combine(data, "users.xml"),
            """
            <?xml version="1.0"?>
            <yandex>
              <profiles><default></default></profiles>
              <users>
                <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
              </users>
              <quotas><default></default></quotas>
            </yandex>
            """);
        return new ProcessStartInfo("clickhouse-server", [$"--config-file={config}"]) { WorkingDirectory = data };
    }
}
