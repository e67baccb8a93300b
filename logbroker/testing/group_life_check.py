"""Whether consumer groups kept their promises, from the log of what happened to them. Pure.

The promises, for each group and partition:

  one owner     At a quiet moment the broker and the members agree who has it, and it is exactly one. At any other moment two
                members hold it only while one of them is out of the group without knowing.
  none skipped  No offset is committed before all records below it were processed. In the end all there are were.
  none twice    A record is processed again only if a member crashed, or was silent for longer than its session or poll
                timeout, before its commit was acknowledged; or if such a member, awake again, goes on for a moment.
  no way back   A commit that was acknowledged is where the next owner begins, at the earliest.
  no cause, no loss   A member that is neither silent nor late keeps its partitions until it gives them back.

A *tenure* is the time for which a member holds a partition, from `assigned` to `revoked`, `lost` or its end. It is *broken* from
the moment at which the member crashed or fell silent for too long. A silence counts somewhat before its timeout has passed,
since the broker counts from the last heartbeat before it.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from logbroker.testing.group_life_log import Event, Kind, Log, Quiet, Stall

TIMEOUT_SLACK_S = 1.0
"""A silence that is shorter than its timeout by this may still be too long: the last heartbeat was before it."""
AFTERMATH_S = 1.0
"""A member that wakes may for so long still be told of an assignment that is no longer true."""
EXAMPLES_MAX = 8
"""Of a kind of violation; the others are only counted."""


@dataclass(slots=True)
class Tenure:
    """One member's time with one partition; `broken_s` is infinite while nothing was wrong."""

    member: str
    partition: int
    start_s: float
    end_s: float = math.inf
    broken_s: float = math.inf
    lost: bool = False

    @property
    def broken(self) -> bool:
        """Whether the member crashed or fell out of the group in it."""
        return self.broken_s < math.inf


@dataclass(slots=True)
class Counts:
    """What there was to judge: a check of nothing is none."""

    records: int = 0
    redelivered: int = 0
    commits: int = 0
    refused: int = 0
    tenures: int = 0
    quiet: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Verdict:
    """What was violated, and what was looked at."""

    violations: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


def check(log: Log) -> Verdict:
    """Judge the whole log."""
    verdict = Verdict()
    found: dict[str, list[str]] = defaultdict(list)

    def violated(promise: str, what: str) -> None:
        found[promise].append(what)

    by_member: dict[str, list[Event]] = defaultdict(list)
    for event in sorted(log.events, key=lambda event: event.at_s):
        by_member[event.member].append(event)
        verdict.counts.kinds[event.kind] = verdict.counts.kinds.get(event.kind, 0) + 1
    histories = {
        member: _History(member, events, log) for member, events in by_member.items() if member in log.groups
    }
    for history in histories.values():
        for what in history.oddities():
            violated("as it should be", what)
    for quiet in log.quiet:
        verdict.counts.quiet += 1
        for what in _at_rest(quiet, log.partitions):
            violated("one owner", f"{quiet.group} at {quiet.at_s:.3f} after {quiet.waited_s:.1f} s: {what}")
    for group in dict.fromkeys(log.groups.values()):
        members = [history for history in histories.values() if log.groups[history.member] == group]
        check_group = _GroupCheck(group, members, log, verdict.counts)
        for promise, what in check_group.run():
            violated(promise, f"{group}: {what}")
    for promise, cases in found.items():
        verdict.violations += [f"{promise}: {case}" for case in cases[:EXAMPLES_MAX]]
        if len(cases) > EXAMPLES_MAX:
            verdict.violations.append(f"{promise}: {len(cases) - EXAMPLES_MAX} more")
    return verdict


def silences(events: Sequence[Event], stalls: Sequence[Stall], log: Log) -> list[tuple[float, float]]:
    """When a member was silent for longer than it may be: (from, to), by the order of their beginnings."""
    found = []
    paused_s: float | None = None
    for event in events:
        if event.kind is Kind.PAUSED:
            paused_s = event.at_s
        elif event.kind in (Kind.RESUMED, Kind.CRASHED) and paused_s is not None:
            found.append((paused_s, event.at_s, log.session_timeout_s))
            paused_s = None
        elif event.kind is Kind.NAPPED:
            found.append((event.at_s, event.at_s + event.seconds, log.poll_timeout_s))
    if paused_s is not None:
        found.append((paused_s, math.inf, log.session_timeout_s))
    found += [(stall.start_s, stall.end_s, log.session_timeout_s) for stall in stalls]
    return sorted((start, end) for start, end, timeout in found if end - start >= timeout - TIMEOUT_SLACK_S)


def _at_rest(quiet: Quiet, partitions: int) -> Iterator[str]:
    if not quiet.stable:
        missing = sorted(quiet.expected - quiet.broker.keys())
        extra = sorted(quiet.broker.keys() - quiet.expected)
        yield f"the group did not come to rest: {quiet.state}, missing {missing}, too many {extra}"
        return
    if quiet.broker.keys() != quiet.expected:
        yield f"members {sorted(quiet.broker)}, expected {sorted(quiet.expected)}"
    for said_by, view in (("broker", quiet.broker), ("members", quiet.members)):
        owners: dict[int, list[str]] = {partition: [] for partition in range(partitions)}
        for member, owned in view.items():
            for partition in owned:
                owners.setdefault(partition, []).append(member)
        for partition, names in owners.items():
            if len(names) != 1:
                yield f"partition {partition} has the owners {names}, says the {said_by}"
    for member, owned in quiet.members.items():
        described = quiet.broker.get(member, ())
        if sorted(owned) != sorted(described):
            yield f"{member} has {sorted(owned)}, the broker says {sorted(described)}"


class _History:
    """One member: its tenures, its reads by tenure, its commits."""

    def __init__(self, member: str, events: Sequence[Event], log: Log) -> None:
        self.member = member
        self.tenures: list[Tenure] = []
        self.reads: list[tuple[float, int, int, int, Tenure | None]] = []
        self.commits: list[tuple[float, float, Event]] = []  # sent, acknowledged (or infinite), what
        self._odd: list[str] = []
        self._silences = silences(events, log.stalls, log)
        self._log = log
        self._open: dict[int, Tenure] = {}
        self._pending: dict[int, Event] = {}
        for event in events:
            self._follow(event)
        for sent in self._pending.values():
            self.commits.append((sent.at_s, math.inf, sent))
        for tenure in self.tenures:
            self._break(tenure)

    def _follow(self, event: Event) -> None:
        at_s = event.at_s
        match event.kind:
            case Kind.ASSIGNED:
                for partition in event.partitions:
                    if partition not in self._open:
                        self._open[partition] = tenure = Tenure(self.member, partition, at_s)
                        self.tenures.append(tenure)
            case Kind.REVOKED | Kind.LOST:
                for partition in event.partitions:
                    if partition in self._open:
                        ended = self._open.pop(partition)
                        ended.end_s = at_s
                        ended.lost = event.kind is Kind.LOST
            case Kind.CRASHED | Kind.LEFT | Kind.DIED:
                for tenure in self._open.values():
                    tenure.end_s = at_s
                    if event.kind is not Kind.LEFT:
                        tenure.broken_s = at_s
                self._open.clear()
                if event.kind is Kind.DIED:
                    self._odd.append(f"{self.member} died at {at_s:.3f}: {event.text}")
            case Kind.READ:
                for partition, first, end in event.spans:
                    self.reads.append((at_s, partition, first, end, self._open.get(partition)))
            case Kind.COMMITTING:
                self._pending[event.commit] = event
            case Kind.COMMITTED | Kind.REFUSED:
                sent = self._pending.pop(event.commit)
                acknowledged = event.kind is Kind.COMMITTED
                self.commits.append((sent.at_s, at_s if acknowledged else math.inf, sent))
                if not acknowledged and not self._excused(sent.at_s, at_s):
                    self._odd.append(f"{self.member}'s commit at {at_s:.3f} was refused: {event.text}")
            case Kind.WRONG:
                self._odd.append(f"{self.member} at {at_s:.3f}: {event.text}")
            case _:
                pass

    def _excused(self, start_s: float, end_s: float) -> bool:
        """Whether a silence explains that the member was out of its group at that time."""
        return any(
            start <= end_s and start_s <= end + self._log.session_timeout_s for start, end in self._silences
        )

    def _break(self, tenure: Tenure) -> None:
        for start, end in self._silences:
            if start <= tenure.end_s and tenure.start_s <= end + AFTERMATH_S:
                tenure.broken_s = min(tenure.broken_s, max(start, tenure.start_s))
                return

    def oddities(self) -> Iterator[str]:
        """What a member should never have to say of itself."""
        yield from self._odd
        lost = [tenure for tenure in self.tenures if tenure.lost and not tenure.broken]
        for end_s in dict.fromkeys(tenure.end_s for tenure in lost):
            count = sum(tenure.end_s == end_s for tenure in lost)
            yield f"{self.member} lost {count} partitions at {end_s:.3f} for no reason"


class _GroupCheck:
    """The promises about records, of one group."""

    def __init__(self, group: str, members: Sequence[_History], log: Log, counts: Counts) -> None:
        self._group = group
        self._members = members
        self._log = log
        self._counts = counts

    def run(self) -> Iterator[tuple[str, str]]:
        tenures: dict[int, list[Tenure]] = defaultdict(list)
        reads: dict[int, list[tuple[float, int, int, Tenure]]] = defaultdict(list)
        sent: dict[int, list[tuple[float, int, str]]] = defaultdict(list)
        acknowledged: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for history in self._members:
            for tenure in history.tenures:
                tenures[tenure.partition].append(tenure)
            self._counts.tenures += len(history.tenures)
            for at_s, partition, first, end, owner in history.reads:
                if owner is None:
                    yield (
                        "one owner",
                        f"{history.member} read {partition}@{first} at {at_s:.3f}, which it does not have",
                    )
                else:
                    reads[partition].append((at_s, first, end, owner))
            for sent_s, acknowledged_s, commit in history.commits:
                self._counts.commits += 1
                self._counts.refused += acknowledged_s == math.inf
                for partition, offset in commit.offsets.items():
                    sent[partition].append((sent_s, offset, history.member))
                    if acknowledged_s < math.inf:
                        acknowledged[partition].append((acknowledged_s, offset))
        for partition in range(self._log.partitions):
            for what in _together(tenures[partition]):
                yield "one owner", f"partition {partition}: {what}"
            done = sorted(reads[partition], key=lambda read: read[0])
            acked = _Highest(acknowledged[partition])
            for promise, what in self._twice(partition, done, acked):
                yield promise, f"partition {partition}: {what}"
            for what in self._skipped(partition, done, sorted(sent[partition]), acked):
                yield "none skipped", f"partition {partition}: {what}"

    def _twice(
        self, partition: int, done: Sequence[tuple[float, int, int, Tenure]], acked: _Highest
    ) -> Iterator[tuple[str, str]]:
        by_whom: dict[int, tuple[float, Tenure]] = {}
        said: set[tuple[int, int]] = set()
        for at_s, first, end, tenure in done:
            for offset in range(first, end):
                self._counts.records += 1
                before = by_whom.get(offset)
                by_whom[offset] = (at_s, tenure)
                if before is None:
                    continue
                self._counts.redelivered += 1
                earlier_s, earlier = before
                if (id(earlier), id(tenure)) in said or at_s >= tenure.broken_s:
                    continue  # told already; or a member that has yet to learn that it is out
                what = f"offset {offset} by {earlier.member} at {earlier_s:.3f} and {tenure.member} at {at_s:.3f}"
                if acked.before(tenure.start_s) > offset:
                    yield "no way back", f"{what}, acknowledged before {tenure.start_s:.3f}"
                elif earlier is tenure or earlier.broken_s > at_s:
                    yield "none twice", what
                else:
                    continue
                said.add((id(earlier), id(tenure)))

    def _skipped(
        self,
        partition: int,
        done: Sequence[tuple[float, int, int, Tenure]],
        sent: Sequence[tuple[float, int, str]],
        acked: _Highest,
    ) -> Iterator[str]:
        processed = 0  # all records below this were
        ahead: set[int] = set()
        at = 0
        for sent_s, offset, member in sent:
            while at < len(done) and done[at][0] <= sent_s:
                ahead.update(range(max(done[at][1], processed), done[at][2]))
                while processed in ahead:
                    ahead.remove(processed)
                    processed += 1
                at += 1
            if offset > processed:
                yield f"{member} committed {offset} at {sent_s:.3f}, and {processed} had not been processed"
                break
        for _, first, end, _ in done[at:]:
            ahead.update(range(max(first, processed), end))
        while processed in ahead:
            processed += 1
        end = self._log.ends.get(partition, 0)
        if processed < end:
            yield f"{processed} was never processed, and the partition ends at {end}"
        final = self._log.committed.get(self._group, {}).get(partition, 0)
        if final < acked.before(math.inf):
            yield f"{final} is committed in the end, after {acked.before(math.inf)} was acknowledged"
        if final > end:
            yield f"{final} is committed in the end, and the partition ends at {end}"


def _together(tenures: Sequence[Tenure]) -> Iterator[str]:
    """Who held a partition at the same time while neither was out of the group."""
    holders: list[Tenure] = []
    for tenure in sorted(tenures, key=lambda tenure: tenure.start_s):
        holders = [holder for holder in holders if min(holder.end_s, holder.broken_s) > tenure.start_s]
        if tenure.broken_s > tenure.start_s:
            for holder in holders:
                until_s = min(holder.end_s, holder.broken_s, tenure.end_s)
                yield (
                    f"{holder.member} (since {holder.start_s:.3f}) and {tenure.member} (since {tenure.start_s:.3f}) "
                    f"both had it until {until_s:.3f}"
                )
            holders.append(tenure)


class _Highest:
    """The highest offset that was acknowledged before a time."""

    def __init__(self, acknowledged: Sequence[tuple[float, int]]) -> None:
        self._times: list[float] = []
        self._offsets: list[int] = []
        for at_s, offset in sorted(acknowledged):
            self._times.append(at_s)
            self._offsets.append(max(offset, self._offsets[-1] if self._offsets else 0))

    def before(self, at_s: float) -> int:
        """0 when nothing was."""
        index = bisect.bisect_left(self._times, at_s)
        return self._offsets[index - 1] if index else 0
