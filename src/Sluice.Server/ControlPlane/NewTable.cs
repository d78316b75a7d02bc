using Sluice.Schema;

namespace Sluice.Server;

/// <summary>What a table is made of, whoever asks: REST, SQL or the console.</summary>
/// <param name="Columns">Without <c>_id</c>; may be empty.</param>
sealed record NewTable(string Name, KeyKind Key, string Description, IReadOnlyList<NewColumn> Columns)
{
    const int MaxDescriptionLength = 4_096;

    /// <summary>Reads the body of <c>POST /v2/tables/{database}</c>.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MissingParameter"/>, <see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static NewTable Parse(JsonBody body)
    {
        var name = body.RequiredText("name");
        var keys = body.OptionalObject("options")?.OptionalFlag("keys") ?? false;
        if (body.Has("fields") && body.Has("columns"))
            throw body.Invalid("columns", "cannot be given together with 'fields'");
        var columns = body.OptionalObjects(body.Has("columns") ? "columns" : "fields") ?? [];
        return new NewTable(name, keys ? KeyKind.String : KeyKind.Number, body.OptionalText("description") ?? "", columns.Select(NewColumn.Parse).ToList());
    }

    /// <summary>The first version of the table's schema; every name is checked.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: a name breaks the rules or stands twice.</exception>
    public TableSchema ToSchema(Guid id)
    {
        ResourceNames.Check(Name, "name");
        if (Description.Length > MaxDescriptionLength)
            throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter 'description' may have at most {MaxDescriptionLength} characters.");
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
            Version = 1,
            Columns = [.. Columns.Select((column, index) => new Column(index + 1, column.Name, column.Type))],
            NextColumnId = Columns.Count + 1,
        };
    }
}

sealed record NewColumn(string Name, ColumnType Type)
{
    /// <summary>Reads one entry of a table body's <c>fields</c>.</summary>
    public static NewColumn Parse(JsonBody column) => new(column.RequiredText("name"), ColumnOptions.Parse(column.RequiredObject("options")));
}
