"""Kafka's own DumpLogSegments decodes what we write into `__consumer_offsets`."""

import json
import re
import subprocess
from uuid import UUID

import pytest

from logbroker.coordination.formats.consumer_offsets import (
    GroupMetadataValue,
    MemberMetadata,
    OffsetCommitValue,
    group_metadata,
    group_metadata_key,
    offset_commit,
    offset_commit_key,
    offset_commit_value,
)
from logbroker.records.builder import BatchBuilder

pytestmark = [pytest.mark.java]

NOW = 1_700_000_000_000
TOPIC_ID = UUID("44b482ca-9a31-427c-9981-d412d2347bc3")
SUBSCRIPTION = bytes.fromhex("000000000001000474c3bc31ffffffff")  # version 0, ["tü1"], no user data
GROUP = GroupMetadataValue(
    "consumer",
    7,
    "range",
    "m-1",
    NOW,
    [
        MemberMetadata("m-1", None, "client", "/10.0.0.7", 60_000, 10_000, SUBSCRIPTION, b"\x00\x01abc"),
        MemberMetadata("m-2", "instance", "clïent", "/::1", 300_000, 45_000, SUBSCRIPTION, b""),
    ],
)
RECORDS = [
    (
        offset_commit_key("g", "t", 0),
        offset_commit_value(OffsetCommitValue(42, 3, "noté", NOW, -1, TOPIC_ID)),
    ),
    (offset_commit_key("g", "t", 1), offset_commit_value(OffsetCommitValue(43, -1, "", NOW))),
    (offset_commit_key("g", "t", 2), offset_commit_value(OffsetCommitValue(44, -1, "", NOW, NOW + 9))),
    (offset_commit_key("g", "t", 0), None),
    (group_metadata_key("g"), group_metadata.encode_value(GROUP, 3)),
    (group_metadata_key("new"), group_metadata.encode_value(GroupMetadataValue(), 3)),
    (group_metadata_key("g"), None),
    *[
        (offset_commit_key("g", "v", v), offset_commit.encode_value(OffsetCommitValue(v, 1, "m", NOW), v))
        for v in range(5)
    ],
    *[(group_metadata_key(f"v{v}"), group_metadata.encode_value(GROUP, v)) for v in range(5)],
]


@pytest.fixture(scope="module")
def dumped(kafka_lib, tmp_path_factory):
    """What the tool says of each record: (key, payload)."""
    folder = tmp_path_factory.mktemp("dump") / "__consumer_offsets-0"
    folder.mkdir()
    builder = BatchBuilder(leader_epoch=0)
    for key, value in RECORDS:
        builder.append(NOW, key, value)
    segment = folder / "00000000000000000000.log"
    segment.write_bytes(builder.build())
    done = subprocess.run(
        [
            "java",
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-Dfile.encoding=UTF-8",
            "-Dstdout.encoding=UTF-8",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp",
            f"{kafka_lib}/*",
            "org.apache.kafka.tools.DumpLogSegments",
            "--files",
            str(segment),
            "--offsets-decoder",
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^\| offset: \d+ .*? key: (\{.*\}) payload: (.*)$", done.stdout, re.MULTILINE)
    assert len(lines) == len(RECORDS), done.stdout
    return [(json.loads(key), None if value == "<DELETE>" else json.loads(value)) for key, value in lines]


def test_it_reads_offsets(dumped):
    assert dumped[0] == (
        {"type": "1", "data": {"group": "g", "topic": "t", "partition": 0}},
        {
            "version": "4",
            "data": {
                "offset": 42,
                "leaderEpoch": 3,
                "metadata": "noté",
                "commitTimestamp": NOW,
                "topicId": "RLSCypoxQnyZgdQS0jR7ww",
            },
        },
    )
    assert dumped[1][1] == {
        "version": "3",
        "data": {"offset": 43, "leaderEpoch": -1, "metadata": "", "commitTimestamp": NOW},
    }
    assert dumped[2][1]["data"]["expireTimestamp"] == NOW + 9
    assert dumped[3][1] is None


def test_it_reads_groups(dumped):
    assert dumped[4][0] == {"type": "2", "data": {"group": "g"}}
    data = dumped[4][1]["data"]
    assert (data["protocolType"], data["generation"], data["protocol"], data["leader"]) == (
        "consumer",
        7,
        "range",
        "m-1",
    )
    assert data["currentStateTimestamp"] == NOW
    assert [member["memberId"] for member in data["members"]] == ["m-1", "m-2"]
    assert [member["groupInstanceId"] for member in data["members"]] == [None, "instance"]
    assert data["members"][1]["clientId"] == "clïent"
    assert data["members"][0]["subscription"] == {"topics": ["tü1"], "userData": None}
    assert data["members"][0]["rebalanceTimeout"] == 60_000
    assert dumped[5][1]["data"]["members"] == []
    assert dumped[6][1] is None


def test_it_reads_every_version(dumped):
    for version in range(5):
        offset, group = dumped[7 + version][1], dumped[12 + version][1]
        assert (offset["version"], offset["data"]["offset"]) == (str(version), version)
        assert group["version"] == str(version)
        assert len(group["data"]["members"]) == 2
