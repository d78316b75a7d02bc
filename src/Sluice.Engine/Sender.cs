using Sluice.Quotas;

namespace Sluice;

/// <summary>Who sends a request.</summary>
/// <param name="Id">Id of the user or key: what the log names as the writer.</param>
/// <param name="Quota">What is left of the sender's own quota; <c>null</c>: it has none.</param>
public readonly record struct Sender(string Id, QuotaBucket? Quota = null)
{
    public static implicit operator Sender(string id) => new(id);
}
