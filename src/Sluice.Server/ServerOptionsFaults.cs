using System.ComponentModel;
using System.Globalization;
using System.Net;
using System.Reflection;
using Sluice.Quotas;

namespace Sluice.Server;

/// <summary>Checks the options before anything is opened, and finds all faults at once: each names the key to set.</summary>
static class ServerOptionsFaults
{
    // Kestrel's buffer of a request, which must hold them
    const int MaxHeaderBytes = 1024 * 1024;

    static readonly TimeSpan s_hour = TimeSpan.FromHours(1);
    static readonly TimeSpan s_day = TimeSpan.FromDays(1);

    /// <summary>Keys that no option has, and values that are not of their option's type.</summary>
    /// <param name="faults">Grows by the unreadable values.</param>
    /// <returns>The unknown keys.</returns>
    public static IReadOnlyList<string> CheckShape(IConfigurationSection section, List<string> faults)
    {
        var unknown = new List<string>();
        CheckShape(section, typeof(ServerOptions), unknown, faults);
        return unknown;
    }

    /// <summary>Values that cannot work.</summary>
    public static IEnumerable<string> CheckValues(ServerOptions options)
    {
        if (string.IsNullOrWhiteSpace(options.Data))
            yield return "Sluice:Data is empty: name a directory";

        foreach (var (key, port) in new[] { ("HttpsPort", options.HttpsPort), ("HttpPort", options.HttpPort) })
        {
            if (port is < 0 or > IPEndPoint.MaxPort)
                yield return $"Sluice:{key} is {port}: give a port from 0 to 65535";
        }

        if (options.HttpsPort != 0 && options.HttpsPort == options.HttpPort)
            yield return $"Sluice:HttpPort is the port of HTTPS too ({options.HttpPort}): give two ports";

        if (!options.Administrator.Email.Contains('@', StringComparison.Ordinal))
            yield return "Sluice:Administrator:Email is not an e-mail address";

        if (options.Administrator.Password is { Length: 0 })
            yield return "Sluice:Administrator:Password is empty: leave it out to have one generated";

        if (options.Audit.MaxFiles < 1 || options.Audit.MaxFileBytes < 1)
            yield return "Sluice:Audit:MaxFiles and Sluice:Audit:MaxFileBytes must be above 0";

        if (options.Storage.DiskReserveBytes < 0 || options.Storage.RetainedBytes < 0 || options.Storage.MaxIdempotencyKeys < 0)
            yield return "Sluice:Storage:DiskReserveBytes, Sluice:Storage:RetainedBytes and Sluice:Storage:MaxIdempotencyKeys must not be below 0";

        if (options.Storage.SegmentBytes < 1 || options.Storage.MaxBacklogBytes < 1)
            yield return "Sluice:Storage:SegmentBytes and Sluice:Storage:MaxBacklogBytes must be above 0";

        if (options.Storage.MaxReceiveTime <= TimeSpan.Zero)
            yield return "Sluice:Storage:MaxReceiveTime must be above zero: give a time such as 01:00:00";

        if (options.Storage.TombstoneWindow < TimeSpan.Zero)
            yield return "Sluice:Storage:TombstoneWindow is below zero: give a time such as 1.00:00:00";

        if (options.Backup.Directory is { } backups && IsWithin(backups, options.Data))
            yield return "Sluice:Backup:Directory is in the data directory: name one outside of it, best on another disk";

        foreach (var fault in CheckTls(options.Tls).Concat(CheckLimits(options.Limits)).Concat(CheckTimes(options)).Concat(CheckQuota("Sink", options.Quotas.Sink)).Concat(CheckQuota("Key", options.Quotas.Key)))
            yield return fault;
    }

    static bool IsWithin(string path, string directory) =>
        (Path.GetFullPath(path) + Path.DirectorySeparatorChar).StartsWith(Path.GetFullPath(directory) + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    static IEnumerable<string> CheckTls(TlsOptions tls)
    {
        if (tls.CertificateFile is null != tls.KeyFile is null)
            yield return "Sluice:Tls:CertificateFile and Sluice:Tls:KeyFile go together: set both or none";

        foreach (var (key, file) in new[] { ("CertificateFile", tls.CertificateFile), ("KeyFile", tls.KeyFile) })
        {
            if (file is not null && !File.Exists(file))
                yield return $"Sluice:Tls:{key}: there is no file {file}";
        }

        for (var i = 0; i < tls.Names.Count; i++)
        {
            if (!IPAddress.TryParse(tls.Names[i], out _) && !IsHostName(tls.Names[i]))
                yield return $"Sluice:Tls:Names:{i} is neither a host name nor an IP address: {tls.Names[i]}";
        }
    }

    static bool IsHostName(string name)
    {
        try
        {
            return Uri.CheckHostName(name) == UriHostNameType.Dns && new IdnMapping().GetAscii(name).Length > 0;
        }
        catch (ArgumentException) // letters that no name has, or too many once they are ASCII
        {
            return false;
        }
    }

    /// <summary>Longer ones are mistakes, and timers take none of fifty days.</summary>
    static IEnumerable<string> CheckTimes(ServerOptions options)
    {
        foreach (var (key, time, most) in new[]
        {
            ("Limits:HeaderTimeout", options.Limits.HeaderTimeout, s_hour),
            ("Limits:KeepAliveTimeout", options.Limits.KeepAliveTimeout, s_hour),
            ("Limits:DrainTimeout", options.Limits.DrainTimeout, s_day),
            ("Query:Time", options.Query.Time, s_day),
            ("Query:Queue", options.Query.Queue, s_day),
        })
        {
            if (time > most)
                yield return $"Sluice:{key} is {time}: give at most {most}";
        }
    }

    static IEnumerable<string> CheckQuota(string owner, Quota quota)
    {
        foreach (var (key, rate) in new[] { ("RecordsPerSecond", quota.RecordsPerSecond), ("BytesPerSecond", quota.BytesPerSecond) })
        {
            if (rate is < 0 or > Quota.MaxRate)
                yield return $"Sluice:Quotas:{owner}:{key} is {rate}: give a number from 0 (no limit) to {Quota.MaxRate}";
        }

        if (quota.BurstSeconds is < 1 or > Quota.MaxBurstSeconds)
            yield return $"Sluice:Quotas:{owner}:BurstSeconds is {quota.BurstSeconds}: give a number from 1 to {Quota.MaxBurstSeconds}";
    }

    static IEnumerable<string> CheckLimits(LimitOptions limits)
    {
        foreach (var property in typeof(LimitOptions).GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            var isPositive = property.GetValue(limits) switch
            {
                int number => number > 0,
                long number => number > 0,
                TimeSpan time => time > TimeSpan.Zero,
                _ => throw new InvalidOperationException($"no check for the limit {property.Name}"),
            };
            if (!isPositive)
                yield return $"Sluice:Limits:{property.Name} must be above 0";
        }

        if (limits.MaxHeaderBytes > MaxHeaderBytes)
            yield return $"Sluice:Limits:MaxHeaderBytes is {limits.MaxHeaderBytes}: give at most {MaxHeaderBytes}";
    }

    static void CheckShape(IConfigurationSection section, Type type, List<string> unknown, List<string> faults)
    {
        foreach (var child in section.GetChildren())
        {
            var property = type.GetProperty(child.Key, BindingFlags.Public | BindingFlags.Instance | BindingFlags.IgnoreCase);

            if (property is null)
                unknown.Add(child.Path);
            else if (!property.CanWrite)
                faults.Add($"{child.Path} is computed and cannot be set");
            else if (IsSection(property.PropertyType))
                CheckSection(child, property.PropertyType, unknown, faults);
            else if (property.PropertyType == typeof(IReadOnlyList<string>))
                CheckList(child, unknown, faults);
            else
                CheckValue(child, property.PropertyType, unknown, faults);
        }
    }

    static void CheckSection(IConfigurationSection section, Type type, List<string> unknown, List<string> faults)
    {
        if (section.Value is { Length: > 0 })
            faults.Add($"{section.Path} is a section and has no value: set one of its options");

        CheckShape(section, type, unknown, faults);
    }

    static void CheckList(IConfigurationSection list, List<string> unknown, List<string> faults)
    {
        if (list.Value is { Length: > 0 }) // an empty list in the file is an empty text
            faults.Add($"{list.Path} is a list: use {list.Path}:0 for its first value");

        unknown.AddRange(list.GetChildren().SelectMany(value => value.GetChildren()).Select(child => child.Path));
    }

    static void CheckValue(IConfigurationSection value, Type type, List<string> unknown, List<string> faults)
    {
        if (value.Value is { } text && !CanRead(text, type))
            faults.Add($"{value.Path} is \"{text}\": {Wanted(type)}");

        unknown.AddRange(value.GetChildren().Select(child => child.Path));
    }

    /// <summary>A record of ours, here or in another project.</summary>
    static bool IsSection(Type type) => type.Namespace?.StartsWith(nameof(Sluice), StringComparison.Ordinal) == true && !type.IsEnum;

    static bool CanRead(string text, Type type) =>
        type == typeof(string)
        || (type == typeof(TimeSpan) ? IsTime(text) : TypeDescriptor.GetConverter(type).IsValid(text));

    /// <summary>To .NET 60 is sixty days, and 24:00:00 are twenty-four.</summary>
    static bool IsTime(string text) => text.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParseExact(text, "c", CultureInfo.InvariantCulture, out _);

    static string Wanted(Type type) =>
        type == typeof(TimeSpan) ? "give a time as hh:mm:ss, such as 00:00:30, or 1.00:00:00 for a day"
        : type == typeof(bool) ? "give true or false"
        : "give a whole number";
}
