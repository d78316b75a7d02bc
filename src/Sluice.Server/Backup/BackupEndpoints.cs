using Sluice.Client;
using Sluice.Server.Accounts;

namespace Sluice.Server.Backup;

/// <param name="Name"><c>null</c>: the time.</param>
sealed record BackupShape(string? Name);

/// <summary><c>/v2/backups</c>, for administrators.</summary>
static class BackupEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        var backups = routes.MapGroup("/v2/backups").WithTags("Operations").RequireAuthorization(Policies.Administer);
        backups.MapPost("", TakeAsync).DescribesBody<BackupShape>().Produces<BackupResource>(StatusCodes.Status201Created)
            .WithName("postBackup").WithSummary("Makes a backup below Sluice:Backup:Directory and answers when it is complete. Records are taken meanwhile; changes of definitions wait.");
        backups.MapGet("", (Backups all) => Api.Answer(
                new ResourceList<BackupResource>([.. all.List().Select(Answer)]), WireJson.Default.ResourceListBackupResource, StatusCodes.Status200OK))
            .Produces<ResourceList<BackupResource>>().WithName("getBackups").WithSummary("The complete backups below Sluice:Backup:Directory, oldest first.");
    }

    /// <remarks>A backup whose caller leaves, or whose server stops, is given up: nothing is left of it.</remarks>
    static async Task<IResult> TakeAsync(HttpContext http, Backups backups, Drain drain, ServerOptions options, CancellationToken cancellation)
    {
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, drain.Stopping);
        return Api.Answer(Answer(await backups.TakeAsync(Caller.Of(http), body.OptionalText("name"), either.Token)), WireJson.Default.BackupResource, StatusCodes.Status201Created);
    }

    static BackupResource Answer(BackupManifest manifest) => new(
        manifest.Name, manifest.TakenAt, manifest.Files.Count, manifest.Bytes,
        [.. manifest.Tables.Select(table => new BackupTableResource(table.TableId, table.DatabaseId, table.Name, table.Sequence, table.LoadedSequence))]);
}
