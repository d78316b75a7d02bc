namespace Sluice.Server.Components;

/// <summary>How long rows are kept, as it is typed and shown.</summary>
static class RetentionText
{
    public const string Hint = "A duration such as 12h or 30d, from a row's newest record on. Empty: for ever.";

    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: no duration.</exception>
    public static TimeSpan Read(string text) =>
        text.Trim().Length == 0 ? TimeSpan.Zero
        : TimeToLive.TryParse(text.Trim(), out var retention) ? retention
        : throw new SluiceException(ErrorCode.InvalidParameter, "The time that rows are kept is a duration in whole seconds, such as 12h or 30d.");

    /// <summary>Empty: for ever.</summary>
    public static string Write(TimeSpan retention) => retention == TimeSpan.Zero ? "" : TimeToLive.Write(retention);
}
