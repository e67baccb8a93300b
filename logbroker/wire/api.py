"""Every API of the Kafka protocol: key, name, and the versions that Kafka 4.3.1 calls stable.

Which of them a broker offers is the broker's business (`broker/`); this table says what the numbers mean, for
requests, for the client, and for log lines. Versions that Kafka marks unstable (InitProducerId 6) are not in it,
though their messages can be encoded. A test compares the table with the one in Kafka's own jars.

Header versions follow from flexible versions: a flexible version has request header v2 and response header v1,
any other v1 and v0. There is one exception: the response header of ApiVersions is always v0, because a client must
be able to read the answer to a version that the broker doesn't know (KIP-511).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

PRODUCE_ADVERTISED_MIN: Final = 0
"""The oldest Produce version to advertise, though versions 0 to 2 close the connection when they are used:
older versions of librdkafka switch compression off where Produce doesn't start at 0 (KAFKA-18659). Kafka does the same."""


class ApiKey(IntEnum):
    """The number that says which API a request is for."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    ALTER_REPLICA_LOG_DIRS = 34
    DESCRIBE_LOG_DIRS = 35
    SASL_AUTHENTICATE = 36
    CREATE_PARTITIONS = 37
    CREATE_DELEGATION_TOKEN = 38
    RENEW_DELEGATION_TOKEN = 39
    EXPIRE_DELEGATION_TOKEN = 40
    DESCRIBE_DELEGATION_TOKEN = 41
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    OFFSET_DELETE = 47
    DESCRIBE_CLIENT_QUOTAS = 48
    ALTER_CLIENT_QUOTAS = 49
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50
    ALTER_USER_SCRAM_CREDENTIALS = 51
    VOTE = 52
    BEGIN_QUORUM_EPOCH = 53
    END_QUORUM_EPOCH = 54
    DESCRIBE_QUORUM = 55
    ALTER_PARTITION = 56
    UPDATE_FEATURES = 57
    ENVELOPE = 58
    FETCH_SNAPSHOT = 59
    DESCRIBE_CLUSTER = 60
    DESCRIBE_PRODUCERS = 61
    BROKER_REGISTRATION = 62
    BROKER_HEARTBEAT = 63
    UNREGISTER_BROKER = 64
    DESCRIBE_TRANSACTIONS = 65
    LIST_TRANSACTIONS = 66
    ALLOCATE_PRODUCER_IDS = 67
    CONSUMER_GROUP_HEARTBEAT = 68
    CONSUMER_GROUP_DESCRIBE = 69
    CONTROLLER_REGISTRATION = 70
    GET_TELEMETRY_SUBSCRIPTIONS = 71
    PUSH_TELEMETRY = 72
    ASSIGN_REPLICAS_TO_DIRS = 73
    LIST_CONFIG_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75
    SHARE_GROUP_HEARTBEAT = 76
    SHARE_GROUP_DESCRIBE = 77
    SHARE_FETCH = 78
    SHARE_ACKNOWLEDGE = 79
    ADD_RAFT_VOTER = 80
    REMOVE_RAFT_VOTER = 81
    UPDATE_RAFT_VOTER = 82
    INITIALIZE_SHARE_GROUP_STATE = 83
    READ_SHARE_GROUP_STATE = 84
    WRITE_SHARE_GROUP_STATE = 85
    DELETE_SHARE_GROUP_STATE = 86
    READ_SHARE_GROUP_STATE_SUMMARY = 87
    STREAMS_GROUP_HEARTBEAT = 88
    STREAMS_GROUP_DESCRIBE = 89
    DESCRIBE_SHARE_GROUP_OFFSETS = 90
    ALTER_SHARE_GROUP_OFFSETS = 91
    DELETE_SHARE_GROUP_OFFSETS = 92


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """One API, as Kafka has it.

    Attributes:
        key: Its number in a request's header.
        name: Kafka's name for it, `OffsetCommit`.
        min_version, max_version: Its stable versions.
        first_flexible_version: The first with compact lengths and tagged fields (KIP-482); None: no version yet.
        on_brokers: Whether a client may send it to a broker; False where only KRaft controllers answer it.
    """

    key: ApiKey
    name: str
    min_version: int
    max_version: int
    first_flexible_version: int | None
    on_brokers: bool = True

    @property
    def advertised_min(self) -> int:
        """The oldest version to advertise: older than what works for Produce, see PRODUCE_ADVERTISED_MIN."""
        return PRODUCE_ADVERTISED_MIN if self.key is ApiKey.PRODUCE else self.min_version

    def supports(self, version: int) -> bool:
        """Whether `version` is one of the stable ones."""
        return self.min_version <= version <= self.max_version

    def flexible(self, version: int) -> bool:
        """Whether `version` has compact lengths and tagged fields; true for versions newer than all known, too."""
        return self.first_flexible_version is not None and version >= self.first_flexible_version

    def request_header_version(self, version: int) -> int:
        """Return the version of the header before a request: 1, or 2 with tagged fields."""
        return 2 if self.flexible(version) else 1

    def response_header_version(self, version: int) -> int:
        """Return the version of the header before a response: 0, or 1 with tagged fields."""
        return 1 if self.flexible(version) and self.key is not ApiKey.API_VERSIONS else 0


_SPECS: Final = (
    ApiSpec(ApiKey.PRODUCE, "Produce", 3, 13, 9),
    ApiSpec(ApiKey.FETCH, "Fetch", 4, 18, 12),
    ApiSpec(ApiKey.LIST_OFFSETS, "ListOffsets", 1, 11, 6),
    ApiSpec(ApiKey.METADATA, "Metadata", 0, 13, 9),
    ApiSpec(ApiKey.OFFSET_COMMIT, "OffsetCommit", 2, 10, 8),
    ApiSpec(ApiKey.OFFSET_FETCH, "OffsetFetch", 1, 10, 6),
    ApiSpec(ApiKey.FIND_COORDINATOR, "FindCoordinator", 0, 6, 3),
    ApiSpec(ApiKey.JOIN_GROUP, "JoinGroup", 0, 9, 6),
    ApiSpec(ApiKey.HEARTBEAT, "Heartbeat", 0, 4, 4),
    ApiSpec(ApiKey.LEAVE_GROUP, "LeaveGroup", 0, 5, 4),
    ApiSpec(ApiKey.SYNC_GROUP, "SyncGroup", 0, 5, 4),
    ApiSpec(ApiKey.DESCRIBE_GROUPS, "DescribeGroups", 0, 6, 5),
    ApiSpec(ApiKey.LIST_GROUPS, "ListGroups", 0, 5, 3),
    ApiSpec(ApiKey.SASL_HANDSHAKE, "SaslHandshake", 0, 1, None),
    ApiSpec(ApiKey.API_VERSIONS, "ApiVersions", 0, 4, 3),
    ApiSpec(ApiKey.CREATE_TOPICS, "CreateTopics", 2, 7, 5),
    ApiSpec(ApiKey.DELETE_TOPICS, "DeleteTopics", 1, 6, 4),
    ApiSpec(ApiKey.DELETE_RECORDS, "DeleteRecords", 0, 2, 2),
    ApiSpec(ApiKey.INIT_PRODUCER_ID, "InitProducerId", 0, 5, 2),
    ApiSpec(ApiKey.OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", 2, 4, 4),
    ApiSpec(ApiKey.ADD_PARTITIONS_TO_TXN, "AddPartitionsToTxn", 0, 5, 3),
    ApiSpec(ApiKey.ADD_OFFSETS_TO_TXN, "AddOffsetsToTxn", 0, 4, 3),
    ApiSpec(ApiKey.END_TXN, "EndTxn", 0, 5, 3),
    ApiSpec(ApiKey.WRITE_TXN_MARKERS, "WriteTxnMarkers", 1, 2, 1),
    ApiSpec(ApiKey.TXN_OFFSET_COMMIT, "TxnOffsetCommit", 0, 5, 3),
    ApiSpec(ApiKey.DESCRIBE_ACLS, "DescribeAcls", 1, 3, 2),
    ApiSpec(ApiKey.CREATE_ACLS, "CreateAcls", 1, 3, 2),
    ApiSpec(ApiKey.DELETE_ACLS, "DeleteAcls", 1, 3, 2),
    ApiSpec(ApiKey.DESCRIBE_CONFIGS, "DescribeConfigs", 1, 4, 4),
    ApiSpec(ApiKey.ALTER_CONFIGS, "AlterConfigs", 0, 2, 2),
    ApiSpec(ApiKey.ALTER_REPLICA_LOG_DIRS, "AlterReplicaLogDirs", 1, 2, 2),
    ApiSpec(ApiKey.DESCRIBE_LOG_DIRS, "DescribeLogDirs", 1, 5, 2),
    ApiSpec(ApiKey.SASL_AUTHENTICATE, "SaslAuthenticate", 0, 2, 2),
    ApiSpec(ApiKey.CREATE_PARTITIONS, "CreatePartitions", 0, 3, 2),
    ApiSpec(ApiKey.CREATE_DELEGATION_TOKEN, "CreateDelegationToken", 1, 3, 2),
    ApiSpec(ApiKey.RENEW_DELEGATION_TOKEN, "RenewDelegationToken", 1, 2, 2),
    ApiSpec(ApiKey.EXPIRE_DELEGATION_TOKEN, "ExpireDelegationToken", 1, 2, 2),
    ApiSpec(ApiKey.DESCRIBE_DELEGATION_TOKEN, "DescribeDelegationToken", 1, 3, 2),
    ApiSpec(ApiKey.DELETE_GROUPS, "DeleteGroups", 0, 2, 2),
    ApiSpec(ApiKey.ELECT_LEADERS, "ElectLeaders", 0, 2, 2),
    ApiSpec(ApiKey.INCREMENTAL_ALTER_CONFIGS, "IncrementalAlterConfigs", 0, 1, 1),
    ApiSpec(ApiKey.ALTER_PARTITION_REASSIGNMENTS, "AlterPartitionReassignments", 0, 1, 0),
    ApiSpec(ApiKey.LIST_PARTITION_REASSIGNMENTS, "ListPartitionReassignments", 0, 0, 0),
    ApiSpec(ApiKey.OFFSET_DELETE, "OffsetDelete", 0, 0, None),
    ApiSpec(ApiKey.DESCRIBE_CLIENT_QUOTAS, "DescribeClientQuotas", 0, 1, 1),
    ApiSpec(ApiKey.ALTER_CLIENT_QUOTAS, "AlterClientQuotas", 0, 1, 1),
    ApiSpec(ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS, "DescribeUserScramCredentials", 0, 0, 0),
    ApiSpec(ApiKey.ALTER_USER_SCRAM_CREDENTIALS, "AlterUserScramCredentials", 0, 0, 0),
    ApiSpec(ApiKey.VOTE, "Vote", 0, 2, 0, on_brokers=False),
    ApiSpec(ApiKey.BEGIN_QUORUM_EPOCH, "BeginQuorumEpoch", 0, 1, 1, on_brokers=False),
    ApiSpec(ApiKey.END_QUORUM_EPOCH, "EndQuorumEpoch", 0, 1, 1, on_brokers=False),
    ApiSpec(ApiKey.DESCRIBE_QUORUM, "DescribeQuorum", 0, 2, 0),
    ApiSpec(ApiKey.ALTER_PARTITION, "AlterPartition", 2, 3, 2, on_brokers=False),
    ApiSpec(ApiKey.UPDATE_FEATURES, "UpdateFeatures", 0, 2, 0),
    ApiSpec(ApiKey.ENVELOPE, "Envelope", 0, 0, 0, on_brokers=False),
    ApiSpec(ApiKey.FETCH_SNAPSHOT, "FetchSnapshot", 0, 1, 0, on_brokers=False),
    ApiSpec(ApiKey.DESCRIBE_CLUSTER, "DescribeCluster", 0, 2, 0),
    ApiSpec(ApiKey.DESCRIBE_PRODUCERS, "DescribeProducers", 0, 0, 0),
    ApiSpec(ApiKey.BROKER_REGISTRATION, "BrokerRegistration", 0, 4, 0, on_brokers=False),
    ApiSpec(ApiKey.BROKER_HEARTBEAT, "BrokerHeartbeat", 0, 2, 0, on_brokers=False),
    ApiSpec(ApiKey.UNREGISTER_BROKER, "UnregisterBroker", 0, 0, 0),
    ApiSpec(ApiKey.DESCRIBE_TRANSACTIONS, "DescribeTransactions", 0, 0, 0),
    ApiSpec(ApiKey.LIST_TRANSACTIONS, "ListTransactions", 0, 2, 0),
    ApiSpec(ApiKey.ALLOCATE_PRODUCER_IDS, "AllocateProducerIds", 0, 0, 0, on_brokers=False),
    ApiSpec(ApiKey.CONSUMER_GROUP_HEARTBEAT, "ConsumerGroupHeartbeat", 0, 1, 0),
    ApiSpec(ApiKey.CONSUMER_GROUP_DESCRIBE, "ConsumerGroupDescribe", 0, 1, 0),
    ApiSpec(ApiKey.CONTROLLER_REGISTRATION, "ControllerRegistration", 0, 0, 0, on_brokers=False),
    ApiSpec(ApiKey.GET_TELEMETRY_SUBSCRIPTIONS, "GetTelemetrySubscriptions", 0, 0, 0),
    ApiSpec(ApiKey.PUSH_TELEMETRY, "PushTelemetry", 0, 0, 0),
    ApiSpec(ApiKey.ASSIGN_REPLICAS_TO_DIRS, "AssignReplicasToDirs", 0, 0, 0, on_brokers=False),
    ApiSpec(ApiKey.LIST_CONFIG_RESOURCES, "ListConfigResources", 0, 1, 0),
    ApiSpec(ApiKey.DESCRIBE_TOPIC_PARTITIONS, "DescribeTopicPartitions", 0, 0, 0),
    ApiSpec(ApiKey.SHARE_GROUP_HEARTBEAT, "ShareGroupHeartbeat", 1, 1, 1),
    ApiSpec(ApiKey.SHARE_GROUP_DESCRIBE, "ShareGroupDescribe", 1, 1, 1),
    ApiSpec(ApiKey.SHARE_FETCH, "ShareFetch", 1, 2, 1),
    ApiSpec(ApiKey.SHARE_ACKNOWLEDGE, "ShareAcknowledge", 1, 2, 1),
    ApiSpec(ApiKey.ADD_RAFT_VOTER, "AddRaftVoter", 0, 1, 0),
    ApiSpec(ApiKey.REMOVE_RAFT_VOTER, "RemoveRaftVoter", 0, 0, 0),
    ApiSpec(ApiKey.UPDATE_RAFT_VOTER, "UpdateRaftVoter", 0, 0, 0, on_brokers=False),
    ApiSpec(ApiKey.INITIALIZE_SHARE_GROUP_STATE, "InitializeShareGroupState", 0, 0, 0),
    ApiSpec(ApiKey.READ_SHARE_GROUP_STATE, "ReadShareGroupState", 0, 0, 0),
    ApiSpec(ApiKey.WRITE_SHARE_GROUP_STATE, "WriteShareGroupState", 0, 1, 0),
    ApiSpec(ApiKey.DELETE_SHARE_GROUP_STATE, "DeleteShareGroupState", 0, 0, 0),
    ApiSpec(ApiKey.READ_SHARE_GROUP_STATE_SUMMARY, "ReadShareGroupStateSummary", 0, 1, 0),
    ApiSpec(ApiKey.STREAMS_GROUP_HEARTBEAT, "StreamsGroupHeartbeat", 0, 0, 0),
    ApiSpec(ApiKey.STREAMS_GROUP_DESCRIBE, "StreamsGroupDescribe", 0, 0, 0),
    ApiSpec(ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS, "DescribeShareGroupOffsets", 0, 1, 0),
    ApiSpec(ApiKey.ALTER_SHARE_GROUP_OFFSETS, "AlterShareGroupOffsets", 0, 0, 0),
    ApiSpec(ApiKey.DELETE_SHARE_GROUP_OFFSETS, "DeleteShareGroupOffsets", 0, 0, 0),
)

API: Final[dict[int, ApiSpec]] = {int(spec.key): spec for spec in _SPECS}
"""Every API by its key."""
