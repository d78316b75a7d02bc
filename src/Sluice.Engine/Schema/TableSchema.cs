using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Schema;

/// <summary>The type of a table's <c>_id</c>.</summary>
public enum KeyKind : byte
{
    /// <summary>0 to 2^63-1.</summary>
    Number = 1,

    /// <summary>UTF-8, 1 to 1,024 bytes.</summary>
    String = 2,
}

/// <summary>One column of a table, <c>_id</c> excepted.</summary>
/// <param name="Id">1 and up, unique for the table's whole life: a dropped and re-added column has a new id. Frames name columns by it.</param>
/// <param name="Name">Unique among the present columns.</param>
/// <param name="Type">Never changes for an id.</param>
public sealed record Column(int Id, string Name, ColumnType Type)
{
    /// <summary>No upsert or insert may leave the column without a value; with a <see cref="Default"/> it may say nothing of it, but not null.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool IsRequired { get; init; }

    /// <summary>The value of rows that are made by a record which says nothing of the column, as JSON that a sink takes; <c>null</c>: none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public string? Default { get; init; }
}

/// <summary>The columns of a table at one version. Immutable; a change makes a new version.</summary>
public sealed record TableSchema
{
    /// <summary>The column id of <c>_id</c> in frames.</summary>
    public const int KeyColumnId = 0;

    public const string KeyColumnName = "_id";

    /// <summary>Longest String <c>_id</c>, in UTF-8 bytes.</summary>
    public const int MaxKeyBytes = 1_024;

    public required Guid TableId { get; init; }

    /// <summary>The table's name in SQL; never changes.</summary>
    public required string Name { get; init; }

    public required KeyKind Key { get; init; }

    /// <summary>Rows get their <c>_id</c> from the place of their record in the log, and records name none; never changes. Number tables only.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool IsAutoId { get; init; }

    /// <summary>How long a row is kept after its newest record was received. Zero: for ever.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public TimeSpan Retention { get; init; }

    /// <summary>1 at creation, one more at each change.</summary>
    public required int Version { get; init; }

    /// <summary>In order of creation, without <c>_id</c>.</summary>
    public required ImmutableArray<Column> Columns { get; init; }

    /// <summary>The id the next added column gets: above every id ever used.</summary>
    public required int NextColumnId { get; init; }

    public PhysicalKind KeyPhysical => Key == KeyKind.Number ? PhysicalKind.Int64 : PhysicalKind.Text;

    public Column? FindColumn(string name) => Columns.FirstOrDefault(column => column.Name == name);

    public Column? FindColumn(int id) => Columns.FirstOrDefault(column => column.Id == id);

    /// <summary>The next version with one more column.</summary>
    public TableSchema WithColumn(string name, ColumnType type) => WithColumn(new Column(0, name, type));

    /// <summary>The next version with one more column, whose id is given here.</summary>
    public TableSchema WithColumn(Column column) => this with
    {
        Version = Version + 1,
        Columns = Columns.Add(column with { Id = NextColumnId }),
        NextColumnId = NextColumnId + 1,
    };

    /// <summary>The next version, whose rows are kept as long as this.</summary>
    public TableSchema WithRetention(TimeSpan retention) => this with { Version = Version + 1, Retention = retention };

    /// <summary>The next version without the column; the same version when there is none of that name.</summary>
    public TableSchema WithoutColumn(string name) => FindColumn(name) is not { } column ? this : this with
    {
        Version = Version + 1,
        Columns = Columns.Remove(column),
    };

    /// <summary>The next version with a column renamed; its id, and so its data, stays.</summary>
    public TableSchema WithRenamedColumn(string from, string to) => FindColumn(from) is not { } column ? this : this with
    {
        Version = Version + 1,
        Columns = Columns.Replace(column, column with { Name = to }),
    };

    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, SchemaJson.Default.TableSchema);

    /// <exception cref="InvalidDataException">The bytes are not a schema.</exception>
    public static TableSchema FromJson(ReadOnlySpan<byte> utf8Json)
    {
        try
        {
            return JsonSerializer.Deserialize(utf8Json, SchemaJson.Default.TableSchema)
                ?? throw new InvalidDataException("a table schema is JSON null");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException("a table schema is not readable", e);
        }
    }

    /// <summary>Equal columns in the same order and equal properties, whatever the instance.</summary>
    public bool Equals(TableSchema? other) =>
        other is not null && TableId == other.TableId && Name == other.Name && Key == other.Key && Version == other.Version
        && IsAutoId == other.IsAutoId && Retention == other.Retention && NextColumnId == other.NextColumnId && Columns.AsSpan().SequenceEqual(other.Columns.AsSpan());

    public override int GetHashCode() => HashCode.Combine(TableId, Version);
}

[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
[JsonSerializable(typeof(TableSchema))]
sealed partial class SchemaJson : JsonSerializerContext;
