using Sluice.Load;
using Sluice.Log;
using Sluice.Schema;
using Sluice.Tests.Records;

namespace Sluice.Tests.Load;

/// <summary>Deletions among records: each takes effect where it stands in the log, once, whatever happens meanwhile.</summary>
public sealed class DeletionTests
{
    static readonly TableSchema _schema = SampleTable.TableOf(KeyKind.Number, ("n", ColumnType.Int));

    [Fact]
    public async Task A_deletion_takes_what_the_log_holds_before_it_and_nothing_after()
    {
        using var fixture = await LoadFixture.CreateAsync(_schema);
        await fixture.SendAsync(_schema, """{"_id":1,"n":71}""", """{"_id":2,"n":72}""");
        await DeleteAsync(fixture, "71");
        await fixture.SendAsync(_schema, """{"_id":3,"n":71}""");

        await fixture.LoadAllAsync();

        Assert.Equal(["2: 1=72", "3: 1=71"], fixture.Database.Rows());
    }

    [Fact]
    public async Task Whoever_waits_is_told_how_many_or_why_not()
    {
        using var fixture = await LoadFixture.CreateAsync(_schema);
        await fixture.SendAsync(_schema, """{"_id":1,"n":71}""", """{"_id":2,"n":72}""");
        var deletion = new Deletion(Guid.NewGuid(), "7");
        var good = fixture.Loader.Deletions.RunAsync(deletion.Id, () => AppendAsync(fixture, deletion), sequence => fixture.Loader.WaitAsync(sequence, CancellationToken.None));
        var wrong = new Deletion(Guid.NewGuid(), "7 = ");
        var bad = fixture.Loader.Deletions.RunAsync(wrong.Id, () => AppendAsync(fixture, wrong), sequence => fixture.Loader.WaitAsync(sequence, CancellationToken.None));
        await fixture.SendAsync(_schema, """{"_id":3,"n":1}""");

        await fixture.LoadAllAsync();

        Assert.Equal(new DeletionOutcome(2, null), await good);
        Assert.Equal("the predicate does not run", (await bad).Error);
        Assert.Equal(["3: 1=1"], fixture.Database.Rows());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_deletion_is_applied_once_when_the_process_dies_in_it(bool afterCommit)
    {
        var fixture = await LoadFixture.CreateAsync(_schema);
        await fixture.SendAsync(_schema, """{"_id":1,"n":71}""");
        await DeleteAsync(fixture, null);
        await fixture.SendAsync(_schema, """{"_id":2,"n":72}""");
        fixture.Database.CrashInCall(3, afterCommit);
        await Assert.ThrowsAsync<SimulatedCrashException>(fixture.LoadAllAsync);

        fixture = fixture.Restart();
        await fixture.LoadAllAsync();

        Assert.Equal(["2: 1=72"], fixture.Database.Rows());
        Assert.Equal(afterCommit ? 1 : 2, fixture.Database.Calls.Count(call => call.StartsWith("delete", StringComparison.Ordinal)));
        fixture.Dispose();
    }

    [Fact]
    public async Task A_store_that_is_busy_is_asked_again()
    {
        using var fixture = await LoadFixture.CreateAsync(_schema);
        await fixture.SendAsync(_schema, """{"_id":1,"n":71}""");
        await DeleteAsync(fixture, "71");
        fixture.Database.FailCalls(3, count: 2);

        await fixture.LoadAllAsync();

        Assert.Empty(fixture.Database.Rows());
        Assert.Equal(2, fixture.Database.Calls.Count(call => call.EndsWith("failed", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_deletion_that_cannot_be_read_says_so() => Assert.Throws<InvalidDataException>(() => DeletionFrame.Decode("{"u8));

    static Task<LogPosition> DeleteAsync(LoadFixture fixture, string? predicate) => AppendAsync(fixture, new Deletion(Guid.NewGuid(), predicate));

    static Task<LogPosition> AppendAsync(LoadFixture fixture, Deletion deletion) => fixture.Log.AppendAsync(DeletionFrame.Encode(deletion, _schema.Version, 0));
}
