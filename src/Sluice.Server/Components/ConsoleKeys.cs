using System.Xml;
using System.Xml.Linq;
using Microsoft.AspNetCore.DataProtection.Repositories;

namespace Sluice.Server.Components;

/// <summary>The keys of the console's cookies, in <c>keys/console</c>. A damaged file costs the sign-ins it made, never the server.</summary>
sealed class ConsoleKeys(DirectoryInfo directory, ILoggerFactory logs) : FileSystemXmlRepository(directory, logs)
{
    readonly ILogger _logger = logs.CreateLogger<ConsoleKeys>();

    public override IReadOnlyCollection<XElement> GetAllElements()
    {
        Directory.Create();
        var keys = new List<XElement>();
        foreach (var file in Directory.EnumerateFiles("*.xml"))
        {
            try
            {
                var key = XElement.Load(file.FullName);
                foreach (var secret in key.Descendants("value")) _ = Convert.FromBase64String(secret.Value); // otherwise it is tried ten times over two seconds
                keys.Add(key);
            }
            catch (Exception e) when (e is XmlException or FormatException or IOException or UnauthorizedAccessException)
            {
                _logger.ConsoleKeyNotRead(e, file.FullName);
            }
        }
        return keys;
    }
}
