"""From a TOML file, the environment and the command line to `Settings`.

What comes later goes before what comes earlier: defaults, the file, `LOGBROKER_...` variables, `--set`, and last
`--data-dir` and `--listen`. The file holds Kafka's dotted names (`log.segment.bytes = 1073741824`), which TOML reads as
nested tables; `[log]` with `segment.bytes` below it means the same. Kafka has one name that is also the beginning of
another (`max.connections`, `max.connections.per.ip`), which TOML allows only in quotes; the error says so.

Everything wrong anywhere is reported at once, each with its place. Reads one file, no other I/O.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from logbroker.base.errors import ConfigError
from logbroker.config import settings as _settings
from logbroker.config.endpoints import parse_endpoint
from logbroker.config.settings import ALIASES, SETTINGS, SettingsError
from logbroker.config.sources import ConfigSources, LoadedSettings, Origin, Source

ENVIRONMENT_PREFIX: Final = "LOGBROKER_"
FILE_MAX_BYTES: Final = 1_048_576

NOT_SETTINGS: Final = frozenset(
    {
        "LOGBROKER_CONFIG",  # the file, as --config
        "LOGBROKER_BOOTSTRAP_SERVER",  # the default of the command line's --bootstrap-server
        "LOGBROKER_FAILPOINTS",  # base/failpoints.py
    }
)

# Kubernetes tells every container where the services of its namespace are, in variables made of the service's name; a
# service called `logbroker` (or `logbroker-headless`) must not keep the broker of that name from starting.
_KUBERNETES = re.compile(
    r"LOGBROKER_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)

_BARE_KEY = r"[A-Za-z0-9_-]+"
_KEY_PART = rf"""(?:{_BARE_KEY}|"[^"\n]*"|'[^'\n]*')"""
_KEY_LINE = re.compile(rf"\s*({_KEY_PART}(?:\s*\.\s*{_KEY_PART})*)\s*=")
_TABLE_LINE = re.compile(rf"\s*\[\s*({_KEY_PART}(?:\s*\.\s*{_KEY_PART})*)\s*\]\s*(?:#.*)?$")
_PART = re.compile(_KEY_PART)


def variable_name(name: str) -> str:
    """The environment variable of a setting: `log.segment.bytes` is LOGBROKER_LOG_SEGMENT_BYTES."""
    return ENVIRONMENT_PREFIX + name.replace(".", "_").upper()


_BY_VARIABLE = {variable_name(name): name for name in [*SETTINGS, *ALIASES]}


def load(
    *,
    file: str | None = None,
    environment: Mapping[str, str] | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, str] | None = None,
    data_dir: str | None = None,
    listen: Sequence[str] = (),
) -> LoadedSettings:
    """Read all layers.

    Args:
        file: path of a TOML file; without it the environment's LOGBROKER_CONFIG counts, and without that there is none.
        environment: variables; those that begin with LOGBROKER_ must name settings.
        assignments: `key=value` texts of `--set`.
        flags: settings that have an option of their own (`log.format` is --log-format), by name.
        data_dir: one directory for records and metadata, whatever the file says of either.
        listen: `host:port` or `NAME://host:port`, in place of `listeners`.

    Raises:
        ConfigError: the file can't be read or is no TOML.
        SettingsError: naming every unknown key, bad value and contradiction, each with its place.
    """
    environment = environment or {}
    problems: list[str] = []
    given: dict[str, object] = {}
    sources: dict[str, Source] = {}

    def put(name: str, raw: object, source: Source) -> None:
        name = ALIASES.get(name, name)
        given[name] = raw
        sources[name] = source

    path = file or environment.get("LOGBROKER_CONFIG") or None
    if path is not None:
        seen: dict[str, str] = {}
        for name, raw, place in read_file(path):
            canonical = ALIASES.get(name, name)
            if canonical in seen:
                problems.append(f"{name} ({place}) says the same as {seen[canonical]}; keep one of them")
                continue
            seen[canonical] = f"{name} ({place})"
            put(name, raw, Source(Origin.FILE, place))
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NOT_SETTINGS:
            continue
        if (found := _BY_VARIABLE.get(variable)) is not None:
            put(found, text, Source(Origin.ENVIRONMENT, variable))
        elif _KUBERNETES.fullmatch(variable) is None:
            problems.append(_unknown_variable(variable))
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or not name.strip():
            problems.append(
                f"--set {assignment}: write it as --set key=value, log.segment.bytes=1073741824 for example"
            )
            continue
        put(name.strip(), text, Source(Origin.COMMAND_LINE, "--set"))
    for name, text in (flags or {}).items():
        put(name, text, Source(Origin.COMMAND_LINE, f"--{name.replace('.', '-')}"))
    if data_dir is not None:
        # Metadata and records belong together: a directory given here must never be paired with metadata elsewhere.
        put("log.dirs", (data_dir,), Source(Origin.COMMAND_LINE, "--data-dir"))
        put("metadata.log.dir", data_dir, Source(Origin.COMMAND_LINE, "--data-dir"))
        if not data_dir or "," in data_dir:
            problems.append(f"--data-dir {data_dir!r}: a directory's name without a comma is needed")
    if listen:
        problems += _put_listeners(listen, put_into=given, sources=sources)

    places = {name: str(source) for name, source in sources.items()}
    try:
        built = _settings.build(given, places)
    except SettingsError as error:
        raise SettingsError([*problems, *error.problems]) from None
    if problems:
        raise SettingsError(problems)
    return LoadedSettings(built, ConfigSources(sources, path))


def read_file(path: str) -> Iterator[tuple[str, object, str]]:
    """The settings of a TOML file: dotted name, raw value, place (`path:line`).

    Raises:
        ConfigError: it can't be read, is too large, or is no TOML.
    """
    try:
        with open(path, "rb") as opened:
            data = opened.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"can't read the configuration file {path}: {error.strerror}") from None
    if len(data) > FILE_MAX_BYTES:
        raise ConfigError(f"{path} is larger than {FILE_MAX_BYTES} bytes; that is no configuration file")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from None
    lines = _line_numbers(text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}{_toml_remedy(str(error), lines)}") from None
    for name, raw in _flatten(document, ""):
        line = lines.get(name)
        yield name, raw, f"{path}:{line}" if line is not None else path


def _flatten(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value


def _line_numbers(text: str) -> dict[str, int]:
    """Line of each key, as far as it can be told by looking at lines: good for messages, not for meaning."""
    found: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if (table := _TABLE_LINE.match(line)) is not None:
            prefix = _dotted(table[1]) + "."
        elif (key := _KEY_LINE.match(line)) is not None:
            found.setdefault(prefix + _dotted(key[1]), number)
    return found


def _dotted(key: str) -> str:
    return ".".join(part.strip("\"'") for part in _PART.findall(key))


def _toml_remedy(error: str, lines: Mapping[str, int]) -> str:
    if error.startswith("Cannot declare"):
        return "; TOML takes dotted names and a [table] of the same beginning for two tables: write every name out, without tables"
    for name in lines:
        if name in SETTINGS and any(other.startswith(f"{name}.") for other in lines):
            return f'; {name} is also the beginning of another setting\'s name, so write it in quotes: "{name}" = ...'
    return ""


def _unknown_variable(variable: str) -> str:
    name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", ".")
    return f"the environment variable {variable} is no setting{_settings.explain_unknown(name)}"


def _put_listeners(
    listen: Sequence[str], *, put_into: dict[str, object], sources: dict[str, Source]
) -> list[str]:
    problems = []
    endpoints = []
    for text in listen:
        try:
            endpoints.append(str(parse_endpoint(text, default_name="PLAINTEXT")))
        except ValueError as error:
            problems.append(f"--listen: {error}")
    put_into["listeners"] = tuple(endpoints) if endpoints else SETTINGS["listeners"].default
    sources["listeners"] = Source(Origin.COMMAND_LINE, "--listen")
    return problems


def changed_settings(before: LoadedSettings, after: LoadedSettings) -> tuple[list[str], list[str]]:
    """Names whose values differ: those that can change while running, and those that need a restart."""
    now: list[str] = []
    restart: list[str] = []
    for name, setting in SETTINGS.items():
        if getattr(before.settings, setting.attribute) != getattr(after.settings, setting.attribute):
            (now if setting.dynamic else restart).append(name)
    return now, restart


def current_environment() -> dict[str, str]:
    """This process's variables."""
    return dict(os.environ)
