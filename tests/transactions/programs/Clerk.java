import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.StringSerializer;

/** As clerk.py, with Kafka's own producer, which speaks transaction version 2: Clerk SERVER TOPIC TRANSACTIONAL_ID SEED ACCOUNTS PARTITIONS. */
public class Clerk {
    public static void main(String[] a) throws Exception {
        var out = new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        String topic = a[1], id = a[2];
        var random = new Random(Long.parseLong(a[3]));
        int accounts = Integer.parseInt(a[4]), partitions = Integer.parseInt(a[5]);
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", a[0]);
        config.put("transactional.id", id);
        config.put("transaction.timeout.ms", 5000);
        config.put("max.block.ms", 20_000);
        config.put("delivery.timeout.ms", 20_000);
        config.put("request.timeout.ms", 10_000);
        config.put("reconnect.backoff.ms", 20);
        config.put("reconnect.backoff.max.ms", 200);
        for (int number = 0; ; ) {
            try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
                producer.initTransactions();
                while (true) {
                    String name = id + "." + a[3] + "." + number++;
                    int payer = random.nextInt(accounts), payee = (payer + 1 + random.nextInt(accounts - 1)) % accounts;
                    int amount = 1 + random.nextInt(50);
                    producer.beginTransaction();
                    try {
                        producer.send(new ProducerRecord<>(topic, payer % partitions, null, name + " " + payer + " " + -amount));
                        producer.send(new ProducerRecord<>(topic, payee % partitions, null, name + " " + payee + " " + amount));
                        if (random.nextInt(5) == 0) {
                            producer.abortTransaction();
                            out.println("aborted " + name);
                        } else {
                            commit(producer);
                            out.println("committed " + name);
                        }
                    } catch (ProducerFencedException | InvalidProducerEpochException | OutOfOrderSequenceException error) {
                        throw error;
                    } catch (TimeoutException error) {
                        throw error; // nobody knows: begin anew
                    } catch (KafkaException error) {
                        producer.abortTransaction();
                        out.println("aborted " + name);
                    }
                }
            } catch (KafkaException error) {
                System.err.println(error);
                Thread.sleep(50);
            }
        }
    }

    /** A commit that timed out may be asked for again, and must not be taken for an abort. */
    static void commit(Producer<String, String> producer) {
        for (int tries = 0; ; tries++) {
            try {
                producer.commitTransaction();
                return;
            } catch (TimeoutException | InterruptException error) {
                if (tries == 3) throw error;
            }
        }
    }
}
