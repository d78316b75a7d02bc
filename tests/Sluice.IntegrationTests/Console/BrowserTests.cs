using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>Tests before one browser. One that fails tells what its pages showed, and what the server wrote.</summary>
public abstract class BrowserTests(RealBrowser browser) : IClassFixture<RealBrowser>, IAsyncDisposable
{
    protected RealBrowser Browser { get; } = browser;

    public async ValueTask DisposeAsync()
    {
        if (TestContext.Current is { TestState.Result: TestResult.Failed, TestOutputHelper: { } output })
            await Browser.TellAsync(output);
        await Browser.ClosePagesAsync();
        GC.SuppressFinalize(this);
    }
}
