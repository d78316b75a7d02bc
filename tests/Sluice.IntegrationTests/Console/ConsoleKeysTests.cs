using Microsoft.Extensions.Logging.Abstractions;
using Sluice.IntegrationTests.Server;
using Sluice.Server.Components;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>The keys of the console's cookies: a damaged one is left out.</summary>
public sealed class ConsoleKeysTests
{
    [Theory]
    [InlineData("<key id=\"1\"><descriptor><masterKey><value>c2VjcmV0</value></masterKey></descriptor></key>", 2)]
    [InlineData("<key id=\"1\"><descriptor><masterKey><value>!!VjcmV0</value></masterKey></descriptor></key>", 1)]
    [InlineData("<key id=\"1\"><descriptor>", 1)]
    [InlineData("", 1)]
    public void What_holds_no_secret_is_no_key(string text, int keys)
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllText(Path.Combine(directory.Path, "key-1.xml"), text);
        File.WriteAllText(Path.Combine(directory.Path, "key-2.xml"), "<key id=\"2\"><descriptor><masterKey><value>YSBzZWNyZXQ=</value></masterKey></descriptor></key>");

        var read = new ConsoleKeys(new DirectoryInfo(directory.Path), NullLoggerFactory.Instance).GetAllElements();

        Assert.Equal(keys, read.Count);
        Assert.Contains("2", read.Select(key => key.Attribute("id")!.Value));
    }
}
