namespace Sluice.Server.Components.Parts;

/// <summary>A statement that was run, as the browser keeps it.</summary>
sealed record HistoryEntry(string Sql, DateTimeOffset At, double Milliseconds, int Rows, bool IsGood);
