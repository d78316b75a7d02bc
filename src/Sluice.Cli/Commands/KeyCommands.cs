using System.CommandLine;
using Sluice.Client;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice keys list|create|change|delete</c>: one's own API keys.</summary>
static class KeyCommands
{
    const string Self = "current";
    const int MostDays = 36_500; // a century

    public static Command Create()
    {
        var description = new Argument<string>("description") { Description = "What the key is for." };
        var role = new Option<string?>("--role") { Description = "IngestKey, Reader, User or Administrator; your own unless given." };
        var sinks = new Option<string[]>("--sink") { Description = "With IngestKey: the sinks it may send to, by name or id.", AllowMultipleArgumentsPerToken = true };
        var days = new Option<int?>("--days") { Description = "How many days it is valid; for ever unless given." };
        days.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 1 or > MostDays) result.AddError($"--days must be from 1 to {MostDays}; leave it out for a key that is valid for ever");
        });
        var quota = new QuotaChoice("the key may send");
        var name = new Option<string?>("--description") { Description = "What the key is for." };
        var limit = new QuotaChoice("the key may send");
        var key = new Argument<Guid>("key") { Description = "Id of the key." };
        return new Command("keys", "List, make, change and revoke your API keys.")
        {
            new ServerCommand("list", "List the keys that are in force.").Does(async (session, cancellation) => session.ShowList(
                await session.Client.ListKeysAsync(Self, cancellation), WireJson.Default.ResourceListKeyResource,
                ["id", "description", "role", "created"], it => [it.Id.ToString(), it.Description, it.Role, DatabaseCommands.Time(it.CreatedAt)])),
            new ServerCommand("create", "Make a key. Its secret is shown once.", [description, role, sinks, days, .. quota.Options]).Does(async (session, cancellation) =>
            {
                var bound = new List<Guid>();
                foreach (var sink in session.Get(sinks) ?? []) bound.Add((await session.FindSinkAsync(sink, cancellation)).Id);
                var expires = session.Get(days) is { } valid ? TimeProvider.System.GetUtcNow().UtcDateTime.AddDays(valid) : (DateTime?)null;
                return Show(session, await session.Client.CreateKeyAsync(
                    Self, new KeyRequest(session.Get(description), session.Get(role), bound.Count == 0 ? null : bound, expires) { Quota = quota.Of(session) }, cancellation));
            }),
            new ServerCommand("change", "Change the description or the quota of a key; what is not given stays.", [key, name, .. limit.Options]).Does(async (session, cancellation) =>
                Show(session, await session.Client.ChangeKeyAsync(Self, session.Get(key), new KeyChange(session.Get(name), limit.Of(session)), cancellation))),
            new ServerCommand("delete", "Revoke a key, from the next request on.", key).Does(async (session, cancellation) =>
                Show(session, await session.Client.RevokeKeyAsync(Self, session.Get(key), cancellation))),
        };
    }

    static int Show(Session session, KeyResource key) => session.Show(
        key, WireJson.Default.KeyResource, ("id", key.Id.ToString()), ("description", key.Description), ("role", key.Role), ("secret", key.Secret));
}
