using Microsoft.Win32.SafeHandles;

namespace Sluice.Cli;

/// <summary>Standard output into a pipe that tells when nobody reads it any more; the console's own stream writes on, into nothing.</summary>
/// <param name="pipe">Unbuffered.</param>
sealed class OutputPipe(FileStream pipe) : Stream
{
    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Takes the place of the console's stream where the output is a pipe. Not of a file: other programs write on at its place in that.</summary>
    public static void Use()
    {
        if (OperatingSystem.IsWindows() || !Console.IsOutputRedirected) return;
        var output = new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        if (!output.CanSeek) Console.SetOut(new StreamWriter(new OutputPipe(output), Console.OutputEncoding) { AutoFlush = true });
    }

    /// <exception cref="OutputClosedException">Nobody reads it any more.</exception>
    public override void Write(byte[] buffer, int offset, int count)
    {
        try
        {
            pipe.Write(buffer, offset, count);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new OutputClosedException();
        }
    }

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}

/// <summary>Ends the command without a word: there is nobody to read it. No <see cref="IOException"/>, which commands take for a lost connection.</summary>
sealed class OutputClosedException() : Exception("nobody reads the output any more");
