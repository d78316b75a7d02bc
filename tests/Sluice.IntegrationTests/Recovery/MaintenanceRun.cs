using Sluice.Server;
using Sluice.Server.Maintenance;
using Xunit;

namespace Sluice.IntegrationTests.Recovery;

/// <summary>One run of <c>sluice-server check</c>, <c>repair</c>, <c>rebuild</c> or <c>restore</c>.</summary>
sealed record MaintenanceRun(ExitCode Code, string Output)
{
    public static async Task<MaintenanceRun> RunAsync(params string[] args)
    {
        using var output = new StringWriter();
        try
        {
            return new MaintenanceRun(await MaintenanceCommand.RunAsync(args, output, TestContext.Current.CancellationToken), output.ToString());
        }
        catch (StartupException e)
        {
            return new MaintenanceRun(e.Code, output + e.Message);
        }
        catch (SluiceException e) when (e.Code == ErrorCode.Corrupt)
        {
            return new MaintenanceRun(ExitCode.DamagedData, output + e.Message); // as the process ends
        }
    }

    public static void CopyDirectory(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var directory in Directory.EnumerateDirectories(from, "*", SearchOption.AllDirectories)) Directory.CreateDirectory(Path.Combine(to, Path.GetRelativePath(from, directory)));
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories)) File.Copy(file, Path.Combine(to, Path.GetRelativePath(from, file)));
    }
}
