using System.Net;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.IntegrationTests.Console;
using Sluice.IntegrationTests.Server;
using Sluice.Server;
using Sluice.Server.Accounts;
using Sluice.Server.Tls;
using Xunit;

#pragma warning disable CA5394 // a seed that can be printed is the point

namespace Sluice.IntegrationTests.Recovery;

/// <summary>Damage to keys, certificates and the catalogue's file: told with a way out, or without effect.</summary>
public sealed class KeyDamageTests(ITestOutputHelper output) : IDisposable
{
    const int Flips = 100;

    readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_flipped_bit_in_the_key_of_the_tokens_is_told_or_changes_nothing()
    {
        using var sound = TokenKey.Open(_directory.Path);
        var file = Path.Combine(_directory.Path, "tokens.key");

        FlipEach([file], () =>
        {
            using var opened = TokenKey.Open(_directory.Path);
            return opened.SecurityKey.KeyId == sound.SecurityKey.KeyId && KeyProof.Belong(opened.SecurityKey.ECDsa, sound.SecurityKey.ECDsa);
        });
    }

    [Fact]
    public void A_flipped_bit_in_the_files_of_tls_is_told_or_clients_that_trust_the_authority_still_come_in()
    {
        using var first = Open().Certificate;
        using var trusted = X509CertificateLoader.LoadCertificateFromFile(Path.Combine(_directory.Path, "ca.crt"));

        foreach (var name in new[] { "ca.crt", "ca.key", "server.crt", "server.key" })
        {
            FlipEach([.. Directory.GetFiles(_directory.Path).OrderBy(path => Path.GetFileName(path) == name ? 0 : 1)], () =>
            {
                using var opened = Open().Certificate;
                using var chain = new X509Chain();
                (chain.ChainPolicy.TrustMode, chain.ChainPolicy.RevocationMode) = (X509ChainTrustMode.CustomRootTrust, X509RevocationMode.NoCheck);
                chain.ChainPolicy.CustomTrustStore.Add(trusted);
                return chain.Build(opened) && KeyProof.HasItsKey(opened);
            });
        }
    }

    [Theory]
    [InlineData("keys/tokens.key", "delete it to have a new one made")]
    [InlineData("tls/ca.crt", "delete both to have new ones made")]
    [InlineData("tls/ca.key", "delete both to have new ones made")]
    [InlineData("catalog.sqlite", "catalog.sqlite")]
    public async Task A_file_that_is_empty_garbage_cut_or_a_directory_is_refused_in_a_sentence(string name, string wayOut)
    {
        var sound = Path.Combine(_directory.Path, "sound");
        await RunAsync(sound);
        foreach (var (what, damage) in new (string, Action<string>)[]
        {
            ("garbage", file => File.WriteAllBytes(file, [.. Enumerable.Repeat((byte)0xa5, 5_000)])),
            ("empty", file => File.WriteAllBytes(file, [])),
            ("cut", file => File.WriteAllBytes(file, File.ReadAllBytes(file)[..((int)new FileInfo(file).Length / 2)])),
            ("directory", file => { File.Delete(file); Directory.CreateDirectory(file); }),
        })
        {
            var data = Path.Combine(_directory.Path, what); // one each: who fails to start keeps the lock until the process ends
            MaintenanceRun.CopyDirectory(sound, data);
            damage(Path.Combine(data, name));
            var fault = await Record.ExceptionAsync(() => RunAsync(data));
            output.WriteLine($"{name}, {what}: {fault?.Message}");
            Assert.True(fault is StartupException { Code: ExitCode.DamagedData } && fault.Message.Contains(wayOut, StringComparison.Ordinal), $"{name}, {what}: {fault}");
        }
        await RunAsync(sound); // the control: nothing else was wrong
    }

    /// <summary>Ingest does not need them: the server starts, and who was signed in signs in again.</summary>
    [Fact]
    public async Task A_damaged_key_of_the_consoles_cookies_costs_the_sign_in_and_nothing_else()
    {
        var sound = Path.Combine(_directory.Path, "sound");
        var cookies = new CookieContainer();
        await using (var server = await ServerUnderTest.StartAsync("--data", sound))
        {
            using var browser = new ConsoleBrowser(server, cookies);
            (await browser.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password)).Dispose();
            Assert.Equal(HttpStatusCode.OK, await StatusAsync(browser, "/"));
        }
        var random = new Random(20261126);
        foreach (var (what, damage) in new (string, Action<string>)[]
        {
            ("nothing", _ => { }),
            ("garbage", file => File.WriteAllBytes(file, [.. Enumerable.Repeat((byte)0xa5, 5_000)])),
            ("empty", file => File.WriteAllBytes(file, [])),
            ("cut", file => File.WriteAllBytes(file, File.ReadAllBytes(file)[..((int)new FileInfo(file).Length / 2)])),
            ("key", file => File.WriteAllText(file, File.ReadAllText(file).Replace("<value>", "<value>!", StringComparison.Ordinal))),
            ("bit", file => Flip(file, random)), ("another bit", file => Flip(file, random)), ("a third bit", file => Flip(file, random)),
        })
        {
            var data = Path.Combine(_directory.Path, what);
            MaintenanceRun.CopyDirectory(sound, data);
            File.Delete(Path.Combine(data, "keys", "tokens.key")); // what signs with a key is kept by the key's id for the whole process
            damage(Assert.Single(Directory.GetFiles(Path.Combine(data, "keys", "console"), "*.xml")));
            await using var server = await ServerUnderTest.StartAsync("--data", data);
            using var old = new ConsoleBrowser(server, cookies);
            var status = await StatusAsync(old, "/");
            output.WriteLine($"{what}: {status}");
            Assert.True(status == HttpStatusCode.OK ? what == "nothing" || what.EndsWith("bit", StringComparison.Ordinal) : status == HttpStatusCode.Found && what != "nothing", $"{what}: {status}");
            using var again = new ConsoleBrowser(server, new CookieContainer());
            using var signedIn = await again.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password);
            Assert.True(signedIn.StatusCode == HttpStatusCode.Found, $"{what}: {signedIn.StatusCode}");
            Assert.Equal(HttpStatusCode.OK, await StatusAsync(again, "/"));
        }

        static async Task<HttpStatusCode> StatusAsync(ConsoleBrowser browser, string path)
        {
            using var answer = await browser.GetAsync(path);
            return answer.StatusCode;
        }
    }

    static void Flip(string file, Random random)
    {
        var bytes = File.ReadAllBytes(file);
        bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        File.WriteAllBytes(file, bytes);
    }

    ServerCertificate Open() => ServerCertificate.Open(new LocalCertificateSource(_directory.Path, [], 7_443, TextWriter.Null, NullLogger.Instance), TimeProvider.System);

    static async Task RunAsync(string data)
    {
        await using var app = ServerApp.Build(
            ["--data", data, "--https-port", "0", "--http-port", "0", "--Sluice:Administrator:Password", ServerUnderTest.Password, "--Logging:LogLevel:Default", "None"],
            TimeProvider.System, TextWriter.Null, (_, _) => Task.FromResult<Engine?>(null));
        await app.StartAsync(TestContext.Current.CancellationToken);
        await app.StopAsync();
    }

    /// <param name="files">The first is damaged; all are put back, and what was made beside them is as well.</param>
    /// <param name="isHarmless">Opens what the files are for; whether that is as good as before.</param>
    void FlipEach(string[] files, Func<bool> isHarmless)
    {
        var seed = Environment.TickCount;
        var random = new Random(seed);
        var good = files.Select(File.ReadAllBytes).ToArray();
        var (told, harmless) = (0, 0);
        for (var flip = 0; flip < Flips; flip++)
        {
            var (at, bit) = (random.Next(good[0].Length), random.Next(8));
            var bytes = (byte[])good[0].Clone();
            bytes[at] ^= (byte)(1 << bit);
            File.WriteAllBytes(files[0], bytes);
            try
            {
                Assert.True(isHarmless(), $"seed {seed}: bit {bit} of byte {at} of {files[0]} changes something silently");
                harmless++;
            }
            catch (StartupException e)
            {
                Assert.Contains(_directory.Path, e.Message, StringComparison.Ordinal);
                told++;
            }
            for (var i = 0; i < files.Length; i++) File.WriteAllBytes(files[i], good[i]);
        }
        output.WriteLine($"{Path.GetFileName(files[0])}: {told} told, {harmless} harmless");
        Assert.True(told > 0 || Path.GetFileName(files[0]).StartsWith("server.", StringComparison.Ordinal)); // these are made again
    }
}
