"""Every method of confluent-kafka's AdminClient: see admin_rows.py."""

from __future__ import annotations

import sys
from typing import Any

import confluent_kafka
from admin_rows import Rows, nothing, tell
from confluent_kafka import admin as confluent

TIMEOUT_S = 30


def main(server: str, run: str) -> None:
    client = confluent.AdminClient({"bootstrap.servers": server})
    topic, group = run, f"{run}-group"
    first = confluent_kafka.TopicPartition(topic, 0, 0)
    offsets = confluent_kafka.ConsumerGroupTopicPartitions(group, [first])
    acl = confluent.AclBinding(
        confluent.ResourceType.TOPIC,
        topic,
        confluent.ResourcePatternType.LITERAL,
        "User:u",
        "*",
        confluent.AclOperation.READ,
        confluent.AclPermissionType.ALLOW,
    )
    any_acl = confluent.AclBindingFilter(
        confluent.ResourceType.ANY,
        None,
        confluent.ResourcePatternType.ANY,
        None,
        None,
        confluent.AclOperation.ANY,
        confluent.AclPermissionType.ANY,
    )
    config = confluent.ConfigResource(confluent.ResourceType.TOPIC, topic)
    change = confluent.ConfigEntry("retention.ms", "7", incremental_operation=confluent.AlterConfigOpType.SET)
    password = confluent.UserScramCredentialUpsertion(
        "u", confluent.ScramCredentialInfo(confluent.ScramMechanism.SCRAM_SHA_256, 4096), b"secret"
    )

    def only(futures: dict[Any, Any]) -> Any:
        (future,) = futures.values()
        return future.result(TIMEOUT_S)

    def create() -> None:
        only(client.create_topics([confluent.NewTopic(topic, 1, 1)]))
        while topic not in client.list_topics(timeout=TIMEOUT_S).topics:
            pass  # Kafka answers before its broker knows

    def elect() -> str:
        asked = [confluent_kafka.TopicPartition(topic, 0)]
        outcomes = client.elect_leaders(confluent_kafka.ElectionType.PREFERRED, asked).result(TIMEOUT_S)
        return outcomes[asked[0]].name()

    rows: Rows = {
        "cluster_id": lambda: None if client.cluster_id() else "nothing",
        "describe_cluster": lambda: len(client.describe_cluster().result(TIMEOUT_S).nodes),
        "create_topics": create,
        "list_topics": lambda: topic in client.list_topics(timeout=TIMEOUT_S).topics,
        "describe_topics": lambda: len(
            only(client.describe_topics(confluent_kafka.TopicCollection([topic]))).partitions
        ),
        "create_partitions": lambda: only(client.create_partitions([confluent.NewPartitions(topic, 2)])),
        "list_offsets": lambda: only(client.list_offsets({first: confluent.OffsetSpec.latest()})).offset,
        "delete_records": lambda: only(client.delete_records([first])).low_watermark,
        "describe_configs": lambda: only(client.describe_configs([config]))["cleanup.policy"].value,
        "incremental_alter_configs": lambda: only(
            client.incremental_alter_configs(
                [confluent.ConfigResource(confluent.ResourceType.TOPIC, topic, incremental_configs=[change])]
            )
        ),
        "alter_configs": lambda: only(
            client.alter_configs(
                [
                    confluent.ConfigResource(
                        confluent.ResourceType.TOPIC, topic, set_config={"retention.ms": "8"}
                    )
                ]
            )
        ),
        "elect_leaders": elect,
        "alter_consumer_group_offsets": lambda: nothing(only(client.alter_consumer_group_offsets([offsets]))),
        "list_consumer_group_offsets": lambda: (
            only(client.list_consumer_group_offsets([confluent_kafka.ConsumerGroupTopicPartitions(group)]))
            .topic_partitions[0]
            .offset
        ),
        "list_consumer_groups": lambda: (
            group in {each.group_id for each in client.list_consumer_groups().result(TIMEOUT_S).valid}
        ),
        "list_groups": lambda: group in {each.id for each in client.list_groups(timeout=TIMEOUT_S)},
        "describe_consumer_groups": lambda: only(client.describe_consumer_groups([group])).state.name,
        "delete_consumer_groups": lambda: only(client.delete_consumer_groups([group])),
        "describe_user_scram_credentials": lambda: client.describe_user_scram_credentials().result(TIMEOUT_S),
        "alter_user_scram_credentials": lambda: only(client.alter_user_scram_credentials([password])),
        "describe_acls": lambda: client.describe_acls(any_acl).result(TIMEOUT_S),
        "create_acls": lambda: only(client.create_acls([acl])),
        "delete_acls": lambda: only(client.delete_acls([any_acl])),
        "set_sasl_credentials": lambda: client.set_sasl_credentials("u", "p"),
        "poll": lambda: nothing(client.poll(0)),
        "delete_topics": lambda: only(client.delete_topics([topic])),
    }
    tell(confluent.AdminClient, rows, name_of)


def name_of(error: Exception) -> str:
    reason = error.args[0] if error.args else None
    return reason.name() if isinstance(reason, confluent_kafka.KafkaError) else type(error).__name__


if __name__ == "__main__":
    main(*sys.argv[1:])
