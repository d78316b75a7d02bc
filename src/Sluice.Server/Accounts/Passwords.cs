using System.Security.Cryptography;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;

namespace Sluice.Server.Accounts;

/// <summary>Hashes and checks passwords: PBKDF2 with HMAC-SHA512, a random salt each. Any thread.</summary>
sealed class Passwords
{
    /// <summary>OWASP's figure for PBKDF2 with HMAC-SHA512; a tenth of a second or so each.</summary>
    public const int Iterations = 210_000;

    const string Alphabet = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789";

    readonly PasswordHasher<object> _hasher = new(Options.Create(new PasswordHasherOptions { IterationCount = Iterations }));

    readonly string _nobody;

    public Passwords() => _nobody = Hash(Generate());

    public string Hash(string password) => _hasher.HashPassword(this, password);

    /// <param name="hash"><c>null</c>: there is no such user; takes as long as if there were one, and returns false.</param>
    public bool Verify(string? hash, string password) =>
        _hasher.VerifyHashedPassword(this, hash ?? _nobody, password) != PasswordVerificationResult.Failed && hash is not null;

    /// <summary>A password of 24 letters and digits, 136 random bits, without those that look alike.</summary>
    public static string Generate() => RandomNumberGenerator.GetString(Alphabet, 24);
}
