namespace Sluice.Server.Backup;

public sealed record BackupOptions
{
    /// <summary>Backups are made below this directory, each in one of its own name. <c>null</c>, the default: none can be made. Not within the data directory.</summary>
    public string? Directory { get; init; }
}
