namespace Sluice.Cli;

/// <summary>How the command ends; scripts rely on the numbers.</summary>
static class ExitCode
{
    public const int Done = 0;

    /// <summary>Wrong arguments, a refusal by the server, or no server.</summary>
    public const int Failed = 1;

    /// <summary>Everything was sent, and some records were rejected.</summary>
    public const int SomeRejected = 2;

    public const int Interrupted = 130;

    /// <summary>Nobody reads the output any more, as after <c>| head</c>.</summary>
    public const int OutputClosed = 141;
}
