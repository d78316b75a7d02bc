namespace Sluice.Server.Catalog;

/// <summary>Whose server this is. There is one row; it says what the administrators wrote, and has no effect.</summary>
public sealed class Organization
{
    public Guid Id { get; init; }
    public string Name { get; set; } = "";
    public string Address { get; set; } = "";
    public string TechnicalContact { get; set; } = "";
    public string BillingContact { get; set; } = "";
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset UpdatedAt { get; set; }
}
