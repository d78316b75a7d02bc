namespace Sluice.Server.DataPlane;

/// <summary>Whether the catalogue lets a sink take records.</summary>
enum SinkAdmission
{
    /// <summary>There is no such sink, or none any more.</summary>
    Unknown,

    /// <summary>Being made: the engine has it in a moment.</summary>
    Creating,

    /// <summary>Active, or restarting: a mapping change is an atomic swap and stops nothing.</summary>
    Open,

    /// <summary>Failed, or being deleted.</summary>
    Closed,
}

/// <summary>What the catalogue knows of a sink; answers from memory, on any thread.</summary>
delegate SinkAdmission SinkGate(Guid sinkId);
