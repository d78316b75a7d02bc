using System.Collections.Concurrent;
using System.Net;

namespace Sluice.Server.Accounts;

/// <summary>
/// Holds logins back after failures: first for 30 s, twice as long after each further one, at most 15 minutes. Counts by account and
/// address together (5 failures), and higher by each alone (25), so that a stranger cannot lock an account at once.
/// </summary>
/// <remarks>In memory: a restart forgets. Names that no user has are counted alike, so that an answer tells nothing. Any thread.</remarks>
sealed class LoginThrottle(TimeProvider time, ILogger<LoginThrottle> logger)
{
    public const int FailuresOfPair = 5;
    public const int FailuresOfOne = 25;

    // memory stays bounded under any number of made-up names: 50,000 entries are some 10 MB
    const int MaxEntries = 50_000;

    static readonly TimeSpan FirstDelay = TimeSpan.FromSeconds(30);
    static readonly TimeSpan MaxDelay = TimeSpan.FromMinutes(15);

    readonly ConcurrentDictionary<string, Failures> _failures = new(StringComparer.Ordinal);

    /// <summary>How long this login must wait; zero: it may be tried.</summary>
    /// <param name="account">As it is looked up, in lower case; whether there is such an account does not matter.</param>
    public TimeSpan Remaining(string account, IPAddress? address)
    {
        var now = time.GetUtcNow();
        var remaining = TimeSpan.Zero;

        foreach (var (key, _) in Keys(account, address))
        {
            if (_failures.TryGetValue(key, out var failures) && failures.HeldUntil - now > remaining)
                remaining = failures.HeldUntil - now;
        }

        return remaining;
    }

    public void Failed(string account, IPAddress? address)
    {
        var now = time.GetUtcNow();
        if (_failures.Count >= MaxEntries)
            Forget(now);

        foreach (var (key, limit) in Keys(account, address))
        {
            var failures = _failures.AddOrUpdate(key, _ => Failures.First(now), (_, old) => old.IsForgotten(now) ? Failures.First(now) : old.More(now, limit));
            if (failures.Count >= limit && failures.HeldUntil > now)
                logger.LoginHeldBack(address?.ToString() ?? "unknown", failures.HeldUntil - now, failures.Count);
        }
    }

    public void Succeeded(string account, IPAddress? address)
    {
        foreach (var (key, limit) in Keys(account, address))
        {
            // one good account does not clear the address: it would hide guesses at others
            if (limit == FailuresOfPair)
                _failures.TryRemove(key, out _);
        }
    }

    void Forget(DateTimeOffset now)
    {
        foreach (var (key, failures) in _failures)
        {
            if (failures.IsForgotten(now))
                _failures.TryRemove(key, out _);
        }

        if (_failures.Count >= MaxEntries)
            _failures.Clear();
    }

    /// <summary>A loopback address alone says nothing: a proxy on this machine has it for all of its clients.</summary>
    static IEnumerable<(string Key, int Limit)> Keys(string account, IPAddress? address)
    {
        var name = account.Length > 254 ? account[..254] : account;
        yield return ($"{address} {name}", FailuresOfPair);
        yield return ($"account {name}", FailuresOfOne);
        if (address is not null && !IPAddress.IsLoopback(address))
            yield return ($"address {address}", FailuresOfOne);
    }

    readonly record struct Failures(int Count, DateTimeOffset Last, DateTimeOffset HeldUntil)
    {
        public static Failures First(DateTimeOffset now) => new(1, now, now);

        public bool IsForgotten(DateTimeOffset now) => now - Last > MaxDelay && HeldUntil <= now;

        public Failures More(DateTimeOffset now, int limit)
        {
            var excess = Count + 1 - limit;
            var delay = excess < 0 ? TimeSpan.Zero : FirstDelay * Math.Pow(2, Math.Min(excess, 10));
            return new(Count + 1, now, now + (delay < MaxDelay ? delay : MaxDelay));
        }
    }
}
