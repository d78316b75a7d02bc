using System.CommandLine;
using Sluice.Client;

namespace Sluice.Cli.Commands;

/// <summary>The options with which a quota is given.</summary>
/// <param name="subject">Who is limited, as in "the key may send".</param>
sealed class QuotaChoice(string subject)
{
    readonly Option<long?> _records = new("--records-per-second") { Description = $"Most records that {subject} a second; 0: no limit. The server's default unless given." };
    readonly Option<long?> _bytes = new("--bytes-per-second") { Description = $"Most bytes that {subject} a second, after decompression." };
    readonly Option<int?> _burst = new("--burst-seconds") { Description = "How long what was not used is kept, to be used at once." };

    public IReadOnlyList<Option> Options => [_records, _bytes, _burst];

    /// <returns><c>null</c>: none was given.</returns>
    public QuotaRates? Of(Session session)
    {
        var quota = new QuotaRates(session.Get(_records), session.Get(_bytes), session.Get(_burst));
        return quota == new QuotaRates() ? null : quota;
    }
}
