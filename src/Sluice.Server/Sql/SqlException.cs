namespace Sluice.Server.Sql;

/// <summary>A statement that is wrong. The message is for its author, without position.</summary>
/// <param name="offset">Where in the statement, in characters from its start.</param>
sealed class SqlException(string message, int? offset = null, Exception? inner = null) : Exception(message, inner)
{
    public int? Offset { get; } = offset;

    /// <summary>The message as the original printed it: <c>[line:column] message</c>, both from 1; without a place when none is known.</summary>
    public string Describe(string sql) => Describe(Message, Offset, sql);

    public static string Describe(string message, int? offset, string sql)
    {
        if (offset is not { } at)
            return message;
        var before = sql.AsSpan(0, Math.Clamp(at, 0, sql.Length));
        return $"[{before.Count('\n') + 1}:{before.Length - before.LastIndexOf('\n')}] {message}";
    }
}
