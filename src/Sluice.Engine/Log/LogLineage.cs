namespace Sluice.Log;

/// <summary>
/// Where numbering goes on in a log that was repaired or restored: behind every sequence that may have been given out by what was dropped, or by the
/// server that the backup is of after it was taken.
/// </summary>
/// <param name="Inherited">Frames up to here may be of an earlier incarnation; what comes later is of the log's own. 0 in a log that was never repaired or restored.</param>
/// <param name="SkippedBlocks">So many blocks of <see cref="BlockSize"/> sequences behind it are never used.</param>
readonly record struct LogLineage(ulong Inherited, uint SkippedBlocks)
{
    /// <summary>What a torn group may have given out at most.</summary>
    public const ulong BlockSize = LogRecovery.MaxFramesPerGroup;

    /// <summary>
    /// Blocks that a restored log leaves out, 2^32 sequences: what the original server gave out after the backup, at 10,000 requests a second for five
    /// days. Sequences end at 2^46.
    /// </summary>
    public const uint RestoredBlocks = 65_536;

    /// <summary>The lowest sequence that may be given out.</summary>
    public ulong Next => Inherited + (SkippedBlocks * BlockSize) + 1;

    /// <summary>A lineage that goes on behind <paramref name="highest"/>, and behind a group after it that may have been under way.</summary>
    public static LogLineage Above(ulong inherited, ulong highest) => new(inherited, (uint)(((Math.Max(highest, inherited) - inherited) / BlockSize) + 2));
}
