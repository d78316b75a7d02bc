namespace Sluice.Cli;

/// <summary>Ends the command with a sentence for its user.</summary>
sealed class CommandException(string message) : Exception(message);
