"""Configs of consumer groups: what is refused and in which words, and what a group runs with."""

from __future__ import annotations

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.config.group import GROUP_CONFIGS, GroupConfig, broker_default, validate
from logbroker.config.settings import SETTINGS, Settings

SESSION, HEARTBEAT, INTERVAL = (
    "consumer.session.timeout.ms",
    "consumer.heartbeat.interval.ms",
    "consumer.assignment.interval.ms",
)


def test_every_default_is_the_brokers_setting_of_that_name():
    for name, setting in GROUP_CONFIGS.items():
        assert (
            setting.default_text
            == SETTINGS[f"group.{name}"].default_text
            == broker_default(setting, Settings())
        )
        assert setting.low == SETTINGS[f"group.{name}"].low
    changed = Settings(group_consumer_session_timeout_ms=46_000, group_consumer_assignment_interval_ms=7)
    assert GroupConfig.resolve(changed, {}) == GroupConfig(
        consumer_session_timeout_ms=46_000, consumer_assignment_interval_ms=7
    )


def test_what_is_set_goes_before_the_default_and_is_bent_to_bounds_that_moved():
    overrides = {SESSION: " 60000 ", INTERVAL: "5"}
    validate(Settings(), overrides)
    assert GroupConfig.resolve(Settings(), overrides) == GroupConfig(
        consumer_session_timeout_ms=60_000, consumer_assignment_interval_ms=5
    )
    lower = Settings(
        group_consumer_max_session_timeout_ms=50_000, group_consumer_min_assignment_interval_ms=9
    )
    assert GroupConfig.resolve(lower, overrides) == GroupConfig(
        consumer_session_timeout_ms=50_000, consumer_assignment_interval_ms=9
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"no.such": "1"}, "Unknown group config name: no.such"),
        ({"share.auto.offset.reset": "latest"}, "Unknown group config name: share.auto.offset.reset"),
        ({SESSION: "5"}, f"{SESSION} must be greater than or equal to group.consumer.min.session.timeout.ms"),
        (
            {SESSION: "60001"},
            f"{SESSION} must be less than or equal to group.consumer.max.session.timeout.ms",
        ),
        ({SESSION: "x"}, f"Invalid value x for configuration {SESSION}: Not a number of type INT"),
        ({SESSION: "0"}, f"Invalid value 0 for configuration {SESSION}: Value must be at least 1"),
        (
            {HEARTBEAT: "4999"},
            f"{HEARTBEAT} must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
        ),
        (
            {HEARTBEAT: "15001"},
            f"{HEARTBEAT} must be less than or equal to group.consumer.max.heartbeat.interval.ms",
        ),
        ({INTERVAL: "-1"}, f"Invalid value -1 for configuration {INTERVAL}: Value must be at least 0"),
        (
            {INTERVAL: "15001"},
            f"{INTERVAL} must be less than or equal to group.consumer.max.assignment.interval.ms",
        ),
    ],
)
def test_what_is_wrong_is_said_in_kafkas_words(overrides, message):
    with pytest.raises(BrokerError) as refused:
        validate(Settings(), overrides)
    assert (refused.value.code, refused.value.message) == (ErrorCode.INVALID_CONFIG, message)


def test_a_session_must_outlast_a_heartbeat():
    settings = Settings(group_consumer_min_session_timeout_ms=1)
    with pytest.raises(BrokerError, match=f"{SESSION} must be greater than {HEARTBEAT}"):
        validate(settings, {SESSION: "5000"})
    validate(settings, {SESSION: "5001"})
