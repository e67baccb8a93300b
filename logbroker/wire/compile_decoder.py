"""Compile the decoder of one version of one message: schema table in, Python function out.

The function is flat: nested structs are inlined, nested arrays are nested loops. What makes it quick:

- Neighbouring fixed-size fields, and the length that follows them, are read by one precompiled `struct` unpack,
  straight into the attributes. A varint length is read there as one byte and finished only if it is longer.
- Objects are made with `object.__new__` and slot stores, about half the cost of calling the class.
- Bounds are checked where it is cheap. Fixed-size reads past the end raise by themselves. Slices don't, but the
  position only ever grows (a negative length is refused on the spot), so one comparison at the end of the message
  catches every slice that was cut short. An array's count is checked before its first element: against the bytes
  that are left, by the least size of an element, and against the budget of elements of the whole message.

Anything malformed leaves the fast function by an exception, and `explain.py` walks the same schema slowly to
say what and where. There must be no way to make a decoder raise anything but `ProtocolError`: the fuzz
tests hold that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from logbroker.base.types import Buffer
from logbroker.wire.explain import explain_malformed
from logbroker.wire.primitives import MAX_STRING_BYTES, MAX_UINT32, MAX_VARINT_BYTES, uuid_of
from logbroker.wire.schema import (
    FORMATS,
    UNROLLED_ARRAY_MAX,
    ZERO_UUID,
    Field,
    Message,
    item_of,
    least_value_size,
)

Decoder: TypeAlias = Callable[[Buffer, int], Any]
"""(frame, position of the message in it) -> message; raises ProtocolError."""


class Malformed(Exception):  # noqa: N818 - never seen outside: it becomes a ProtocolError
    """Raised inside a compiled decoder; says nothing, because `explain_malformed` finds out more."""


def longer_uvarint(buffer: Buffer, position: int, first: int) -> tuple[int, int]:
    """Finish an unsigned varint whose `first` byte, just before `position`, was not its last."""
    value = first & 0x7F
    shift = 7
    for index in range(position, position + MAX_VARINT_BYTES - 1):
        byte = buffer[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > MAX_UINT32:
                raise Malformed
            return value, index + 1
        shift += 7
    raise Malformed


class _DecoderSource:
    """Collects the lines of one decoder."""

    def __init__(self, message: Message, version: int) -> None:
        self.message = message
        self.version = version
        self.flexible = message.flexible_in(version)
        self.lines: list[str] = []
        self.depth = 2
        self.names = 0
        self.run: list[tuple[str, str]] = []  # format and target of fixed-size reads not written yet
        self.after_run: list[str] = []
        self.constants: dict[str, Any] = {}

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def fresh(self, stem: str) -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = value
        return name

    def class_name(self, cls: type[Any]) -> str:
        return self.constant(f"class_{cls.__name__}", cls)

    # --- runs of fixed-size reads ---

    def read_fixed(self, form: str, target: str) -> None:
        self.run.append((form, target))

    def flush(self) -> None:
        """Write the pending reads as one unpack."""
        if self.run:
            form = "".join(form for form, _ in self.run)
            if form == "B":
                self.emit(f"{self.run[0][1]} = m[p]")
                self.emit("p += 1")
            else:
                compiled = struct.Struct(">" + form)
                unpack = self.constant(f"unpack_{form.replace('?', 'o')}", compiled.unpack_from)
                targets = ", ".join(target for _, target in self.run)
                self.emit(f"{targets}{',' if len(self.run) == 1 else ''} = {unpack}(m, p)")
                self.emit(f"p += {compiled.size}")
            self.run = []
        for line in self.after_run:
            self.emit(line)
        self.after_run = []

    def read_length(self, fixed_form: str) -> str:
        """Read a length, of a string if it is an int16 where it is fixed; the variable holds it, or -1 (or less) for null."""
        name = self.fresh("n")
        if self.flexible:
            self.read_fixed("B", name)
            self.flush()
            self.emit(f"if {name} > 127:")
            self.emit(f"    {name}, p = longer_uvarint(m, p, {name})")
            if fixed_form == "h":
                # A compact length could say more than records and older versions can.
                self.emit(f"    if {name} > {MAX_STRING_BYTES + 1}:")
                self.emit("        raise Malformed")
        else:
            self.read_fixed(fixed_form, name)
            self.flush()
        return name

    # --- structs and fields ---

    def struct(self, cls: type[Any], target: str) -> None:
        """Read a struct into a new object named `target`."""
        self.emit(f"{target} = new({self.class_name(cls)})")
        present, tagged = [], []
        for field in self.message.structs[cls]:
            if not field.present(self.version):
                self.default(field, target)
            elif field.tagged_in(self.version):
                self.default(field, target)
                tagged.append(field)
            else:
                present.append(field)
        for field in present:
            self.field(field, f"{target}.{field.name}")
        if self.flexible:
            self.tagged_section(tagged, target)

    def default(self, field: Field, target: str) -> None:
        attribute = f"{target}.{field.name}"
        if field.default == () and field.array:
            self.emit(f"{attribute} = []")
        elif field.type == "struct" and field.nullable is None and field.tagged is None and not field.array:
            self.emit(f"{attribute} = {self.class_name(item_of(field))}()")
        elif field.default == ZERO_UUID and field.type == "uuid":
            self.emit(f"{attribute} = ZERO_UUID")
        else:
            self.emit(f"{attribute} = {field.default!r}")

    def field(self, field: Field, target: str) -> None:
        nullable = field.nullable_in(self.version)
        if field.array:
            self.array(field, target, nullable=nullable)
        else:
            self.value(field, target, nullable=nullable)

    def value(self, field: Field, target: str, *, nullable: bool) -> None:
        """Read one value of a field's type."""
        if field.type == "string":
            self.sliced("h", target, 'str(m[p:q], "utf-8")', nullable=nullable)
        elif field.type in ("bytes", "records"):
            self.sliced("i", target, "m[p:q]", nullable=nullable)
        elif field.type == "uuid":
            raw = self.fresh("u")
            self.read_fixed("16s", raw)
            self.after_run.append(f"{target} = uuid_of({raw})")
        elif field.type == "struct":
            self.nested(field, target, nullable=nullable)
        else:
            self.read_fixed(FORMATS[field.type], target)

    def sliced(self, fixed_form: str, target: str, expression: str, *, nullable: bool) -> None:
        length = self.read_length(fixed_form)
        null = f"{length} == 0" if self.flexible else f"{length} < 0"
        self.emit(f"if {null}:")
        self.emit(f"    {target} = None" if nullable else "    raise Malformed")
        if nullable:
            self.emit("else:")
            self.depth += 1
        self.emit(f"q = p + {length}{' - 1' if self.flexible else ''}")
        self.emit(f"{target} = {expression}")
        self.emit("p = q")
        if nullable:
            self.depth -= 1

    def nested(self, field: Field, target: str, *, nullable: bool) -> None:
        item = item_of(field)
        name = self.fresh("o")
        if nullable:
            marker = self.fresh("n")
            self.read_fixed("b", marker)
            self.flush()
            self.emit(f"if {marker} < 0:")
            self.emit(f"    {target} = None")
            self.emit("else:")
            self.depth += 1
        self.struct(item, name)
        self.after_run.append(f"{target} = {name}")
        if nullable:
            self.flush()
            self.depth -= 1

    def array(self, field: Field, target: str, *, nullable: bool) -> None:
        length = self.read_length("i")
        null = f"{length} == 0" if self.flexible else f"{length} < 0"
        self.emit(f"if {null}:")
        self.emit(f"    {target} = None" if nullable else "    raise Malformed")
        if nullable:
            self.emit("else:")
            self.depth += 1
        if self.flexible:
            self.emit(f"{length} -= 1")
        least = least_value_size(self.message, self.version, field, flexible=self.flexible)
        self.emit(f"left -= {length}")
        size = length if least == 1 else f"{length} * {least}"
        self.emit(f"if left < 0 or {size} > end - p:")
        self.emit("    raise Malformed")
        if field.type in FORMATS and field.type != "uuid":
            self.numbers(field, target, length, least)
        else:
            self.loop(field, target, length)
        if nullable:
            self.depth -= 1

    def numbers(self, field: Field, target: str, length: str, size: int) -> None:
        """Read an array of fixed-size values with one unpack."""
        form = FORMATS[field.type]
        unrolled = self.constant(
            f"unpack_many_{form.replace('?', 'o')}",
            tuple(struct.Struct(f">{count}{form}").unpack_from for count in range(UNROLLED_ARRAY_MAX + 1)),
        )
        self.emit(f"if {length} <= {UNROLLED_ARRAY_MAX}:")
        self.emit(f"    {target} = list({unrolled}[{length}](m, p))")
        self.emit("else:")
        self.emit(f'    {target} = list(Struct(f">{{{length}}}{form}").unpack_from(m, p))')
        self.emit(f"p += {length}{'' if size == 1 else f' * {size}'}")

    def loop(self, field: Field, target: str, length: str) -> None:
        elements = self.fresh("a")
        self.emit(f"{target} = {elements} = []")
        self.emit(f"for _ in range({length}):")
        self.depth += 1
        element = self.fresh("o")
        if field.type == "struct":
            self.struct(item_of(field), element)
        else:
            self.value(field, element, nullable=False)
        self.flush()
        self.emit(f"{elements}.append({element})")
        self.depth -= 1

    def tagged_section(self, tagged: list[Field], target: str) -> None:
        count = self.read_length("")
        self.emit(f"if {count}:")
        self.depth += 1
        self.emit(f"left -= {count}")
        self.emit("if left < 0:")
        self.emit("    raise Malformed")
        if not tagged:
            self.emit(f"p = skip_tagged(m, p, {count})")
        else:
            tag, tag_end = self.fresh("t"), self.fresh("e")
            self.emit(f"for _ in range({count}):")
            self.depth += 1
            self.emit(f"{tag}, {tag_end}, p = read_tag(m, p)")
            for index, field in enumerate(tagged):
                self.emit(f"{'if' if index == 0 else 'elif'} {tag} == {field.tag}:")
                self.depth += 1
                self.field(field, f"{target}.{field.name}")
                self.flush()
                self.emit(f"if p != {tag_end}:")
                self.emit("    raise Malformed")
                self.depth -= 1
            self.emit("else:")
            self.emit(f"    p = {tag_end}")
            self.depth -= 1
        self.depth -= 1


def _read_tag(buffer: Buffer, position: int) -> tuple[int, int, int]:
    """Read a tagged field's number and size; return the number, where the field ends and where it starts."""
    tag = buffer[position]
    position += 1
    if tag > 127:
        tag, position = longer_uvarint(buffer, position, tag)
    size = buffer[position]
    position += 1
    if size > 127:
        size, position = longer_uvarint(buffer, position, size)
    end = position + size
    if end > len(buffer):
        raise Malformed
    return tag, end, position


def _skip_tagged(buffer: Buffer, position: int, count: int) -> int:
    """Pass over `count` tagged fields that this version doesn't know; each takes at least two bytes."""
    for _ in range(count):
        _, position, _ = _read_tag(buffer, position)
    return position


def decoder_source(message: Message, version: int, elements_max: int) -> tuple[str, dict[str, Any]]:
    """Return the Python source of a decoder and the constants it refers to."""
    source = _DecoderSource(message, version)
    source.struct(message.root, "o")
    source.flush()
    body = "\n".join(source.lines)
    text = f"""\
def decode(m, p=0):
    if type(m) is not memoryview:
        m = memoryview(m)
    start = p
    end = len(m)
    left = {elements_max}
    try:
{body}
        if p <= end:
            return o
    except (StructError, IndexError, UnicodeDecodeError, Malformed):
        pass
    raise explain(m, start)
"""
    return text, source.constants


def compile_decoder(message: Message, version: int, elements_max: int) -> Decoder:
    """Return the decoder of a version.

    Args:
        message: Which message; `version` must be one that its table has.
        version: Which version.
        elements_max: How many array elements and tagged fields one message may hold, nested ones included. It bounds the memory a
            small frame can ask for: an element can be one byte on the wire and a hundred in memory.
    """
    text, constants = decoder_source(message, version, elements_max)

    def explain(buffer: memoryview, start: int) -> Exception:
        return explain_malformed(message, version, buffer, start, elements_max)

    namespace: dict[str, Any] = {
        **constants,
        "new": object.__new__,
        "uuid_of": uuid_of,
        "longer_uvarint": longer_uvarint,
        "read_tag": _read_tag,
        "skip_tagged": _skip_tagged,
        "explain": explain,
        "Malformed": Malformed,
        "Struct": struct.Struct,
        "StructError": struct.error,
        "ZERO_UUID": ZERO_UUID,
    }
    exec(compile(text, f"<decoder of {message.name} v{version}>", "exec"), namespace)  # noqa: S102
    decode: Decoder = namespace["decode"]
    return decode
