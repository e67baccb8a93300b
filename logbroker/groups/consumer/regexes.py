"""Regular expressions of subscriptions, in RE2's syntax (as Kafka's): their time is linear in the topic's name, whatever they say.

RE2 would write what it dislikes to standard error; that is turned off. Memory of a compiled expression is bounded too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import re2

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.groups.consumer.group import ResolvedRegex
from logbroker.groups.consumer.topics import Topics

PATTERN_MEMORY_BYTES: Final = 1 << 20
"""What one compiled expression may take; a longer one is refused."""

STEP_MATCHES: Final = 1000
"""How many names are matched before others get their turn: some five milliseconds' work."""

_CACHED_PATTERNS = 128

_options = re2.Options()
_options.log_errors = False
_options.max_mem = PATTERN_MEMORY_BYTES


@lru_cache(maxsize=_CACHED_PATTERNS)
def _compiled(regex: str) -> re2._Regexp[str]:
    return re2.compile(regex, _options)


def check_regex(regex: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        BrokerError: INVALID_REGULAR_EXPRESSION.

    """
    try:
        _compiled(regex)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if isinstance(error, re2.error) and error.args else error
        if isinstance(reason, bytes):
            reason = reason.decode(errors="replace")
        raise BrokerError(
            ErrorCode.INVALID_REGULAR_EXPRESSION,
            f"SubscribedTopicRegex `{regex}` is not a valid regular expression: {reason}.",
        ) from None


Lookup: TypeAlias = Generator[None, None, dict[str, ResolvedRegex]]
"""A look-up under way; it returns what each expression stands for."""


@lru_cache(maxsize=4)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """The same set for all groups that see the same topics."""
    return names


def look_up(
    regexes: Iterable[str], known: Mapping[str, ResolvedRegex], topics: Topics, now_ms: int
) -> Lookup:
    """What each expression stands for now: the topics whose whole name matches.

    In steps of some milliseconds, as there may be very many topics and expressions. Of one that is `known`, topics that it
    was looked up among are not looked at again.
    """
    names = _shared(frozenset(topics.names()))
    resolved: dict[str, ResolvedRegex] = {}
    left = STEP_MATCHES
    for regex in regexes:
        old = known.get(regex)
        found: set[str] = set() if old is None or not old.names else set(old.topics & names)
        unseen = names if old is None else names - old.names
        try:
            fullmatch = _compiled(regex).fullmatch
        except (re2.error, UnicodeEncodeError):
            # On record, but not to be understood by this release of RE2: it stands for nothing.
            unseen = frozenset()
        for name in unseen:
            if fullmatch(name):
                found.add(name)
            left -= 1
            if not left:
                left = STEP_MATCHES
                yield
        stands_for = old.topics if old is not None and old.topics == found else frozenset(found)
        resolved[regex] = ResolvedRegex(stands_for, topics.version, now_ms, names)
    return resolved
