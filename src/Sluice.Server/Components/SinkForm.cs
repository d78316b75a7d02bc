using Sluice.Client;

namespace Sluice.Server.Components;

/// <summary>What the forms of the console ask of a sink.</summary>
static class SinkForm
{
    public static SinkBody BodyOf(string name, Guid databaseId, Guid tableId, SinkSchema schema)
    {
        ResourceNames.Check(name, "name");
        return new SinkBody(name, databaseId, tableId.ToString(), schema, RejectTruncation: null, MaxRecords: null, MaxBytes: null);
    }

    /// <summary>Another quota; everything else stays, and what the quota leaves out.</summary>
    public static SinkBody ChangeOf(QuotaBody quota) => new(null, null, null, null, RejectTruncation: null, MaxRecords: null, MaxBytes: null) { Quota = quota };

    /// <summary>A new mapping; everything else stays.</summary>
    public static SinkBody ChangeOf(SinkSchema schema) => new(null, null, null, schema, RejectTruncation: null, MaxRecords: null, MaxBytes: null);
}
