// Prints what Kafka's own assignors make of some hundred groups, one JSON object a line. Each group goes through a few seeded
// changes; what uniform gave is what the members have before the next.
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.GroupAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

public class Assignments {
    static final int GROUPS = 60;
    static final int STEPS = 6;

    static class Member {
        String instance;
        Set<Integer> topics = new TreeSet<>();
        Map<Integer, Set<Integer>> target = new TreeMap<>();
    }

    static Uuid id(int topic) {
        return new Uuid(0, topic + 1);
    }

    static Map<String, Map<Integer, Set<Integer>>> assign(
            ConsumerGroupPartitionAssignor assignor, Map<String, Member> members, List<Integer> counts) {
        Map<String, MemberSubscriptionAndAssignmentImpl> specs = new HashMap<>();
        Map<Uuid, Map<Integer, String>> inverted = new HashMap<>();
        Set<Set<Integer>> subscriptions = new HashSet<>();
        members.forEach((memberId, member) -> {
            Set<Uuid> topics = new HashSet<>();
            member.topics.forEach(topic -> topics.add(id(topic)));
            Map<Uuid, Set<Integer>> target = new HashMap<>();
            member.target.forEach((topic, partitions) -> {
                target.put(id(topic), new HashSet<>(partitions));
                partitions.forEach(partition ->
                    inverted.computeIfAbsent(id(topic), __ -> new HashMap<>()).put(partition, memberId));
            });
            subscriptions.add(member.topics);
            specs.put(memberId, new MemberSubscriptionAndAssignmentImpl(
                Optional.empty(), Optional.ofNullable(member.instance), topics, new Assignment(target)));
        });
        SubscribedTopicDescriber describer = new SubscribedTopicDescriber() {
            public int numPartitions(Uuid topic) {
                return counts.get((int) topic.getLeastSignificantBits() - 1);
            }

            public Set<String> racksForPartition(Uuid topic, int partition) {
                return Set.of();
            }
        };
        SubscriptionType type =
            subscriptions.size() == 1 ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
        GroupAssignment result = assignor.assign(new GroupSpecImpl(specs, type, inverted), describer);
        Map<String, Map<Integer, Set<Integer>>> printed = new TreeMap<>();
        members.keySet().forEach(memberId -> {
            Map<Integer, Set<Integer>> target = new TreeMap<>();
            if (result.members().containsKey(memberId)) {
                result.members().get(memberId).partitions().forEach((topic, partitions) -> {
                    if (!partitions.isEmpty()) {
                        target.put((int) topic.getLeastSignificantBits() - 1, new TreeSet<>(partitions));
                    }
                });
            }
            printed.put(memberId, target);
        });
        return printed;
    }

    static Member member(Random random, List<Integer> counts, boolean same) {
        Member member = new Member();
        if (random.nextInt(4) == 0) {
            member.instance = "i" + random.nextInt(1000);
        }
        for (int topic = 0; topic < counts.size(); topic++) {
            if (same || random.nextInt(3) > 0) {
                member.topics.add(topic);
            }
        }
        return member;
    }

    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        json.configure(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS, true);
        Random random = new Random(20250848);
        for (int group = 0; group < GROUPS; group++) {
            boolean same = group % 3 != 0;
            List<Integer> counts = new ArrayList<>();
            for (int topic = 0; topic <= random.nextInt(4); topic++) {
                counts.add(1 + random.nextInt(12));
            }
            Map<String, Member> members = new TreeMap<>();
            int next = 0;
            for (int i = 0; i <= random.nextInt(6); i++) {
                members.put("m" + next++, member(random, counts, same));
            }
            for (int step = 0; step < STEPS; step++) {
                Map<String, Object> line = new TreeMap<>();
                line.put("counts", counts);
                Map<String, Object> described = new TreeMap<>();
                members.forEach((memberId, member) -> {
                    Map<String, Object> one = new TreeMap<>();
                    one.put("instance", member.instance);
                    one.put("topics", member.topics);
                    one.put("target", member.target);
                    described.put(memberId, one);
                });
                line.put("members", described);
                Map<String, Map<Integer, Set<Integer>>> uniform = assign(new UniformAssignor(), members, counts);
                line.put("uniform", uniform);
                line.put("range", assign(new RangeAssignor(), members, counts));
                System.out.println(json.writeValueAsString(line));
                counts = new ArrayList<>(counts);
                uniform.forEach((memberId, target) -> members.get(memberId).target = target);
                switch (random.nextInt(4)) {
                    case 0:
                        if (members.size() > 1) {
                            members.remove(new ArrayList<>(members.keySet()).get(random.nextInt(members.size())));
                        }
                        break;
                    case 1:
                        int grown = random.nextInt(counts.size());
                        counts.set(grown, counts.get(grown) + random.nextInt(4));
                        break;
                    default:
                        members.put("m" + next++, member(random, counts, same));
                }
            }
        }
    }
}
