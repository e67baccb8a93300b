"""Say what is wrong with a message that a compiled decoder or encoder refused.

The compiled functions find out *that* something is wrong as cheaply as they can. Here the schema is walked
again, field by field and without cleverness, to name the field, the byte and the reason. It runs once per refused
message, just before the connection is closed, and looks at a bounded number of elements, so that a
hostile peer can't buy much time with it.

It is an independent second reading of the same schema tables: tests compare it with the compiled decoders.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final
from uuid import UUID

from logbroker.base.errors import ProtocolError
from logbroker.base.types import Buffer
from logbroker.wire import primitives
from logbroker.wire.schema import FORMATS, Field, Message, item_of, least_value_size

EXPLAINED_ELEMENTS_MAX: Final = 20_000
"""After this many array elements the walk stops and says how far it got."""

_FORMATS: Final = {name: Struct(f">{form}") for name, form in FORMATS.items()}


class _TooFarError(Exception):
    """The walk has seen as many elements as it may."""


class _Reader:
    """Walks a message and raises ProtocolError at the first thing that is wrong."""

    def __init__(self, message: Message, version: int, buffer: memoryview, elements_max: int) -> None:
        self.message = message
        self.version = version
        self.flexible = message.flexible_in(version)
        self.buffer = buffer
        self.elements_max = elements_max
        self.elements_left = elements_max
        self.walk_left = EXPLAINED_ELEMENTS_MAX
        self.path = ""
        self.position = 0

    def fail(self, reason: str) -> ProtocolError:
        return ProtocolError(
            f"{self.message.name} version {self.version}, {self.path or 'the message'}, byte {self.position}: {reason}"
        )

    def spend(self, count: int, what: str) -> None:
        self.elements_left -= count
        if self.elements_left < 0:
            raise self.fail(
                f"{count} more {what} make more than the {self.elements_max} that one message may have"
            )

    def step(self) -> None:
        self.walk_left -= 1
        if self.walk_left < 0:
            raise _TooFarError

    def struct(self, cls: type[Any], position: int) -> int:
        outer = self.path
        tagged = {}
        for field in self.message.structs[cls]:
            if not field.present(self.version):
                continue
            if field.tagged_in(self.version):
                tagged[field.tag] = field
                continue
            self.path = f"{outer}.{field.name}" if outer else field.name
            position = self.field(field, position)
        self.path = f"{outer}.tagged fields" if outer else "tagged fields"
        if self.flexible:
            position = self.tagged_section(tagged, position, outer)
        self.path = outer
        return position

    def tagged_section(self, tagged: dict[int | None, Field], position: int, outer: str) -> int:
        count, position = self.uvarint(position)
        self.spend(count, "tagged fields")
        for _ in range(count):
            self.path = f"{outer}.tagged fields" if outer else "tagged fields"
            self.step()
            tag, position = self.uvarint(position)
            size, position = self.uvarint(position)
            self.position = position
            end = position + size
            if end > len(self.buffer):
                raise self.fail(
                    f"tagged field {tag} claims {size} bytes, {len(self.buffer) - position} are left"
                )
            if tag in tagged:
                field = tagged[tag]
                self.path = f"{outer}.{field.name}" if outer else field.name
                reached = self.field(field, position)
                if reached != end:
                    self.position = position
                    raise self.fail(f"the tagged field claims {size} bytes and takes {reached - position}")
            position = end
        return position

    def field(self, field: Field, position: int) -> int:
        if not field.array:
            return self.value(field, position, nullable=field.nullable_in(self.version))
        self.position = position
        count, position = self.length(position, 4)
        if count is None:
            if not field.nullable_in(self.version):
                raise self.fail("null, where the array may not be null")
            return position
        least = least_value_size(self.message, self.version, field, flexible=self.flexible)
        if count * least > len(self.buffer) - position:
            raise self.fail(
                f"the array claims {count} elements, {len(self.buffer) - position} bytes are left"
            )
        self.spend(count, "elements")
        outer = self.path
        for index in range(count):
            self.path = f"{outer}[{index}]"
            self.step()
            position = self.value(field, position, nullable=False)
        self.path = outer
        return position

    def value(self, field: Field, position: int, *, nullable: bool) -> int:
        self.position = position
        if field.type == "struct":
            if nullable:
                marker, position = self.fixed(_FORMATS["int8"], position)
                if marker < 0:
                    return position
            return self.struct(item_of(field), position)
        if field.type in ("string", "bytes", "records"):
            return self.sliced(field, position, nullable=nullable)
        return self.fixed(_FORMATS[field.type], position)[1]

    def sliced(self, field: Field, position: int, *, nullable: bool) -> int:
        size, position = self.length(position, 2 if field.type == "string" else 4)
        if size is None:
            if not nullable:
                raise self.fail(f"null, where {field.type} may not be null")
            return position
        end = position + size
        if end > len(self.buffer):
            raise self.fail(f"{field.type} of {size} bytes, {len(self.buffer) - position} are left")
        if field.type == "string":
            if size > primitives.MAX_STRING_BYTES:
                raise self.fail(f"a string of {size} bytes, more than {primitives.MAX_STRING_BYTES}")
            try:
                str(self.buffer[position:end], "utf-8")
            except UnicodeDecodeError as error:
                raise self.fail(
                    f"the string is not UTF-8: {error.reason} at byte {position + error.start}"
                ) from None
        return end

    def length(self, position: int, fixed_size: int) -> tuple[int | None, int]:
        if self.flexible:
            size, position = self.uvarint(position)
            return (size - 1 if size else None), position
        size, position = self.fixed(_FORMATS["int16" if fixed_size == 2 else "int32"], position)
        return (size if size >= 0 else None), position

    def fixed(self, form: Struct, position: int) -> tuple[Any, int]:
        self.position = position
        if position + form.size > len(self.buffer):
            raise self.fail(
                f"{form.size} bytes are needed, {len(self.buffer) - position} are left of {len(self.buffer)}"
            )
        return form.unpack_from(self.buffer, position)[0], position + form.size

    def uvarint(self, position: int) -> tuple[int, int]:
        self.position = position
        try:
            return primitives.read_uvarint(self.buffer, position)
        except ProtocolError as error:
            raise self.fail(str(error)) from None


def check_message(message: Message, version: int, buffer: Buffer, position: int, elements_max: int) -> int:
    """Walk a message; return the position after it.

    Raises:
        ProtocolError: naming message, version, field and byte of the first thing that is wrong.
    """
    reader = _Reader(message, version, memoryview(buffer), elements_max)
    try:
        return reader.struct(message.root, position)
    except _TooFarError:
        raise reader.fail(
            f"malformed there or later; only {EXPLAINED_ELEMENTS_MAX} elements were examined"
        ) from None


def explain_malformed(
    message: Message, version: int, buffer: memoryview, position: int, elements_max: int
) -> ProtocolError:
    """Return the error that says why a compiled decoder refused a message."""
    try:
        end = check_message(message, version, buffer, position, elements_max)
    except ProtocolError as error:
        return error
    return ProtocolError(
        f"{message.name} version {version} at byte {position} is malformed, though each of its fields up to byte {end} reads well"
    )


# --- encoding ---------------------------------------------------------------------------------------------

_LIMITS: Final = {
    "int8": (-(1 << 7), (1 << 7) - 1),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "uint16": (0, (1 << 16) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}


def explain_unencodable(message: Message, version: int, value: Any, cause: Exception) -> ValueError:
    """Return the error that says which field of an object can't be encoded in a version, and why."""
    where = f"{message.name} version {version}"
    found = _first_bad_value(message, version, message.root, value, "")
    return ValueError(f"{where}: {found or f'it cannot be encoded: {cause}'}")


def _first_bad_value(message: Message, version: int, cls: type[Any], value: Any, path: str) -> str | None:
    for field in message.structs[cls]:
        if not field.present(version):
            continue
        name = f"{path}.{field.name}" if path else field.name
        try:
            held = getattr(value, field.name)
        except AttributeError:
            return f"{path or 'the message'} is of type {type(value).__name__}, not {cls.__name__}"
        if held is None:
            if field.nullable_in(version) or (field.tagged_in(version) and field.default is None):
                continue
            return f"{name} is None, which this version can't say"
        if not field.array:
            found = _bad_value(message, version, field, held, name)
        elif isinstance(held, list | tuple):
            found = next(
                filter(
                    None,
                    (
                        _bad_value(message, version, field, element, f"{name}[{index}]")
                        for index, element in enumerate(held)
                    ),
                ),
                None,
            )
        else:
            return f"{name} is of type {type(held).__name__}, not a list"
        if found:
            return found
    return None


def _bad_value(message: Message, version: int, field: Field, value: Any, name: str) -> str | None:
    kind = type(value).__name__
    if field.type == "struct":
        return _first_bad_value(message, version, item_of(field), value, name)
    if field.type == "string":
        if not isinstance(value, str):
            return f"{name} is of type {kind}, not str"
        try:
            size = len(value.encode())
        except UnicodeEncodeError as error:
            return f"{name} can't be written as UTF-8: {error.reason}"
        if not message.flexible_in(version) and size > primitives.MAX_STRING_BYTES:
            return f"{name} has {size} bytes, more than {primitives.MAX_STRING_BYTES}"
        return None
    if field.type in _LIMITS:
        low, high = _LIMITS[field.type]
        if not isinstance(value, int):
            return f"{name} is of type {kind}, not int"
        return None if low <= value <= high else f"{name} is {value}, outside of {field.type}"
    if field.type == "uuid":
        return None if isinstance(value, UUID) else f"{name} is of type {kind}, not UUID"
    if field.type == "float64":
        return None if isinstance(value, float | int) else f"{name} is of type {kind}, not float"
    if field.type == "bool":
        return None if isinstance(value, bool | int) else f"{name} is of type {kind}, not bool"
    pieces = value if isinstance(value, list) else [value]
    for piece in pieces:
        if not isinstance(piece, bytes | bytearray | memoryview):
            return f"{name} holds {type(piece).__name__}, not bytes"
    return None
