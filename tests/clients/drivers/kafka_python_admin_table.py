"""Every method of kafka-python's KafkaAdminClient: see admin_rows.py."""

from __future__ import annotations

import sys

import kafka
from admin_rows import Rows, nothing, tell
from kafka import admin as python
from kafka.structs import OffsetAndMetadata, TopicPartitionReplica


def main(server: str, run: str) -> None:
    client = python.KafkaAdminClient(bootstrap_servers=server)
    topic, group = run, f"{run}-group"
    first = kafka.TopicPartition(topic, 0)
    offsets = {first: OffsetAndMetadata(0, "", -1)}
    acl = python.ACL(
        principal="User:u",
        host="*",
        operation=python.ACLOperation.READ,
        permission_type=python.ACLPermissionType.ALLOW,
        resource_pattern=python.ResourcePattern(python.ResourceType.TOPIC, topic),
    )
    any_acl = python.ACLFilter(
        principal=None,
        host=None,
        operation=python.ACLOperation.ANY,
        permission_type=python.ACLPermissionType.ANY,
        resource_pattern=python.ResourcePatternFilter(
            python.ResourceType.TOPIC, topic, python.ACLResourcePatternType.ANY
        ),
    )

    def config(**configs: str) -> list[python.ConfigResource]:
        named = {name.replace("_", "."): value for name, value in configs.items()}
        return [python.ConfigResource(python.ConfigResourceType.TOPIC, topic, configs=named or None)]

    def home() -> str:
        (told,) = client.describe_log_dirs()
        return told["log_dirs"][0]["log_dir"] if "log_dirs" in told else told["log_dir"]

    def create() -> None:
        client.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        client.wait_for_topics([topic])

    password = python.UserScramCredentialUpsertion("u", python.ScramMechanism.SCRAM_SHA_256, "secret")
    rows: Rows = {
        "api_versions": lambda: bool(client.api_versions()),
        "get_broker_version_data": lambda: nothing(client.get_broker_version_data(1)),
        "describe_cluster": lambda: len(client.describe_cluster()["brokers"]),
        "create_topics": create,
        "wait_for_topics": lambda: nothing(client.wait_for_topics([topic])),
        "list_topics": lambda: topic in client.list_topics(),
        "describe_topics": lambda: len(client.describe_topics([topic])[0]["partitions"]),
        "describe_topic_partitions": lambda: nothing(client.describe_topic_partitions([topic])),
        "create_partitions": lambda: nothing(client.create_partitions({topic: 2})),
        "list_partition_offsets": lambda: nothing(
            client.list_partition_offsets({first: python.OffsetSpec.LATEST})
        ),
        "delete_records": lambda: nothing(client.delete_records({first: 0})),
        "describe_configs": lambda: nothing(client.describe_configs(config())),
        "alter_configs": lambda: nothing(client.alter_configs(config(retention_ms="7"))),
        "reset_configs": lambda: nothing(client.reset_configs(config(retention_ms=""))),
        "list_config_resources": lambda: nothing(client.list_config_resources()),
        "describe_log_dirs": lambda: nothing(client.describe_log_dirs()),
        "alter_replica_log_dirs": lambda: nothing(
            client.alter_replica_log_dirs({TopicPartitionReplica(topic, 0, 1): home()})
        ),
        "elect_leaders": lambda: nothing(client.elect_leaders(0, {topic: [0]})),
        "alter_partition_reassignments": lambda: nothing(client.alter_partition_reassignments({first: [1]})),
        "list_partition_reassignments": client.list_partition_reassignments,
        "alter_group_offsets": lambda: nothing(client.alter_group_offsets(group, offsets)),
        "list_group_offsets": lambda: client.list_group_offsets({group: None})[group][first].offset,
        "reset_group_offsets": lambda: nothing(
            client.reset_group_offsets(group, {first: python.OffsetSpec.EARLIEST})
        ),
        "list_groups": lambda: group in {each["group_id"] for each in client.list_groups()},
        "describe_groups": lambda: nothing(client.describe_groups([group])),
        "remove_group_members": lambda: nothing(
            client.remove_group_members(group, [python.MemberToRemove(member_id="m")])
        ),
        "delete_group_offsets": lambda: nothing(client.delete_group_offsets(group, [first])),
        "delete_groups": lambda: nothing(client.delete_groups([group])),
        "describe_producers": lambda: nothing(client.describe_producers([first])),
        "list_transactions": lambda: nothing(client.list_transactions()),
        "describe_transactions": lambda: nothing(client.describe_transactions([f"{topic}-tx"])),
        "find_hanging_transactions": client.find_hanging_transactions,
        "abort_transaction": lambda: nothing(
            client.abort_transaction(python.AbortTransactionSpec(first, 1, 0))
        ),
        "describe_features": lambda: nothing(client.describe_features()),
        "update_features": lambda: nothing(client.update_features({"no.such": 1})),
        "describe_metadata_quorum": lambda: nothing(client.describe_metadata_quorum()),
        "describe_user_scram_credentials": client.describe_user_scram_credentials,
        "alter_user_scram_credentials": lambda: nothing(client.alter_user_scram_credentials([password])),
        "describe_acls": lambda: nothing(client.describe_acls(any_acl)),
        "create_acls": lambda: client.create_acls([acl])["failed"][0].__name__,
        "delete_acls": lambda: client.delete_acls([any_acl])[0][2].__name__,
        "delete_topics": lambda: nothing(client.delete_topics([topic])),
        "close": lambda: nothing(python.KafkaAdminClient(bootstrap_servers=server).close()),
    }
    tell(python.KafkaAdminClient, rows, lambda error: type(error).__name__)
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
