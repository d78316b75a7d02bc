using System.Globalization;
using Sluice.Quotas;

namespace Sluice.Server.Components;

/// <summary>A quota as it is typed into a form.</summary>
public sealed class QuotaForm
{
    readonly Quota _before;

    /// <param name="before">What the form begins with.</param>
    public QuotaForm(Quota before)
    {
        _before = before;
        (Records, Bytes, Burst) = (RateText(before.RecordsPerSecond), RateText(before.BytesPerSecond), Text(before.BurstSeconds));
    }

    public string Records { get; set; }

    public string Bytes { get; set; }

    public string Burst { get; set; }

    /// <summary>What is wrong with <see cref="Records"/>; <c>null</c>: nothing.</summary>
    public string? RecordsFault { get; private set; }

    /// <inheritdoc cref="RecordsFault"/>
    public string? BytesFault { get; private set; }

    /// <inheritdoc cref="RecordsFault"/>
    public string? BurstFault { get; private set; }

    /// <returns>What differs from what the form began with: what nobody touched stays, also where somebody else changed it. <c>null</c>: something is wrong, and stands at its field.</returns>
    public QuotaBody? Read()
    {
        RecordsFault = Check(Records, isRate: true, Quota.MaxRate, out var records);
        BytesFault = Check(Bytes, isRate: true, Quota.MaxRate, out var bytes);
        BurstFault = Check(Burst, isRate: false, Quota.MaxBurstSeconds, out var burst);
        return RecordsFault is not null || BytesFault is not null || BurstFault is not null ? null : new QuotaBody(
            records == _before.RecordsPerSecond ? null : records,
            bytes == _before.BytesPerSecond ? null : bytes,
            burst == _before.BurstSeconds ? null : (int)burst);
    }

    static string? Check(string text, bool isRate, long most, out long number)
    {
        number = 0;
        var given = text.Trim();
        if (given.Length == 0 && isRate)
            return null;
        return long.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number >= (isRate ? 0 : 1) && number <= most ? null
            : isRate ? $"Must be a whole number from 0 (no limit) to {Words.Count(most)}, without separators."
            : $"Must be a whole number of seconds from 1 to {Words.Count(most)}, without separators.";
    }

    static string RateText(long rate) => rate == 0 ? "" : Text(rate);

    static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
