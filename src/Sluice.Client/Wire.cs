using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Client;

/// <summary>Every list answer: all items, oldest first unless the call says otherwise.</summary>
public sealed record ResourceList<T>(IReadOnlyList<T> Resources);

/// <summary>The body of every refused request.</summary>
/// <param name="Code">Closed list, for programs: <c>InvalidParameter</c>, <c>ResourceNotFound</c>, ...</param>
/// <param name="Message">A sentence, for people; may change.</param>
/// <param name="RequestId">Finds the request in the server's log.</param>
/// <param name="Outcome"><c>not_stored</c>, or <c>unknown</c>: the request may turn out to be stored, once.</param>
public sealed record RefusalBody(string Code, string Message, string? RequestId, string? Outcome)
{
    /// <summary>With 429 and 503 what is short: <c>quota</c>, <c>log_backlog</c>, ...</summary>
    public string? Cause { get; init; }
}

// ---- login ----

/// <summary>Body of <c>POST /</c>: a password, or a refresh token.</summary>
public sealed record LoginRequest(
    [property: JsonPropertyName("USERNAME")] string? Username = null,
    [property: JsonPropertyName("PASSWORD")] string? Password = null,
    [property: JsonPropertyName("REFRESH_TOKEN")] string? RefreshToken = null);

public sealed record LoginAnswer([property: JsonPropertyName("AuthenticationResult")] AuthenticationResult AuthenticationResult);

/// <param name="ExpiresIn">Seconds the id token stays valid.</param>
/// <param name="IdToken">Goes into <c>Authorization: Bearer</c>.</param>
/// <remarks>The order of the members is part of the contract: shell scripts cut the id token out with a greedy pattern.</remarks>
public sealed record AuthenticationResult(
    [property: JsonPropertyName("AccessToken")] string AccessToken,
    [property: JsonPropertyName("ExpiresIn")] int ExpiresIn,
    [property: JsonPropertyName("IdToken")] string IdToken,
    [property: JsonPropertyName("RefreshToken")] string? RefreshToken,
    [property: JsonPropertyName("TokenType")] string TokenType);

// ---- databases ----

public sealed record DatabaseRequest(string Name, DatabaseOptions? DatabaseOptions = null);

/// <param name="Shape">A size name of the original service. Kept and shown, without effect here.</param>
public sealed record DatabaseOptions(string? Shape);

/// <summary>A database. <see cref="Status"/> repeats <see cref="DatabaseStatus"/>; the deployment members are set under <c>/v1</c> only.</summary>
public sealed record DatabaseResource(
    Guid Id,
    string Name,
    string DatabaseStatus,
    string Status,
    DatabaseOptions DatabaseOptions,
    string Owner,
    DateTime CreatedAt,
    DateTime UpdatedAt,
    string UpdatedBy)
{
    public string? DeploymentStatus { get; init; }

    public DatabaseOptions? DeploymentOptions { get; init; }
}

/// <summary>A size name that <c>database_options.shape</c> may hold.</summary>
public sealed record ShapeResource(string Name, string Description);

// ---- tables and columns ----

/// <summary>Body of <c>POST /v2/tables/{database}</c>; <see cref="Fields"/> makes columns in the same step.</summary>
public sealed record TableRequest(string Name, string? Description = null, TableOptions? Options = null, IReadOnlyList<ColumnRequest>? Fields = null);

/// <param name="Keys">True: the table's <c>_id</c> is a String; false: a Number.</param>
/// <param name="TrackExistence">Always true here.</param>
public sealed record TableOptions(bool Keys, [property: JsonPropertyName("trackExistence")] bool TrackExistence = true)
{
    /// <summary>The server makes the ids, and records name none; <c>null</c>: false.</summary>
    public bool? AutoId { get; init; }

    /// <summary>How long rows are kept after their newest record, as in <c>30d</c>; <c>null</c>: for ever.</summary>
    public string? Retention { get; init; }
}

public sealed record TableResource(
    Guid Id,
    string Name,
    Guid DatabaseId,
    string Description,
    string TableStatus,
    string Status,
    TableOptions Options,
    IReadOnlyList<ColumnResource> Fields,
    int SchemaVersion,
    string Owner,
    DateTime CreatedAt,
    DateTime UpdatedAt,
    string UpdatedBy)
{
    /// <summary>Rows that have outlived the table's retention since the table was made; <c>null</c>: rows are kept for ever, and none has.</summary>
    public long? ExpiredRows { get; init; }
}

/// <summary>Body of <c>POST /v2/tables/{database}/{table}/fields/{column}</c>; there the name stands in the path.</summary>
public sealed record ColumnRequest(string? Name, ColumnOptionsBody Options);

/// <param name="Type">The type as SQL writes it, as in <c>decimal(2)</c>.</param>
/// <param name="BaseType">The type without its arguments.</param>
public sealed record ColumnResource(string Name, string Type, string BaseType, ColumnOptionsBody Options, DateTime CreatedAt);

/// <summary>A column's type as the original API writes it; members that do not apply to the type are left out.</summary>
/// <param name="Type"><c>set</c>, <c>mutex</c>, <c>time</c>, <c>int</c>, <c>decimal</c>, <c>timestamp</c>, <c>bool</c>, <c>vector</c>, or a SQL type name.</param>
/// <param name="Ttl">A duration such as <c>24h</c>; <c>0s</c>: for ever.</param>
public sealed record ColumnOptionsBody(
    string Type,
    bool? Keys = null,
    long? Min = null,
    long? Max = null,
    int? Scale = null,
    [property: JsonPropertyName("timeUnit")] string? TimeUnit = null,
    DateTime? Epoch = null,
    [property: JsonPropertyName("timeQuantum")] string? TimeQuantum = null,
    string? Ttl = null,
    int? Length = null)
{
    /// <summary>No upsert or insert may leave the column without a value; <c>null</c>: false.</summary>
    public bool? Required { get; init; }

    /// <summary>The value of new rows whose record says nothing of the column; <c>null</c>: none.</summary>
    public JsonElement? Default { get; init; }
}

// ---- sinks ----

/// <summary>Body of <c>POST</c> and <c>PUT</c> of <c>/v2/sinks</c>.</summary>
/// <param name="Truncation">What excess fraction digits do: <c>warn</c> (default) or <c>error</c>.</param>
/// <param name="MaxRecords">Most records in a request; <c>null</c>: the server's default.</param>
/// <param name="MaxBytes">Longest body after decompression; <c>null</c>: the server's default.</param>
public sealed record SinkRequest(
    string? Name, SinkDetails? SinkDetails, SinkSchema? Schema, string? Truncation = null, int? MaxRecords = null, long? MaxBytes = null)
{
    /// <summary><c>null</c>: the server's default.</summary>
    public SinkQuarantine? Quarantine { get; init; }

    /// <summary>Whether the newest records are kept in memory, for trying mappings; <c>null</c>: they are.</summary>
    public bool? Sample { get; init; }

    /// <summary><c>null</c>: the server's default.</summary>
    public QuotaRates? Quota { get; init; }
}

/// <summary>How much a sink takes, or a key may send.</summary>
/// <param name="RecordsPerSecond">Rejected ones too; 0: no limit.</param>
/// <param name="BytesPerSecond">Of bodies, after decompression; 0: no limit.</param>
/// <param name="BurstSeconds">What was not used is kept for so long, and may be used at once.</param>
public sealed record QuotaRates(long? RecordsPerSecond = null, long? BytesPerSecond = null, int? BurstSeconds = null);

/// <summary>What a sink keeps of records that failed.</summary>
/// <param name="KeepRaw">Their text; false: their errors alone.</param>
/// <param name="MaxBytes">Most bytes of texts and errors.</param>
/// <param name="MaxAge">A duration such as <c>168h</c>.</param>
public sealed record SinkQuarantine(bool? KeepRaw = null, long? MaxBytes = null, string? MaxAge = null);

/// <param name="Table">Name of the table; its id is taken too.</param>
public sealed record SinkDetails(Guid DatabaseId, string Table)
{
    /// <summary>The database's id under its first name; set under <c>/v1</c> only.</summary>
    public Guid? DeploymentId { get; init; }
}

/// <summary>Where the table's columns stand in a record.</summary>
/// <param name="Type">Always <c>json</c>.</param>
/// <param name="IdField"><c>_id</c> for a table with a Number <c>_id</c>, unless the server makes it; else <c>null</c>.</param>
/// <param name="PrimaryKeyFields"><c>["_id"]</c> for a table with a String <c>_id</c>, or the entries that are joined to it; else <c>null</c>.</param>
/// <param name="AllowMissingFields">False: one record without a mapped path discards its whole request.</param>
public sealed record SinkSchema(
    string Type,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.Never)] string? IdField,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.Never)] IReadOnlyList<string>? PrimaryKeyFields,
    bool AllowMissingFields,
    IReadOnlyList<SinkField> Definition);

/// <param name="Name">A column, <c>_id</c> or <c>_timeQuantum</c>.</param>
/// <param name="Type">Kept and shown, without effect: the column's type counts.</param>
/// <param name="Config">Kept and shown; of it only <c>Unit</c>, <c>Epoch</c> and <c>Layout</c> count, and only for times.</param>
public sealed record SinkField(string Name, IReadOnlyList<WirePathStep> Path, string? Type = null, JsonElement? Config = null);

public sealed record SinkResource(
    Guid Id,
    string Name,
    SinkDetails SinkDetails,
    SinkSchema Schema,
    string Truncation,
    int MaxRecords,
    long MaxBytes,
    int MappingVersion,
    string SinkStatus,
    string Status,
    string IngestEndpoint,
    string Owner,
    DateTime CreatedAt,
    DateTime UpdatedAt,
    string UpdatedBy)
{
    /// <summary>Why the sink is FAILED; left out otherwise.</summary>
    public string? StatusReason { get; init; }

    public SinkQuarantine? Quarantine { get; init; }

    public bool? Sample { get; init; }

    public QuotaRates? Quota { get; init; }
}

/// <summary>A record that was accepted and could not be loaded, or a request that was discarded.</summary>
/// <param name="ErrorType"><c>Error</c> or <c>Panic</c>.</param>
public sealed record SinkErrorResource(Guid SinkId, string ErrorType, string ErrorMsg, DateTime Time)
{
    /// <summary>Why, for programs: <c>StoreRefused</c>, <c>BatchDiscarded</c>, <c>KeyExists</c>, <c>KeyMissing</c>.</summary>
    public string? ErrorCode { get; init; }

    public string? RequestId { get; init; }

    public int? RecordIndex { get; init; }

    /// <summary>The record's <c>_id</c>.</summary>
    public string? Key { get; init; }

    /// <summary>The record as it would be sent again.</summary>
    public JsonElement? Value { get; init; }
}

/// <summary>One minute with requests; a minute without has no point.</summary>
/// <param name="IngestRate">Records sent on for loading in that minute.</param>
/// <param name="RequestRate">POST requests in that minute.</param>
/// <param name="ErrorRate">Records that failed validation in that minute.</param>
public sealed record SinkMetricResource(DateTime Timestamp, long IngestRate, long RequestRate, long ErrorRate);

/// <summary>Counters of a sink. Always: received = accepted + rejected, accepted = loaded + failed + pending.</summary>
public sealed record LedgerResource(long Requests, long Received, long Accepted, long Rejected, long Loaded, long Failed, long Pending);

// ---- backups ----

/// <param name="Name">Of the directory; <c>null</c>: the time.</param>
public sealed record BackupRequest(string? Name = null);

/// <param name="Files">How many.</param>
public sealed record BackupResource(string Name, DateTime TakenAt, int Files, long Bytes, IReadOnlyList<BackupTableResource> Tables);

/// <param name="Sequence">Every request acknowledged up to this sequence of the table's log is in the backup.</param>
/// <param name="LoadedSequence">What is up to here is in the database file, the rest in the log.</param>
public sealed record BackupTableResource(Guid TableId, Guid DatabaseId, string Name, ulong Sequence, ulong LoadedSequence);

// ---- users and keys ----

public sealed record UserResource(Guid Id, string Email, string FullName, string Role, string Status);

/// <param name="Role"><c>null</c>: the user's own.</param>
/// <param name="Sinks">The sinks that an <c>IngestKey</c> may send to; <c>null</c>: all.</param>
/// <param name="ExpiresAt"><c>null</c>: never.</param>
public sealed record KeyRequest(string Description, string? Role = null, IReadOnlyList<Guid>? Sinks = null, DateTime? ExpiresAt = null)
{
    /// <summary><c>null</c>: the server's default.</summary>
    public QuotaRates? Quota { get; init; }
}

/// <summary>A change of a key; what is <c>null</c> stays.</summary>
public sealed record KeyChange(string? Description, QuotaRates? Quota);

public sealed record KeyResource(Guid Id, Guid UserId, string Description, string Role, DateTime CreatedAt)
{
    /// <summary>Present only in the answer that makes the key.</summary>
    public string? Secret { get; init; }

    public IReadOnlyList<Guid>? Sinks { get; init; }

    public DateTime? ExpiresAt { get; init; }

    public DateTime? LastUsedAt { get; init; }

    public QuotaRates? Quota { get; init; }
}

// ---- records ----

/// <summary>What became of the records of one request. <see cref="Records"/> has one entry a record, in order, unless fewer were asked for.</summary>
public sealed record IngestAnswer(int SuccessCount, int ErrorCount, string? RequestId, IReadOnlyList<RecordStatus>? Records)
{
    /// <summary><c>pending</c>: durable, but not loaded within the time asked for; not to be sent again.</summary>
    public string? State { get; init; }
}

/// <param name="Status"><c>success</c> or <c>error</c>.</param>
public sealed record RecordStatus(string Status)
{
    public string? ErrorCode { get; init; }

    public string? ErrorMessage { get; init; }

    public IReadOnlyList<FieldErrorBody>? Errors { get; init; }

    public IReadOnlyList<RecordWarning>? Warnings { get; init; }

    /// <summary>Place in the request; set when the answer does not list every record.</summary>
    public int? Index { get; init; }
}

/// <param name="Path">JSON Pointer into the record's value.</param>
public sealed record FieldErrorBody(string Column, string Path, string Code, string Expected, string Got);

public sealed record RecordWarning(string Column, string Code);

// ---- SQL ----

/// <summary>The answer to one SQL statement. <see cref="Error"/> is absent on success; then <see cref="Schema"/> and <see cref="Data"/> are present.</summary>
/// <param name="ExecutionTime">Microseconds.</param>
public sealed record SqlAnswer(
    SqlSchema? Schema,
    IReadOnlyList<IReadOnlyList<JsonElement>>? Data,
    string? Error,
    IReadOnlyList<string>? Warnings,
    [property: JsonPropertyName("rows-affected")] long? RowsAffected,
    [property: JsonPropertyName("execution-time")] long ExecutionTime);

public sealed record SqlSchema(IReadOnlyList<SqlField> Fields);

public sealed record SqlField(
    string Name,
    string Type,
    [property: JsonPropertyName("base-type")] string? BaseType,
    [property: JsonPropertyName("type-info"), JsonIgnore(Condition = JsonIgnoreCondition.Never)] JsonElement? TypeInfo);

/// <summary>
/// The wire shapes with their JSON: snake case, indented (shell clients cut answers by line), members that are <c>null</c> left out
/// unless a shape says otherwise. Unknown members are ignored on reading.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    WriteIndented = true)]
[JsonSerializable(typeof(RefusalBody))]
[JsonSerializable(typeof(LoginRequest))]
[JsonSerializable(typeof(LoginAnswer))]
[JsonSerializable(typeof(DatabaseRequest))]
[JsonSerializable(typeof(DatabaseResource))]
[JsonSerializable(typeof(ResourceList<DatabaseResource>))]
[JsonSerializable(typeof(ResourceList<ShapeResource>))]
[JsonSerializable(typeof(TableRequest))]
[JsonSerializable(typeof(TableResource))]
[JsonSerializable(typeof(ResourceList<TableResource>))]
[JsonSerializable(typeof(ColumnRequest))]
[JsonSerializable(typeof(ColumnResource))]
[JsonSerializable(typeof(ResourceList<ColumnResource>))]
[JsonSerializable(typeof(SinkRequest))]
[JsonSerializable(typeof(SinkSchema))]
[JsonSerializable(typeof(SinkResource))]
[JsonSerializable(typeof(ResourceList<SinkResource>))]
[JsonSerializable(typeof(ResourceList<SinkErrorResource>))]
[JsonSerializable(typeof(ResourceList<SinkMetricResource>))]
[JsonSerializable(typeof(LedgerResource))]
[JsonSerializable(typeof(UserResource))]
[JsonSerializable(typeof(BackupRequest))]
[JsonSerializable(typeof(BackupResource))]
[JsonSerializable(typeof(ResourceList<BackupResource>))]
[JsonSerializable(typeof(KeyRequest))]
[JsonSerializable(typeof(KeyChange))]
[JsonSerializable(typeof(KeyResource))]
[JsonSerializable(typeof(ResourceList<KeyResource>))]
[JsonSerializable(typeof(IngestAnswer))]
[JsonSerializable(typeof(SqlAnswer))]
[JsonSerializable(typeof(TailResource))]
[JsonSerializable(typeof(QuarantineResource))]
[JsonSerializable(typeof(QuarantinePage))]
[JsonSerializable(typeof(ReplayRequest))]
[JsonSerializable(typeof(ReplayAnswer))]
[JsonSerializable(typeof(ResourceList<SinkMappingResource>))]
public sealed partial class WireJson : JsonSerializerContext;
