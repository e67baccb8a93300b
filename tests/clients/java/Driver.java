import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own Java clients, driven by lines of JSON as tests/clients/drivers/lines.py describes. */
public class Driver {
    static final long TIMEOUT_MS = 30_000;
    static final ObjectMapper JSON = new ObjectMapper();

    final String server;
    final Admin admin;
    final Map<String, KafkaConsumer<byte[], byte[]>> members = new HashMap<>();
    final Map<String, KafkaProducer<byte[], byte[]>> transactors = new HashMap<>();

    Driver(String server) {
        this.server = server;
        this.admin = Admin.create(Map.of("bootstrap.servers", server));
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Driver driver = new Driver(arguments[0]);
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            Map<String, Object> answer = new HashMap<>();
            try {
                answer.put("ok", driver.run(JSON.readTree(line)));
            } catch (Exception error) {
                Throwable cause = error instanceof java.util.concurrent.ExecutionException ? error.getCause() : error;
                answer.put("error", String.valueOf(cause.getMessage()));
                answer.put("kind", cause.getClass().getSimpleName());
            }
            out.println(JSON.writeValueAsString(answer));
            out.flush();
        }
        driver.admin.close();
    }

    Object run(JsonNode a) throws Exception {
        String topic = a.path("topic").asText();
        switch (a.get("op").asText()) {
            case "produce": return produce(topic, a);
            case "consume": return consume(topic, a.get("spans"), a.path("isolation").asText("read_uncommitted"));
            case "read_at": return readAt(new TopicPartition(topic, a.get("partition").asInt()), a.get("offsets"));
            case "offsets": return offsets(topic, a.get("partitions"));
            case "offsets_for_times": return offsetsForTimes(topic, a.get("times"));
            case "max_timestamp_offset": return maxTimestampOffset(new TopicPartition(topic, a.get("partition").asInt()));
            case "create_topic": return createTopic(topic, a.get("partitions").asInt(), a.path("config"));
            case "delete_topic": return done(admin.deleteTopics(List.of(topic)).all());
            case "create_partitions":
                return done(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(a.get("total").asInt()))).all());
            case "topics": return topics();
            case "configs": return configs(topic);
            case "set_config": return setConfig(topic, a.get("name").asText(), a.get("value").asText());
            case "delete_records": return deleteRecords(topic, a.get("before"));
            case "log_dirs": return logDirs();
            case "cluster": return get(admin.describeCluster().nodes()).size();
            case "groups": return get(admin.listGroups().all()).stream().map(GroupListing::groupId).toList();
            case "group": return group(a.get("group").asText());
            case "committed": return committed(a.get("group").asText(), topic, a.get("partitions"));
            case "join": return join(a.get("member").asText(), a.get("group").asText(), a.get("topics"), a.path("protocol").asText("classic"));
            case "poll": return poll(members.get(a.get("member").asText()), a.get("timeout_ms").asLong());
            case "commit": members.get(a.get("member").asText()).commitSync(); return null;
            case "leave": members.remove(a.get("member").asText()).close(); return null;
            case "transactor": return transactor(a.get("name").asText(), a.get("transactional_id").asText(), a.path("timeout_ms").asInt(60_000));
            case "transaction": return transaction(topic, a);
            case "read_committed": return readCommitted(topic, a.get("partitions"));
            default: throw new IllegalArgumentException("no operation " + a.get("op"));
        }
    }

    // ---- Records ----------------------------------------------------------------------------------------------------

    List<Object> produce(String topic, JsonNode a) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", server);
        config.put("compression.type", a.path("codec").asText("none"));
        config.put("enable.idempotence", a.path("idempotence").asBoolean(false));
        // Without sequence numbers a retry overtakes what was sent after it, and a new topic's leader may make for one.
        config.put("max.in.flight.requests.per.connection", a.path("idempotence").asBoolean(false) ? 5 : 1);
        config.put("acks", a.path("acks").asText("all"));
        config.put("linger.ms", 5);
        config.put("batch.size", 65536);
        config.put("max.request.size", 1_048_000);
        List<Object> delivered = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode each : a.get("records")) {
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : each.get("h")) headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
                Long time = each.get("t").isNull() ? null : each.get("t").asLong();
                Integer partition = each.get("p").isNull() ? null : each.get("p").asInt();
                sent.add(producer.send(new ProducerRecord<>(topic, partition, time, bytes(each.get("k")), bytes(each.get("v")), headers)));
            }
            producer.flush();
            for (var future : sent) {
                RecordMetadata at = future.get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
                delivered.add(List.of(at.partition(), at.offset(), at.timestamp()));
            }
        }
        return delivered;
    }

    KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.put("bootstrap.servers", server);
        config.put("enable.auto.commit", false);
        config.putIfAbsent("auto.offset.reset", "none");
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    List<Object> consume(String topic, JsonNode spans, String isolation) {
        Map<TopicPartition, Long> left = new HashMap<>();
        List<Object> read = new ArrayList<>();
        try (var consumer = consumer(Map.of("isolation.level", isolation))) {
            spans.fields().forEachRemaining(span -> {
                if (span.getValue().get(0).asLong() < span.getValue().get(1).asLong())
                    left.put(new TopicPartition(topic, Integer.parseInt(span.getKey())), span.getValue().get(1).asLong());
            });
            consumer.assign(left.keySet());
            for (TopicPartition each : left.keySet()) consumer.seek(each, spans.get(String.valueOf(each.partition())).get(0).asLong());
            long until = System.currentTimeMillis() + TIMEOUT_MS;
            while (!left.isEmpty()) {
                if (System.currentTimeMillis() > until) throw new IllegalStateException("nothing came of " + left);
                for (var each : consumer.poll(Duration.ofSeconds(1))) {
                    TopicPartition partition = new TopicPartition(topic, each.partition());
                    if (!left.containsKey(partition) || each.offset() >= left.get(partition)) continue;
                    read.add(record(each));
                    if (each.offset() + 1 >= left.get(partition)) left.remove(partition);
                }
            }
        }
        return read;
    }

    // ---- Transactions -----------------------------------------------------------------------------------------------

    Object transactor(String name, String transactionalId, int timeoutMs) {
        Map<String, Object> config = Map.of("bootstrap.servers", server, "transactional.id", transactionalId,
            "transaction.timeout.ms", timeoutMs, "max.block.ms", TIMEOUT_MS);
        var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
        producer.initTransactions();
        transactors.put(name, producer);
        return null;
    }

    Object transaction(String topic, JsonNode a) throws Exception {
        var producer = transactors.get(a.get("name").asText());
        producer.beginTransaction();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (JsonNode each : a.get("records"))
            sent.add(producer.send(new ProducerRecord<>(topic, each.get(0).asInt(), null, each.get(1).asText().getBytes(StandardCharsets.UTF_8))));
        producer.flush();
        for (var future : sent) future.get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
        if (a.hasNonNull("offsets")) {
            Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
            a.get("offsets").get("positions").fields().forEachRemaining(each ->
                positions.put(new TopicPartition(topic, Integer.parseInt(each.getKey())), new OffsetAndMetadata(each.getValue().asLong())));
            producer.sendOffsetsToTransaction(positions, new ConsumerGroupMetadata(a.get("offsets").get("group").asText()));
        }
        String end = a.path("end").asText("commit");
        if (end.equals("commit")) producer.commitTransaction();
        if (end.equals("abort")) producer.abortTransaction();
        return null;
    }

    Map<Integer, List<String>> readCommitted(String topic, JsonNode numbers) {
        Map<Integer, List<String>> read = new TreeMap<>();
        try (var consumer = consumer(Map.of("isolation.level", "read_committed"))) {
            var asked = partitions(topic, numbers);
            consumer.assign(asked);
            consumer.seekToBeginning(asked);
            var ends = consumer.endOffsets(asked);
            for (var each : asked) read.put(each.partition(), new ArrayList<>());
            long until = System.currentTimeMillis() + TIMEOUT_MS;
            while (asked.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
                if (System.currentTimeMillis() > until) throw new IllegalStateException("not read to " + ends);
                for (var each : consumer.poll(Duration.ofMillis(200))) read.get(each.partition()).add(new String(each.value(), StandardCharsets.UTF_8));
            }
        }
        return read;
    }

    List<Long> readAt(TopicPartition partition, JsonNode offsets) {
        List<Long> found = new ArrayList<>();
        try (var consumer = consumer(Map.of("max.poll.records", 1))) {
            consumer.assign(List.of(partition));
            for (JsonNode offset : offsets) {
                consumer.seek(partition, offset.asLong());
                found.add(consumer.poll(Duration.ofMillis(TIMEOUT_MS)).records(partition).get(0).offset());
            }
        }
        return found;
    }

    static byte[] bytes(JsonNode text) { return text.isNull() ? null : Base64.getDecoder().decode(text.asText()); }

    static String text(byte[] bytes) { return bytes == null ? null : Base64.getEncoder().encodeToString(bytes); }

    static Map<String, Object> record(ConsumerRecord<byte[], byte[]> each) {
        List<Object> headers = new ArrayList<>();
        for (Header header : each.headers()) headers.add(Arrays.asList(header.key(), text(header.value())));
        Map<String, Object> record = new HashMap<>();
        record.put("p", each.partition());
        record.put("o", each.offset());
        record.put("t", each.timestamp());
        record.put("k", text(each.key()));
        record.put("v", text(each.value()));
        record.put("h", headers);
        return record;
    }

    // ---- Offsets ----------------------------------------------------------------------------------------------------

    static List<TopicPartition> partitions(String topic, JsonNode numbers) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (JsonNode each : numbers) partitions.add(new TopicPartition(topic, each.asInt()));
        return partitions;
    }

    Map<Integer, Object> offsets(String topic, JsonNode numbers) {
        Map<Integer, Object> found = new TreeMap<>();
        try (var consumer = consumer(Map.of())) {
            var asked = partitions(topic, numbers);
            var first = consumer.beginningOffsets(asked);
            var last = consumer.endOffsets(asked);
            for (var each : asked) found.put(each.partition(), List.of(first.get(each), last.get(each)));
        }
        return found;
    }

    Map<Integer, Object> offsetsForTimes(String topic, JsonNode times) {
        Map<TopicPartition, Long> asked = new HashMap<>();
        times.fields().forEachRemaining(each -> asked.put(new TopicPartition(topic, Integer.parseInt(each.getKey())), each.getValue().asLong()));
        Map<Integer, Object> found = new TreeMap<>();
        try (var consumer = consumer(Map.of())) {
            consumer.offsetsForTimes(asked).forEach((each, at) -> found.put(each.partition(), at == null ? null : at.offset()));
        }
        return found;
    }

    long maxTimestampOffset(TopicPartition partition) throws Exception {
        return get(admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).partitionResult(partition)).offset();
    }

    // ---- Admin ------------------------------------------------------------------------------------------------------

    static <T> T get(org.apache.kafka.common.KafkaFuture<T> future) throws Exception { return future.get(TIMEOUT_MS, TimeUnit.MILLISECONDS); }

    static Object done(org.apache.kafka.common.KafkaFuture<Void> future) throws Exception { get(future); return null; }

    Object createTopic(String topic, int partitions, JsonNode config) throws Exception {
        Map<String, String> configs = new HashMap<>();
        config.fields().forEachRemaining(each -> configs.put(each.getKey(), each.getValue().asText()));
        return done(admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.empty()).configs(configs))).all());
    }

    Map<String, Integer> topics() throws Exception {
        Map<String, Integer> found = new TreeMap<>();
        Set<String> names = get(admin.listTopics().names());
        get(admin.describeTopics(names).allTopicNames()).forEach((name, topic) -> found.put(name, topic.partitions().size()));
        return found;
    }

    Map<String, String> configs(String topic) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Map<String, String> found = new TreeMap<>();
        for (ConfigEntry each : get(admin.describeConfigs(List.of(resource)).all()).get(resource).entries()) found.put(each.name(), each.value());
        return found;
    }

    Object setConfig(String topic, String name, String value) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var change = new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
        return done(admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all());
    }

    Map<Integer, Long> deleteRecords(String topic, JsonNode before) throws Exception {
        Map<TopicPartition, RecordsToDelete> asked = new HashMap<>();
        before.fields().forEachRemaining(each ->
            asked.put(new TopicPartition(topic, Integer.parseInt(each.getKey())), RecordsToDelete.beforeOffset(each.getValue().asLong())));
        Map<Integer, Long> found = new TreeMap<>();
        for (var each : admin.deleteRecords(asked).lowWatermarks().entrySet()) found.put(each.getKey().partition(), get(each.getValue()).lowWatermark());
        return found;
    }

    Map<String, Long> logDirs() throws Exception {
        Map<String, Long> sizes = new TreeMap<>();
        var nodes = get(admin.describeCluster().nodes()).stream().map(node -> node.id()).toList();
        for (var directories : get(admin.describeLogDirs(nodes).allDescriptions()).values())
            for (var directory : directories.values())
                directory.replicaInfos().forEach((partition, replica) -> sizes.put(partition.toString(), replica.size()));
        return sizes;
    }

    Map<String, Object> group(String group) throws Exception {
        var found = get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
        return Map.of("state", found.groupState().toString(), "members", found.members().size());
    }

    Map<Integer, Object> committed(String group, String topic, JsonNode numbers) throws Exception {
        var found = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        Map<Integer, Object> offsets = new TreeMap<>();
        for (var each : partitions(topic, numbers)) offsets.put(each.partition(), found.get(each) == null ? null : found.get(each).offset());
        return offsets;
    }

    // ---- Group members ----------------------------------------------------------------------------------------------

    Object join(String member, String group, JsonNode topics, String protocol) {
        Map<String, Object> config = new HashMap<>(Map.of("group.id", group, "auto.offset.reset", "earliest"));
        if (protocol.equals("consumer")) config.put("group.protocol", "consumer");
        else config.putAll(Map.of(
            "session.timeout.ms", 10_000, "heartbeat.interval.ms", 200,
            "partition.assignment.strategy", RangeAssignor.class.getName()));
        var consumer = consumer(config);
        List<String> names = new ArrayList<>();
        for (JsonNode each : topics) names.add(each.asText());
        consumer.subscribe(names);
        members.put(member, consumer);
        return null;
    }

    static Map<String, Object> poll(KafkaConsumer<byte[], byte[]> consumer, long timeoutMs) {
        List<Object> read = new ArrayList<>();
        for (var each : consumer.poll(Duration.ofMillis(timeoutMs))) read.add(record(each));
        return Map.of("records", read, "assigned", consumer.assignment().stream().map(TopicPartition::partition).sorted().toList());
    }
}
