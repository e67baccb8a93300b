import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.BatchMetadata;
import org.apache.kafka.storage.internals.log.CompletedTxn;
import org.apache.kafka.storage.internals.log.LogOffsetMetadata;
import org.apache.kafka.storage.internals.log.ProducerAppendInfo;
import org.apache.kafka.storage.internals.log.ProducerStateEntry;
import org.apache.kafka.storage.internals.log.ProducerStateManager;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;

/**
 * Kafka's own producer state beside ours. Usage: ProducerCheck DIR, where DIR/operations.txt holds a line each
 *
 *   append PRODUCER EPOCH FIRST_SEQUENCE LAST_SEQUENCE COUNT TIMESTAMP TRANSACTIONAL(0|1)
 *   marker PRODUCER EPOCH COORDINATOR_EPOCH TIMESTAMP
 *   expire NOW
 *
 * Writes DIR/answers.txt, a line each, and a snapshot of the state at the end.
 */
public class ProducerCheck {
    static final int EXPIRATION_MS = 1000;
    static ProducerStateManager manager;
    static long end = 0;

    public static void main(String[] args) throws Exception {
        Path dir = Path.of(args[0]);
        manager = new ProducerStateManager(new TopicPartition("t", 0), dir.toFile(), 60_000,
            new ProducerStateManagerConfig(EXPIRATION_MS, false), Time.SYSTEM);
        List<String> answers = new ArrayList<>();
        for (String line : Files.readAllLines(dir.resolve("operations.txt"))) {
            String[] fields = line.split(" ");
            try {
                answers.add(switch (fields[0]) {
                    case "append" -> append(fields);
                    case "marker" -> marker(fields);
                    default -> expire(fields);
                });
            } catch (RuntimeException error) {
                answers.add(Errors.forException(error).name());
            }
        }
        Files.write(dir.resolve("answers.txt"), answers);
        manager.updateMapEndOffset(end);
        manager.takeSnapshot();
    }

    static String append(String[] fields) {
        long producer = Long.parseLong(fields[1]);
        short epoch = Short.parseShort(fields[2]);
        int first = Integer.parseInt(fields[3]);
        int last = Integer.parseInt(fields[4]);
        int count = Integer.parseInt(fields[5]);
        ProducerStateEntry entry = manager.activeProducers().get(producer);
        if (entry != null && entry.producerEpoch() == epoch) {
            for (BatchMetadata batch : entry.batchMetadata()) {
                if (batch.firstSeq() == first && batch.lastSeq() == last)
                    return "duplicate " + batch.firstOffset() + " " + batch.lastOffset() + " " + batch.timestamp();
            }
        }
        ProducerAppendInfo info = manager.prepareUpdate(producer, AppendOrigin.CLIENT);
        info.appendDataBatch(epoch, first, last, Long.parseLong(fields[6]), new LogOffsetMetadata(end),
            end + count - 1, fields[7].equals("1"));
        manager.update(info);
        end += count;
        return "appended " + (end - count);
    }

    static String marker(String[] fields) {
        long producer = Long.parseLong(fields[1]);
        ProducerAppendInfo info = manager.prepareUpdate(producer, AppendOrigin.COORDINATOR);
        Optional<CompletedTxn> completed = info.appendEndTxnMarker(
            new EndTransactionMarker(ControlRecordType.COMMIT, Integer.parseInt(fields[3])),
            Short.parseShort(fields[2]), end, Long.parseLong(fields[4]), (short) 0);
        manager.update(info);
        completed.ifPresent(manager::completeTxn);
        end += 1;
        return "marker " + completed.map(txn -> txn.firstOffset()).orElse(-1L);
    }

    static String expire(String[] fields) {
        int before = manager.producerIdCount();
        manager.removeExpiredProducers(Long.parseLong(fields[1]));
        return "expired " + (before - manager.producerIdCount());
    }
}
