using System.CommandLine;
using System.Data;
using System.Globalization;
using System.Text.Json;
using Sluice.Client;
using Sylvan.Data.Csv;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice query DATABASE SQL</c>: runs one statement.</summary>
static class QueryCommand
{
    public static Command Create()
    {
        var database = new Argument<string>("database") { Description = "Name or id." };
        var sql = new Argument<string>("sql") { Description = "One statement, or - to read it from standard input." };
        var format = new Option<string>("--format") { Description = "table, csv or json (--json is the same).", DefaultValueFactory = _ => "table" };
        format.AcceptOnlyFromAmong("table", "csv", "json");
        return new ServerCommand("query", "Run one SQL statement.", database, sql, format).Does(async (session, cancellation) =>
        {
            var statement = session.Get(sql) is var text && text == "-" ? await Console.In.ReadToEndAsync(cancellation) : text;
            var found = await session.FindDatabaseAsync(session.Get(database), cancellation);
            var answer = await session.Client.QueryAsync(found.Id, statement, cancellation);
            if (session.AsJson || session.Get(format) == "json") Console.WriteLine(JsonSerializer.Serialize(answer, WireJson.Default.SqlAnswer));
            else if (answer.Error is { } error) throw new CommandException(error);
            else if (session.Get(format) == "csv") WriteCsv(answer);
            else WriteTable(answer);
            return answer.Error is null ? ExitCode.Done : ExitCode.Failed;
        });
    }

    static void WriteTable(SqlAnswer answer)
    {
        foreach (var warning in answer.Warnings ?? []) Console.Error.WriteLine($"warning: {warning}");
        if (answer.Schema?.Fields is { Count: > 0 } fields) Session.ShowTable([.. fields.Select(field => field.Name)], (answer.Data ?? []).Select(row => row.Select(Text).ToArray()));
        var rows = answer.RowsAffected is { } affected ? $"{affected} rows changed" : $"{answer.Data?.Count ?? 0} rows";
        Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{rows}, {answer.ExecutionTime / 1000.0:0.0} ms"));
    }

    static void WriteCsv(SqlAnswer answer)
    {
        using var table = new DataTable { Locale = CultureInfo.InvariantCulture };
        foreach (var field in answer.Schema?.Fields ?? []) table.Columns.Add(new DataColumn { Caption = field.Name });
        foreach (var row in answer.Data ?? []) table.Rows.Add([.. row.Select(Text)]);
        using var csv = CsvDataWriter.Create(Console.Out, new CsvDataWriterOptions { WriteHeaders = false, NewLine = "\n" });
        using var header = new DataTable { Locale = CultureInfo.InvariantCulture }; // names need not be unique, as a table's columns must be
        foreach (var _ in answer.Schema?.Fields ?? []) header.Columns.Add();
        header.Rows.Add([.. (answer.Schema?.Fields ?? []).Select(field => field.Name)]);
        csv.Write(header.CreateDataReader());
        csv.Write(table.CreateDataReader());
    }

    static string? Text(JsonElement cell) => cell.ValueKind switch
    {
        JsonValueKind.Null => null,
        JsonValueKind.String => cell.GetString(),
        _ => cell.GetRawText(),
    };
}
