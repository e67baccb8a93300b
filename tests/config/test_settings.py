"""The declarations themselves: complete, consistent, and refusing what they should."""

import pathlib
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.config.endpoints import Endpoint
from logbroker.config.loader import variable_name
from logbroker.config.setting import OURS
from logbroker.config.settings import ALIASES, DYNAMIC, SETTINGS, Settings, SettingsError, amend, build
from logbroker.config.topic import TOPIC_CONFIGS
from logbroker.config.values import INTEGER_LIMITS, ConfigType, format_value

UNITS = {
    ".ms": "ms",
    ".bytes": "bytes",
    ".minutes": "minutes",
    ".hours": "hours",
    ".bytes.per.second": "bytes/s",
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_a_setting_is_documented(setting):
    assert setting.doc[0].isupper() or setting.doc[0].isdigit()
    assert setting.doc.endswith((".", ")"))
    assert len(setting.doc) > 20
    for ending, unit in UNITS.items():
        if setting.name.endswith(ending):
            assert setting.unit == unit


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_a_default_is_allowed_and_reads_back(setting):
    assert setting.problem(setting.default) is None
    if setting.default is not None:
        assert setting.parse(setting.default_text) == setting.default
    else:
        assert setting.nullable


@pytest.mark.parametrize("setting", TOPIC_CONFIGS.values(), ids=lambda setting: setting.name)
def test_a_topic_config_is_documented(setting):
    assert setting.doc.endswith(".")
    if setting.default is not None:
        assert setting.parse(setting.default_text) == setting.default


def test_every_number_has_a_lower_bound_or_says_why_not():
    # A negative means something in these; a size, count or time elsewhere can't be negative.
    free = {"log.retention.bytes", "compression.gzip.level"}
    for setting in SETTINGS.values():
        if setting.type in INTEGER_LIMITS and setting.name not in free:
            assert setting.low is not None, setting.name


def test_names_are_one_to_one():
    attributes = [setting.attribute for setting in SETTINGS.values()]
    assert attributes == list(Settings.__struct_fields__)
    variables = [variable_name(name) for name in [*SETTINGS, *ALIASES]]
    assert len(set(variables)) == len(variables)
    assert not set(ALIASES) & set(SETTINGS)


def test_defaults_agree_with_each_other():
    assert build({}) == Settings()


BAD = {
    "not a number": ("log.segment.bytes", "many", "Not a number of type INT"),
    "a size with a suffix": ("log.segment.bytes", "1GiB", "write it as a plain number of bytes: 1073741824"),
    "a time with a suffix": ("log.retention.ms", "7d", "write it as a plain number of ms: 604800000"),
    "hours with a suffix": ("log.retention.hours", "3d", "write it as a plain number of hours: 72"),
    "no whole number of hours": ("log.retention.hours", "90min", "Not a number of type INT"),
    "an int that is too large": ("log.segment.bytes", 2**31, "Not a number of type INT"),
    "a long that is too large": ("log.retention.ms", "9223372036854775808", "Not a number of type LONG"),
    "below the bound": ("log.segment.bytes", 1024, "Value must be at least 1048576"),
    "above the bound": ("log.cleaner.min.cleanable.ratio", 1.5, "Value must be no more than 1"),
    "a fraction for a whole number": ("num.partitions", 1.5, "expected a whole number, not a fraction"),
    "a boolean for a number": ("num.partitions", True, "expected a whole number, not a boolean"),
    "a number for a boolean": ("auto.create.topics.enable", 1, "expected true or false, not a number"),
    "a word for a boolean": ("auto.create.topics.enable", "yes", "Expected value to be either true or false"),
    "no choice": ("storage.type", "disk", "String must be one of: log, memory"),
    "no choice in a list": ("log.cleanup.policy", "delete,shrink", "String must be one of: compact, delete"),
    "a hole in a list": ("log.dirs", "a,,b", "values must not be empty"),
    "a number in a list": ("log.dirs", ["a", 1], "every item of the array must be a string"),
    "a comma in an item": ("log.dirs", ["a,b"], "every item of the array must be a string"),
    "no directory": ("log.dirs", [], "at least one directory is needed"),
    "a table": ("log.dirs", {}, "a table"),
    "not a ratio": ("log.cleaner.min.cleanable.ratio", "NaN", "Not a number of type DOUBLE"),
    "retention for no time": ("log.retention.ms", 0, "-1 (keep for ever) or at least 1"),
    "a level that isn't": ("compression.gzip.level", 0, "between 1 and 9 or equal to -1"),
    "no address": ("listeners", "9092", "write it like PLAINTEXT://127.0.0.1:9092"),
    "no listener name": ("listeners", "127.0.0.1:9092", "write it like PLAINTEXT://127.0.0.1:9092"),
    "no port": ("listeners", "PLAINTEXT://localhost", "write it like PLAINTEXT://127.0.0.1:9092"),
    "a port that isn't": (
        "listeners",
        "PLAINTEXT://localhost:65536",
        "write it like PLAINTEXT://127.0.0.1:9092",
    ),
    "no listener": ("listeners", "", "at least one address is needed"),
    "a name twice": ("listeners", "A://:1,a://:2", "the listener name A is used twice"),
    "an address twice": ("listeners", "A://:1,B://:1", "is named twice"),
    "advertised to nobody": (
        "advertised.listeners",
        "PLAINTEXT://0.0.0.0:9092",
        "name a host that clients reach",
    ),
    "advertised without port": ("advertised.listeners", "PLAINTEXT://x:0", "no port that a client could use"),
    "no protocol": ("listener.security.protocol.map", "PLAINTEXT", "is not NAME:PROTOCOL"),
    "a protocol that isn't": (
        "listener.security.protocol.map",
        "PLAINTEXT:QUIC",
        "names no security protocol",
    ),
    "metrics nowhere": ("metrics.listeners", "localhost", "write it like 127.0.0.1:9092"),
}


@pytest.mark.parametrize(("name", "raw", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_value_is_refused(name, raw, message):
    with pytest.raises(SettingsError) as refused:
        build({name: raw}, {name: "broker.toml:7"})
    (problem,) = refused.value.problems
    assert problem.startswith(f"{name} = ")
    assert "(broker.toml:7)" in problem
    assert message in problem


CONTRADICTIONS = {
    "message.max.bytes": {"message.max.bytes": 200_000_000},
    "queued.max.request.bytes": {"queued.max.request.bytes": 1000},
    "group.min.session.timeout.ms": {"group.min.session.timeout.ms": 2_000_000},
    "log.journal.group.max.bytes": {"log.journal.file.bytes": 4_194_304},
    "log.cleaner.max.compaction.lag.ms": {
        "log.cleaner.min.compaction.lag.ms": 10,
        "log.cleaner.max.compaction.lag.ms": 5,
    },
    "names OUTSIDE, which listeners doesn't have": {"advertised.listeners": "OUTSIDE://broker:9092"},
    "listeners and metrics.listeners both have 127.0.0.1:9644": {
        "listeners": "PLAINTEXT://127.0.0.1:9644",
        "metrics.listeners": "127.0.0.1:9644",
    },
    "add INSIDE:PLAINTEXT to it": {"listeners": "INSIDE://:9092"},
    "the listener SASL_SSL asks for SASL_SSL": {"listeners": "SASL_SSL://:9093"},
    "speaks PLAINTEXT only": {
        "listeners": "SSL://:9093",
        "listener.security.protocol.map": "SSL:SSL",
    },
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_a_contradiction_is_refused(message):
    with pytest.raises(SettingsError) as refused:
        build(CONTRADICTIONS[message])
    assert any(message in problem for problem in refused.value.problems)


UNKNOWN = {
    "log.segmnt.bytes": "did you mean log.segment.bytes?",
    "log.retention.hour": "did you mean log.retention.hours?",
    "retention.ms": "the broker's default for topics is log.retention.ms",
    "zookeeper.connect": "clusters are not in this version",
    "ssl.keystore.location": "TLS is not in this version",
    "num.io.threads": "one event loop does all request work",
    "completely.different": "`logbroker config list` names them all",
}


@pytest.mark.parametrize(("name", "message"), UNKNOWN.items())
def test_an_unknown_setting_is_refused_with_what_to_do(name, message):
    with pytest.raises(SettingsError) as refused:
        build({name: "x"}, {name: "broker.toml:3"})
    assert refused.value.problems[0].startswith(f"unknown setting {name} (broker.toml:3)")
    assert message in refused.value.problems[0]


def test_all_problems_are_reported_at_once():
    with pytest.raises(SettingsError) as refused:
        build({"a.b": 1, "num.partitions": 0, "log.segment.bytes": "x"})
    assert len(refused.value.problems) == 3
    assert str(refused.value).count("\n") == 2


def test_an_alias_is_the_setting_and_not_beside_it():
    assert build({"broker.id": 7}).node_id == 7
    assert build({"broker.id": 7}).broker_id == 7
    assert build({"log.dir": "/a"}).log_dirs == ("/a",)
    with pytest.raises(SettingsError, match="keep one of them"):
        build({"broker.id": 7, "node.id": 7})


def test_native_and_text_values_mean_the_same():
    native = build({"log.dirs": ["a", "b"], "num.partitions": 3, "log.preallocate": True})
    text = build({"log.dirs": " a , b ", "num.partitions": " 3 ", "log.preallocate": "TRUE"})
    assert native == text


def test_amend_changes_and_resets():
    settings = build({"num.partitions": 3})
    changed = amend(settings, {"log.retention.ms": "5", "num.partitions": None})
    assert (changed.log_retention_ms, changed.num_partitions) == (5, 1)
    with pytest.raises(SettingsError, match=r"group\.max\.session\.timeout\.ms"):
        amend(settings, {"group.max.session.timeout.ms": "10"})
    with pytest.raises(SettingsError, match="unknown setting x"):
        amend(settings, {"x": "10"})


def test_settings_can_not_be_mutated():
    with pytest.raises(AttributeError):
        Settings().num_partitions = 3
    assert msgspec.structs.replace(Settings(), num_partitions=3).num_partitions == 3


def test_what_clients_are_told():
    settings = build(
        {
            "listeners": "INSIDE://10.0.0.1:0,OUTSIDE://[::]:9093,SIX://[::1]:9094",
            "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT,SIX:PLAINTEXT",
            "advertised.listeners": "OUTSIDE://broker.example:19093",
        }
    )
    assert [endpoint.is_wildcard for endpoint in settings.listener_endpoints] == [False, True, False]
    inside, outside, six = settings.listener_endpoints
    bound = [Endpoint("INSIDE", inside.host, 45_001), outside, six]
    told = settings.advertised_endpoints(bound, "machine")
    assert {name: str(endpoint) for name, endpoint in told.items()} == {
        "INSIDE": "INSIDE://10.0.0.1:45001",
        "OUTSIDE": "OUTSIDE://broker.example:19093",
        "SIX": "SIX://[::1]:9094",
    }
    assert str(
        Settings(listeners=("A://:1",)).advertised_endpoints([Endpoint("A", "", 1)], "machine")["A"]
    ) == ("A://machine:1")


def test_one_directory_for_both_unless_told():
    assert Settings(log_dirs=("a", "b")).metadata_directory == "a"
    assert Settings(log_dirs=("a", "b"), metadata_log_dir="c").metadata_directory == "c"


@given(
    st.sampled_from(sorted(SETTINGS)),
    st.text() | st.integers() | st.booleans() | st.floats() | st.lists(st.text()),
)
def test_any_value_is_taken_or_refused_and_never_breaks(name, raw):
    setting = SETTINGS[name]
    try:
        value = setting.parse(raw)
    except ValueError:
        return
    assert setting.problem(value) is None
    # What was taken reads back from how it is shown (an empty string from an empty text, above all).
    assert setting.parse(format_value(value)) == value


# Declared before the part that reads them.
READ_LATER = {
    "log.scrub.interval.ms",
    "log.scrub.max.bytes.per.second",
    "producer.id.expiration.check.interval.ms",
}


def test_the_code_reads_every_setting():
    """A setting that nothing reads would be a promise nobody keeps."""
    package = pathlib.Path(__file__).parents[2] / "logbroker"
    code = "\n".join(
        path.read_text()
        for path in package.rglob("*.py")
        if path.parent.name != "config" or path.name in {"settings.py", "group.py"}
    )
    topic_defaults = {name for setting in TOPIC_CONFIGS.values() for name, _ in setting.synonyms}
    unread = {
        name
        for name, setting in SETTINGS.items()
        if name not in topic_defaults and not re.search(rf"\b{setting.attribute}\b", code)
    }
    assert unread <= READ_LATER


def test_dynamic_settings_are_the_ones_that_say_so():
    assert {name for name, setting in SETTINGS.items() if setting.dynamic} == DYNAMIC
    assert "log.level" in DYNAMIC
    assert "listeners" not in DYNAMIC


def test_ours_stand_out():
    assert SETTINGS["log.journal.files"].kafka is OURS
    assert SETTINGS["log.journal.files"].kafka_default == "-"
    assert SETTINGS["max.connections"].kafka_default == "2147483647"
    assert SETTINGS["log.segment.bytes"].type is ConfigType.INT
