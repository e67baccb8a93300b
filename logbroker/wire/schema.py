"""What the codec compiler knows of a message: its structs, and each field's type and versions.

The tables are written by `tools/generate_messages.py` into `messages/<api>.py`, beside the classes they
describe. One class serves every version of a struct: it has the union of their fields, and the table says
which of them a version has. A field that a version lacks is left at its default when that version is decoded
and is passed over when it is encoded.

Source: the message definitions of Apache Kafka 4.3, by way of kio (see the generator); the `versions`,
`nullableVersions` and `taggedVersions` of those files are the ranges here. KIP-482 describes flexible
versions and tagged fields, KIP-893 nullable structs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

StructClass: TypeAlias = type[Any]
"""A dataclass of `messages/`."""

VersionRange: TypeAlias = tuple[int, int]
"""First and last version, both included."""

ZERO_UUID: Final = UUID(int=0)
"""What the protocol sends where a topic or directory has no id."""


FORMATS: Final = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "int64": "q",
    "float64": "d",
    "uuid": "16s",
}
"""How `struct` writes the types of fixed size, big-endian."""

UNROLLED_ARRAY_MAX: Final = 16
"""Arrays of numbers up to this length have a precompiled unpack and pack: replica lists, partition indexes."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct, over all versions of its message.

    Attributes:
        name: The attribute of the class.
        type: `bool`, `int8`, `int16`, `uint16`, `int32`, `int64`, `float64`, `string`, `bytes`, `records`,
            `uuid` or `struct`; of one element where `array` is set.
        first, last: The versions that have the field.
        array: Whether the field is a list.
        item: The class of a `struct`.
        nullable: The versions in which None may be sent. None: never.
        tag: The number it has as a tagged field (KIP-482).
        tagged: The versions in which it is a tagged field; in the others it stands in its place.
        default: The value of a field that wasn't sent. For a tagged field, the value that isn't sent. An array's
            default is None or an empty tuple, which stands for a new list; a struct's is always None, which
            stands for a new object with defaults unless None is the default of the attribute.
    """

    name: str
    type: str
    first: int
    last: int
    array: bool = False
    item: StructClass | None = None
    nullable: VersionRange | None = None
    tag: int | None = None
    tagged: VersionRange | None = None
    default: Any = 0

    def present(self, version: int) -> bool:
        """Whether `version` has the field at all."""
        return self.first <= version <= self.last

    def nullable_in(self, version: int) -> bool:
        """Whether `version` may send None."""
        return self.nullable is not None and self.nullable[0] <= version <= self.nullable[1]

    def tagged_in(self, version: int) -> bool:
        """Whether `version` sends it as a tagged field."""
        return self.tagged is not None and self.tagged[0] <= version <= self.tagged[1]


Structs: TypeAlias = dict[type[Any], tuple[Field, ...]]
"""The fields of every struct of a module, in the order in which they are sent."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request, response or stored message: its root class and versions.

    Attributes:
        name: Kafka's name, `ProduceRequest`.
        root: The class of the whole message.
        first, last: The versions that the tables describe. More than a broker supports, where the newest is not
            stable yet; `api.py` knows.
        flexible: The first version with compact lengths and tagged fields; None where there is no such version.
        structs: The tables of the module.
    """

    name: str
    root: type[Any]
    first: int
    last: int
    flexible: int | None
    structs: Structs

    def flexible_in(self, version: int) -> bool:
        """Whether `version` has compact lengths and tagged fields."""
        return self.flexible is not None and version >= self.flexible


def item_of(field: Field) -> type[Any]:
    """Return the class of a field whose type is `struct`."""
    if field.item is None:
        raise TypeError(f"field {field.name} is not a struct, or one without a class")
    return field.item


def least_size(message: Message, version: int, cls: type[Any]) -> int:
    """Return the fewest bytes that a struct takes in a version, at least 1."""
    flexible = message.flexible_in(version)
    total = 1 if flexible else 0
    for field in message.structs[cls]:
        if field.present(version) and not field.tagged_in(version):
            total += least_field_size(message, version, field, flexible=flexible)
    return max(total, 1)


def least_field_size(message: Message, version: int, field: Field, *, flexible: bool) -> int:
    """Return the fewest bytes that a field takes."""
    if field.array:
        return 1 if flexible else 4
    return least_value_size(message, version, field, flexible=flexible)


def least_value_size(message: Message, version: int, field: Field, *, flexible: bool) -> int:
    """Return the fewest bytes that one value of a field's type takes: of the field, or of an array's element."""
    if field.type == "struct":
        if field.nullable_in(version) and not field.array:
            return 1
        return least_size(message, version, item_of(field))
    if field.type == "string":
        return 1 if flexible else 2
    if field.type in ("bytes", "records"):
        return 1 if flexible else 4
    return struct.calcsize(">" + FORMATS[field.type])
