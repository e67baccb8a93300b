"""Our tables against Kafka's own: the API table in its jars, and the message definitions that they carry.

Needs a JDK and Kafka's jars, in tools/kafka/lib or where KAFKA_LIB points.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from logbroker.wire import codec
from logbroker.wire.api import API, PRODUCE_ADVERTISED_MIN, ApiKey
from logbroker.wire.schema import ZERO_UUID, Field, Message

LIBRARY = Path(os.environ.get("KAFKA_LIB") or Path(__file__).parents[2] / "tools" / "kafka" / "lib")
DUMP = Path(__file__).parent / "java" / "DumpApis.java"
CLIENTS_JAR = next(iter(LIBRARY.glob("kafka-clients-4.3.1.jar")), None)

pytestmark = [
    pytest.mark.java,
    pytest.mark.skipif(
        CLIENTS_JAR is None,
        reason="no Kafka 4.3.1 jars; enable with: cd tools/kafka && "
        "mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib",
    ),
]


@pytest.mark.skipif(
    shutil.which("javac") is None, reason="no JDK; enable with: apt-get install default-jdk-headless"
)
def test_api_table_is_that_of_the_jars():
    done = subprocess.run(
        ["java", "-cp", f"{LIBRARY}/*", str(DUMP)], capture_output=True, text=True, check=True, timeout=60
    )
    theirs = {}
    for line in done.stdout.splitlines():
        words, listeners = line.split(" [")
        key, name, constant, oldest, _newest, stable, headers = words.split()
        if int(stable) < 0:
            assert int(key) not in API  # LeaderAndIsr and its like, which Kafka 4 has no version of
            continue
        theirs[int(key)] = (
            name,
            constant,
            int(oldest),
            int(stable),
            "BROKER" in listeners.strip("]").split(", "),
        )
        for version, request, response in (triple.split(":") for triple in headers.strip(",").split(",")):
            spec = API[int(key)]
            assert spec.request_header_version(int(version)) == int(request), (name, version)
            assert spec.response_header_version(int(version)) == int(response), (name, version)
    ours = {
        key: (spec.name, spec.key.name, spec.min_version, spec.max_version, spec.on_brokers)
        for key, spec in API.items()
    }
    assert ours == theirs
    assert len(ours) > 80
    assert API[ApiKey.PRODUCE].advertised_min == PRODUCE_ADVERTISED_MIN


# --- message definitions ----------------------------------------------------------------------------------


def definitions() -> dict[str, dict[str, Any]]:
    found = {}
    with zipfile.ZipFile(CLIENTS_JAR) as jar:
        for name in jar.namelist():
            if name.startswith("common/message/") and name.endswith(".json"):
                lines = jar.read(name).decode().splitlines()
                text = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
                definition = json.loads(text)
                found[definition["name"]] = definition
    return found


def versions_of(text: str | None, newest: int) -> set[int]:
    if text in (None, "none"):
        return set()
    low, _, high = text.partition("-")
    if low.endswith("+"):
        return set(range(int(low[:-1]), newest + 1))
    return set(range(int(low), int(high or low) + 1))


def snake_case(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    snake = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    return "id_" if snake == "id" else snake  # kio's way with Python's builtins, and so ours


def in_range(bounds: tuple[int, int] | None) -> set[int]:
    return set() if bounds is None else set(range(bounds[0], bounds[1] + 1))


def expected_default(definition: dict[str, Any], ours: Field) -> Any:
    text = definition.get("default")
    if ours.array:
        return None if text == "null" else ()
    if ours.type == "struct" or text == "null" or ours.type == "records":
        return None
    if text in (None, ""):
        zero = {"string": "", "bytes": b"", "uuid": ZERO_UUID, "bool": False, "float64": 0.0}.get(
            ours.type, 0
        )
        # Where null is possible in every version, our string and bytes start as None, not empty.
        always_nullable = in_range(ours.nullable) == set(range(ours.first, ours.last + 1))
        return None if always_nullable and ours.type in ("string", "bytes") else zero
    if ours.type == "bool":
        return str(text).lower() == "true"
    return text if ours.type == "string" else int(str(text), 0)


def check_struct(
    schema: Message, cls: type[Any], fields: list[dict[str, Any]], common: dict[str, Any], within: set[int]
) -> int:
    theirs = {snake_case(field["name"]): field for field in fields}
    ours = schema.structs[cls]
    for version in within:
        sent = [
            name for name, field in theirs.items() if version in versions_of(field["versions"], schema.last)
        ]
        assert [field.name for field in ours if field.present(version)] == sent, (cls, version)
    checked = 0
    for our in ours:
        their = theirs[our.name]
        where = f"{schema.name}: {cls.__name__}.{our.name}"
        present = versions_of(their["versions"], schema.last) & within
        assert in_range((our.first, our.last)) & within == present, where
        kafka_type = their["type"].removeprefix("[]")
        assert our.array == their["type"].startswith("[]"), where
        nullable = versions_of(their.get("nullableVersions"), schema.last) & present
        assert in_range(our.nullable) & within == nullable, where
        assert (
            in_range(our.tagged) & within == versions_of(their.get("taggedVersions"), schema.last) & present
        ), where
        assert our.tag == their.get("tag"), where
        assert our.default == expected_default(their, our), where
        checked += 1
        if our.type == "struct":
            assert our.item.__name__.endswith(kafka_type), where
            inner = their.get("fields") or common[kafka_type]
            checked += check_struct(schema, our.item, inner, common, present)
        else:
            assert our.type == kafka_type, where
    return checked


def check_message(schema: Message, definition: dict[str, Any]) -> int:
    newest = int(definition["validVersions"].rpartition("-")[2])
    valid = versions_of(definition["validVersions"], newest)
    assert set(range(schema.first, schema.last + 1)) == valid, schema.name
    flexible = versions_of(definition["flexibleVersions"], newest) & valid
    assert (min(flexible) if flexible else None) == schema.flexible, schema.name
    common = {struct["name"]: struct["fields"] for struct in definition.get("commonStructs", [])}
    return check_struct(schema, schema.root, definition["fields"], common, valid)


def test_every_field_is_that_of_kafkas_definitions():
    theirs = definitions()
    checked = 0
    for key in API:
        for schema in (codec.request_schema(key), codec.response_schema(key)):
            assert theirs[schema.name]["apiKey"] == key
            checked += check_message(schema, theirs[schema.name])
    for name in codec.STORED_MESSAGE_MODULES:
        schema = importlib.import_module(f"logbroker.wire.messages.{name}").MESSAGE
        checked += check_message(schema, theirs[schema.name])
    assert checked > 1000
