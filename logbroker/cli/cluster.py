"""`logbroker cluster describe`: which brokers there are, who is the controller, where they keep their data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from logbroker.cli.common import bootstrap_option, output_option, run
from logbroker.cli.output import print_json, print_table, size_text

if TYPE_CHECKING:
    from logbroker.client.types import ClusterDescription, LogDir


@click.group("cluster")
def cluster() -> None:
    """Describe the cluster and its brokers."""


@cluster.command("describe")
@bootstrap_option
@output_option
def describe(bootstrap_server: str, output: str) -> None:
    """Show the cluster's id, its controller, its brokers and their log directories."""
    description, log_dirs = run(_describe(bootstrap_server), waits_for=bootstrap_server)
    if output == "json":
        print_json(_as_json(description, log_dirs))
        return
    click.echo(f"cluster     {description.cluster_id}")
    click.echo(f"controller  {description.controller if description.controller >= 0 else 'none known'}")
    click.echo()
    print_table(
        ["broker", "address", "rack", "state"],
        [
            (
                broker.node_id,
                f"{broker.host}:{broker.port}",
                broker.rack,
                "fenced" if broker.fenced else "alive",
            )
            for broker in description.brokers
        ],
        right=["broker"],
    )
    if log_dirs:
        click.echo()
        print_table(
            ["broker", "log directory", "state", "replicas", "size", "free"],
            [
                (
                    log_dir.node_id,
                    log_dir.path,
                    log_dir.error.name.lower() if log_dir.error else "online",
                    len(log_dir.replicas),
                    size_text(sum(replica.size_bytes for replica in log_dir.replicas)),
                    size_text(log_dir.usable_bytes),
                )
                for log_dir in log_dirs
            ],
            right=["broker", "replicas", "size", "free"],
        )


async def _describe(bootstrap_server: str) -> tuple[ClusterDescription, list[LogDir]]:
    from logbroker.client.admin import Admin
    from logbroker.client.errors import UnsupportedByBrokerError

    async with Admin(bootstrap_server) as admin:
        description = await admin.describe_cluster()
        try:
            return description, await admin.describe_log_dirs()
        except UnsupportedByBrokerError:
            return description, []  # not every Kafka-compatible broker tells


def _as_json(description: ClusterDescription, log_dirs: list[LogDir]) -> dict[str, object]:
    return {
        "cluster_id": description.cluster_id,
        "controller": description.controller,
        "brokers": [asdict(broker) for broker in description.brokers],
        "log_dirs": [
            {
                "node_id": log_dir.node_id,
                "path": log_dir.path,
                "error": log_dir.error.name if log_dir.error else None,
                "replicas": len(log_dir.replicas),
                "size_bytes": sum(replica.size_bytes for replica in log_dir.replicas),
                "total_bytes": log_dir.total_bytes,
                "usable_bytes": log_dir.usable_bytes,
            }
            for log_dir in log_dirs
        ],
    }
