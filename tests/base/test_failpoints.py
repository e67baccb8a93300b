"""Failpoints fail where and when they are told to."""

import errno
import itertools
import signal
import subprocess
import sys

import pytest

from logbroker.base import failpoints
from logbroker.base.errors import ConfigError

numbers = itertools.count()


@pytest.fixture
def point():
    return failpoints.declare(f"test.point{next(numbers)}", "in a test")


def hits(point, count):
    """Which of so many hits raised."""
    failed = []
    for number in range(1, count + 1):
        try:
            if point.armed:
                point.hit()
        except OSError:
            failed.append(number)
    return failed


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("error(EIO)", [1, 2, 3, 4]),
        ("error", [1, 2, 3, 4]),
        ("error(ENOSPC)@3", [3]),
        ("error(EIO)@2+", [2, 3, 4]),
    ],
)
def test_when(point, action, expected):
    assert not point.armed
    with failpoints.arm(point.name, action):
        assert hits(point, 4) == expected
    assert hits(point, 4) == []


def test_what_is_raised(point):
    with failpoints.arm(point.name, "error(ENOSPC)"), pytest.raises(OSError, match=point.name) as raised:
        point.hit()
    assert raised.value.errno == errno.ENOSPC


def test_a_function(point):
    called = []
    with failpoints.arm(point.name, lambda: called.append(1)):
        point.hit()
    assert called == [1]
    point.hit()
    assert called == [1]


def test_from_text_before_and_after_the_declaration(point):
    late = f"test.late{next(numbers)}"
    assert failpoints.arm_from_text(f" {point.name}=error(EIO) ; {late}=error@2;") == [point.name, late]
    assert hits(point, 1) == [1]
    point.disarm()
    assert failpoints.unclaimed() == [late]
    assert hits(failpoints.declare(late, "in a test"), 3) == [2]
    assert failpoints.unclaimed() == []
    assert late in failpoints.declared()
    failpoints.declared()[late].disarm()
    assert failpoints.arm_from_text("") == []


@pytest.mark.parametrize(
    "bad",
    [
        "x",
        "x=",
        "x=explode",
        "x=error(EWHAT)",
        "x=sleep",
        "x=sleep(9999999)",
        "x=exit(a)",
        "x=kill(1)",
        "x=error@",
    ],
)
def test_text_that_can_not_be_read(bad):
    with pytest.raises(ConfigError, match="LOGBROKER_FAILPOINTS: "):
        failpoints.arm_from_text(bad)
    assert failpoints.unclaimed() == []


def test_names_are_unique(point):
    with pytest.raises(ValueError, match="declared twice"):
        failpoints.declare(point.name, "again")
    with pytest.raises(KeyError), failpoints.arm("test.nowhere", "error"):
        pass


@pytest.mark.parametrize(
    ("action", "status"), [("kill", -signal.SIGKILL), ("exit(7)", 7), ("exit", 1), ("sleep(1)", 0)]
)
def test_ways_to_die(action, status):
    code = (
        "from logbroker.base import failpoints\n"
        f"failpoints.arm_from_text('a={action}')\n"
        "failpoints.declare('a', 'x').hit()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == status
