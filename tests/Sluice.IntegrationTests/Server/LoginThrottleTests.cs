using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Server.Accounts;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class LoginThrottleTests
{
    static readonly IPAddress Near = IPAddress.Parse("192.0.2.1");
    static readonly IPAddress Far = IPAddress.Parse("198.51.100.1");

    readonly FakeTimeProvider _time = new();
    readonly LoginThrottle _throttle;

    public LoginThrottleTests() => _throttle = new LoginThrottle(_time, NullLogger<LoginThrottle>.Instance);

    [Fact]
    public void The_fifth_failure_holds_back_that_account_from_that_address_and_nobody_else()
    {
        Fail("a", Near, 4);
        Assert.Equal(TimeSpan.Zero, _throttle.Remaining("a", Near));

        Fail("a", Near, 1);
        Assert.Equal(TimeSpan.FromSeconds(30), _throttle.Remaining("a", Near));
        Assert.Equal(TimeSpan.Zero, _throttle.Remaining("a", Far));
        Assert.Equal(TimeSpan.Zero, _throttle.Remaining("b", Near));
    }

    [Fact]
    public void Each_further_failure_doubles_the_wait_up_to_fifteen_minutes()
    {
        var waits = new List<double>();
        Fail("a", Near, 4);
        for (var i = 0; i < 8; i++)
        {
            Fail("a", Near, 1);
            waits.Add(_throttle.Remaining("a", Near).TotalSeconds);
            _time.Advance(_throttle.Remaining("a", Near));
            Assert.Equal(TimeSpan.Zero, _throttle.Remaining("a", Near));
        }

        Assert.Equal([30, 60, 120, 240, 480, 900, 900, 900], waits);
    }

    [Fact]
    public void An_address_that_fails_on_many_accounts_is_held_back_altogether_unless_it_is_loopback()
    {
        for (var i = 0; i < 25; i++)
        {
            Fail($"user{i}", Near, 1);
            Fail($"user{i}", IPAddress.Loopback, 1);
        }

        Assert.True(_throttle.Remaining("another", Near) > TimeSpan.Zero);
        Assert.Equal(TimeSpan.Zero, _throttle.Remaining("another", IPAddress.Loopback));
    }

    [Fact]
    public void An_account_that_fails_from_many_addresses_is_held_back_everywhere()
    {
        for (var i = 1; i <= 25; i++)
            Fail("a", IPAddress.Parse($"203.0.113.{i}"), 1);

        Assert.True(_throttle.Remaining("a", Far) > TimeSpan.Zero);
    }

    [Fact]
    public void Success_and_time_make_failures_forgotten()
    {
        Fail("a", Near, 4);
        _throttle.Succeeded("a", Near);
        Fail("a", Near, 4);
        Assert.Equal(TimeSpan.Zero, _throttle.Remaining("a", Near));

        _time.Advance(TimeSpan.FromMinutes(16));
        Fail("a", Near, 4);
        Assert.Equal(TimeSpan.Zero, _throttle.Remaining("a", Near));
    }

    void Fail(string account, IPAddress address, int times)
    {
        for (var i = 0; i < times; i++)
            _throttle.Failed(account, address);
    }
}
