namespace Sluice.Stores.DuckDb;

/// <summary>How a query ended.</summary>
public enum QueryEnd
{
    Completed,

    /// <summary>It was refused or wrong, passed a limit of size, or met a fault.</summary>
    Failed,

    /// <summary>It ran longer than <see cref="QueryLimits.Time"/> and was stopped.</summary>
    TimedOut,

    /// <summary>It was stopped because nobody waited for it any more.</summary>
    Cancelled,

    /// <summary>It was stopped because a load needed its memory, or its database was closed.</summary>
    Displaced,

    /// <summary>It did not begin: as many as may run at once did so for all of <see cref="QueryLimits.Queue"/>.</summary>
    NotBegun,
}
