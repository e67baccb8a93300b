import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.CorruptRecordException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.PrimitiveRef;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogValidator;

/**
 * Kafka's own record classes beside ours. Usage: RecordsCheck DIR, where DIR holds
 *
 *   read/*.batch   batches to read: writes read/*.txt, a line a record
 *   judge/*.batch  batches to refuse: writes judge/*.code, the name of the error a broker answers with
 *   write/         gets NAME.batch, the records of write/records.txt (lines as in read/*.txt) in each codec
 */
public class RecordsCheck {
    static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws Exception {
        Path dir = Path.of(args[0]);
        for (Path path : batches(dir.resolve("read"))) {
            Files.writeString(sibling(path, ".txt"), dump(MemoryRecords.readableRecords(bytes(path))));
        }
        for (Path path : batches(dir.resolve("judge"))) {
            Files.writeString(sibling(path, ".code"), judge(bytes(path)));
        }
        SimpleRecord[] records = parse(Files.readAllLines(dir.resolve("write/records.txt")));
        for (CompressionType type : CompressionType.values()) {
            MemoryRecords written = MemoryRecords.withRecords(Compression.of(type).build(), records);
            byte[] out = new byte[written.sizeInBytes()];
            written.buffer().get(out);
            Files.write(dir.resolve("write/" + type.name + ".batch"), out);
        }
    }

    static List<Path> batches(Path dir) throws Exception {
        try (var paths = Files.list(dir)) {
            return paths.filter(path -> path.toString().endsWith(".batch")).sorted().toList();
        }
    }

    static Path sibling(Path path, String suffix) {
        return path.resolveSibling(path.getFileName().toString().replace(".batch", suffix));
    }

    static ByteBuffer bytes(Path path) throws Exception {
        return ByteBuffer.wrap(Files.readAllBytes(path));
    }

    static String hex(ByteBuffer buffer) {
        if (buffer == null)
            return "null";
        byte[] out = new byte[buffer.remaining()];
        buffer.duplicate().get(out);
        return "x" + HEX.formatHex(out);
    }

    static String hex(byte[] data) {
        return hex(data == null ? null : ByteBuffer.wrap(data));
    }

    static byte[] unhex(String text) {
        return text.equals("null") ? null : HEX.parseHex(text.substring(1));
    }

    static String dump(MemoryRecords records) {
        StringBuilder out = new StringBuilder();
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            for (Record record : batch) {
                record.ensureValid();
                out.append(record.offset()).append(' ').append(record.timestamp()).append(' ');
                out.append(hex(record.key())).append(' ').append(hex(record.value()));
                for (Header header : record.headers()) {
                    out.append(' ').append(hex(header.key().getBytes(StandardCharsets.UTF_8)));
                    out.append('=').append(hex(header.value()));
                }
                out.append('\n');
            }
        }
        return out.toString();
    }

    static SimpleRecord[] parse(List<String> lines) {
        List<SimpleRecord> records = new ArrayList<>();
        for (String line : lines) {
            String[] fields = line.split(" ");
            List<Header> headers = new ArrayList<>();
            for (int i = 4; i < fields.length; i++) {
                String[] pair = fields[i].split("=");
                headers.add(new RecordHeader(new String(unhex(pair[0]), StandardCharsets.UTF_8), unhex(pair[1])));
            }
            records.add(new SimpleRecord(Long.parseLong(fields[1]), unhex(fields[2]), unhex(fields[3]),
                headers.toArray(new Header[0])));
        }
        return records.toArray(new SimpleRecord[0]);
    }

    /** What the produce path checks, in its order, as far as its classes can be reached. */
    static String judge(ByteBuffer buffer) {
        try {
            MemoryRecords records = MemoryRecords.readableRecords(buffer);
            ProduceRequest.validateRecords((short) 12, records);
            CompressionType codec = CompressionType.NONE;
            for (MutableRecordBatch batch : records.batches()) {
                if (!batch.isValid())
                    throw new CorruptRecordException("CRC");
                codec = batch.compressionType();
            }
            new LogValidator(records, new TopicPartition("t", 0), Time.SYSTEM, codec, Compression.of(codec).build(),
                false, (byte) 2, TimestampType.CREATE_TIME, Long.MAX_VALUE, Long.MAX_VALUE, 0, AppendOrigin.CLIENT)
                .validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(0), new LogValidator.MetricsRecorder() {
                    public void recordInvalidMagic() { }
                    public void recordInvalidOffset() { }
                    public void recordInvalidSequence() { }
                    public void recordInvalidChecksums() { }
                    public void recordNoKeyCompactedTopic() { }
                }, BufferSupplier.NO_CACHING);
            return "NONE";
        } catch (Throwable error) {
            return Errors.forException(error).name();
        }
    }
}
