"""Counters, gauges and histograms that cost next to nothing, and their exposition in Prometheus' text format (0.0.4).

An event is one attribute update on a plain object (`counter.value += 1`, about 30 ns) with no lock: each object has one
writer, the event loop or one thread, and a scrape may read a value that is a moment old. Everything dear happens at
scrape time: whoever knows values that already exist somewhere (offsets, group lag, open files) registers a `collect`
function instead of copying them into gauges at every change.

Rendering is cut in pieces (`render`), so that a scrape of 10,000 partitions yields to the loop between them. The format
is written here and not by prometheus-client, whose generator is all in one piece and takes 20 ms to import; the tests
read the result with prometheus-client's parser.

There is one `Registry` per broker and none that is global: several brokers of one process don't mix.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from logbroker.base import logs
from logbroker.base.errors import LogbrokerError

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PIECE_LINES: Final = 500
"""Lines rendered between two chances for the loop to do something else (well under a millisecond)."""

HISTOGRAM_MAX_POWER: Final = 63

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Metric:
    """One metric as a collector hands it over: name, meaning and samples, each with its labels.

    A sample is a number, or (kind "histogram") a `Histogram` that is kept elsewhere.

    `samples` may be a generator, read while the loop does other things in between: let it walk a copy of what can change
    (`list(partitions)`), not the thing itself.
    """

    __slots__ = ("help", "kind", "name", "samples")

    def __init__(
        self, name: str, help_: str, kind: Kind, samples: Iterable[tuple[Labels, float | Histogram]]
    ) -> None:
        self.name = name
        self.help = help_
        self.kind: Kind = kind
        self.samples = samples


Collect: TypeAlias = Callable[[], Iterable[Metric]]


class Counter:
    """A number that only grows; add to `value` directly."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def samples(self, labels: Labels) -> Iterator[tuple[str, Labels, float]]:
        """What a scrape shows."""
        yield "", labels, self.value


class Gauge:
    """A number that goes up and down; set `value` directly."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def samples(self, labels: Labels) -> Iterator[tuple[str, Labels, float]]:
        """What a scrape shows."""
        yield "", labels, self.value


class Histogram:
    """How whole numbers (microseconds, bytes, records) are distributed, over powers of two.

    Bucket `i` holds what is at most 2**i and more than 2**(i-1): finding it is one `bit_length`. What is shown is cut to
    `powers`, and `scale` turns the unit counted in into the unit shown (1e-6 for microseconds shown as seconds).
    """

    __slots__ = ("_powers", "_scale", "counts", "total")

    def __init__(self, *, scale: float, powers: tuple[int, int]) -> None:
        self.counts = [0] * (HISTOGRAM_MAX_POWER + 1)
        self.total = 0
        self._scale = scale
        self._powers = powers

    def observe(self, value: int) -> None:
        """Count one value; 0 is counted with 2, and a negative (a clock set back) by its size."""
        self.counts[(value - 1).bit_length()] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def samples(self, labels: Labels) -> Iterator[tuple[str, Labels, float]]:
        """What a scrape shows: cumulative buckets, sum, count."""
        low, high = self._powers
        counts = list(self.counts)
        seen = sum(counts[:low])
        for power in range(low, high + 1):
            seen += counts[power]
            yield "_bucket", (*labels, ("le", _number(2**power * self._scale))), seen
        count = sum(counts)
        yield "_bucket", (*labels, ("le", "+Inf")), count
        yield "_sum", labels, self.total * self._scale
        yield "_count", labels, count


class _Sampled(Protocol):
    def samples(self, labels: Labels) -> Iterator[tuple[str, Labels, float]]: ...


Member = TypeVar("Member", bound=_Sampled)


class Family(Generic[Member]):
    """The same metric for several values of its labels; members appear on first use and stay."""

    __slots__ = ("_label_names", "_make", "_members")

    def __init__(self, label_names: Sequence[str], make: Callable[[], Member]) -> None:
        self._label_names = tuple(label_names)
        self._make = make
        self._members: dict[tuple[str, ...], Member] = {}

    def labels(self, *values: str) -> Member:
        """The member for these label values, in the order of the names; keep it where it is used often.

        Label values must come from a bounded set (API names, error codes), never from a peer's free text.
        """
        member = self._members.get(values)
        if member is None:
            if len(values) != len(self._label_names):
                raise ValueError(f"expected a value for each of {self._label_names}, got {values}")
            member = self._members[values] = self._make()
        return member

    def samples(self, labels: Labels) -> Iterator[tuple[str, Labels, float]]:
        """What a scrape shows, member by member."""
        for values, member in list(self._members.items()):
            yield from member.samples((*labels, *zip(self._label_names, values, strict=True)))


class Registry:
    """All metrics of one broker."""

    __slots__ = ("_collectors", "_failures", "_own")

    def __init__(self) -> None:
        self._own: dict[str, tuple[str, Kind, _Sampled]] = {}
        self._collectors: list[Collect] = []
        self._failures = logs.Limited(logs.get("metrics"), per_second=0.1, burst=5)

    def counter(self, name: str, help_: str) -> Counter:
        """Declare a counter; its name ends in `_total`."""
        return self._add(name, help_, "counter", Counter())

    def gauge(self, name: str, help_: str) -> Gauge:
        """Declare a gauge."""
        return self._add(name, help_, "gauge", Gauge())

    def histogram(
        self, name: str, help_: str, *, scale: float = 1e-6, powers: tuple[int, int] = (5, 25)
    ) -> Histogram:
        """Declare a histogram; as given it counts microseconds and shows seconds, from 32 us to 34 s."""
        _check_powers(powers)
        return self._add(name, help_, "histogram", Histogram(scale=scale, powers=powers))

    def counters(self, name: str, help_: str, label_names: Sequence[str]) -> Family[Counter]:
        """Declare a counter with labels."""
        return self._add(name, help_, "counter", Family(_checked(label_names), Counter))

    def gauges(self, name: str, help_: str, label_names: Sequence[str]) -> Family[Gauge]:
        """Declare a gauge with labels."""
        return self._add(name, help_, "gauge", Family(_checked(label_names), Gauge))

    def histograms(
        self,
        name: str,
        help_: str,
        label_names: Sequence[str],
        *,
        scale: float = 1e-6,
        powers: tuple[int, int] = (5, 25),
    ) -> Family[Histogram]:
        """Declare a histogram with labels."""
        _check_powers(powers)
        return self._add(
            name,
            help_,
            "histogram",
            Family(_checked(label_names), lambda: Histogram(scale=scale, powers=powers)),
        )

    def register(self, collect: Collect) -> None:
        """Have `collect` called at every scrape, on the loop; one that fails is left out and counted, not fatal."""
        self._collectors.append(collect)

    def unregister(self, collect: Collect) -> None:
        """No longer call `collect`."""
        self._collectors.remove(collect)

    def render(self) -> Iterator[bytes]:
        """The whole exposition, in pieces of about `PIECE_LINES` lines; between two of them the caller may yield."""
        lines: list[str] = []
        failed = 0
        for name, (help_, kind, source) in list(self._own.items()):
            lines += _head(name, help_, kind)
            lines += [_line(name + suffix, labels, value) for suffix, labels, value in source.samples(())]
            if len(lines) >= PIECE_LINES:
                yield _piece(lines)
                lines = []
        shown = set(self._own)
        for collect in list(self._collectors):
            try:
                for metric in collect():
                    if metric.name in shown:
                        raise LogbrokerError(f"the metric {metric.name} is collected twice")
                    shown.add(metric.name)
                    lines += _head(metric.name, metric.help, metric.kind)
                    for labels, value in metric.samples:
                        if isinstance(value, Histogram):
                            lines += [
                                _line(metric.name + suffix, inner, number)
                                for suffix, inner, number in value.samples(labels)
                            ]
                        else:
                            lines.append(_line(metric.name, labels, value))
                        if len(lines) >= PIECE_LINES:
                            yield _piece(lines)
                            lines = []
            except Exception as error:
                # The other metrics matter most when something is broken; that this one is missing shows below.
                failed += 1
                self._failures.warning("a source of metrics failed", source=repr(collect), error=repr(error))
        lines += _head(FAILED_COLLECTORS, "Sources of metrics that failed in this scrape.", "gauge")
        lines.append(_line(FAILED_COLLECTORS, (), failed))
        yield _piece(lines)

    def text(self) -> str:
        """The whole exposition at once, for tests and tools."""
        return b"".join(self.render()).decode()

    def _add(self, name: str, help_: str, kind: Kind, source: Member) -> Member:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no metric name")
        if kind == "counter" and not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name}")
        if name in self._own:
            raise ValueError(f"the metric {name} is declared twice")
        self._own[name] = (help_, kind, source)
        return source


FAILED_COLLECTORS: Final = "logbroker_metrics_collectors_failed"


def _checked(label_names: Sequence[str]) -> Sequence[str]:
    for name in label_names:
        if _LABEL.fullmatch(name) is None or name == "le":
            raise ValueError(f"{name!r} is no label name")
    return label_names


def _check_powers(powers: tuple[int, int]) -> None:
    low, high = powers
    if not 1 <= low <= high <= HISTOGRAM_MAX_POWER:
        raise ValueError(f"histogram powers must be within 1 to {HISTOGRAM_MAX_POWER}: {powers}")


def _head(name: str, help_: str, kind: Kind) -> tuple[str, str]:
    meaning = help_.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    if not labels:
        return f"{name} {_number(value)}"
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {_number(value)}"


def _escaped(text: str) -> str:
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return text


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else f"{value:.12g}"


def _piece(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")
