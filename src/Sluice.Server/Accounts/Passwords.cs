using System.Security.Cryptography;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;

namespace Sluice.Server.Accounts;

/// <summary>Hashes and checks passwords: PBKDF2 with HMAC-SHA512, a random salt each. Any thread.</summary>
sealed class Passwords
{
    /// <summary>OWASP's figure for PBKDF2 with HMAC-SHA512; a tenth of a second or so each.</summary>
    public const int Iterations = 210_000;

    public const int MinLength = 8;

    // far above any password; a limit so that nobody hashes megabytes
    public const int MaxLength = 1_024;

    const string Alphabet = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789";

    readonly PasswordHasher<object> _hasher = new(Options.Create(new PasswordHasherOptions { IterationCount = Iterations }));

    readonly string _nobody;

    public Passwords() => _nobody = Hash(Generate());

    public string Hash(string password) => _hasher.HashPassword(this, password);

    /// <param name="hash"><c>null</c> or empty: there is no such user, or one without a password; takes as long as any other, and returns false.</param>
    public bool Verify(string? hash, string password)
    {
        var isMade = !string.IsNullOrEmpty(hash);
        return _hasher.VerifyHashedPassword(this, isMade ? hash! : _nobody, password) != PasswordVerificationResult.Failed && isMade;
    }

    /// <summary>The rules of the original's sign-up.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>, naming every rule that is broken.</exception>
    public static void Check(string password)
    {
        var faults = new List<string>();
        if (password.Length < MinLength)
            faults.Add($"at least {MinLength} characters");
        if (password.Length > MaxLength)
            faults.Add($"at most {MaxLength} characters");
        if (!password.Any(char.IsUpper))
            faults.Add("an upper-case letter");
        if (!password.Any(char.IsDigit))
            faults.Add("a digit");
        if (password.All(char.IsLetterOrDigit))
            faults.Add("a character that is neither letter nor digit");
        if (faults.Count > 0)
            throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter 'password' needs {string.Join(", ", faults)}.");
    }

    /// <summary>A password of 24 letters and digits, 136 random bits, without those that look alike.</summary>
    public static string Generate() => RandomNumberGenerator.GetString(Alphabet, 24);
}
