using System.Diagnostics;
using Sluice.Log;

namespace Sluice.Tests.Log;

/// <summary>Files whose blocks go back a little at a time, and those that must be left alone.</summary>
public sealed class HeldFileTests : IDisposable
{
    const long MiB = 1024 * 1024;

    static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(2);

    readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("sluice-test-");

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    string Name => Path.Combine(_directory.FullName, "file");

    public void Dispose() => _directory.Delete(recursive: true);

    [Theory]
    [InlineData("by us")]
    [InlineData("by another, as a database does")]
    public async Task A_large_file_that_is_deleted_shrinks_step_by_step(string way)
    {
        const long length = 40 * MiB;
        using var seen = Make(length); // what is deleted stays visible to who has it open
        if (way == "by us")
        {
            HeldFile.Delete(Name);
        }
        else
        {
            using var held = HeldFile.Open(Name);
            File.Delete(Name);
        }
        Assert.False(File.Exists(Name));

        var lengths = new SortedSet<long>();
        var started = TimeProvider.System.GetTimestamp();
        while (seen.Length > MiB)
        {
            lengths.Add(seen.Length);
            Assert.True(TimeProvider.System.GetElapsedTime(started) < s_patience, $"{seen.Length} bytes are left");
            await Task.Delay(s_look, TimeProvider.System, Cancellation);
        }
        Assert.True(TimeProvider.System.GetElapsedTime(started) > TimeSpan.FromMilliseconds(100), "it was freed at once");
        Assert.True(lengths.Count > 5, string.Join(' ', lengths));
        Assert.All(lengths, it => Assert.Equal(0, it % MiB));
    }

    [Theory]
    [InlineData("was not deleted")]
    [InlineData("has another name")]
    [InlineData("was replaced")]
    public async Task A_file_is_left_alone_that(string it)
    {
        const long length = 3 * MiB;
        string kept;
        using (Make(length))
        using (HeldFile.Open(Name))
        {
            kept = await ChangeAsync(it);
        }
        await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, Cancellation);
        Assert.Equal(length, new FileInfo(kept).Length);
    }

    [Fact]
    public void What_is_not_there_is_deleted_without_a_word()
    {
        HeldFile.Delete(Name);
        using (HeldFile.Open(Name)) Assert.Empty(_directory.GetFiles());
    }

    /// <returns>A name of the file that must keep its bytes.</returns>
    async Task<string> ChangeAsync(string it)
    {
        switch (it)
        {
            case "has another name":
                using (var link = Process.Start("ln", [Name, Name + "2"])) await link.WaitForExitAsync(Cancellation);
                File.Delete(Name);
                return Name + "2";
            case "was replaced": // as a database does that begins its log anew
                File.Move(Name, Name + "2");
                using (var other = File.Create(Name)) other.SetLength(3 * MiB);
                File.Delete(Name + "2");
                return Name;
            default:
                return Name;
        }
    }

    FileStream Make(long length)
    {
        var file = new FileStream(Name, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        file.SetLength(length);
        return file;
    }
}
