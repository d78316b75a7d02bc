using Microsoft.Extensions.Time.Testing;
using Sluice.Quotas;
using Sluice.Server.Accounts;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class KeyQuotasTests
{
    static readonly Quota Quota = new() { RecordsPerSecond = 1, BurstSeconds = 1 };

    readonly FakeTimeProvider _time = new();

    [Fact]
    public void A_key_that_is_read_again_owes_what_it_owed()
    {
        var quotas = new KeyQuotas(_time);
        var key = Guid.NewGuid();
        quotas.Find(key, Quota)!.Charge(100, 0);

        Assert.Equal(100, quotas.Find(key, Quota)!.TimeToAdmit().TotalSeconds);
        Assert.Equal(50, quotas.Find(key, Quota with { RecordsPerSecond = 2 })!.TimeToAdmit().TotalSeconds, 0.6);
        Assert.Null(quotas.Find(key, new Quota()));
        Assert.Equal(0, quotas.Count);
    }

    [Fact]
    public void Any_number_of_keys_takes_bounded_memory_and_those_who_owe_are_remembered()
    {
        var quotas = new KeyQuotas(_time);
        var debtor = Guid.NewGuid();
        quotas.Find(debtor, Quota)!.Charge(1_000_000, 0);
        for (var i = 0; i < 3 * KeyQuotas.MaxBuckets; i++) quotas.Find(Guid.NewGuid(), Quota);

        Assert.InRange(quotas.Count, 1, KeyQuotas.MaxBuckets);
        Assert.NotEqual(TimeSpan.Zero, quotas.Find(debtor, Quota)!.TimeToAdmit());
    }
}
