using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Log;

/// <summary>
/// The payload of a frame of records: who sent it, the accepted rows as columns, and the rejected records with their errors and
/// their text. docs/log-format.md is its specification: keep both in sync.
/// </summary>
public static class RecordsFrame
{
    /// <summary>Longest raw text kept of a rejected record: 65,536 bytes. A longer one is kept without text.</summary>
    public const int MaxRawBytes = 65_536;

    /// <summary>
    /// Most bytes of errors kept in one frame: 4,194,304. A record without a value fails in every column, so a few bytes could ask for many; the
    /// records beyond are kept with their text and their first error.
    /// </summary>
    public const int MaxErrorBytes = 4 << 20;

    const byte HasStates = 1;
    const byte HasTimes = 2;

    /// <summary>What a frame says beside its rows.</summary>
    /// <param name="Caller">Id of the user or key that sent the request.</param>
    /// <param name="IdempotencyKey">Empty: none.</param>
    /// <param name="BodyHash">SHA-256 that knows the request again when it has a key; else empty.</param>
    /// <param name="BodyBytes">Bytes of the decompressed body, of a part those up to its end.</param>
    public readonly record struct Meta(string Caller, string IdempotencyKey, ReadOnlyMemory<byte> BodyHash, long BodyBytes);

    /// <summary>Which part of its request a frame is; the default is the only one.</summary>
    /// <param name="First">Sequence of the first part; 0 in that one.</param>
    /// <param name="AcceptedBefore">Rows in the parts before.</param>
    /// <param name="HasMore">Another part follows.</param>
    public readonly record struct Part(ulong First, int AcceptedBefore, bool HasMore);

    /// <summary>Encodes the rows of one request, or of a part of one; position and checksum are added by the log.</summary>
    /// <param name="body">What the places of <paramref name="rows"/> count in, for the text of rejected records.</param>
    public static FrameBuffer Encode(
        RecordDecoder decoder, Guid sinkId, long receivedAtMicroseconds, in Meta meta, RecordRows rows, ReadOnlySpan<byte> body, Part part = default) =>
        Encode(FrameKind.Records, decoder, sinkId, receivedAtMicroseconds, meta, rows, body, part);

    /// <summary>Encodes records that failed before and are right now. Each row names the record it comes from in column <see cref="RecordOperations.OriginColumnId"/>.</summary>
    internal static FrameBuffer EncodeReplay(RecordDecoder decoder, Guid sinkId, long receivedAtMicroseconds, in Meta meta, RecordRows rows) =>
        Encode(FrameKind.Replay, decoder, sinkId, receivedAtMicroseconds, meta, rows, [], default);

    static FrameBuffer Encode(
        FrameKind kind, RecordDecoder decoder, Guid sinkId, long receivedAtMicroseconds, in Meta meta, RecordRows rows, ReadOnlySpan<byte> body, Part part)
    {
        var frame = new FrameBuffer(Estimate(rows));
        frame.Take(FrameHeader.Size);
        frame.Text(meta.Caller);
        frame.Text(meta.IdempotencyKey);
        frame.Int32(meta.BodyHash.Length);
        frame.Bytes(meta.BodyHash.Span);
        frame.Int64(meta.BodyBytes);
        WriteColumns(frame, rows, hasKey: !decoder.Schema.IsAutoId);
        var hasWarnings = kind == FrameKind.Records && rows.Warnings.Count > 0;
        if (kind == FrameKind.Records) WriteRejected(frame, rows, decoder.KeepsRaw, body);
        if (hasWarnings) WriteWarnings(frame, rows.Warnings);
        return Close(frame, new FrameHeader
        {
            Kind = kind,
            Flags = (part.HasMore ? FrameFlags.None : FrameFlags.LastPart) | (rows.IsDiscarded ? FrameFlags.Discarded : FrameFlags.None)
                | (HasOperations(rows) ? FrameFlags.Operations : FrameFlags.None)
                | (kind == FrameKind.Records && rows.Rejected.Count > 0 && rows.Form != default ? FrameFlags.Forms : FrameFlags.None)
                | (hasWarnings ? FrameFlags.Warnings : FrameFlags.None),
            ReceivedAtMicroseconds = receivedAtMicroseconds,
            SinkId = sinkId,
            MappingVersion = (uint)decoder.MappingVersion,
            SchemaVersion = (uint)decoder.Schema.Version,
            RecordCount = kind == FrameKind.Records ? rows.RecordCount : rows.AcceptedCount, // what fails again stays where it is
            AcceptedCount = rows.AcceptedCount,
            FirstRecordIndex = rows.FirstRecordIndex,
            FirstPart = part.First,
            AcceptedBefore = rows.IsDiscarded ? 0 : part.AcceptedBefore,
        });
    }

    /// <summary>Writes the header before a finished payload and pads the frame.</summary>
    internal static FrameBuffer Close(FrameBuffer frame, FrameHeader header)
    {
        var payloadBytes = frame.Length - FrameHeader.Size;
        frame.Take(FrameHeader.PaddedSize(payloadBytes) - frame.Length).Clear();
        (header with
        {
            FrameBytes = frame.Length,
            PayloadBytes = payloadBytes,
            PayloadCrc = Crc32C.Of(frame.Span.Slice(FrameHeader.Size, payloadBytes)),
        }).Write(frame.Span);
        return frame;
    }

    /// <summary>Reads who sent the request.</summary>
    public static Meta ReadMeta(ReadOnlySpan<byte> payload)
    {
        var reader = new PayloadReader(payload);
        return new Meta(reader.Text(), reader.Text(), reader.Section().ToArray(), reader.Int64());
    }

    /// <summary>The idempotency key of the request; empty: none.</summary>
    internal static ReadOnlySpan<byte> ReadKey(ReadOnlySpan<byte> payload)
    {
        var reader = new PayloadReader(payload);
        reader.Section();
        return reader.Section();
    }

    /// <summary>Bytes of the decompressed body up to the end of this frame.</summary>
    /// <returns>0 also where the payload is none of records: counting must not fail.</returns>
    internal static long ReadBodyBytes(ReadOnlySpan<byte> payload)
    {
        for (var sections = 3; sections > 0; sections--)
        {
            if (payload.Length < sizeof(int)) return 0;
            var length = BinaryPrimitives.ReadInt32LittleEndian(payload);
            if ((uint)length > payload.Length - sizeof(int)) return 0;
            payload = payload[(sizeof(int) + length)..];
        }
        return payload.Length < sizeof(long) ? 0 : BinaryPrimitives.ReadInt64LittleEndian(payload);
    }

    /// <summary>Appends the accepted rows to columns, by column id; a column the caller does not know is passed over.</summary>
    /// <param name="find">The buffer for a column id, or <c>null</c> when the table has no such column any more.</param>
    internal static void ReadColumns(ReadOnlySpan<byte> payload, int rowCount, Func<int, ColumnBuffer?> find)
    {
        var reader = new PayloadReader(payload);
        reader.SkipMeta();
        var count = reader.UInt16();
        for (var i = 0; i < count; i++)
        {
            var id = reader.Int32();
            var kind = (PhysicalKind)reader.Byte();
            var flags = reader.Byte();
            var vectorLength = reader.UInt16();
            var states = (flags & HasStates) != 0 ? reader.Bytes(rowCount) : [];
            var int64s = kind is PhysicalKind.Int64 or PhysicalKind.Int64List ? reader.Section() : [];
            var float64s = kind is PhysicalKind.Float64Vector ? reader.Section() : [];
            var ends = kind is PhysicalKind.Text or PhysicalKind.Int64List or PhysicalKind.TextList ? reader.Bytes(rowCount * sizeof(int)) : [];
            var memberEnds = kind is PhysicalKind.TextList ? reader.Section() : [];
            var memberTimes = (flags & HasTimes) != 0 ? reader.Section() : [];
            var bytes = kind is PhysicalKind.Bool or PhysicalKind.Text or PhysicalKind.TextList ? reader.Section() : [];
            if (find(id) is not { } column)
            {
                // the table may have lost a column, and what a record does cannot be passed over
                if (id < 0) throw new SluiceException(ErrorCode.Corrupt, $"a frame holds column {id}, which this version does not know");
                continue;
            }
            if (column.Kind != kind || column.VectorLength != vectorLength)
                throw new SluiceException(ErrorCode.Corrupt, $"a frame holds column {id} as {kind}, the table as {column.Kind}");
            column.AddBlock(rowCount, states, int64s, float64s, ends, memberEnds, memberTimes, bytes);
        }
    }

    /// <summary>The rejected records as they were written: index, errors as JSON, raw text (empty: not kept).</summary>
    internal static List<(int Index, string ErrorsJson, byte[] Raw)> ReadRejected(ReadOnlySpan<byte> payload, int rowCount, int rejectedCount)
    {
        var reader = new RejectedReader(payload, rowCount);
        var rejected = new List<(int, string, byte[])>(rejectedCount);
        for (var i = 0; i < rejectedCount; i++)
        {
            reader.Read();
            rejected.Add((reader.Index, Encoding.UTF8.GetString(reader.Errors), reader.Raw.ToArray()));
        }
        return rejected;
    }

    static bool HasOperations(RecordRows rows) => rows.Operations.RowCount > 0 || rows.Versions.RowCount > 0;

    static void WriteColumns(FrameBuffer frame, RecordRows rows, bool hasKey)
    {
        var (hasOperations, hasVersions) = (rows.Operations.RowCount > 0, rows.Versions.RowCount > 0);
        var hasOrigins = rows.Origins.RowCount > 0;
        var first = hasKey ? 0 : 1;
        frame.UInt16((ushort)(rows.Columns.Count - first + (hasOperations ? 1 : 0) + (hasVersions ? 1 : 0) + (hasOrigins ? 1 : 0)));
        for (var i = first; i < rows.Columns.Count; i++) WriteColumn(frame, rows.Columns[i]);
        if (hasOperations) WriteColumn(frame, rows.Operations);
        if (hasVersions) WriteColumn(frame, rows.Versions);
        if (hasOrigins) WriteColumn(frame, rows.Origins);
    }

    static void WriteColumn(FrameBuffer frame, ColumnBuffer column)
    {
        var hasStates = column.ValueCount != column.RowCount;
        frame.Int32(column.ColumnId);
        frame.Byte((byte)column.Kind);
        frame.Byte((byte)((hasStates ? HasStates : 0) | (column.HasTimes ? HasTimes : 0)));
        frame.UInt16((ushort)column.VectorLength);
        if (hasStates) frame.Array(column.States);
        if (column.Kind is PhysicalKind.Int64 or PhysicalKind.Int64List) WriteSection(frame, column.Int64s);
        if (column.Kind is PhysicalKind.Float64Vector) WriteSection(frame, column.Float64s);
        frame.Array(column.Ends);
        if (column.Kind is PhysicalKind.TextList) WriteSection(frame, column.MemberEnds);
        if (column.HasTimes) WriteSection(frame, column.MemberTimes);
        if (column.Kind is PhysicalKind.Bool or PhysicalKind.Text or PhysicalKind.TextList) WriteSection(frame, column.Bytes);
    }

    static void WriteSection<T>(FrameBuffer frame, ReadOnlySpan<T> values) where T : unmanaged
    {
        frame.Int32(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values).Length);
        frame.Array(values);
    }

    static void WriteRejected(FrameBuffer frame, RecordRows rows, bool keepsRaw, ReadOnlySpan<byte> body)
    {
        var errorBytes = 0;
        foreach (var record in rows.Rejected)
        {
            frame.Int32(record.Index | (rows.Form.ToByte() << RejectedReader.FormShift));
            IReadOnlyList<FieldError> kept = errorBytes < MaxErrorBytes || record.Errors.Count < 2 ? record.Errors : [record.Errors[0]];
            var errors = JsonSerializer.SerializeToUtf8Bytes(kept, RecordErrorJson.Default.IReadOnlyListFieldError);
            errorBytes += errors.Length;
            WriteSection<byte>(frame, errors);
            var raw = rows.Records[record.Index - rows.FirstRecordIndex];
            WriteSection(frame, keepsRaw && raw.Length <= MaxRawBytes ? body.Slice(raw.Start, raw.Length) : []);
        }
    }

    static void WriteWarnings(FrameBuffer frame, IReadOnlyList<TruncationWarning> warnings)
    {
        var places = new Dictionary<string, ushort>(StringComparer.Ordinal);
        foreach (var warning in warnings) places.TryAdd(warning.Column, (ushort)places.Count);
        frame.UInt16((ushort)places.Count);
        foreach (var column in places.Keys) frame.Text(column);
        frame.Int32(warnings.Count);
        foreach (var warning in warnings)
        {
            frame.Int32(warning.RecordIndex);
            frame.UInt16(places[warning.Column]);
        }
    }

    static int Estimate(RecordRows rows)
    {
        var bytes = FrameHeader.Size + 256;
        foreach (var column in rows.Columns)
        {
            bytes += 64 + column.RowCount + (column.Int64s.Length * sizeof(long)) + (column.Float64s.Length * sizeof(double)) + (column.Ends.Length * sizeof(int))
                + (column.MemberEnds.Length * sizeof(int)) + (column.MemberTimes.Length * sizeof(long)) + column.Bytes.Length;
        }
        return bytes;
    }

    internal ref struct PayloadReader(ReadOnlySpan<byte> payload)
    {
        ReadOnlySpan<byte> _rest = payload;

        public byte Byte() => Bytes(1)[0];

        public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2));

        public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Bytes(4));

        public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Bytes(8));

        public string Text() => Encoding.UTF8.GetString(Section());

        public ReadOnlySpan<byte> Section() => Bytes(Int32());

        public ReadOnlySpan<byte> Bytes(int count)
        {
            var bytes = _rest[..count];
            _rest = _rest[count..];
            return bytes;
        }

        public void SkipMeta()
        {
            for (var i = 0; i < 3; i++) Section();
            Int64();
        }

        public void SkipColumns(int rowCount)
        {
            var count = UInt16();
            for (var i = 0; i < count; i++)
            {
                Int32();
                var kind = (PhysicalKind)Byte();
                var flags = Byte();
                UInt16();
                if ((flags & HasStates) != 0) Bytes(rowCount);
                if (kind is PhysicalKind.Int64 or PhysicalKind.Int64List or PhysicalKind.Float64Vector) Section();
                if (kind is PhysicalKind.Text or PhysicalKind.Int64List or PhysicalKind.TextList) Bytes(rowCount * sizeof(int));
                if (kind is PhysicalKind.TextList) Section();
                if ((flags & HasTimes) != 0) Section();
                if (kind is PhysicalKind.Bool or PhysicalKind.Text or PhysicalKind.TextList) Section();
            }
        }
    }
}
