namespace Sluice.Log;

/// <summary>A place in one table's log. Positions of one log are totally ordered by their sequence.</summary>
/// <param name="LogId">Identity of the log, made when the log is created. A store holding another id belongs to another log.</param>
/// <param name="Incarnation">1 at first; a restore and a rebuild raise it, so that what goes on from one backup in two places is told apart.</param>
/// <param name="Sequence">Number of a frame, from 1, never reused. 0: before the first frame.</param>
public readonly record struct LogPosition(Guid LogId, uint Incarnation, ulong Sequence)
{
    /// <summary>Bits of a record position that hold the record's index in its frame: up to 131,072 records a frame.</summary>
    public const int RecordIndexBits = 17;

    /// <summary>
    /// Of the request that ends with the next frame that ends one, so many records are loaded too: a request in parts may be larger than one load. Only
    /// the position of a table has it; 0 everywhere else.
    /// </summary>
    public int RecordsAhead { get; init; }

    /// <summary>Both are of one log.</summary>
    public bool IsAfter(LogPosition other) => Sequence > other.Sequence || (Sequence == other.Sequence && RecordsAhead > other.RecordsAhead);

    /// <summary>The position of one record: total order over all records of the log, and the seed of server-made ids.</summary>
    /// <param name="indexInFrame">Of a request in parts, the index in the part.</param>
    public static ulong OfRecord(ulong sequence, int indexInFrame) => (sequence << RecordIndexBits) + (uint)indexInFrame;
}
