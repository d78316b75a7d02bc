namespace Sluice.Server;

/// <summary>What the process ends with. The numbers are stable and documented at the top of Program.cs.</summary>
enum ExitCode
{
    Stopped = 0,
    BadOptions = 2,
    DataDirectoryInUse = 3,
    DamagedData = 4,
    AddressNotBound = 5,
    Unexpected = 70,
    LogFailed = 74,
}

/// <summary>The server cannot start for a reason that its operator can act on.</summary>
/// <param name="message">One or more whole lines for stderr.</param>
sealed class StartupException(ExitCode code, string message, Exception? inner = null) : Exception(message, inner)
{
    public ExitCode Code { get; } = code;
}
