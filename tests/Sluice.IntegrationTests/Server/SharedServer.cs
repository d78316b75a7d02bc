using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>One server for those tests of a class that change nothing in it.</summary>
public sealed class SharedServer : IAsyncLifetime
{
    internal ServerUnderTest Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await ServerUnderTest.StartAsync();

    public ValueTask DisposeAsync() => Server.DisposeAsync();
}
