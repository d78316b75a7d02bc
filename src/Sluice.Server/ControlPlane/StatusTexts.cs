using Sluice.Server.Catalog;

namespace Sluice.Server;

/// <summary>States as the wire writes them: upper case.</summary>
static class StatusTexts
{
    public static string ToWire(this DatabaseStatus status) => status.ToString().ToUpperInvariant();

    public static string ToWire(this TableStatus status) => status.ToString().ToUpperInvariant();

    public static string ToWire(this SinkStatus status) => status.ToString().ToUpperInvariant();
}
