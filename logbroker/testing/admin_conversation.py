"""A long talk with a broker about everything that an administrator asks besides topics and configs of topics.

`converse` says everything in a fixed order over one connection and returns each answer, error messages included, under a label
(`talk.py` says what is masked).

Not in it, because the answers differ on purpose: configs of share and streams groups, loggers' names other than `root`, and what an
authorizer, a quota or a user would change, as there are none yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from logbroker.testing.talk import STRANGER, Answers, Talk, until
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from logbroker.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from logbroker.wire.messages.create_acls import AclCreation, CreateAclsRequest
from logbroker.wire.messages.create_delegation_token import CreateDelegationTokenRequest
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from logbroker.wire.messages.describe_acls import DescribeAclsRequest
from logbroker.wire.messages.describe_client_quotas import ComponentData, DescribeClientQuotasRequest
from logbroker.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from logbroker.wire.messages.describe_delegation_token import DescribeDelegationTokenRequest
from logbroker.wire.messages.describe_log_dirs import DescribeLogDirsRequest
from logbroker.wire.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    UserName,
)
from logbroker.wire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from logbroker.wire.messages.expire_delegation_token import ExpireDelegationTokenRequest
from logbroker.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from logbroker.wire.messages.list_config_resources import ListConfigResourcesRequest
from logbroker.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)
from logbroker.wire.messages.metadata import MetadataRequest
from logbroker.wire.messages.renew_delegation_token import RenewDelegationTokenRequest
from logbroker.wire.messages.unregister_broker import UnregisterBrokerRequest
from logbroker.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest

TIMEOUT_MS: Final = 30_000
TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
"""Resource types."""
SET, DELETE, APPEND, SUBTRACT = range(4)
"""What to do with a config."""
PREFERRED, UNCLEAN = 0, 1
"""Kinds of election."""
SESSION, HEARTBEAT, INTERVAL = (
    "consumer.session.timeout.ms",
    "consumer.heartbeat.interval.ms",
    "consumer.assignment.interval.ms",
)


def converse(bootstrap: str) -> Answers:
    """Talk to the broker, whose id is 1 and which has no topics and no dynamic configs.

    Raises:
        RuntimeError: It isn't ready in time.
        ConnectionError: It closed a connection.
    """
    talk = Talk(bootstrap)
    try:
        _create(talk)
        for part in (
            _groups,
            _client_metrics,
            _loggers,
            _resources,
            _elections,
            _reassignments,
            _directories,
            _features,
            _security,
        ):
            part(talk)
        return talk.answers
    finally:
        talk.close()


def _create(talk: Talk) -> None:
    topics = [CreatableTopic("one", 1, 1), CreatableTopic("three", 3, 1)]
    answer = talk.a.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics, TIMEOUT_MS), 5)
    if any(result.error_code for result in answer.topics):
        raise RuntimeError(f"topics were not created: {answer}")

    def led() -> bool:
        found = talk.a.call(ApiKey.METADATA, MetadataRequest(topics=None), 12).topics
        partitions = [partition for topic in found for partition in topic.partitions]
        return len(partitions) == 4 and all(partition.leader_id == 1 for partition in partitions)

    until(led)


# ---- configs of groups, client metrics and loggers


def _alter(
    talk: Talk, label: str, kind: int, name: str, *changes: tuple[str, int, str | None], only: bool = False
) -> None:
    resource = AlterConfigsResource(kind, name, [AlterableConfig(*change) for change in changes])
    request = IncrementalAlterConfigsRequest([resource], only)
    talk.ask(f"alter {label}", ApiKey.INCREMENTAL_ALTER_CONFIGS, request)
    if kind != BROKER_LOGGER:
        _settle(talk)


def _settle(talk: Talk) -> None:
    """Wait until what was changed shows: Kafka answers as soon as its controller knows."""
    mark = str(50_000 + len(talk.answers))
    resource = AlterConfigsResource(GROUP, "mark", [AlterableConfig(SESSION, SET, mark)])
    talk.a.call(ApiKey.INCREMENTAL_ALTER_CONFIGS, IncrementalAlterConfigsRequest([resource], False), 1)

    def shown() -> bool:
        wanted = DescribeConfigsRequest([DescribeConfigsResource(GROUP, "mark", [SESSION])])
        result = talk.a.call(ApiKey.DESCRIBE_CONFIGS, wanted, 4).results[0]
        return [config.value for config in result.configs] == [mark]

    until(shown)


def _configs(
    talk: Talk, label: str, kind: int, name: str, keys: Sequence[str] | None, version: int = 4
) -> None:
    """Note what a resource's configs say, in the order of their names."""
    resource = DescribeConfigsResource(kind, name, None if keys is None else list(keys))
    request = DescribeConfigsRequest([resource], True, True)
    result = talk.a.call(ApiKey.DESCRIBE_CONFIGS, request, version).results[0]
    told: dict[str, Any] = {"error": result.error_code, "message": result.error_message}
    for config in sorted(result.configs, key=lambda config: config.name):
        told[config.name] = {
            "value": config.value,
            "read only": config.read_only,
            "source": config.config_source,
            "sensitive": config.is_sensitive,
            "synonyms": [[synonym.name, synonym.value, synonym.source] for synonym in config.synonyms],
            "type": config.config_type,
            "documented": bool(config.documentation),
        }
    talk.note(f"configs {label}", told)


def _groups(talk: Talk) -> None:
    keys = [SESSION, HEARTBEAT, INTERVAL]

    def alter(label: str, *changes: tuple[str, int, str | None], name: str = "g", only: bool = False) -> None:
        _alter(talk, f"group: {label}", GROUP, name, *changes, only=only)

    for version in range(1, 5):
        _configs(talk, f"of a group v{version}", GROUP, "g", keys, version)
    _configs(talk, "of a group without a name", GROUP, "", keys)
    alter("set", (SESSION, SET, "50000"), (INTERVAL, SET, "5"))
    _configs(talk, "of a changed group", GROUP, "g", [*keys, "no.such"])
    alter("validated only", (HEARTBEAT, SET, "9000"), only=True)
    alter("too short a session", (SESSION, SET, "5"))
    alter("too long a session", (SESSION, SET, "500000"))
    alter("a word", (SESSION, SET, "x"))
    alter("zero", (SESSION, SET, "0"))
    alter("too short a heartbeat", (HEARTBEAT, SET, "5"))
    alter("too long a heartbeat", (HEARTBEAT, SET, "50000"))
    alter("a negative interval", (INTERVAL, SET, "-1"))
    alter("too long an interval", (INTERVAL, SET, "50000"))
    alter("two mistakes", (INTERVAL, SET, "50000"), (SESSION, SET, "5"))
    alter("what doesn't exist", ("no.such", SET, "1"))
    alter("delete what doesn't exist", ("no.such", DELETE, None))
    alter("append", (SESSION, APPEND, "1"))
    alter("subtract from what doesn't exist", ("no.such", SUBTRACT, "1"))
    alter("null", (SESSION, SET, None))
    alter("all groups", (SESSION, SET, "50000"), name="")
    alter("an odd name", (SESSION, SET, "50000"), name="a b/c")
    alter("delete", (INTERVAL, DELETE, None))
    _configs(talk, "of a group, after all", GROUP, "g", keys)


def _client_metrics(talk: Talk) -> None:
    def alter(label: str, *changes: tuple[str, int, str | None], name: str = "m", only: bool = False) -> None:
        _alter(talk, f"client metrics: {label}", CLIENT_METRICS, name, *changes, only=only)

    _configs(talk, "of client metrics", CLIENT_METRICS, "m", None)
    _configs(talk, "of client metrics without a name", CLIENT_METRICS, "", None)
    alter("set", ("interval.ms", SET, " 1000 "), ("metrics", SET, "a.b,c"))
    _configs(talk, "of changed client metrics", CLIENT_METRICS, "m", None)
    alter("match", ("match", SET, "client_id=x.*,client_software_name=y"))
    alter("append", ("metrics", APPEND, "d"))
    alter("subtract", ("metrics", SUBTRACT, "c"))
    alter("append to a number", ("interval.ms", APPEND, "1"))
    _configs(talk, "of client metrics with a list", CLIENT_METRICS, "m", ["metrics", "match"])
    alter("too short an interval", ("interval.ms", SET, "99"))
    alter("too long an interval", ("interval.ms", SET, "3600001"))
    alter("an interval of zero", ("interval.ms", SET, "0"))
    alter("a word", ("interval.ms", SET, "x"))
    alter("an unknown selector", ("match", SET, "who=x"))
    alter("a selector without a value", ("match", SET, "client_id"))
    alter("a selector with two values", ("match", SET, "client_id=x=y"))
    alter("a bad pattern", ("match", SET, "client_id=["))
    alter("every selector", ("match", SET, ",".join(f"{selector}=.*" for selector in SELECTORS)))
    alter("what doesn't exist", ("no.such", SET, "1"))
    alter("delete what doesn't exist", ("no.such", DELETE, None))
    alter("null", ("metrics", SET, None))
    alter("without a name", ("metrics", SET, "a"), name="")
    alter("validated only", ("metrics", SET, "z"), name="n", only=True)
    alter("delete", ("metrics", DELETE, None), ("match", DELETE, None), ("interval.ms", DELETE, None))
    _configs(talk, "of client metrics, after all", CLIENT_METRICS, "m", None)
    alter("for the list of resources", ("metrics", SET, "a"), name="kept")


SELECTORS: Final = (
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
)
"""What a subscription to client metrics may select by (KIP-714)."""


def _loggers(talk: Talk) -> None:
    def alter(label: str, *changes: tuple[str, int, str | None], name: str = "1", only: bool = False) -> None:
        _alter(talk, f"logger: {label}", BROKER_LOGGER, name, *changes, only=only)

    for name in ("", "2", "x"):
        _configs(talk, f"of loggers of {name!r}", BROKER_LOGGER, name, ["root"])
    alter("warn", ("root", SET, "WARN"))
    _configs(talk, "of loggers, changed", BROKER_LOGGER, "1", ["root"])
    alter("validated only", ("root", SET, "DEBUG"), only=True)
    alter("fatal", ("root", SET, "ERROR"))
    _configs(talk, "of loggers, changed again", BROKER_LOGGER, "1", ["root", "no.such"])
    alter("no level", ("root", SET, "LOUD"))
    alter("delete the root", ("root", DELETE, None))
    alter("append", ("root", APPEND, "INFO"))
    alter("subtract", ("root", SUBTRACT, "INFO"))
    alter("what doesn't exist", ("no.such.logger", SET, "INFO"))
    alter("delete what doesn't exist", ("no.such.logger", DELETE, None))
    alter("null", ("root", SET, None))
    alter("another broker", ("root", SET, "INFO"), name="2")
    alter("no broker", ("root", SET, "INFO"), name="")
    alter("a word", ("root", SET, "INFO"), name="x")
    alter("back", ("root", SET, "INFO"))


# ---- what there is, and where it lies


def _resources(talk: Talk) -> None:
    def ask(label: str, types: Sequence[int], version: int = 1) -> None:
        answer = talk.a.call(
            ApiKey.LIST_CONFIG_RESOURCES, ListConfigResourcesRequest(resource_types=list(types)), version
        )
        found = sorted([item.resource_type, item.resource_name] for item in answer.config_resources)
        talk.note(f"resources: {label}", {"error": answer.error_code, "found": found})

    ask("v0", [], 0)
    ask("all", [])
    for kind in (TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP):
        ask(f"type {kind}", [kind])
    ask("two types", [GROUP, TOPIC])
    ask("a type twice", [GROUP, GROUP])
    for kind in (0, 1, 3, 64):
        ask(f"unknown type {kind}", [kind])


def _elections(talk: Talk) -> None:
    def elect(
        label: str, topics: dict[str, list[int]] | None, kind: int = PREFERRED, version: int = 2
    ) -> None:
        wanted = None if topics is None else [TopicPartitions(*topic) for topic in topics.items()]
        talk.ask(
            f"elect {label}", ApiKey.ELECT_LEADERS, ElectLeadersRequest(kind, wanted, TIMEOUT_MS), version
        )

    for version in range(3):
        elect(f"v{version}", {"one": [0]}, version=version)
    elect("several", {"three": [2, 0], "one": [0]})
    elect("unclean", {"one": [0]}, UNCLEAN)
    elect("of no kind", {"one": [0]}, 2)
    elect("of no topic", {"nowhere": [0]})
    elect("of no partition", {"one": [1, -1]})
    elect("of an impossible topic", {"no name": [0]})
    elect("of nothing", {})
    elect("of all", None)
    elect("of all, uncleanly", None, UNCLEAN)
    elect("one twice", {"one": [0, 0]})


def _reassignments(talk: Talk) -> None:
    def assign(
        label: str, topics: dict[str, dict[int, list[int] | None]], version: int = 1, change: bool = True
    ) -> None:
        wanted = [
            ReassignableTopic(name, [ReassignablePartition(*partition) for partition in partitions.items()])
            for name, partitions in topics.items()
        ]
        request = AlterPartitionReassignmentsRequest(TIMEOUT_MS, change, wanted)
        talk.ask(f"reassign {label}", ApiKey.ALTER_PARTITION_REASSIGNMENTS, request, version)

    def listed(label: str, topics: dict[str, list[int]] | None) -> None:
        wanted = (
            None if topics is None else [ListPartitionReassignmentsTopics(*topic) for topic in topics.items()]
        )
        request = ListPartitionReassignmentsRequest(TIMEOUT_MS, wanted)
        talk.ask(f"reassignments {label}", ApiKey.LIST_PARTITION_REASSIGNMENTS, request)

    for version in range(2):
        assign(f"v{version}", {"one": {0: [1]}}, version)
    assign("to where they are", {"three": {0: [1], 2: [1]}})
    assign("cancelled", {"one": {0: None}})
    assign("cancelled, all", {"three": {0: None, 1: None}, "one": {0: None}})
    assign("to nobody", {"one": {0: []}})
    assign("to another", {"one": {0: [2]}})
    assign("to two", {"one": {0: [1, 2]}})
    assign("to two, not to be changed", {"one": {0: [1, 2]}}, change=False)
    assign("to one twice", {"one": {0: [1, 1]}})
    assign("to a negative one", {"one": {0: [-1]}})
    assign("of no topic", {"nowhere": {0: [1]}})
    assign("of no topic, cancelled", {"nowhere": {0: None}})
    assign("of no partition", {"one": {1: [1], -1: [1]}})
    assign("of no partition, cancelled", {"one": {1: None}})
    assign("of no partitions", {"one": {}})
    listed("of all", None)
    listed("of a topic", {"one": [0], "three": [0, 1]})
    listed("of no topic", {"nowhere": [0]})
    listed("of no partition", {"one": [9]})
    listed("of nothing", {})


def _directories(talk: Talk) -> None:
    answer = talk.a.call(ApiKey.DESCRIBE_LOG_DIRS, DescribeLogDirsRequest(topics=None), 4)
    home = answer.results[0].log_dir

    def move(label: str, path: str, topics: dict[str, list[int]], version: int = 2) -> None:
        wanted = [AlterReplicaLogDirTopic(*topic) for topic in topics.items()]
        request = AlterReplicaLogDirsRequest([AlterReplicaLogDir(path, wanted)])
        talk.ask(f"move {label}", ApiKey.ALTER_REPLICA_LOG_DIRS, request, version)

    for version in (1, 2):
        move(f"home v{version}", home, {"one": [0]}, version)
    move("home", home, {"one": [0], "three": [0, 1, 2]})
    move("no partition", home, {"one": [1], "nowhere": [0]})
    move("to an unknown directory", "/nowhere/at/all", {"one": [0], "nowhere": [0]})
    move("to a relative directory", "data", {"one": [0]})
    move("to a directory without a name", "", {"one": [0]})
    move("nothing", home, {})


# ---- features, quotas, users, ACLs, tokens


def _features(talk: Talk) -> None:
    def update(label: str, *updates: FeatureUpdateKey, version: int = 2, only: bool = True) -> None:
        request = UpdateFeaturesRequest(TIMEOUT_MS, list(updates), only)
        talk.ask(f"features {label}", ApiKey.UPDATE_FEATURES, request, version)

    for version in range(1, 3):
        update(f"unknown v{version}", FeatureUpdateKey("no.such", 1), version=version)
    update("unknown v0", FeatureUpdateKey("no.such", 1), version=0, only=False)
    update("nothing")
    update("unknown to zero", FeatureUpdateKey("no.such", 0, upgrade_type=2))
    update("without a name", FeatureUpdateKey("", 1))
    update("negative", FeatureUpdateKey("no.such", -1))
    update("of no kind", FeatureUpdateKey("no.such", 1, upgrade_type=9))
    for version in range(3):
        update(
            f"to a level there isn't, v{version}",
            FeatureUpdateKey("transaction.version", 99),
            version=version,
            only=False,
        )
        update(
            f"to where it is, v{version}",
            FeatureUpdateKey("transaction.version", 2),
            version=version,
            only=False,
        )


def _security(talk: Talk) -> None:
    def quotas(label: str, *components: ComponentData, strict: bool = False, version: int = 1) -> None:
        request = DescribeClientQuotasRequest(list(components), strict)
        talk.ask(f"quotas {label}", ApiKey.DESCRIBE_CLIENT_QUOTAS, request, version)

    for version in range(2):
        quotas(f"v{version}", version=version)
    quotas("strict", strict=True)
    quotas("of a user", ComponentData("user", 0, "u"))
    quotas("of the default client", ComponentData("client-id", 1, None))
    quotas("of any address", ComponentData("ip", 2, None), strict=True)
    quotas("of what doesn't exist", ComponentData("planet", 2, None))
    quotas("without a kind", ComponentData("", 2, None))
    quotas("one kind twice", ComponentData("user", 0, "u"), ComponentData("user", 0, "v"))
    quotas("of a user and an address", ComponentData("user", 0, "u"), ComponentData("ip", 2, None))
    quotas("without what to match", ComponentData("user", 0, None))
    quotas("with too much to match", ComponentData("user", 2, "u"))
    quotas("of no kind of match", ComponentData("user", 7, None))

    def users(label: str, names: Sequence[str] | None) -> None:
        wanted = None if names is None else [UserName(name) for name in names]
        request = DescribeUserScramCredentialsRequest(wanted)
        talk.ask(f"users {label}", ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS, request)

    users("all", None)
    users("none", [])
    users("one", ["u"])
    users("one twice", ["u", "u", "v"])
    users("without a name", [""])

    for version in range(1, 4):
        talk.ask(
            f"acls: describe v{version}",
            ApiKey.DESCRIBE_ACLS,
            DescribeAclsRequest(1, None, 1, None, None, 1, 1),
            version,
        )
        creation = AclCreation(2, "t", 3, "User:u", "*", 3, 3)
        talk.ask(
            f"acls: create v{version}", ApiKey.CREATE_ACLS, CreateAclsRequest([creation, creation]), version
        )
        wanted = DeleteAclsFilter(1, None, 1, None, None, 1, 1)
        talk.ask(f"acls: delete v{version}", ApiKey.DELETE_ACLS, DeleteAclsRequest([wanted, wanted]), version)
    talk.ask("acls: create nothing", ApiKey.CREATE_ACLS, CreateAclsRequest([]))
    talk.ask("acls: delete nothing", ApiKey.DELETE_ACLS, DeleteAclsRequest([]))

    for version in range(1, 4):
        talk.ask(
            f"tokens: create v{version}",
            ApiKey.CREATE_DELEGATION_TOKEN,
            CreateDelegationTokenRequest(None, None, [], -1),
            version,
        )
        talk.ask(
            f"tokens: describe v{version}",
            ApiKey.DESCRIBE_DELEGATION_TOKEN,
            DescribeDelegationTokenRequest(None),
            version,
        )
    for version in range(1, 3):
        talk.ask(
            f"tokens: renew v{version}",
            ApiKey.RENEW_DELEGATION_TOKEN,
            RenewDelegationTokenRequest(STRANGER.bytes, 1),
            version,
        )
        talk.ask(
            f"tokens: expire v{version}",
            ApiKey.EXPIRE_DELEGATION_TOKEN,
            ExpireDelegationTokenRequest(STRANGER.bytes, 1),
            version,
        )
    for broker_id in (7, -1):
        talk.ask(f"unregister {broker_id}", ApiKey.UNREGISTER_BROKER, UnregisterBrokerRequest(broker_id))
