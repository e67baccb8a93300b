import com.fasterxml.jackson.databind.ObjectMapper;
import java.lang.reflect.Method;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.*;

/**
 * Calls every method of Java's Admin once and prints what became of each: {"methods": [all there are], "outcomes": {name: "ok ..." or
 * the class of the exception}}. What a row says behind "ok" is what the broker told.
 */
@SuppressWarnings("removal")
public class AdminTable {
    static final long TIMEOUT_S = 30;
    static final Map<String, Callable<Object>> ROWS = new LinkedHashMap<>();

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0], run = arguments[1];
        Map<String, Object> outcomes = new TreeMap<>();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "request.timeout.ms", 10_000, "default.api.timeout.ms", 15_000))) {
            fill(admin, bootstrap, run);
            for (var row : ROWS.entrySet()) {
                try {
                    Object told = row.getValue().call();
                    outcomes.put(row.getKey(), told == null ? "ok" : "ok " + told);
                } catch (Throwable error) {
                    Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
                    outcomes.put(row.getKey(), cause.getClass().getSimpleName());
                }
            }
        }
        Set<String> methods = new TreeSet<>();
        for (Method method : Admin.class.getMethods()) methods.add(method.getName());
        System.out.println(new ObjectMapper().writeValueAsString(Map.of("methods", methods, "outcomes", outcomes)));
    }

    static <T> T get(KafkaFuture<T> future) throws Exception { return future.get(TIMEOUT_S, TimeUnit.SECONDS); }

    static void fill(Admin admin, String bootstrap, String run) {
        String topic = "table-" + run, group = "group-" + run;
        TopicPartition first = new TopicPartition(topic, 0);
        Set<TopicPartition> firsts = Set.of(first);
        ConfigResource config = new ConfigResource(ConfigResource.Type.GROUP, group);
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry("consumer.session.timeout.ms", "50000"), AlterConfigOp.OpType.SET);
        TopicPartitionReplica replica = new TopicPartitionReplica(topic, 0, 1);
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(first, new OffsetAndMetadata(0));
        AclBinding acl = new AclBinding(
            new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL),
            new AccessControlEntry("User:u", "*", AclOperation.READ, AclPermissionType.ALLOW));

        ROWS.put("create", () -> { Admin.create(Map.of("bootstrap.servers", bootstrap)).close(); return null; });
        ROWS.put("describeCluster", () -> get(admin.describeCluster().nodes()).size());
        ROWS.put("createTopics", () -> {
            get(admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
            while (!get(admin.listTopics().names()).contains(topic)) Thread.sleep(10); // Kafka answers before its broker knows
            return null;
        });
        ROWS.put("listTopics", () -> get(admin.listTopics().names()).contains(topic));
        ROWS.put("describeTopics", () -> get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size());
        ROWS.put("createPartitions", () -> get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all()));
        ROWS.put("listOffsets", () -> get(admin.listOffsets(Map.of(first, OffsetSpec.latest())).all()).get(first).offset());
        ROWS.put("deleteRecords", () -> get(admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(0))).all()));

        ROWS.put("describeConfigs", () -> get(admin.describeConfigs(List.of(config)).all()).get(config).get("consumer.session.timeout.ms").value());
        ROWS.put("incrementalAlterConfigs", () -> get(admin.incrementalAlterConfigs(Map.of(config, List.of(change))).all()));
        ROWS.put("listConfigResources", () ->
            get(admin.listConfigResources(Set.of(ConfigResource.Type.GROUP), new ListConfigResourcesOptions()).all()).contains(config));
        ROWS.put("listClientMetricsResources", () -> get(admin.listClientMetricsResources().all()));

        ROWS.put("describeLogDirs", () -> get(admin.describeLogDirs(List.of(1)).allDescriptions()).size());
        ROWS.put("describeReplicaLogDirs", () ->
            get(admin.describeReplicaLogDirs(List.of(replica)).all()).get(replica).getCurrentReplicaLogDir() != null);
        ROWS.put("alterReplicaLogDirs", () -> {
            String home = get(admin.describeReplicaLogDirs(List.of(replica)).all()).get(replica).getCurrentReplicaLogDir();
            return get(admin.alterReplicaLogDirs(Map.of(replica, home)).all());
        });
        ROWS.put("electLeaders", () -> get(admin.electLeaders(ElectionType.PREFERRED, firsts).partitions()).get(first).get().getClass().getSimpleName());
        ROWS.put("alterPartitionReassignments", () ->
            get(admin.alterPartitionReassignments(Map.of(first, Optional.of(new NewPartitionReassignment(List.of(1))))).all()));
        ROWS.put("listPartitionReassignments", () -> get(admin.listPartitionReassignments().reassignments()));

        ROWS.put("alterConsumerGroupOffsets", () -> get(admin.alterConsumerGroupOffsets(group, offsets).all()));
        ROWS.put("listConsumerGroupOffsets", () -> get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(first).offset());
        ROWS.put("listGroups", () -> get(admin.listGroups().all()).stream().anyMatch(each -> each.groupId().equals(group)));
        ROWS.put("listConsumerGroups", () -> get(admin.listConsumerGroups().all()).stream().anyMatch(each -> each.groupId().equals(group)));
        ROWS.put("describeConsumerGroups", () -> get(admin.describeConsumerGroups(List.of(group)).all()).get(group).groupState());
        ROWS.put("describeClassicGroups", () -> get(admin.describeClassicGroups(List.of(group)).all()).get(group).state());
        ROWS.put("removeMembersFromConsumerGroup", () ->
            get(admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("m")))).all()));
        ROWS.put("deleteConsumerGroupOffsets", () -> get(admin.deleteConsumerGroupOffsets(group, firsts).all()));
        ROWS.put("deleteConsumerGroups", () -> {
            get(admin.alterConsumerGroupOffsets(group, offsets).all());
            return get(admin.deleteConsumerGroups(List.of(group)).all());
        });

        ROWS.put("describeProducers", () -> get(admin.describeProducers(firsts).all()).get(first).activeProducers().size());
        ROWS.put("listTransactions", () -> get(admin.listTransactions().all()).size());
        ROWS.put("describeTransactions", () -> get(admin.describeTransactions(List.of("tx-" + run)).all()));
        ROWS.put("fenceProducers", () -> get(admin.fenceProducers(List.of("tx-" + run)).all()));
        ROWS.put("forceTerminateTransaction", () -> get(admin.forceTerminateTransaction("tx-" + run).result()));
        ROWS.put("abortTransaction", () -> get(admin.abortTransaction(new AbortTransactionSpec(first, 1L, (short) 0, 0)).all()));

        ROWS.put("describeFeatures", () -> get(admin.describeFeatures().featureMetadata()) != null);
        ROWS.put("updateFeatures", () ->
            get(admin.updateFeatures(Map.of("no.such", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all()));
        ROWS.put("describeMetadataQuorum", () -> get(admin.describeMetadataQuorum().quorumInfo()).leaderId());
        ROWS.put("addRaftVoter", () -> get(admin.addRaftVoter(9, Uuid.randomUuid(), Set.of(new RaftVoterEndpoint("CONTROLLER", "localhost", 1))).all()));
        ROWS.put("removeRaftVoter", () -> get(admin.removeRaftVoter(9, Uuid.randomUuid()).all()));
        ROWS.put("unregisterBroker", () -> get(admin.unregisterBroker(77).all()));

        ROWS.put("describeClientQuotas", () -> get(admin.describeClientQuotas(ClientQuotaFilter.all()).entities()));
        ROWS.put("alterClientQuotas", () -> get(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(
            new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, run)),
            List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1e9))))).all()));
        ROWS.put("describeUserScramCredentials", () -> get(admin.describeUserScramCredentials().all()));
        ROWS.put("alterUserScramCredentials", () -> get(admin.alterUserScramCredentials(List.of(
            new UserScramCredentialUpsertion("u-" + run, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret"))).all()));
        ROWS.put("describeAcls", () -> get(admin.describeAcls(AclBindingFilter.ANY).values()));
        ROWS.put("createAcls", () -> get(admin.createAcls(List.of(acl)).all()));
        ROWS.put("deleteAcls", () -> get(admin.deleteAcls(List.of(acl.toFilter())).all()));
        ROWS.put("createDelegationToken", () -> get(admin.createDelegationToken().delegationToken()));
        ROWS.put("renewDelegationToken", () -> get(admin.renewDelegationToken(new byte[16]).expiryTimestamp()));
        ROWS.put("expireDelegationToken", () -> get(admin.expireDelegationToken(new byte[16]).expiryTimestamp()));
        ROWS.put("describeDelegationToken", () -> get(admin.describeDelegationToken().delegationTokens()));

        ROWS.put("clientInstanceId", () -> {
            try (Admin pushing = Admin.create(Map.of("bootstrap.servers", bootstrap, "enable.metrics.push", true))) {
                return pushing.clientInstanceId(Duration.ofSeconds(5)) != null;
            }
        });
        ROWS.put("metrics", () -> !admin.metrics().isEmpty());
        ROWS.put("registerMetricForSubscription", () -> { admin.registerMetricForSubscription(null); return null; });
        ROWS.put("unregisterMetricFromSubscription", () -> { admin.unregisterMetricFromSubscription(null); return null; });

        ROWS.put("describeShareGroups", () -> get(admin.describeShareGroups(List.of(group)).all()).size());
        ROWS.put("listShareGroupOffsets", () -> get(admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec())).all()).size());
        ROWS.put("alterShareGroupOffsets", () -> get(admin.alterShareGroupOffsets(group, Map.of(first, 0L)).all()));
        ROWS.put("deleteShareGroupOffsets", () -> get(admin.deleteShareGroupOffsets(group, Set.of(topic)).all()));
        ROWS.put("deleteShareGroups", () -> get(admin.deleteShareGroups(List.of("no-" + group)).all()));
        ROWS.put("describeStreamsGroups", () -> get(admin.describeStreamsGroups(List.of(group)).all()).size());
        ROWS.put("listStreamsGroupOffsets", () -> get(admin.listStreamsGroupOffsets(Map.of(group, new ListStreamsGroupOffsetsSpec())).all()).size());
        ROWS.put("alterStreamsGroupOffsets", () -> get(admin.alterStreamsGroupOffsets("no-" + group, offsets).all()));
        ROWS.put("deleteStreamsGroupOffsets", () -> get(admin.deleteStreamsGroupOffsets("no-" + group, firsts).all()));
        ROWS.put("deleteStreamsGroups", () -> get(admin.deleteStreamsGroups(List.of("nor-" + group)).all()));

        ROWS.put("deleteTopics", () -> get(admin.deleteTopics(List.of(topic)).all()));
        ROWS.put("close", () -> { Admin.create(Map.of("bootstrap.servers", bootstrap)).close(Duration.ofSeconds(1)); return null; });
    }
}
