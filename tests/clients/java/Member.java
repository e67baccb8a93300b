import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of logbroker/testing/group_life.py whose library is Kafka's own consumer, by either protocol: group_life_member.py
 * beside it says what the lines mean.
 */
public class Member implements ConsumerRebalanceListener {
    static final ObjectMapper JSON = new ObjectMapper();
    static final Duration POLL = Duration.ofMillis(100);
    static PrintStream out;

    final KafkaConsumer<byte[], byte[]> consumer;
    final String topic;
    final long commitIntervalNanos;
    final Map<Integer, Long> read = new HashMap<>();
    long commits = 0;

    Member(JsonNode subscribe) {
        topic = subscribe.get("topic").asText();
        commitIntervalNanos = subscribe.get("commit_interval_ms").asLong() * 1_000_000;
        Map<String, Object> config = new HashMap<>(Map.of(
            "bootstrap.servers", subscribe.get("bootstrap").asText(),
            "group.id", subscribe.get("group").asText(),
            "client.id", subscribe.get("name").asText(),
            "auto.offset.reset", "earliest",
            "enable.auto.commit", false,
            "max.poll.interval.ms", subscribe.get("max_poll_interval_ms").asInt(),
            "fetch.min.bytes", 4096,
            "fetch.max.wait.ms", 250));
        if (subscribe.get("protocol").asText().equals("consumer")) {
            config.put("group.protocol", "consumer");
        } else {
            config.put("partition.assignment.strategy", RangeAssignor.class.getName());
            config.put("session.timeout.ms", subscribe.get("session_timeout_ms").asInt());
            config.put("heartbeat.interval.ms", subscribe.get("heartbeat_interval_ms").asInt());
        }
        consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(List.of(topic), this);
    }

    public static void main(String[] arguments) throws Exception {
        out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err);
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        say("ready");
        String first = in.readLine();
        if (first == null) return;
        JsonNode subscribe = JSON.readTree(first);
        var commands = new LinkedBlockingQueue<JsonNode>();
        var reader = new Thread(() -> {
            try {
                for (String line; (line = in.readLine()) != null; ) commands.add(JSON.readTree(line));
            } catch (IOException error) {
                error.printStackTrace();
            }
            Runtime.getRuntime().halt(0);
        });
        reader.setDaemon(true);
        reader.start();
        try {
            new Member(subscribe).run(commands);
            Runtime.getRuntime().halt(0);
        } catch (Throwable error) {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    void run(Queue<JsonNode> commands) throws Exception {
        long commitAt = System.nanoTime() + commitIntervalNanos;
        while (true) {
            JsonNode command = commands.poll();
            if (command != null) {
                String op = command.get("op").asText();
                if (op.equals("stop")) break;
                if (op.equals("nap")) Thread.sleep((long) (command.get("seconds").asDouble() * 1000));
                else say("owned", "p", numbers(consumer.assignment()));
            }
            process(consumer.poll(POLL));
            if (System.nanoTime() - commitAt >= 0) {
                commit(null);
                commitAt = System.nanoTime() + commitIntervalNanos;
            }
        }
        consumer.close();
        say("left");
    }

    /** The records of a poll, said in runs of offsets without a gap. */
    void process(ConsumerRecords<byte[], byte[]> records) throws IOException {
        List<long[]> spans = new ArrayList<>();
        for (TopicPartition partition : records.partitions()) {
            long[] span = null;
            for (var each : records.records(partition)) {
                String expected = each.partition() + ":" + each.offset();
                if (each.value() == null || !new String(each.value(), StandardCharsets.UTF_8).equals(expected))
                    say("wrong", "x", expected + " is " + Arrays.toString(each.value()));
                if (span != null && span[2] == each.offset()) span[2]++;
                else spans.add(span = new long[] {each.partition(), each.offset(), each.offset() + 1});
            }
        }
        if (spans.isEmpty()) return;
        say("read", "s", spans);
        for (long[] span : spans) read.put((int) span[0], span[2]);
    }

    /** Commits what was read and isn't committed, of some partitions or of all. */
    void commit(Set<Integer> among) throws IOException {
        Map<Integer, Long> offsets = new TreeMap<>(read);
        if (among != null) offsets.keySet().retainAll(among);
        if (offsets.isEmpty()) return;
        long number = ++commits;
        say("committing", "n", number, "o", offsets);
        Map<TopicPartition, OffsetAndMetadata> sent = new HashMap<>();
        offsets.forEach((partition, offset) -> sent.put(new TopicPartition(topic, partition), new OffsetAndMetadata(offset)));
        try {
            consumer.commitSync(sent);
            offsets.keySet().forEach(read::remove);
            say("committed", "n", number);
        } catch (KafkaException error) {
            say("refused", "n", number, "x", error.toString());
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        unchecked(() -> say("assigned", "p", numbers(partitions)));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        unchecked(() -> {
            commit(numbers(partitions));
            gone("revoked", partitions);
        });
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        unchecked(() -> gone("lost", partitions));
    }

    void gone(String kind, Collection<TopicPartition> partitions) throws IOException {
        read.keySet().removeAll(numbers(partitions));
        if (!partitions.isEmpty()) say(kind, "p", numbers(partitions));
    }

    static Set<Integer> numbers(Collection<TopicPartition> partitions) {
        Set<Integer> numbers = new TreeSet<>();
        for (TopicPartition each : partitions) numbers.add(each.partition());
        return numbers;
    }

    interface Throwing { void run() throws IOException; }

    static void unchecked(Throwing what) {
        try {
            what.run();
        } catch (IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    /** One line, in one write; System.nanoTime is CLOCK_MONOTONIC. */
    static void say(String kind, Object... fields) throws IOException {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("t", System.nanoTime() / 1e9);
        line.put("e", kind);
        for (int at = 0; at < fields.length; at += 2) line.put((String) fields[at], fields[at + 1]);
        byte[] bytes = (JSON.writeValueAsString(line) + "\n").getBytes(StandardCharsets.UTF_8);
        out.write(bytes, 0, bytes.length);
        out.flush();
    }
}
