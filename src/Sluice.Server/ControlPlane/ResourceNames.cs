using System.Text.RegularExpressions;

namespace Sluice.Server;

/// <summary>The naming rules: a lower-case letter, then lower-case letters, digits, <c>-</c> and <c>_</c>. Names never change.</summary>
static partial class ResourceNames
{
    /// <summary>Longest name of a table, column or sink, in characters.</summary>
    public const int MaxNameLength = 230;

    /// <summary>Longest name of a database, in characters.</summary>
    public const int MaxDatabaseNameLength = 300;

    /// <param name="member">The member or path part that holds the name, for the message.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static void Check(string name, string member, int maxLength = MaxNameLength)
    {
        if (name.Length > maxLength)
            throw Invalid($"Parameter '{member}' may have at most {maxLength} characters; this one has {name.Length}.");
        if (!Pattern.IsMatch(name))
            throw Invalid($"Parameter '{member}' must begin with a lower-case letter and hold only lower-case letters, digits, '-' and '_'.");
    }

    public static void CheckColumn(string name, string member)
    {
        if (name is Schema.TableSchema.KeyColumnName or Schema.SinkDefinition.TimeQuantumName)
            throw Invalid($"Parameter '{member}' may not be '{name}': the name is reserved.");
        Check(name, member);
    }

    static SluiceException Invalid(string message) => new(ErrorCode.InvalidParameter, message);

    // \z and not $: $ also matches before a line feed at the end
    [GeneratedRegex(@"^[a-z][a-z0-9_-]*\z", RegexOptions.CultureInvariant)]
    static partial Regex Pattern { get; }
}
