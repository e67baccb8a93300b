"""One module per API, named for it. This table is the whole truth of what the broker offers.

A handler module's docstring states the API's contract, versions and KIPs. It has

    def handle(broker, context, request) -> response | Completion[response] | Awaitable[response]

and may have, besides,

    def handle_frame(broker, context, frame, position) -> None
        takes the place of `handle`: decodes the message at `position` of `frame` and answers by the methods of
        `context`, now or later, itself. For the few APIs where every microsecond counts.

    def failure(context, request, code, message) -> response
        the response that says `code` for everything that was asked, for APIs whose response has no error code of
        its own. Without it the connection is closed.

What leaves a handler as an exception: `BrokerError` is the answer to the whole request; `ProtocolError` closes the
connection, for a request that can't be understood; anything else is a fault of ours (UNKNOWN_SERVER_ERROR, and a log
line). Errors of single topics and partitions are the handler's own business: they are codes in the response.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from logbroker.wire.api import ApiKey

ADVERTISED: Final[Mapping[ApiKey, str]] = MappingProxyType(
    {
        key: f"logbroker.broker.handlers.{module}"
        for key, module in (
            (ApiKey.PRODUCE, "produce"),
            (ApiKey.FETCH, "fetch"),
            (ApiKey.LIST_OFFSETS, "list_offsets"),
            (ApiKey.METADATA, "metadata"),
            (ApiKey.OFFSET_COMMIT, "offset_commit"),
            (ApiKey.OFFSET_FETCH, "offset_fetch"),
            (ApiKey.FIND_COORDINATOR, "find_coordinator"),
            (ApiKey.JOIN_GROUP, "join_group"),
            (ApiKey.HEARTBEAT, "heartbeat"),
            (ApiKey.LEAVE_GROUP, "leave_group"),
            (ApiKey.SYNC_GROUP, "sync_group"),
            (ApiKey.DESCRIBE_GROUPS, "describe_groups"),
            (ApiKey.LIST_GROUPS, "list_groups"),
            (ApiKey.DELETE_GROUPS, "delete_groups"),
            (ApiKey.OFFSET_DELETE, "offset_delete"),
            (ApiKey.TXN_OFFSET_COMMIT, "txn_offset_commit"),
            (ApiKey.API_VERSIONS, "api_versions"),
            (ApiKey.CREATE_TOPICS, "create_topics"),
            (ApiKey.DELETE_TOPICS, "delete_topics"),
            (ApiKey.DELETE_RECORDS, "delete_records"),
            (ApiKey.INIT_PRODUCER_ID, "init_producer_id"),
            (ApiKey.OFFSET_FOR_LEADER_EPOCH, "offset_for_leader_epoch"),
            (ApiKey.ADD_PARTITIONS_TO_TXN, "add_partitions_to_txn"),
            (ApiKey.ADD_OFFSETS_TO_TXN, "add_offsets_to_txn"),
            (ApiKey.END_TXN, "end_txn"),
            (ApiKey.WRITE_TXN_MARKERS, "write_txn_markers"),
            (ApiKey.DESCRIBE_CONFIGS, "describe_configs"),
            (ApiKey.ALTER_CONFIGS, "alter_configs"),
            (ApiKey.DESCRIBE_LOG_DIRS, "describe_log_dirs"),
            (ApiKey.CREATE_PARTITIONS, "create_partitions"),
            (ApiKey.INCREMENTAL_ALTER_CONFIGS, "incremental_alter_configs"),
            (ApiKey.DESCRIBE_CLUSTER, "describe_cluster"),
            (ApiKey.DESCRIBE_PRODUCERS, "describe_producers"),
            (ApiKey.DESCRIBE_TRANSACTIONS, "describe_transactions"),
            (ApiKey.LIST_TRANSACTIONS, "list_transactions"),
            (ApiKey.CONSUMER_GROUP_HEARTBEAT, "consumer_group_heartbeat"),
            (ApiKey.CONSUMER_GROUP_DESCRIBE, "consumer_group_describe"),
            (ApiKey.DESCRIBE_TOPIC_PARTITIONS, "describe_topic_partitions"),
            (ApiKey.LIST_CONFIG_RESOURCES, "list_config_resources"),
            (ApiKey.ELECT_LEADERS, "elect_leaders"),
            (ApiKey.ALTER_PARTITION_REASSIGNMENTS, "alter_partition_reassignments"),
            (ApiKey.LIST_PARTITION_REASSIGNMENTS, "list_partition_reassignments"),
            (ApiKey.ALTER_REPLICA_LOG_DIRS, "alter_replica_log_dirs"),
            (ApiKey.UPDATE_FEATURES, "update_features"),
            (ApiKey.UNREGISTER_BROKER, "unregister_broker"),
            (ApiKey.DESCRIBE_CLIENT_QUOTAS, "describe_client_quotas"),
            (ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS, "describe_user_scram_credentials"),
            (ApiKey.DESCRIBE_ACLS, "describe_acls"),
            (ApiKey.CREATE_ACLS, "create_acls"),
            (ApiKey.DELETE_ACLS, "delete_acls"),
            (ApiKey.CREATE_DELEGATION_TOKEN, "create_delegation_token"),
            (ApiKey.RENEW_DELEGATION_TOKEN, "renew_delegation_token"),
            (ApiKey.EXPIRE_DELEGATION_TOKEN, "expire_delegation_token"),
            (ApiKey.DESCRIBE_DELEGATION_TOKEN, "describe_delegation_token"),
            (ApiKey.GET_TELEMETRY_SUBSCRIPTIONS, "get_telemetry_subscriptions"),
        )
    }
)
"""The APIs that clients are told of, to the modules that answer them, imported at their first use."""

PIPELINED: Final = frozenset({ApiKey.PRODUCE})
"""APIs of which one connection may have many in work at once. Everything else is done one at a time and in turn, as in
Kafka: it begins when what came before it on the connection is answered, and what comes after waits for its answer."""
