"""Our encoders write the very bytes that kio's writer does, for every API and version, and read them back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib
import io
import uuid
from typing import Any

import pytest

kio_index = pytest.importorskip("kio.schema.index")
from kio.schema.errors import ErrorCode  # noqa: E402
from kio.serial import entity_writer  # noqa: E402
from kio.serial._implicit_defaults import get_tagged_field_default  # noqa: E402
from kio.serial._introspect import classify_field, get_field_tag, get_schema_field_type  # noqa: E402

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def kio_classes() -> dict[tuple[str, int], type[Any]]:
    found = {}
    for versions in kio_index.schema_name_map.values():
        for version, paths in versions.items():
            for path in paths.values():
                found[path.split(":")[1], int(version)] = path
    return found


def load(path: str) -> type[Any]:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def to_kio(cls: type[Any], ours: Any) -> Any:
    values = {}
    for field in dataclasses.fields(cls):
        shape = classify_field(field)
        struct = dataclasses.is_dataclass(shape.type_)
        kafka_type = None if struct else get_schema_field_type(field)
        is_time = kafka_type is not None and kafka_type.startswith(("timedelta", "datetime"))
        value = getattr(ours, field.name + "_ms" if is_time else field.name)
        if value is None and struct and get_field_tag(field) is not None:
            values[field.name] = get_tagged_field_default(field)
            continue
        if value is None:
            values[field.name] = None
        elif shape.is_array:
            values[field.name] = tuple(one_to_kio(shape.type_, kafka_type, element) for element in value)
        else:
            values[field.name] = one_to_kio(shape.type_, kafka_type, value)
    return cls(**values)


def one_to_kio(python_type: type[Any], kafka_type: str | None, value: Any) -> Any:
    match kafka_type:
        case None:
            return to_kio(python_type, value)
        case "error_code":
            return ErrorCode(value)
        case "timedelta_i32" | "timedelta_i64":
            return dt.timedelta(milliseconds=value)
        case "datetime_i64":
            return None if value == -1 else EPOCH + dt.timedelta(milliseconds=value)
        case "uuid":
            return None if value == uuid.UUID(int=0) else value
    return value


def compare(cases: list[Any], maker: Any, messages_per_version: int) -> int:
    classes = kio_classes()
    compared = 0
    for case in cases:
        kio_class = load(classes[case.schema.name, case.version])
        write = entity_writer(kio_class)
        for _ in range(messages_per_version):
            message = maker.message(case.schema, case.version)
            expected = io.BytesIO()
            write(expected, to_kio(kio_class, message))
            ours = b"".join(case.encode(message))
            assert ours == expected.getvalue(), f"{case}: {message}"
            assert case.decode(memoryview(ours), 0) == message, case
            compared += 1
    return compared


def test_bytes_are_those_of_kio(cases, make_messages):
    assert compare(cases, make_messages(20260101), 4) > 2000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_bytes_are_those_of_kio_in_many_more_messages(cases, make_messages):
    assert compare(cases, make_messages(7), 100) > 60_000
