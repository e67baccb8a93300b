"""Write `logbroker/wire/messages/`: one module of plain classes and schema tables per Kafka API.

Usage: `python tools/generate_messages.py [DIRECTORY]` (default: the package's own directory). The result is
checked in; a test writes it again beside and compares.

The source is kio (Apache-2.0), which holds one frozen dataclass per struct *and version*, made from Apache
Kafka's message definitions. Here the versions of a struct are folded into one class with the union of their
fields, and a table that says which version has what (`wire/schema.py`). kio is needed only for this: nothing
of it runs in the broker, because its reader trusts the lengths it reads.

How kio's types become ours:

- Durations and times are integers on the wire and here, with the `_ms` that Kafka's name has and kio drops;
  the absent time is Kafka's -1, not None.
- An error code is an int, ids and names are int and str, and the absent UUID is the zero UUID.
- A nullable string, bytes or struct without a default is None. Kafka's own classes say "" for the first two,
  which nobody means; on the wire nothing changes, since such a field is always sent.
- A tagged struct is None until it is set: the same as its default, at no cost.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import importlib
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_origin

from kio.schema.index import api_key_map, schema_name_map
from kio.serial._introspect import classify_field, get_field_tag, get_schema_field_type, is_optional
from kio.static.constants import EntityType

PACKAGE = Path(__file__).resolve().parent.parent / "logbroker" / "wire" / "messages"
STORED_MESSAGES = ("consumer_protocol_assignment", "consumer_protocol_subscription")
"""Messages without an API key that this broker and its client read and write."""

INTEGERS_IN_DISGUISE = {
    "error_code": "int16",
    "timedelta_i32": "int32",
    "timedelta_i64": "int64",
    "datetime_i64": "int64",
}
PYTHON_TYPES = {
    "bool": "bool",
    "int8": "int",
    "int16": "int",
    "uint16": "int",
    "int32": "int",
    "int64": "int",
    "float64": "float",
    "string": "str",
    "bytes": "Buffer",
    "uuid": "UUID",
}
ZERO_VALUES: dict[str, Any] = {
    "bool": False,
    "float64": 0.0,
    "string": "",
    "bytes": b"",
    "uuid": uuid.UUID(int=0),
}

# What kio lacks, found by comparing every field with the definitions in Kafka's jar (which a test does). Versions:
# nothing, kio 0.6.5 has each that Kafka 4.3.1 has. Defaults: it drops the null of arrays of structs.
NULL_BY_DEFAULT = {
    "ConsumerGroupHeartbeatRequest": {"topic_partitions"},
    "ListPartitionReassignmentsRequest": {"topics"},
    "StreamsGroupHeartbeatRequest": {
        "active_tasks",
        "client_tags",
        "standby_tasks",
        "task_end_offsets",
        "task_offsets",
        "warmup_tasks",
    },
    "StreamsGroupHeartbeatResponse": {
        "active_tasks",
        "partitions_by_user_endpoint",
        "standby_tasks",
        "warmup_tasks",
    },
    "Topology": {"subtopologies"},
}


@dataclasses.dataclass
class FieldModel:
    """A field over all versions, as far as they were read."""

    name: str
    type: str
    array: bool
    item: StructModel | None
    default: Any
    has_default: bool
    versions: list[int] = dataclasses.field(default_factory=list)
    nullable: list[int] = dataclasses.field(default_factory=list)
    tagged: list[int] = dataclasses.field(default_factory=list)
    tag: int | None = None


@dataclasses.dataclass
class StructModel:
    """A struct over all versions; `users` are the fields that hold it, for its docstring."""

    name: str
    versions: list[int] = dataclasses.field(default_factory=list)
    fields: list[FieldModel] = dataclasses.field(default_factory=list)
    users: list[str] = dataclasses.field(default_factory=list)
    in_lists: bool = False


@dataclasses.dataclass
class MessageModel:
    """A request, response or stored message."""

    kind: str
    root: StructModel
    structs: dict[str, StructModel]
    versions: list[int]
    flexible: int | None


def span(versions: list[int], what: str) -> tuple[int, int]:
    """First and last of versions that must have no gap."""
    low, high = min(versions), max(versions)
    if sorted(set(versions)) != list(range(low, high + 1)):
        raise ValueError(f"{what}: versions {versions} have a gap")
    return low, high


def read_message(kind: str, classes: dict[int, type[Any]]) -> MessageModel:
    """Fold the classes of all versions of a message; the newest comes first, so that its names and order win."""
    structs: dict[str, StructModel] = {}
    newest = max(classes)
    name = classes[newest].__name__
    for version in sorted(classes, reverse=True):
        read_struct(classes[version], version, structs)
    flexible = [version for version, cls in classes.items() if cls.__flexible__]
    return MessageModel(
        kind=kind,
        root=structs[name],
        structs=structs,
        versions=sorted(classes),
        flexible=min(flexible) if flexible else None,
    )


def read_struct(cls: type[Any], version: int, structs: dict[str, StructModel]) -> StructModel:
    """Add one version of a struct, and of all below it."""
    struct = structs.setdefault(cls.__name__, StructModel(cls.__name__))
    if version in struct.versions:
        return struct
    struct.versions.append(version)
    known = {field.name: field for field in struct.fields}
    null_by_default = NULL_BY_DEFAULT.get(cls.__name__, set())
    position = 0  # fields of older versions go where they stood: behind the one that precedes them
    for source in dataclasses.fields(cls):
        read = read_field(source, version, structs)
        field = known.get(read.name)
        if field is None:
            struct.fields.insert(position, read)
            field = read
        elif (field.type, field.array, field.item) != (read.type, read.array, read.item):
            raise ValueError(f"{cls.__name__}.{read.name} has another type in version {version}")
        position = struct.fields.index(field) + 1
        field.versions.append(version)
        field.has_default = field.has_default or read.has_default or field.name in null_by_default
        if is_nullable(source, read):
            field.nullable.append(version)
        tag = get_field_tag(source)
        if tag is not None:
            field.tagged.append(version)
            field.tag = int(tag)
        if field.item is not None:
            field.item.in_lists = field.item.in_lists or field.array
            user = f"{cls.__name__}.{field.name}"
            if user not in field.item.users:
                field.item.users.append(user)
    return struct


def is_nullable(source: dataclasses.Field[Any], read: FieldModel) -> bool:
    """Whether None may be sent; kio also says None for zero UUIDs and absent times."""
    if get_field_tag(source) is not None and read.item is not None and not read.array:
        return False
    if read.array:
        return get_origin(source.type) is not tuple  # a tuple of "UUID or None" is not itself nullable
    if read.type in ("uuid", "int64"):
        return False
    return is_optional(source)


def read_field(source: dataclasses.Field[Any], version: int, structs: dict[str, StructModel]) -> FieldModel:
    """One field of one version."""
    shape = classify_field(source)
    name = source.name
    default = source.default
    if dataclasses.is_dataclass(shape.type_):
        item = read_struct(shape.type_, version, structs)
        return FieldModel(name, "struct", shape.is_array, item, None, default is None)
    kafka_type = get_schema_field_type(source)
    if kafka_type.startswith(("timedelta", "datetime")):
        name += "_ms"
    wire_type = INTEGERS_IN_DISGUISE.get(kafka_type, kafka_type)
    has_default = default is not dataclasses.MISSING
    plain = plain_default(default, wire_type, kafka_type, array=shape.is_array)
    return FieldModel(name, wire_type, shape.is_array, None, plain, has_default)


def plain_default(default: Any, wire_type: str, kafka_type: str, *, array: bool) -> Any:
    """A default as the plain value that stands in our class."""
    if default is dataclasses.MISSING or default == ():
        return ZERO_VALUES.get(wire_type, 0)
    if default is None and not array:
        return {"datetime_i64": -1, "uuid": uuid.UUID(int=0)}.get(kafka_type)
    if default is None:
        return None
    if isinstance(default, dt.timedelta):
        return default // dt.timedelta(milliseconds=1)
    if isinstance(default, enum.Enum):
        return int(default.value)
    plain: Any
    for plain in (bool, int, float, str, bytes):  # kio's own subclasses of these become the plain thing
        if isinstance(default, plain):
            return plain(default)
    raise ValueError(f"a default of {default!r}")


def default_is_none(field: FieldModel) -> bool:
    """Whether the attribute starts as None."""
    if field.array:
        return bool(field.nullable) and field.has_default and field.default is None
    if field.type == "struct":
        return bool(field.nullable or field.tagged)
    if field.type == "records":
        return True
    if field.nullable and (field.has_default or sorted(field.nullable) != sorted(field.versions)):
        return field.default is None
    return bool(field.nullable)


def annotation(field: FieldModel, kind: str) -> str:
    """The Python type of a field."""
    if field.item is not None:
        python = field.item.name
    elif field.type == "records":
        python = "Buffer | list[Buffer]" if kind == "response" else "Buffer"
    else:
        python = PYTHON_TYPES[field.type]
    if field.array:
        python = f"list[{python}]"
    if field.nullable or default_is_none(field):
        python += " | None"
    return python


def initial(field: FieldModel) -> str:
    """The Python source of a field's default."""
    if default_is_none(field):
        return "None"
    if field.array:
        return "field(default_factory=list)"
    if field.item is not None:
        return f"field(default_factory={field.item.name})"
    if field.type == "uuid":
        return "ZERO_UUID"
    return literal(field.default)


def literal(value: Any) -> str:
    """A default as Python source, in the formatter's quotes."""
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def version_words(versions: tuple[int, int], whole: tuple[int, int]) -> str:
    """A range as a person writes it: `v3+`, `v0-v2`."""
    low, high = versions
    if high == whole[1]:
        return f"v{low}+"
    return f"v{low}" if low == high else f"v{low}-v{high}"


def write_class(struct: StructModel, kind: str, whole: tuple[int, int]) -> Iterable[str]:
    """The dataclass."""
    yield "@dataclass(slots=True)"
    yield f"class {struct.name}:"
    where = " and ".join(f"`{user}`" for user in sorted(struct.users))
    own = span(struct.versions, struct.name)
    versions = f"Versions {own[0]} to {own[1]}." if own[0] != own[1] else f"Version {own[0]}."
    if not where:
        yield f'    """The whole {"message" if kind == "message" else kind}. {versions}"""'
    else:
        yield f'    """{"An element" if struct.in_lists else "The value"} of {where}. {versions}"""'
    yield ""
    for field in struct.fields:
        note = ""
        present = span(field.versions, field.name)
        if present != own:
            note = f"  # {version_words(present, whole)}"
        yield f"    {field.name}: {annotation(field, kind)} = {initial(field)}{note}"
    yield ""
    yield ""


def write_table(struct: StructModel) -> Iterable[str]:
    """One entry of STRUCTS."""
    yield f"    {struct.name}: ("
    for field in struct.fields:
        first, last = span(field.versions, field.name)
        parts = [f'"{field.name}"', f'"{field.type}"', str(first), str(last)]
        if field.array:
            parts.append("array=True")
        if field.item is not None:
            parts.append(f"item={field.item.name}")
        if field.nullable:
            parts.append(f"nullable={span(field.nullable, field.name)}")
        if field.tag is not None:
            parts.append(f"tag={field.tag}")
            parts.append(f"tagged={span(field.tagged, field.name)}")
        default = (
            "None"
            if default_is_none(field) or (field.item is not None and not field.array)
            else initial(field)
        )
        if field.array and default != "None":
            default = "()"
        if default != "0":
            parts.append(f"default={default}")
        yield f"        Field({', '.join(parts)}),"
    yield "    ),"


def write_module(title: str, messages: list[MessageModel]) -> str:
    """The text of a module, before formatting."""
    structs: dict[str, tuple[StructModel, MessageModel]] = {}
    taken: dict[str, StructModel] = {}
    for message in messages:
        for name, struct in message.structs.items():
            if name in taken:
                # A request and a response that use one name for two structs: the message tells them apart.
                for clash, owner in ((taken[name], messages[0]), (struct, message)):
                    clash.name = f"{owner.root.name}{name}"
            taken[name] = struct
    for message in messages:
        for struct in order(message.root):
            structs[struct.name] = (struct, message)
    ranges = []
    for message in messages:
        low, high = message.versions[0], message.versions[-1]
        flexible = "never flexible" if message.flexible is None else f"flexible from v{message.flexible}"
        ranges.append(f"{message.root.name} v{low} to v{high} ({flexible})")
    body: list[str] = []
    for struct, message in structs.values():
        body.extend(write_class(struct, message.kind, (message.versions[0], message.versions[-1])))
    body.append("STRUCTS: Structs = {")
    for struct, _ in structs.values():
        body.extend(write_table(struct))
    body.append("}")
    body.append("")
    for message in messages:
        low, high = span(message.versions, message.root.name)
        body.append(
            f'{message.kind.upper()} = Message("{message.root.name}", {message.root.name}, '
            f"{low}, {high}, flexible={message.flexible}, structs=STRUCTS)"
        )
    text = "\n".join(body)
    schema_names = ["Field", "Message", "Structs"]
    if "ZERO_UUID" in text:
        schema_names.append("ZERO_UUID")
    schema_names.sort(key=lambda word: (not word.isupper(), word))
    head = [
        f'"""{title}: {"; ".join(ranges)}.',
        "",
        "Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from dataclasses import dataclass" + (", field" if "field(" in text else ""),
    ]
    if "UUID" in text:
        head.append("from uuid import UUID")
    head.append("")
    if "Buffer" in text:
        head.append("from logbroker.base.types import Buffer")
    head.append(f"from logbroker.wire.schema import {', '.join(schema_names)}")
    return "\n".join([*head, "", "", text, ""])


def order(root: StructModel) -> list[StructModel]:
    """A struct's parts before the struct."""
    ordered: list[StructModel] = []

    def visit(struct: StructModel) -> None:
        for field in struct.fields:
            if field.item is not None and field.item not in ordered:
                visit(field.item)
        if not any(struct is other for other in ordered):
            ordered.append(struct)

    visit(root)
    return ordered


def load_classes(schema_name: str, entity_type: EntityType) -> dict[int, type[Any]]:
    """The class that kio has for every version."""
    classes = {}
    for version, paths in schema_name_map[schema_name].items():
        module_name, class_name = paths[entity_type].split(":")  # type: ignore[index]
        classes[int(version)] = getattr(importlib.import_module(module_name), class_name)
    return classes


def title_of(schema_name: str) -> str:
    """`describe_log_dirs` as `DescribeLogDirs`."""
    return re.sub(r"(?:^|_)([a-z])", lambda match: match.group(1).upper(), schema_name)


def write_index(keys: dict[int, str]) -> str:
    """The package's `__init__`."""
    lines = [
        '"""Kafka\'s messages as plain classes, one module per API; imported one by one, when first used.',
        "",
        "Written by tools/generate_messages.py; don't edit. An instance is mutable and owned by whoever made it. Fields",
        "of type Buffer in a decoded message are memoryviews of the frame: copy what must outlive it.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
        "MODULE_OF_API_KEY: Final[dict[int, str]] = {",
        *(f'    {key}: "{name}",' for key, name in sorted(keys.items())),
        "}",
        "",
        f"STORED_MESSAGE_MODULES: Final = {STORED_MESSAGES!r}".replace("'", '"'),
        "",
    ]
    return "\n".join(lines)


def module_texts() -> dict[str, str]:
    """Every file of the package, by name, before formatting."""
    texts = {"__init__.py": write_index({int(key): name for key, name in api_key_map.items()})}
    for key, name in sorted(api_key_map.items()):
        messages = [
            read_message("request", load_classes(name, EntityType.request)),
            read_message("response", load_classes(name, EntityType.response)),
        ]
        texts[f"{name}.py"] = write_module(f"{title_of(name)} (API key {key})", messages)
    for name in STORED_MESSAGES:
        message = read_message("message", load_classes(name, EntityType.data))
        texts[f"{name}.py"] = write_module(title_of(name), [message])
    return texts


def generate(directory: Path) -> None:
    """Write the whole package into `directory`; modules that are no longer made go."""
    texts = module_texts()
    with tempfile.TemporaryDirectory() as scratch:
        for file_name, text in texts.items():
            Path(scratch, file_name).write_text(text)
        configuration = str(PACKAGE.parent.parent.parent / "pyproject.toml")
        for command in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
            subprocess.run(
                [sys.executable, "-m", "ruff", *command, "--config", configuration, scratch], check=True
            )
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.glob("*.py"):
            if old.name not in texts:
                old.unlink()
        for file_name in texts:
            shutil.copyfile(Path(scratch, file_name), directory / file_name)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE)
