using System.CommandLine;
using Sluice.Client;
using Spectre.Console;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice login</c>: keeps a login for the commands that follow.</summary>
static class LoginCommand
{
    const string NoTerminal = "There is no terminal to ask at; give the e-mail as an argument and the password with --password-stdin.";

    public static Command Create()
    {
        var email = new Argument<string?>("email") { Description = "Asked for when left out.", Arity = ArgumentArity.ZeroOrOne };
        var passwordStdin = new Option<bool>("--password-stdin") { Description = "Read the password from standard input." };
        var forget = new Option<bool>("--forget") { Description = "Forget the kept login." };
        return new ServerCommand("login", "Log in and keep the login. The password is asked for, read from standard input, or taken from SLUICE_PASSWORD.", email, passwordStdin, forget)
            .DoesUnauthenticated(async (parse, find, cancellation) =>
            {
                if (parse.GetValue(forget))
                {
                    SavedLogin.Delete();
                    return ExitCode.Done;
                }
                var server = find();
                using var http = server.Connect();
                var user = parse.GetValue(email) ?? Ask("E-mail: ", isSecret: false);
                var password = parse.GetValue(passwordStdin) ? Console.In.ReadLine() ?? ""
                    : Environment.GetEnvironmentVariable("SLUICE_PASSWORD") ?? Ask("Password: ", isSecret: true);
                var answer = await new SluiceClient(http).LoginAsync(user, password, cancellation);
                new SavedLogin(server.Url, server.CaFile is null ? null : Path.GetFullPath(server.CaFile), answer.AuthenticationResult.IdToken, answer.AuthenticationResult.RefreshToken).Write();
                Console.WriteLine($"Logged in to {server.Url} as {user}.");
                return ExitCode.Done;
            });
    }

    static string Ask(string question, bool isSecret)
    {
        if (Console.IsInputRedirected || Console.IsErrorRedirected) throw new CommandException(NoTerminal);
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error), Interactive = InteractionSupport.Yes }); // the output may go to a file
        var prompt = new TextPrompt<string>(question);
        return console.Prompt(isSecret ? prompt.Secret() : prompt);
    }
}
