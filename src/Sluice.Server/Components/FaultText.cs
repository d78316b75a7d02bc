using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Sluice.Load;

namespace Sluice.Server.Components;

/// <summary>A refusal as a person reads it: what is wrong, and what to do.</summary>
static class FaultText
{
    public static string Of(Exception e) => e switch
    {
        SluiceException fault => Sentence(fault.Message) + WayOut(fault.Code),
        RefusedException fault => Sentence(fault.Message),
        StoreException => "The database cannot be used at this moment. Try again in a few seconds.",
        SqliteException or DbUpdateException => "The catalogue cannot be read or written at this moment. Try again in a few seconds.",
        _ => "The server failed; its log says more.",
    };

    /// <summary>A database did not do what was asked of it, mostly the catalogue: it is busy, or the disk is full.</summary>
    public static bool IsOfDatabase(Exception e) => e is DbException or DbUpdateException;

    /// <summary>Messages of the engine are fragments; a page shows sentences.</summary>
    public static string Sentence(string message)
    {
        var text = message.Trim();
        if (text.Length == 0)
            return "";
        var begun = char.ToUpperInvariant(text[0]) + text[1..];
        return begun[^1] is '.' or '!' or '?' ? begun : begun + ".";
    }

    static string WayOut(ErrorCode code) => code switch
    {
        ErrorCode.NotFound => " It may have been deleted meanwhile; go back to the list.",
        ErrorCode.AlreadyExists => " Choose another name.",
        ErrorCode.Forbidden => " Ask an administrator for the right to do it.",
        ErrorCode.IncorrectState or ErrorCode.Unavailable or ErrorCode.QuotaExceeded or ErrorCode.LogBacklog or ErrorCode.LoaderStalled => " Try again in a few seconds.",
        ErrorCode.DiskLow => " Free some space on the server's disk.",
        ErrorCode.Draining => " The server is being restarted; try again in a minute.",
        ErrorCode.LimitExceeded => " Delete what is no longer needed, or raise the limit in the server's options.",
        _ => "",
    };
}
