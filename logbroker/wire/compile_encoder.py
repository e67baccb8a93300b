"""Compile the encoder of one version of one message: schema table in, Python function out.

The function appends pieces to a list and joins them: neighbouring fixed-size fields, the length that follows
them and the empty tag sections between them are one `struct` pack. Record batches of more than
`COPIED_RECORDS_BYTES_MAX` are handed through as they are, between two joined pieces; whoever writes the
result to a socket must not change them before they are written.

A field that the version lacks is passed over, whatever it holds. Tagged fields are left out when they hold
their default, and are encoded by small functions of their own, because their size goes before them.

A value that can't be encoded raises ValueError naming the field (found by `explain.py`): it is a mistake of
the caller, never of a peer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final, TypeAlias

from logbroker.base.types import Buffer
from logbroker.wire.explain import explain_unencodable
from logbroker.wire.primitives import write_uvarint
from logbroker.wire.schema import FORMATS, UNROLLED_ARRAY_MAX, ZERO_UUID, Field, Message, item_of

Encoder: TypeAlias = Callable[[Any], list[Buffer]]
"""message -> the pieces of its encoding, in order; raises ValueError."""

COPIED_RECORDS_BYTES_MAX: Final = 1024
"""Records up to this size are copied into the neighbouring bytes: cheaper than one more piece to write."""

_ONE_BYTE_VARINTS: Final = tuple(bytes((value,)) for value in range(128))


class _EncoderSource:
    """Collects the lines of one encoder."""

    def __init__(self, message: Message, version: int, counter: Iterator[int]) -> None:
        self.message = message
        self.version = version
        self.flexible = message.flexible_in(version)
        self.lines: list[str] = []
        self.functions: list[str] = []  # encoders of tagged fields
        self.depth = 2
        self.counter = counter  # shared with the encoders of tagged fields, so that no two names are the same
        self.run: list[tuple[str, str]] = []  # format and expression of fixed-size values not written yet
        self.constants: dict[str, Any] = {}

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def fresh(self, stem: str) -> str:
        return f"{stem}{next(self.counter)}"

    # --- runs of fixed-size values ---

    def write_fixed(self, form: str, expression: str) -> None:
        self.run.append((form, expression))

    def packed(self, run: list[tuple[str, str]]) -> str:
        """The expression that packs a run; `x` is a zero byte and has no value."""
        form = "".join(form for form, _ in run)
        values = ", ".join(expression for form, expression in run if form != "x")
        if not values:
            return repr(bytes(len(run)))
        self.constants[f"pack_{form}"] = struct.Struct(">" + form).pack
        return f"pack_{form}({values})"

    def flush(self) -> None:
        if self.run:
            self.emit(f"add({self.packed(self.run)})")
            self.run = []

    def write_length(self, fixed_form: str, name: str) -> None:
        """Write the pending run and a length; `name` holds it, as this version counts it."""
        if not self.flexible:
            self.write_fixed(fixed_form, name)
            self.flush()
        elif self.run:
            short = self.packed([*self.run, ("B", name)])
            self.emit(f"add({short} if {name} < 128 else {self.packed(self.run)} + uvarint({name}))")
            self.run = []
        else:
            self.emit(f"add(one_byte[{name}] if {name} < 128 else uvarint({name}))")

    @property
    def extra(self) -> str:
        """What a compact length is more than the number it stands for."""
        return " + 1" if self.flexible else ""

    @property
    def null_length(self) -> str:
        return "0" if self.flexible else "-1"

    # --- structs and fields ---

    def struct(self, cls: type[Any], name: str) -> None:
        tagged = []
        for field in self.message.structs[cls]:
            if not field.present(self.version):
                continue
            if field.tagged_in(self.version):
                tagged.append(field)
            else:
                self.field(field, f"{name}.{field.name}", nullable=field.nullable_in(self.version))
        if self.flexible:
            self.tagged_section(sorted(tagged, key=lambda field: field.tag or 0), name)

    def field(self, field: Field, source: str, *, nullable: bool) -> None:
        if field.array:
            self.array(field, source, nullable=nullable)
        else:
            self.value(field, source, nullable=nullable)

    def value(self, field: Field, source: str, *, nullable: bool) -> None:
        if field.type == "string":
            self.string(source, nullable=nullable)
        elif field.type == "bytes":
            self.bytes(source, nullable=nullable)
        elif field.type == "records":
            self.records(source, nullable=nullable)
        elif field.type == "uuid":
            self.write_fixed("16s", f"{source}.bytes")
        elif field.type == "struct":
            self.nested(field, source, nullable=nullable)
        else:
            # A bool is packed as a number, because `?` would take None for False.
            self.write_fixed(FORMATS[field.type].replace("?", "B"), source)

    def string(self, source: str, *, nullable: bool) -> None:
        text, length = self.fresh("s"), self.fresh("n")
        if nullable:
            self.emit(f"{text} = {source}")
            self.emit(f"if {text} is None:")
            self.emit(f"    {text} = b''")
            self.emit(f"    {length} = {self.null_length}")
            self.emit("else:")
            self.emit(f"    {text} = {text}.encode()")
            self.emit(f"    {length} = len({text}){self.extra}")
        else:
            self.emit(f"{text} = {source}.encode()")
            self.emit(f"{length} = len({text}){self.extra}")
        self.write_length("h", length)
        self.emit(f"add({text})")

    def bytes(self, source: str, *, nullable: bool) -> None:
        value, length = self.fresh("s"), self.fresh("n")
        self.emit(f"{value} = {source}")
        if nullable:
            self.emit(f"if {value} is None:")
            self.emit(f"    {value} = b''")
            self.emit(f"    {length} = {self.null_length}")
            self.emit("else:")
            self.emit(f"    {length} = len({value}){self.extra}")
        else:
            self.emit(f"{length} = len({value}){self.extra}")
        self.write_length("i", length)
        self.emit(f"add({value})")

    def records(self, source: str, *, nullable: bool) -> None:
        value, length, size = self.fresh("r"), self.fresh("n"), self.fresh("z")
        self.emit(f"{value} = {source}")
        self.emit(f"if type({value}) is list:")
        self.emit(f"    {size} = sum(map(len, {value}))")
        if nullable:
            self.emit(f"elif {value} is None:")
            self.emit(f"    {size} = -1")
            self.emit(f"    {value} = b''")
        self.emit("else:")
        self.emit(f"    {size} = len({value})")
        self.emit(f"{length} = {size}{self.extra}")
        self.write_length("i", length)
        self.emit(f"if {size} > {COPIED_RECORDS_BYTES_MAX}:")
        self.emit("    out.append(join(parts))")
        self.emit("    parts.clear()")
        self.emit(f"    if type({value}) is list:")
        self.emit(f"        out.extend({value})")
        self.emit("    else:")
        self.emit(f"        out.append({value})")
        self.emit(f"elif type({value}) is list:")
        self.emit(f"    parts.extend({value})")
        self.emit("else:")
        self.emit(f"    add({value})")

    def nested(self, field: Field, source: str, *, nullable: bool) -> None:
        name = self.fresh("o")
        self.emit(f"{name} = {source}")
        if not nullable:
            self.struct(item_of(field), name)
            return
        self.flush()
        self.emit(f"if {name} is None:")
        self.emit("    add(b'\\xff')")
        self.emit("else:")
        self.depth += 1
        self.write_fixed("b", "1")
        self.struct(item_of(field), name)
        self.flush()
        self.depth -= 1

    def array(self, field: Field, source: str, *, nullable: bool) -> None:
        values, length = self.fresh("a"), self.fresh("n")
        self.emit(f"{values} = {source}")
        if nullable:
            self.emit(f"if {values} is None:")
            self.emit(f"    {length} = {self.null_length}")
            self.emit(f"    {values} = ()")
            self.emit("else:")
            self.emit(f"    {length} = len({values}){self.extra}")
        else:
            self.emit(f"{length} = len({values}){self.extra}")
        self.write_length("i", length)
        if field.type in FORMATS and field.type != "uuid":
            self.numbers(field, values)
            return
        element = self.fresh("o")
        self.emit(f"for {element} in {values}:")
        self.depth += 1
        if field.type == "struct":
            self.struct(item_of(field), element)
        else:
            self.value(field, element, nullable=False)
        self.flush()
        self.depth -= 1

    def numbers(self, field: Field, values: str) -> None:
        form = FORMATS[field.type].replace("?", "B")
        self.constants[f"pack_many_{form}"] = tuple(
            struct.Struct(f">{count}{form}").pack for count in range(UNROLLED_ARRAY_MAX + 1)
        )
        size = self.fresh("z")
        self.emit(f"{size} = len({values})")
        self.emit(f"if {size} <= {UNROLLED_ARRAY_MAX}:")
        self.emit(f"    add(pack_many_{form}[{size}](*{values}))")
        self.emit("else:")
        self.emit(f'    add(Struct(f">{{{size}}}{form}").pack(*{values}))')

    # --- tagged fields ---

    def tagged_section(self, tagged: list[Field], name: str) -> None:
        if not tagged:
            self.write_fixed("x", "")
            return
        count, section = self.fresh("k"), self.fresh("t")
        self.emit(f"{count} = 0")
        for field in tagged:
            value = self.fresh("v")
            self.emit(f"{value} = {name}.{field.name}")
            self.emit(f"if {self.differs(field, value)}:")
            self.emit(f"    if not {count}:")
            self.emit(f"        {section} = []")
            self.emit(f"    {count} += 1")
            self.emit(f"    {self.tagged_encoder(field)}({value}, {section}.append)")
        self.write_fixed("B", count)
        self.flush()
        self.emit(f"if {count}:")
        self.emit(f"    parts.extend({section})")

    def differs(self, field: Field, value: str) -> str:
        """The condition under which a tagged field is sent."""
        if field.type == "struct" and not field.array:
            parts = self.struct_differs(item_of(field), value)
            return f"{value} is not None and ({' or '.join(parts) or 'True'})"
        if field.default is None:
            return f"{value} is not None"
        if field.array:
            return f"{value} or {value} is None"  # None reaches the encoder, which refuses it
        if field.default == ZERO_UUID and field.type == "uuid":
            return f"{value} != ZERO_UUID"
        return f"{value} != {field.default!r}"

    def struct_differs(self, cls: type[Any], value: str) -> list[str]:
        parts = []
        for field in self.message.structs[cls]:
            if field.present(self.version):
                attribute = f"{value}.{field.name}"
                if field.type == "struct" and not field.array and not field.nullable:
                    parts.extend(self.struct_differs(item_of(field), attribute))
                else:
                    parts.append(f"({self.differs(field, attribute)})")
        return parts

    def tagged_encoder(self, field: Field) -> str:
        """Write the function that encodes one tagged field with its number and size; return its name."""
        name = self.fresh("tagged_")
        inner = _EncoderSource(self.message, self.version, self.counter)
        inner.depth = 1
        inner.field(field, "value", nullable=field.nullable_in(self.version))
        inner.flush()
        self.constants.update(inner.constants)
        self.functions.extend(inner.functions)
        body = "\n".join(inner.lines)
        self.functions.append(f"""\
def {name}(value, add_outer):
    parts = []
    add = parts.append
{body}
    payload = join(parts)
    add_outer({write_uvarint(field.tag or 0)!r} + uvarint(len(payload)))
    add_outer(payload)
""")
        return name


def encoder_source(message: Message, version: int) -> tuple[str, dict[str, Any]]:
    """Return the Python source of an encoder and the constants it refers to."""
    source = _EncoderSource(message, version, count(1))
    source.struct(message.root, "o")
    source.flush()
    body = "\n".join(source.lines)
    has_records = any("out." in line for line in source.lines)
    functions = "\n\n".join(source.functions)
    if has_records:
        begin = "        out = []\n"
        end = "        if parts:\n            out.append(join(parts))\n        return out"
    else:
        begin, end = "", "        return [join(parts)]"
    text = f"""\
{functions}
def encode(o):
    message = o
    try:
{begin}        parts = []
        add = parts.append
{body}
{end}
    except (StructError, AttributeError, TypeError, ValueError) as error:
        raise explain(message, error) from error
"""
    return text, source.constants


def compile_encoder(message: Message, version: int) -> Encoder:
    """Return the encoder of a version, which must be one that the message's table has."""
    text, constants = encoder_source(message, version)

    def explain(value: Any, cause: Exception) -> Exception:
        return explain_unencodable(message, version, value, cause)

    namespace: dict[str, Any] = {
        **constants,
        "explain": explain,
        "join": b"".join,
        "one_byte": _ONE_BYTE_VARINTS,
        "uvarint": write_uvarint,
        "Struct": struct.Struct,
        "StructError": struct.error,
        "ZERO_UUID": ZERO_UUID,
    }
    exec(compile(text, f"<encoder of {message.name} v{version}>", "exec"), namespace)  # noqa: S102
    encode: Encoder = namespace["encode"]
    return encode
