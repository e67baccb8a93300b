"""Every method of three admin clients (Java's Admin, confluent-kafka's AdminClient, kafka-python's KafkaAdminClient), and what becomes of it.

A method that its client has and no row here is a failure: a client's new version may ask what nobody here has looked at. What a row
expects is the answer itself, or the name of the client's own error.

Held to Kafka (LOGBROKER_TEST_BOOTSTRAP), the rows in `KAFKAS_OWN` may differ: what is a store of users and quotas, a quorum of
controllers, share and streams groups there, is not here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.client_driver import CLIENTS

ANY = "ok, whatever it says"

KAFKAS_OWN = {
    "addRaftVoter",
    "alterClientQuotas",
    "alterShareGroupOffsets",
    "alterStreamsGroupOffsets",
    "alterUserScramCredentials",
    "alter_user_scram_credentials",
    "clientInstanceId",
    "deleteShareGroupOffsets",
    "deleteShareGroups",
    "deleteStreamsGroupOffsets",
    "deleteStreamsGroups",
    "describeClientQuotas",
    "describeMetadataQuorum",
    "describeShareGroups",
    "describeStreamsGroups",
    "describeUserScramCredentials",
    "describe_metadata_quorum",
    "describe_user_scram_credentials",
    "listShareGroupOffsets",
    "listStreamsGroupOffsets",
    "listTransactions",
    "removeRaftVoter",
}

JAVA = {
    "abortTransaction": "ok",
    "addRaftVoter": "UnsupportedVersionException",
    "alterClientQuotas": "UnsupportedVersionException",
    "alterConsumerGroupOffsets": "ok",
    "alterPartitionReassignments": "ok",
    "alterReplicaLogDirs": "ok",
    "alterShareGroupOffsets": "UnsupportedVersionException",
    "alterStreamsGroupOffsets": "ok",  # an OffsetCommit like any other
    "alterUserScramCredentials": "UnsupportedVersionException",
    "clientInstanceId": "ok true",
    "close": "ok",
    "create": "ok",
    "createAcls": "SecurityDisabledException",
    "createDelegationToken": "UnsupportedByAuthenticationException",
    "createPartitions": "ok",
    "createTopics": "ok",
    "deleteAcls": "SecurityDisabledException",
    "deleteConsumerGroupOffsets": "ok",
    "deleteConsumerGroups": "ok",
    "deleteRecords": "ok",
    "deleteShareGroupOffsets": "UnsupportedVersionException",
    "deleteShareGroups": "GroupIdNotFoundException",  # a DeleteGroups like any other, as are those of streams groups
    "deleteStreamsGroupOffsets": "ok",
    "deleteStreamsGroups": "GroupIdNotFoundException",
    "deleteTopics": "ok",
    "describeAcls": "SecurityDisabledException",
    "describeClassicGroups": "ok Empty",
    "describeClientQuotas": "ok {}",
    "describeCluster": "ok 1",
    "describeConfigs": "ok 45000",
    "describeConsumerGroups": "ok Empty",
    "describeDelegationToken": "UnsupportedByAuthenticationException",
    "describeFeatures": "ok true",
    "describeLogDirs": "ok 1",
    "describeMetadataQuorum": "UnsupportedVersionException",
    "describeProducers": "ok 0",
    "describeReplicaLogDirs": "ok true",
    "describeShareGroups": "UnsupportedVersionException",
    "describeStreamsGroups": "UnsupportedVersionException",
    "describeTopics": "ok 1",
    "describeTransactions": "TransactionalIdNotFoundException",
    "describeUserScramCredentials": "ok {}",
    "electLeaders": "ok ElectionNotNeededException",
    "expireDelegationToken": "UnsupportedByAuthenticationException",
    "fenceProducers": "ok",
    "forceTerminateTransaction": "ok",
    "incrementalAlterConfigs": "ok",
    "listClientMetricsResources": "ok []",
    "listConfigResources": "ok true",
    "listConsumerGroupOffsets": "ok 0",
    "listConsumerGroups": "ok true",
    "listGroups": "ok true",
    "listOffsets": "ok 0",
    "listPartitionReassignments": "ok {}",
    "listShareGroupOffsets": "UnsupportedVersionException",
    "listStreamsGroupOffsets": "ok 1",
    "listTopics": "ok true",
    "listTransactions": ANY,
    "metrics": "ok true",
    "registerMetricForSubscription": "ok",
    "removeMembersFromConsumerGroup": "UnknownMemberIdException",
    "removeRaftVoter": "UnsupportedVersionException",
    "renewDelegationToken": "UnsupportedByAuthenticationException",
    "unregisterBroker": "BrokerIdNotRegisteredException",
    "unregisterMetricFromSubscription": "ok",
    "updateFeatures": "InvalidUpdateVersionException",
}


def compare(methods: set[str], outcomes: dict[str, str], expected: dict[str, str]) -> None:
    assert methods == set(expected), "a method without a row, or a row without a method"
    assert set(outcomes) == methods
    own = KAFKAS_OWN if os.environ.get("LOGBROKER_TEST_BOOTSTRAP") else set()
    wrong = {
        name: (outcome, expected[name])
        for name, outcome in outcomes.items()
        if name not in own
        and not (expected[name] == ANY and outcome.startswith("ok"))
        and outcome != expected[name]
    }
    assert wrong == {}


CONFLUENT = {
    "alter_configs": "ok",
    "alter_consumer_group_offsets": "ok",
    "alter_user_scram_credentials": "_UNSUPPORTED_FEATURE",
    "cluster_id": "ok",
    "create_acls": "SECURITY_DISABLED",
    "create_partitions": "ok",
    "create_topics": "ok",
    "delete_acls": "SECURITY_DISABLED",
    "delete_consumer_groups": "ok",
    "delete_records": "ok 0",
    "delete_topics": "ok",
    "describe_acls": "ok []",  # it says nothing of the error, SECURITY_DISABLED
    "describe_cluster": "ok 1",
    "describe_configs": "ok delete",
    "describe_consumer_groups": "ok EMPTY",
    "describe_topics": "ok 1",
    "describe_user_scram_credentials": "ok {}",
    "elect_leaders": "ok ELECTION_NOT_NEEDED",
    "incremental_alter_configs": "ok",
    "list_consumer_group_offsets": "ok 0",
    "list_consumer_groups": "ok True",
    "list_groups": "ok True",
    "list_offsets": "ok 0",
    "list_topics": "ok True",
    "poll": "ok",
    "set_sasl_credentials": "ok",
}

KAFKA_PYTHON = {
    "abort_transaction": "ok",
    "alter_configs": "ok",
    "alter_group_offsets": "ok",
    "alter_partition_reassignments": "ok",
    "alter_replica_log_dirs": "ok",
    "alter_user_scram_credentials": "IncompatibleBrokerVersion",
    "api_versions": "ok True",
    "close": "ok",
    "create_acls": "ok SecurityDisabledError",
    "create_partitions": "ok",
    "create_topics": "ok",
    "delete_acls": "ok SecurityDisabledError",
    "delete_group_offsets": "ok",
    "delete_groups": "ok",
    "delete_records": "ok",
    "delete_topics": "ok",
    "describe_acls": "SecurityDisabledError",
    "describe_cluster": "ok 1",
    "describe_configs": "ok",
    "describe_features": "ok",
    "describe_groups": "ok",
    "describe_log_dirs": "ok",
    "describe_metadata_quorum": "IncompatibleBrokerVersion",
    "describe_producers": "ok",
    "describe_topic_partitions": "ok",
    "describe_topics": "ok 1",
    "describe_transactions": "TransactionalIdNotFoundError",
    "describe_user_scram_credentials": "ok {}",
    "elect_leaders": "ok",  # not needed, which is no error to it
    "find_hanging_transactions": "ok []",
    "get_broker_version_data": "ok",
    "list_config_resources": "ok",
    "list_group_offsets": "ok 0",
    "list_groups": "ok True",
    "list_partition_offsets": "ok",
    "list_partition_reassignments": "ok {}",
    "list_topics": "ok True",
    "list_transactions": "ok",
    "remove_group_members": "ok",
    "reset_configs": "ok",
    "reset_group_offsets": "ok",
    "update_features": "InvalidUpdateVersionError",
    "wait_for_topics": "ok",
}


def hold(command: list[str], expected: dict[str, str]) -> None:
    """Run a program that calls every method of its client, and hold what it tells against the table."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    compare(set(told["methods"]), told["outcomes"], expected)


@pytest.mark.java
def test_javas_admin(server: str, kafka_tools: Any, new_name: Callable[[str], str]) -> None:
    hold(kafka_tools.command(str(CLIENTS / "java" / "AdminTable.java"), server, new_name("java")), JAVA)


@pytest.mark.parametrize(("name", "expected"), [("confluent", CONFLUENT), ("kafka_python", KAFKA_PYTHON)])
def test_pythons_admins(
    name: str, expected: dict[str, str], server: str, new_name: Callable[[str], str]
) -> None:
    script = str(CLIENTS / "drivers" / f"{name}_admin_table.py")
    hold([sys.executable, script, server, new_name(name)], expected)
