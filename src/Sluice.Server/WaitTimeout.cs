using System.Globalization;

namespace Sluice.Server;

/// <summary>The parameter <c>timeout</c>: how long a request waits for records to become visible to queries.</summary>
static class WaitTimeout
{
    public static readonly TimeSpan Default = TimeSpan.FromSeconds(10);
    static readonly TimeSpan Max = TimeSpan.FromMinutes(5);

    /// <summary>Seconds, with or without an <c>s</c>: <c>timeout=2.5</c>, <c>timeout=30s</c>.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static TimeSpan Of(HttpRequest request)
    {
        if (!request.Query.TryGetValue("timeout", out var text))
            return Default;

        return double.TryParse(text.ToString().TrimEnd('s'), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds) && seconds >= 0 && seconds <= Max.TotalSeconds
            ? TimeSpan.FromSeconds(seconds)
            : throw new SluiceException(ErrorCode.InvalidParameter, $"The parameter timeout must be a number of seconds from 0 to {Max.TotalSeconds}.");
    }
}
