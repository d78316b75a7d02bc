using System.Globalization;
using DuckDB.NET.Native;

namespace Sluice.Stores.DuckDb;

/// <summary>The type of a column of an answer in FeatureBase's words.</summary>
/// <param name="Name">With arguments: <c>decimal(2)</c>, <c>vector(3)</c>.</param>
/// <param name="BaseName">Without.</param>
/// <param name="Scale">Of a decimal; <c>null</c> for every other type.</param>
public sealed record ResultType(string Name, string BaseName, int? Scale = null)
{
    /// <summary>
    /// DuckDB's type tells the column's declared type: unsigned 64-bit is id, other integers are int, and so on (docs/sql.md). Only
    /// a Number <c>_id</c> is known by its name.
    /// </summary>
    internal static ResultType Of(ResultTypeReader type, string columnName) => type.Id switch
    {
        _ when columnName == "_id" && type.IsInteger => Plain("id"),
        DuckDBType.UnsignedBigInt => Plain("id"),
        _ when type.IsInteger => Plain("int"),
        DuckDBType.Boolean => Plain("bool"),
        DuckDBType.Decimal => new($"decimal({type.Scale.ToString(CultureInfo.InvariantCulture)})", "decimal", type.Scale),
        DuckDBType.Float or DuckDBType.Double => new("double", "decimal"),
        DuckDBType.Varchar or DuckDBType.Enum or DuckDBType.SqlNull => Plain("string"),
        DuckDBType.List or DuckDBType.Array => OfList(type),
        _ => Plain("timestamp"),
    };

    static ResultType OfList(ResultTypeReader list)
    {
        var member = list.Children[0];
        return member switch
        {
            { IsQuantumMember: true } => Plain(member.Children[0].Id == DuckDBType.Varchar ? "stringsetq" : "idsetq"),
            { IsInteger: true } => Plain("idset"),
            { Id: DuckDBType.Varchar or DuckDBType.Enum or DuckDBType.SqlNull } => Plain("stringset"),
            { Id: DuckDBType.Float or DuckDBType.Double or DuckDBType.Decimal } when list.Id == DuckDBType.Array =>
                new($"vector({list.ArrayLength.ToString(CultureInfo.InvariantCulture)})", "vector"),
            _ => Plain("list"),
        };
    }

    static ResultType Plain(string name) => new(name, name);
}

/// <summary>What is needed of one of DuckDB's types to read its vectors.</summary>
sealed record ResultTypeReader(DuckDBType Id)
{
    internal int Scale { get; init; }

    /// <summary>How a decimal or an enum lies in memory.</summary>
    internal DuckDBType Storage { get; init; }

    internal int ArrayLength { get; init; }

    internal string[] EnumNames { get; init; } = [];

    /// <summary>The member type of a list or array; the fields of a struct.</summary>
    internal ResultTypeReader[] Children { get; init; } = [];

    /// <summary>A struct of a value and its time: the member of a quantum set, of which answers show the value.</summary>
    internal bool IsQuantumMember { get; init; }

    internal bool IsInteger => Id is DuckDBType.TinyInt or DuckDBType.SmallInt or DuckDBType.Integer or DuckDBType.BigInt or DuckDBType.HugeInt
        or DuckDBType.UnsignedTinyInt or DuckDBType.UnsignedSmallInt or DuckDBType.UnsignedInteger or DuckDBType.UnsignedBigInt
        or DuckDBType.UnsignedHugeInt;

    /// <param name="what">Names the column in the error.</param>
    /// <exception cref="QueryException">The type has no form in an answer.</exception>
    internal static ResultTypeReader Read(DuckDBLogicalType type, string what)
    {
        var id = NativeMethods.LogicalType.DuckDBGetTypeId(type);
        switch (id)
        {
            case DuckDBType.Decimal:
                return new(id)
                {
                    Scale = NativeMethods.LogicalType.DuckDBDecimalScale(type),
                    Storage = NativeMethods.LogicalType.DuckDBDecimalInternalType(type),
                };
            case DuckDBType.Enum:
                var names = new string[NativeMethods.LogicalType.DuckDBEnumDictionarySize(type)];
                for (var i = 0; i < names.Length; i++)
                    names[i] = NativeMethods.LogicalType.DuckDBEnumDictionaryValue(type, i);
                return new(id) { Storage = NativeMethods.LogicalType.DuckDBEnumInternalType(type), EnumNames = names };
            case DuckDBType.List:
                using (var member = NativeMethods.LogicalType.DuckDBListTypeChildType(type))
                    return new(id) { Children = [Read(member, what)] };
            case DuckDBType.Array:
                using (var member = NativeMethods.LogicalType.DuckDBArrayTypeChildType(type))
                {
                    return new(id)
                    {
                        Children = [Read(member, what)],
                        ArrayLength = (int)NativeMethods.LogicalType.DuckDBArrayVectorGetSize(type),
                    };
                }
            case DuckDBType.Struct when IsMemberAndTime(type):
                using (var member = NativeMethods.LogicalType.DuckDBStructTypeChildType(type, 0))
                    return new(id) { Children = [Read(member, what)], IsQuantumMember = true };
            case DuckDBType.Boolean or DuckDBType.Float or DuckDBType.Double or DuckDBType.Varchar or DuckDBType.Date
                or DuckDBType.Timestamp or DuckDBType.TimestampS or DuckDBType.TimestampMs or DuckDBType.TimestampNs or DuckDBType.TimestampTz
                or DuckDBType.SqlNull:
                return new(id);
            default:
                var plain = new ResultTypeReader(id);
                return plain.IsInteger
                    ? plain
                    : throw new QueryException($"{what} has a type that answers cannot hold ({id}); CAST it to VARCHAR");
        }
    }

    static bool IsMemberAndTime(DuckDBLogicalType type) =>
        NativeMethods.LogicalType.DuckDBStructTypeChildCount(type) == 2
        && NativeMethods.LogicalType.DuckDBStructTypeChildName(type, 0) == "m"
        && NativeMethods.LogicalType.DuckDBStructTypeChildName(type, 1) == "ts";
}
