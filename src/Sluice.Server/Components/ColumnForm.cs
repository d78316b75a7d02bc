using System.Globalization;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Server.Components;

/// <summary>A column as it is typed into a form; the grammar of the API reads it.</summary>
sealed class ColumnForm
{
    /// <summary>The types in the order people look for them.</summary>
    public static IReadOnlyList<string> Types { get; } =
        ["string", "int", "decimal", "bool", "timestamp", "stringset", "idset", "id", "stringsetq", "idsetq", "vector"];

    /// <summary>Those that need no time beside their value, which a record of a sample has no path for.</summary>
    public static IReadOnlyList<string> TimelessTypes { get; } = [.. Types.Where(type => type is not ("stringsetq" or "idsetq"))];

    public string Name { get; set; } = "";
    public string Type { get; set; } = "string";
    public string Scale { get; set; } = "2";
    public string Min { get; set; } = "";
    public string Max { get; set; } = "";
    public string Unit { get; set; } = "ms";
    public string Quantum { get; set; } = "YMD";
    public string Length { get; set; } = "3";

    /// <summary>How long members of a quantum set are kept, as in 30d; empty: for ever.</summary>
    public string TimeToLive { get; set; } = "";

    public bool IsRequired { get; set; }

    /// <summary>What a record without a value gets; empty: nothing. A text as it is, every other value as JSON.</summary>
    public string Default { get; set; } = "";

    /// <param name="type"><c>null</c>: none is known, a text is the first guess.</param>
    public static ColumnForm Of(string name, ColumnType? type)
    {
        var form = new ColumnForm { Name = name };
        if (type is null)
            return form;
        form.Type = type.BaseName;
        form.Scale = Text(type.Scale);
        form.Min = type.Min == long.MinValue ? "" : Text(type.Min);
        form.Max = type.Max == long.MaxValue ? "" : Text(type.Max);
        form.Unit = type.Kind == ColumnKind.Timestamp ? TimeUnits.Write(type.Unit) : form.Unit;
        form.Quantum = type.TimeQuantum.Length == 0 ? form.Quantum : type.TimeQuantum;
        form.Length = type.VectorLength == 0 ? form.Length : Text(type.VectorLength);
        return form;
    }

    /// <summary>What the type holds, in a few words.</summary>
    public string Meaning => Type switch
    {
        "string" => "A text; an update replaces it.",
        "int" => "A whole number of 64 bits, within bounds if you give any.",
        "decimal" => "A number with exactly this many fraction digits, never rounded through binary.",
        "bool" => "True or false.",
        "timestamp" => "A moment: RFC 3339 text, or a number.",
        "stringset" => "Texts; an update adds members.",
        "idset" => "Whole numbers; an update adds members.",
        "id" => "A whole number from 0; an update replaces it.",
        "stringsetq" => "Texts, each with the times it was seen at.",
        "idsetq" => "Whole numbers, each with the times it was seen at.",
        _ => "A fixed number of floating-point numbers.",
    };

    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: what was typed is no such column.</exception>
    public NewColumn ToColumn() => NewColumn.Parse(Name.Trim(), JsonBody.Parse(JsonSerializer.SerializeToUtf8Bytes(Options())));

    Dictionary<string, object> Options()
    {
        var options = new Dictionary<string, object> { ["type"] = Type };
        switch (Type)
        {
            case "int":
                AddNumber(options, "min", Min);
                AddNumber(options, "max", Max);
                break;
            case "decimal":
                AddNumber(options, "scale", Scale);
                break;
            case "timestamp":
                options["timeUnit"] = Unit;
                break;
            case "stringsetq" or "idsetq":
                options["timeQuantum"] = Quantum;
                if (TimeToLive.Trim() is { Length: > 0 } time)
                    options["ttl"] = time;
                break;
            case "vector":
                AddNumber(options, "length", Length);
                break;
        }
        if (IsRequired)
            options["required"] = true;
        if (Default.Trim() is { Length: > 0 } given)
            options["default"] = DefaultOf(given);
        return options;
    }

    /// <summary>What is no JSON is a text; where the column takes none, the grammar says so.</summary>
    object DefaultOf(string given)
    {
        if (Type is "string" or "timestamp")
            return Default;
        try
        {
            return JsonElement.Parse(given);
        }
        catch (JsonException)
        {
            return given;
        }
    }

    static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    // what is no number is left to the grammar, which says so
    static void AddNumber(Dictionary<string, object> options, string name, string text)
    {
        if (text.Trim() is { Length: > 0 } given)
            options[name] = long.TryParse(given, CultureInfo.InvariantCulture, out var number) ? number : given;
    }
}
