using System.Buffers;
using Microsoft.AspNetCore.Connections;

namespace Sluice.Server;

/// <summary>What Kestrel receives into and answers from: larger pieces than its own 4 KiB, so that a body takes fewer calls of the system and fewer turns of the reader (ADR 13). Any thread.</summary>
sealed class ReceiveBuffers : IMemoryPoolFactory<byte>
{
    /// <summary>A connection has one while it is sending or being answered, or has sent a part of a request; an idle one has none.</summary>
    public const int Bytes = 32 * 1024;

    public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => new Pool();

    sealed class Pool : MemoryPool<byte>
    {
        public override int MaxBufferSize => Shared.MaxBufferSize;

        public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => Shared.Rent(Math.Max(minBufferSize, Bytes));

        protected override void Dispose(bool disposing)
        {
            // the shared pool is nobody's to dispose of
        }
    }
}
