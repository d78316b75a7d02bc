namespace Sluice.Stores.DuckDb;

/// <summary>What is asked for with the text of a query.</summary>
public enum QueryForm
{
    Rows,

    /// <summary>The plan, for people; the query does not run.</summary>
    Plan,

    /// <summary>The plan as JSON; the query does not run.</summary>
    JsonPlan,

    /// <summary>Rows; the query was made around the predicate of a DELETE, and is held to that.</summary>
    Deletion,
}
