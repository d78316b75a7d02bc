using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Server;

/// <summary>What a table is made of, whoever asks: REST, SQL or the console.</summary>
/// <param name="Columns">Without <c>_id</c>; may be empty.</param>
sealed record NewTable(string Name, KeyKind Key, string Description, IReadOnlyList<NewColumn> Columns)
{
    const int MaxDescriptionLength = 4_096;

    /// <summary><see cref="TableSchema.IsAutoId"/>.</summary>
    public bool IsAutoId { get; init; }

    /// <summary><see cref="TableSchema.Retention"/>.</summary>
    public TimeSpan Retention { get; init; }

    /// <summary>Reads the body of <c>POST /v2/tables/{database}</c>.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MissingParameter"/>, <see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static NewTable Parse(JsonBody body)
    {
        var name = body.RequiredText("name");
        var options = body.OptionalObject("options");
        var keys = options?.OptionalFlag("keys") ?? false;
        if (body.Has("fields") && body.Has("columns"))
            throw body.Invalid("columns", "cannot be given together with 'fields'");
        var columns = body.OptionalObjects(body.Has("columns") ? "columns" : "fields") ?? [];
        return new NewTable(name, keys ? KeyKind.String : KeyKind.Number, body.OptionalText("description") ?? "", columns.Select(NewColumn.Parse).ToList())
        {
            IsAutoId = options?.OptionalFlag("auto_id") ?? false,
            Retention = options is null ? TimeSpan.Zero : ParseRetention(options) ?? TimeSpan.Zero,
        };
    }

    /// <summary>Reads <c>retention</c> of a table's options; <c>null</c>: not given.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static TimeSpan? ParseRetention(JsonBody options) => options.OptionalText("retention") switch
    {
        null => null,
        "" => TimeSpan.Zero,
        var text when TimeToLive.TryParse(text, out var retention) => retention,
        _ => throw options.Invalid("retention", "must be a duration in whole seconds such as 12h or 30d; 0s keeps for ever"),
    };

    /// <summary>The first version of the table's schema; every name is checked.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: a name breaks the rules or stands twice.</exception>
    public TableSchema ToSchema(Guid id)
    {
        ResourceNames.Check(Name, "name");
        if (Description.Length > MaxDescriptionLength)
            throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter 'description' may have at most {MaxDescriptionLength} characters.");
        if (IsAutoId && Key != KeyKind.Number)
            throw new SluiceException(ErrorCode.InvalidParameter, "Parameter 'options.auto_id' does not fit 'keys' true: ids that the server makes are Numbers.");
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var column in Columns)
        {
            ResourceNames.CheckColumn(column.Name, "fields.name");
            if (!names.Add(column.Name))
                throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter 'fields' names column '{column.Name}' twice.");
        }
        return new TableSchema
        {
            TableId = id,
            Name = Name,
            Key = Key,
            IsAutoId = IsAutoId,
            Retention = Retention,
            Version = 1,
            Columns = [.. Columns.Select((column, index) => column.ToColumn() with { Id = index + 1 })],
            NextColumnId = Columns.Count + 1,
        };
    }
}

sealed record NewColumn(string Name, ColumnType Type)
{
    public bool IsRequired { get; init; }

    /// <summary>JSON; <c>null</c>: none.</summary>
    public string? Default { get; init; }

    /// <summary>Reads one entry of a table body's <c>fields</c>.</summary>
    public static NewColumn Parse(JsonBody column) => Parse(column.RequiredText("name"), column.RequiredObject("options"));

    /// <summary>Reads the options of one column.</summary>
    public static NewColumn Parse(string name, JsonBody options) => new(name, ColumnOptions.Parse(options))
    {
        IsRequired = options.OptionalFlag("required") ?? false,
        Default = options.Find("default")?.GetRawText(),
    };

    /// <summary>The column, still without its id.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: the default is no value of the type.</exception>
    public Column ToColumn()
    {
        var column = new Column(0, Name, Type) { IsRequired = IsRequired, Default = Default };
        return Default is null ? column : column with { Default = ColumnDefault.Normalize(column) };
    }
}
