"""Regular expressions of subscriptions, in RE2's syntax (as Kafka's): their time is linear in the topic's name, whatever they say.

RE2 would write what it dislikes to standard error; that is turned off. Memory of a compiled expression is bounded too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import re2

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.groups.consumer.group import ResolvedRegex
from logbroker.groups.consumer.topics import Topics

PATTERN_MEMORY_BYTES: Final = 1 << 20
"""What one compiled expression may take; a longer one is refused."""

_CACHED_PATTERNS = 1024

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


def resolve(regexes: Iterable[str], topics: Topics, now_ms: int) -> dict[str, ResolvedRegex]:
    """What each expression stands for now: the topics whose whole name matches."""
    names = list(topics.names())
    resolved: dict[str, ResolvedRegex] = {}
    for regex in regexes:
        try:
            pattern = _compiled(regex)
        except (re2.error, UnicodeEncodeError):
            # On record, but not to be understood by this release of RE2: it stands for nothing.
            found: frozenset[str] = frozenset()
        else:
            found = frozenset(name for name in names if pattern.fullmatch(name))
        resolved[regex] = ResolvedRegex(found, topics.version, now_ms)
    return resolved
