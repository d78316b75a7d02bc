using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Server;
using Sluice.Server.Tls;
using Xunit;

#pragma warning disable CA5359 // these clients look at what is presented, whatever it is

namespace Sluice.IntegrationTests.Server;

public sealed class TlsTests
{
    static readonly DateTimeOffset Start = TimeProvider.System.GetUtcNow();

    [Theory]
    [InlineData("localhost", 1)]
    [InlineData("localhost", 2)]
    [InlineData("127.0.0.1", 2)]
    [InlineData("data.localhost", 2)]
    public async Task A_client_that_trusts_only_the_local_authority_connects(string host, int httpVersion)
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var client = server.TrustingClient(new Version(httpVersion, httpVersion == 1 ? 1 : 0));

        using var response = await client.GetAsync(new UriBuilder(server.HttpsAddress) { Host = host, Path = "/health" }.Uri, TestContext.Current.CancellationToken);

        Assert.Equal((HttpStatusCode.OK, httpVersion), (response.StatusCode, response.Version.Major));
    }

    [Fact]
    public async Task A_client_without_the_authority_refuses()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var client = new HttpClient { BaseAddress = server.HttpsAddress };

        var fault = await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync("/health", TestContext.Current.CancellationToken));
        Assert.IsType<AuthenticationException>(fault.InnerException);
    }

    [Fact]
    public async Task Versions_before_1_2_are_refused()
    {
        await using var server = await ServerUnderTest.StartAsync();

        Assert.Equal(SslProtocols.Tls12, await HandshakeAsync(server, SslProtocols.Tls12));
        Assert.Equal(SslProtocols.Tls13, await HandshakeAsync(server, SslProtocols.Tls13));
#pragma warning disable CS0618, SYSLIB0039, CA5397 // asked for so that it is refused
        await Assert.ThrowsAnyAsync<Exception>(() => HandshakeAsync(server, SslProtocols.Tls11));
#pragma warning restore CS0618, SYSLIB0039, CA5397
    }

    [Fact]
    public async Task Keys_are_closed_to_others_and_so_is_everything_else()
    {
        await using var server = await ServerUnderTest.StartAsync("--Sluice:Administrator:Email", ServerUnderTest.Email);
        const UnixFileMode file = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        const UnixFileMode directory = file | UnixFileMode.UserExecute;

        foreach (var path in new[] { "tls/ca.key", "tls/server.key", "keys/tokens.key", "catalog.sqlite", "lock" })
            Assert.Equal(file, File.GetUnixFileMode(Path.Combine(server.Data.Path, path)));
        foreach (var path in new[] { "", "tls", "keys" })
            Assert.Equal(directory, File.GetUnixFileMode(Path.Combine(server.Data.Path, path)));
        Assert.Empty(Directory.EnumerateFiles(server.Data.Path, "*.new", SearchOption.AllDirectories));
    }

    [Fact]
    public void The_authority_is_good_for_this_machines_names_and_nothing_else()
    {
        using var directory = new TemporaryDirectory();
        var now = Start;
        using var authority = MakeAuthority(directory, now);

        Assert.True(Chains(directory, authority.Issue(["localhost", "a.localhost", "127.1.2.3", "::1"], now, TimeSpan.FromDays(1))));
        // the authority's key in wrong hands: it signs whatever it is told, and clients refuse
        Assert.False(Chains(directory, authority.Issue(["example.org"], now, TimeSpan.FromDays(1))));
        Assert.False(Chains(directory, authority.Issue(["localhost", "notlocalhost"], now, TimeSpan.FromDays(1))));
        Assert.False(Chains(directory, authority.Issue(["10.0.0.1"], now, TimeSpan.FromDays(1))));
    }

    [Fact]
    public void The_authoritys_constraints_are_critical_and_read_back()
    {
        using var directory = new TemporaryDirectory();
        using var authority = CertificateAuthority.Make(In(directory, "ca.crt"), In(directory, "ca.key"), ["localhost", "Ingest.Example.org", "192.168.7.9", "fd00::5"], Start);
        using var certificate = X509CertificateLoader.LoadCertificateFromFile(In(directory, "ca.crt"));

        Assert.True(certificate.Extensions.Single(extension => extension.Oid!.Value == "2.5.29.30").Critical);
        foreach (var name in new[] { "localhost", "x.localhost", "ingest.example.org", "192.168.7.9", "fd00::5", "127.9.9.9", "::1" })
            Assert.True(authority.MayCertify(name), name);
        foreach (var name in new[] { "example.org", "xlocalhost", "192.168.7.10", "fd00::6", "128.0.0.1" })
            Assert.False(authority.MayCertify(name), name);
        using var read = CertificateAuthority.Read(In(directory, "ca.crt"), In(directory, "ca.key"));
        Assert.True(read.MayCertify("192.168.7.9"));
        Assert.False(read.MayCertify("192.168.7.10"));
    }

    [Fact]
    public void The_leaf_is_what_browsers_ask_for()
    {
        using var directory = new TemporaryDirectory();
        var leaf = SourceIn(directory).LoadIfChanged(Start)!.Certificate;

        Assert.InRange((leaf.NotAfter - leaf.NotBefore).TotalDays, 1, 397);
        Assert.False(leaf.Extensions.OfType<X509BasicConstraintsExtension>().Single().CertificateAuthority);
        Assert.Equal("1.3.6.1.5.5.7.3.1", leaf.Extensions.OfType<X509EnhancedKeyUsageExtension>().Single().EnhancedKeyUsages[0].Value);
        Assert.Equal(256, leaf.GetECDsaPublicKey()!.KeySize);
        foreach (var name in new[] { "localhost", "id.localhost", "data.localhost", "127.0.0.1", "::1" })
            Assert.True(leaf.MatchesHostname(name), name);
    }

    [Fact]
    public void A_restart_keeps_certificate_and_authority_and_the_last_month_renews_the_first()
    {
        using var directory = new TemporaryDirectory();
        var first = SourceIn(directory).LoadIfChanged(Start)!.Certificate;
        var authority = File.ReadAllText(In(directory, "ca.crt"));

        var again = SourceIn(directory);
        Assert.Equal(first.Thumbprint, again.LoadIfChanged(Start + TimeSpan.FromDays(59))!.Certificate.Thumbprint);
        Assert.Null(again.LoadIfChanged(Start + TimeSpan.FromDays(59)));

        var renewed = again.LoadIfChanged(Start + TimeSpan.FromDays(61))!.Certificate;
        Assert.NotEqual(first.Thumbprint, renewed.Thumbprint);
        Assert.Equal(authority, File.ReadAllText(In(directory, "ca.crt")));
        Assert.Equal(renewed.Thumbprint, X509Certificate2.CreateFromPemFile(In(directory, "server.crt"), In(directory, "server.key")).Thumbprint);
    }

    [Fact]
    public void Another_name_makes_another_authority_and_a_damaged_leaf_is_replaced()
    {
        using var directory = new TemporaryDirectory();
        SourceIn(directory).LoadIfChanged(Start);
        var authority = File.ReadAllText(In(directory, "ca.crt"));

        File.WriteAllText(In(directory, "server.crt"), "damaged");
        var healed = SourceIn(directory).LoadIfChanged(Start)!.Certificate;
        Assert.Equal(authority, File.ReadAllText(In(directory, "ca.crt")));
        Assert.True(Chains(directory, healed));

        var named = SourceIn(directory, "ingest.example.org").LoadIfChanged(Start)!.Certificate;
        Assert.NotEqual(authority, File.ReadAllText(In(directory, "ca.crt")));
        Assert.True(named.MatchesHostname("ingest.example.org"));
        Assert.True(Chains(directory, named));
    }

    [Fact]
    public async Task An_operators_certificate_is_used_with_its_intermediates_and_read_again_when_it_changes()
    {
        using var directory = new TemporaryDirectory();
        WriteOperators(directory, "first");
        await using var server = await ServerUnderTest.StartAsync(
            "--Sluice:Tls:CertificateFile", In(directory, "own.crt"), "--Sluice:Tls:KeyFile", In(directory, "own.key"));
        var (subject, chainLength) = await PresentedAsync(server);
        Assert.Equal(("CN=first", 2), (subject, chainLength));
        Assert.False(Directory.Exists(Path.Combine(server.Data.Path, "tls")));

        WriteOperators(directory, "second");
        server.Services.GetRequiredService<ServerCertificate>().Refresh();
        Assert.Equal("CN=second", (await PresentedAsync(server)).Subject);

        File.WriteAllText(In(directory, "own.key"), "half-written");
        Assert.ThrowsAny<CryptographicException>(server.Services.GetRequiredService<ServerCertificate>().Refresh);
        Assert.Equal("CN=second", (await PresentedAsync(server)).Subject);
    }

    /// <summary>The layout of Kubernetes: files are links through a link, and a renewal replaces that one alone.</summary>
    [Fact]
    public void An_operators_certificate_behind_links_is_read_again_when_they_lead_elsewhere()
    {
        using var directory = new TemporaryDirectory();
        foreach (var version in new[] { "v1", "v2" })
        {
            Directory.CreateDirectory(In(directory, version));
            WriteOperators(directory, "the same", version);
        }
        Directory.CreateSymbolicLink(In(directory, "data"), "v1");
        foreach (var file in new[] { "own.crt", "own.key" }) File.CreateSymbolicLink(In(directory, file), Path.Combine("data", file));
        var source = OperatorsIn(directory);
        var first = source.LoadIfChanged(Start)!.Certificate;
        Assert.Null(source.LoadIfChanged(Start));

        Directory.Delete(In(directory, "data")); // the link
        Directory.CreateSymbolicLink(In(directory, "data"), "v2");

        Assert.NotEqual(first.Thumbprint, source.LoadIfChanged(Start)!.Certificate.Thumbprint);
        Assert.Null(source.LoadIfChanged(Start));
    }

    [Fact]
    public void An_operators_certificate_that_could_not_be_read_is_tried_again_though_its_files_stay_as_they_are()
    {
        using var directory = new TemporaryDirectory();
        WriteOperators(directory, "first");
        var source = OperatorsIn(directory);
        source.LoadIfChanged(Start);
        var key = File.ReadAllText(In(directory, "own.key"));

        File.WriteAllText(In(directory, "own.key"), "half-written");
        Assert.ThrowsAny<CryptographicException>(() => source.LoadIfChanged(Start));
        Assert.ThrowsAny<CryptographicException>(() => source.LoadIfChanged(Start));

        File.WriteAllText(In(directory, "own.key"), key);
        Assert.Null(source.LoadIfChanged(Start)); // what is in use
    }

    [Fact]
    public void A_failing_renewal_is_told_once_and_again_when_it_fails_otherwise_or_anew()
    {
        using var directory = new TemporaryDirectory();
        var source = new ScriptedSource(SourceIn(directory).LoadIfChanged(Start)!, "a", "a", "b", "b", null, "b", "b");
        using var logger = new KeptLog();
        using var renewal = new CertificateRenewal(ServerCertificate.Open(source, new FakeTimeProvider(Start)), new FakeTimeProvider(Start), logger);

        while (source.IsGoingOn) renewal.Look();

        Assert.Equal(["a", "b", "b"], logger.Faults.Select(fault => fault!.Message));
    }

    [Fact]
    public void A_certificate_that_was_made_while_the_clock_was_ahead_is_replaced()
    {
        using var directory = new TemporaryDirectory();
        SourceIn(directory).LoadIfChanged(Start);
        var source = SourceIn(directory);
        Assert.True(source.LoadIfChanged(Start + TimeSpan.FromDays(100))!.Certificate.NotBefore > Start);
        var ahead = File.ReadAllText(In(directory, "server.crt"));

        Assert.True(Chains(directory, source.LoadIfChanged(Start)!.Certificate)); // running
        Assert.Null(source.LoadIfChanged(Start));

        File.WriteAllText(In(directory, "server.crt"), ahead);
        Assert.True(Chains(directory, SourceIn(directory).LoadIfChanged(Start)!.Certificate)); // started again
    }

    /// <summary>It may be today's clock that is wrong: what clients trust stays.</summary>
    [Fact]
    public void An_authority_that_is_not_valid_yet_is_told_and_kept()
    {
        using var directory = new TemporaryDirectory();
        using var logger = new KeptLog();
        var (now, ahead) = (Start, Start + TimeSpan.FromDays(500));
        SourceIn(directory).LoadIfChanged(ahead);
        var authority = File.ReadAllText(In(directory, "ca.crt"));
        File.Delete(In(directory, "server.crt"));

        var source = new LocalCertificateSource(directory.Path, [], 7443, TextWriter.Null, logger);
        var early = source.LoadIfChanged(now)!.Certificate;
        Assert.Null(source.LoadIfChanged(now));
        Assert.Equal(1, logger.Messages.Count(message => message.Contains("is not valid before", StringComparison.Ordinal)));

        Assert.Null(source.LoadIfChanged(ahead));
        Assert.True(early.NotBefore <= ahead);
        Assert.Equal(authority, File.ReadAllText(In(directory, "ca.crt")));
    }

    [Fact]
    public void A_clock_that_was_set_back_a_little_does_not_keep_a_certificate_from_being_made()
    {
        using var directory = new TemporaryDirectory();
        SourceIn(directory).LoadIfChanged(Start);
        File.Delete(In(directory, "server.crt"));

        Assert.True(Chains(directory, SourceIn(directory).LoadIfChanged(Start - TimeSpan.FromMinutes(30))!.Certificate));
    }

    [Theory]
    [InlineData("ca.crt")]
    [InlineData("ca.key")]
    public void Half_of_the_authority_refuses_the_start_and_leaves_a_running_server_its_certificate(string lost)
    {
        using var directory = new TemporaryDirectory();
        var clock = new FakeTimeProvider(Start);
        var running = ServerCertificate.Open(SourceIn(directory), clock);
        var first = running.Certificate;
        File.Delete(In(directory, lost));
        var files = ContentOf(directory);

        var fault = Assert.Throws<StartupException>(() => ServerCertificate.Open(SourceIn(directory), clock));
        Assert.Equal(ExitCode.DamagedData, fault.Code);
        Assert.Contains($"there is no file {In(directory, lost)}; restore", fault.Message, StringComparison.Ordinal);

        clock.Advance(TimeSpan.FromDays(61));
        Assert.Throws<FileNotFoundException>(running.Refresh);
        Assert.Same(first, running.Certificate);
        Assert.Equal(files, ContentOf(directory));

        // the way out that the sentence names
        foreach (var half in new[] { "ca.crt", "ca.key" }) File.Delete(In(directory, half));
        Assert.True(Chains(directory, ServerCertificate.Open(SourceIn(directory), new FakeTimeProvider(Start)).Certificate));
    }

    [Fact]
    public void A_first_start_that_was_interrupted_after_the_authoritys_key_is_begun_again()
    {
        using var directory = new TemporaryDirectory();
        MakeAuthority(directory, Start).Dispose();
        File.Delete(In(directory, "ca.crt"));

        Assert.True(Chains(directory, SourceIn(directory).LoadIfChanged(Start)!.Certificate));
    }

    [Fact]
    public void A_name_beyond_ascii_is_certified_as_clients_ask_for_it()
    {
        using var directory = new TemporaryDirectory();
        var certificate = SourceIn(directory, "München.example").LoadIfChanged(Start)!.Certificate;
        var authority = File.ReadAllText(In(directory, "ca.crt"));

        Assert.True(certificate.MatchesHostname("xn--mnchen-3ya.example"));
        Assert.True(Chains(directory, certificate));
        SourceIn(directory, "münchen.example").LoadIfChanged(Start);
        Assert.Equal(authority, File.ReadAllText(In(directory, "ca.crt")));
    }

    static string In(TemporaryDirectory directory, string file) => Path.Combine(directory.Path, file);

    static LocalCertificateSource SourceIn(TemporaryDirectory directory, params string[] names) =>
        new(directory.Path, names, 7443, TextWriter.Null, NullLogger.Instance);

    static OperatorCertificateSource OperatorsIn(TemporaryDirectory directory) => new(In(directory, "own.crt"), In(directory, "own.key"), NullLogger.Instance);

    static string[] ContentOf(TemporaryDirectory directory) => [.. Directory.GetFiles(directory.Path).Order(StringComparer.Ordinal).Select(file => file + File.ReadAllText(file))];

    static CertificateAuthority MakeAuthority(TemporaryDirectory directory, DateTimeOffset now) =>
        CertificateAuthority.Make(In(directory, "ca.crt"), In(directory, "ca.key"), ["localhost"], now);

    /// <summary>What a client does that trusts the authority: the platform's own check, name constraints included.</summary>
    static bool Chains(TemporaryDirectory directory, X509Certificate2 leaf)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(X509CertificateLoader.LoadCertificateFromFile(In(directory, "ca.crt")));
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        return chain.Build(leaf);
    }

    static async Task<SslProtocols> HandshakeAsync(ServerUnderTest server, SslProtocols version)
    {
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, server.HttpsAddress.Port, TestContext.Current.CancellationToken);
        await using var tls = new SslStream(tcp.GetStream());
        var options = new SslClientAuthenticationOptions { TargetHost = "localhost", EnabledSslProtocols = version, RemoteCertificateValidationCallback = (_, _, _, _) => true };
        await tls.AuthenticateAsClientAsync(options, TestContext.Current.CancellationToken);
        return tls.SslProtocol;
    }

    static async Task<(string Subject, int ChainLength)> PresentedAsync(ServerUnderTest server)
    {
        var (subject, length) = ("", 0);
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, server.HttpsAddress.Port, TestContext.Current.CancellationToken);
        await using var tls = new SslStream(tcp.GetStream());
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            RemoteCertificateValidationCallback = (_, certificate, chain, _) =>
            {
                (subject, length) = (certificate!.Subject, 1 + chain!.ChainPolicy.ExtraStore.Count);
                return true;
            },
        };
        await tls.AuthenticateAsClientAsync(options, TestContext.Current.CancellationToken);
        return (subject, length);
    }

    /// <summary>A leaf and the intermediate it hangs on, as a public authority delivers them.</summary>
    static void WriteOperators(TemporaryDirectory directory, string name, string subdirectory = "")
    {
        using var parentKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var parentRequest = new CertificateRequest("CN=intermediate", parentKey, HashAlgorithmName.SHA256);
        parentRequest.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using var parent = parentRequest.CreateSelfSigned(Start.AddDays(-1), Start.AddDays(10));

        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        using var leaf = request.Create(parent, Start.AddHours(-1), Start.AddDays(5), [1, 2, 3]);

        File.WriteAllText(Path.Combine(directory.Path, subdirectory, "own.key"), key.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(Path.Combine(directory.Path, subdirectory, "own.crt"), leaf.ExportCertificatePem() + "\n" + parent.ExportCertificatePem() + "\n");
    }

    /// <summary>Finds a certificate at first, and then fails with each of the messages; <c>null</c>: it looks and finds nothing new.</summary>
    sealed class ScriptedSource(ServerCertificateSource.Loaded first, params string?[] faults) : ServerCertificateSource
    {
        readonly Queue<string?> _faults = new(faults);
        bool _isOpen;

        public bool IsGoingOn => _faults.Count > 0;

        public override string CertificateFile => "own.crt";

        public override string WayOut => "";

        public override bool IsOperators => true;

        public override Loaded? LoadIfChanged(DateTimeOffset now)
        {
            if (!_isOpen)
            {
                _isOpen = true;
                return first;
            }
            return _faults.Dequeue() is { } fault ? throw new IOException(fault) : null;
        }
    }

    sealed class KeptLog : ILogger<CertificateRenewal>, IDisposable
    {
        public List<string> Messages { get; } = [];

        public List<Exception?> Faults { get; } = [];

        public IDisposable BeginScope<TState>(TState state)
            where TState : notnull => this;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            Messages.Add(formatter(state, exception));
            Faults.Add(exception);
        }

        public void Dispose()
        {
        }
    }
}
