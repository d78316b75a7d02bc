using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Serialization;
using Sluice.Client;

namespace Thermometers;

sealed record Reading([property: JsonPropertyName("_id")] long Id, string? Sensor, decimal Celsius);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Reading))]
sealed partial class ReadingJson : JsonSerializerContext;

static class Thermometer
{
    /// <summary>Sends readings, says on <paramref name="log"/> which are wrong, and returns how warm it is on average.</summary>
    public static async Task<string> SendAsync(
        Uri server, string caFile, string apiKey, string sinkName, IEnumerable<Reading> readings, TextWriter log, CancellationToken cancellation)
    {
        using var http = Open(server, caFile);
        var client = new SluiceClient(http);
        client.UseApiKey(apiKey);
        var sink = (await client.ListSinksAsync(cancellation)).Single(it => it.Name == sinkName);

        var options = new BatcherOptions
        {
            WaitLoaded = true, // a request ends when its rows are visible to SQL, not when they are durable
            OnSent = async batch =>
            {
                foreach (var record in batch.Rejected)
                    await log.WriteLineAsync($"{Encoding.UTF8.GetString(batch.Record(record.Index!.Value).Span)} {record.ErrorMessage}");
            },
        };
        await using (var batcher = new SluiceBatcher(client, sink.Id, options))
        {
            foreach (var reading in readings) await batcher.AddAsync(reading, ReadingJson.Default.Reading, cancellation);
        } // sends what is left, waits for every answer, and throws if anything was not stored

        var answer = await client.QueryAsync(sink.SinkDetails.DatabaseId, "SELECT avg(celsius) FROM readings", cancellation);
        return answer.Error ?? answer.Data![0][0].GetRawText();
    }

    /// <summary>A client that trusts the server's own authority, <c>data/tls/ca.crt</c>.</summary>
    static HttpClient Open(Uri server, string caFile)
    {
        var trust = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            CustomTrustStore = { X509CertificateLoader.LoadCertificateFromFile(caFile) },
        };
        return new HttpClient(new SocketsHttpHandler { SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = trust } }) { BaseAddress = server };
    }
}
