"""Layers and where values come from; errors with their places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.errors import ConfigError
from logbroker.config.loader import changed_settings, load
from logbroker.config.settings import SettingsError
from logbroker.config.sources import Origin


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="broker.toml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write_file


def test_later_layers_go_before_earlier_ones(write):
    file = write(
        "num.partitions = 2\nlog.segment.bytes = 2000000\nnode.id = 2\ndefault.replication.factor = 1\n"
    )
    loaded = load(
        file=file,
        environment={
            "LOGBROKER_NUM_PARTITIONS": "3",
            "LOGBROKER_LOG_SEGMENT_BYTES": "3000000",
            "PATH": "/bin",
        },
        assignments=["num.partitions=4"],
    )
    settings, sources = loaded.settings, loaded.sources
    assert (settings.node_id, settings.log_segment_bytes, settings.num_partitions) == (2, 3_000_000, 4)
    assert sources.of("node.id").origin is Origin.FILE
    assert sources.of("node.id").place == f"{file}:3"
    assert str(sources.of("log.segment.bytes")) == "environment LOGBROKER_LOG_SEGMENT_BYTES"
    assert str(sources.of("num.partitions")) == "--set"
    assert sources.of("log.dirs").origin is Origin.DEFAULT
    assert sources.file == file


def test_an_alias_in_one_layer_overrides_the_name_in_another(write):
    loaded = load(file=write("broker.id = 2\nlog.dir = 'a'\n"), environment={"LOGBROKER_NODE_ID": "3"})
    assert (loaded.settings.node_id, loaded.settings.log_dirs) == (3, ("a",))
    assert load(environment={"LOGBROKER_LOG_DIR": "/b"}).settings.log_dirs == ("/b",)


def test_the_options_of_their_own_go_last(write):
    loaded = load(
        file=write("log.dirs = ['a', 'b']\nmetadata.log.dir = 'c'\nlisteners = 'PLAINTEXT://:1'\n"),
        assignments=["listeners=PLAINTEXT://:2", "log.format=text"],
        flags={"log.format": "json"},
        data_dir="d",
        listen=["127.0.0.1:3"],
    )
    settings = loaded.settings
    # Records here with the metadata of elsewhere would be the mix-up that loses both.
    assert (settings.log_dirs, settings.metadata_directory) == (("d",), "d")
    assert settings.listeners == ("PLAINTEXT://127.0.0.1:3",)
    assert settings.log_format == "json"
    assert str(loaded.sources.of("log.format")) == "--log-format"
    assert str(loaded.sources.of("metadata.log.dir")) == "--data-dir"


def test_several_listeners():
    loaded = load(
        listen=["INSIDE://:1", "OUTSIDE://[::1]:2"],
        assignments=["listener.security.protocol.map=INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT"],
    )
    assert loaded.settings.listeners == ("INSIDE://:1", "OUTSIDE://[::1]:2")


def test_tables_and_dotted_names_mean_the_same(write):
    dotted = load(file=write("log.retention.ms = 5\nlog.segment.bytes = 2000000\n"))
    tables = load(file=write("[log]\nretention.ms = 5\n[log.segment]\nbytes = 2000000\n", "other.toml"))
    assert dotted.settings == tables.settings
    assert tables.sources.of("log.segment.bytes").place.endswith("other.toml:4")


def test_one_name_is_the_beginning_of_another(write):
    bare = write("max.connections = 5\nmax.connections.per.ip = 4\n")
    with pytest.raises(ConfigError, match=r'write it in quotes: "max\.connections" = ...'):
        load(file=bare)
    quoted = load(file=write('"max.connections" = 5\nmax.connections.per.ip = 4\n', "quoted.toml")).settings
    assert (quoted.max_connections, quoted.max_connections_per_ip) == (5, 4)


def test_the_environment_names_the_file(write):
    assert load(environment={"LOGBROKER_CONFIG": write("node.id = 9\n")}).settings.node_id == 9


def test_everything_wrong_is_told_with_its_place(write):
    file = write("# a comment\nlog.segmnt.bytes = 1\n\n[num]\npartitions = 0\n")
    with pytest.raises(SettingsError) as refused:
        load(
            file=file,
            environment={"LOGBROKER_NODE_ID": "x", "LOGBROKER_NODEID": "1"},
            assignments=["fetch.max.bytes", "what=1"],
            listen=["nowhere"],
        )
    text = str(refused.value)
    for expected in (
        f"unknown setting log.segmnt.bytes ({file}:2); did you mean log.segment.bytes?",
        f"num.partitions = 0 ({file}:5): Value must be at least 1",
        "node.id = 'x' (environment LOGBROKER_NODE_ID): Not a number of type INT",
        "the environment variable LOGBROKER_NODEID is no setting; did you mean node.id?",
        "--set fetch.max.bytes: write it as --set key=value",
        "unknown setting what (--set)",
        "--listen: 'nowhere' is no address",
    ):
        assert expected in text


def test_a_file_may_not_say_the_same_twice(write):
    with pytest.raises(SettingsError, match=r"node.id \(.*:2\) says the same as broker.id \(.*:1\)"):
        load(file=write("broker.id = 1\nnode.id = 1\n"))
    with pytest.raises(ConfigError, match="no valid TOML"):
        load(file=write("node.id = 1\nnode.id = 1\n"))
    with pytest.raises(ConfigError, match="write every name out, without tables"):
        load(file=write("log.segment.bytes = 2000000\n[log]\nretention.hours = 1\n"))


def test_files_that_can_not_be_read(tmp_path, write):
    with pytest.raises(ConfigError, match=r"can't read the configuration file .*: No such file"):
        load(file=str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="Is a directory"):
        load(file=str(tmp_path))
    with pytest.raises(ConfigError, match="no valid TOML: Invalid value"):
        load(file=write("log.dirs = [\n"))
    (tmp_path / "binary.toml").write_bytes(b"node.id = 1 # \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load(file=str(tmp_path / "binary.toml"))
    (tmp_path / "large.toml").write_bytes(b"#" * 1_048_577)
    with pytest.raises(ConfigError, match="larger than"):
        load(file=str(tmp_path / "large.toml"))


KUBERNETES = [
    "LOGBROKER_SERVICE_HOST",
    "LOGBROKER_SERVICE_PORT",
    "LOGBROKER_SERVICE_PORT_KAFKA",
    "LOGBROKER_PORT",
    "LOGBROKER_PORT_9092_TCP",
    "LOGBROKER_PORT_9092_TCP_ADDR",
    "LOGBROKER_HEADLESS_SERVICE_HOST",
    "LOGBROKER_HEADLESS_PORT_9092_TCP_PROTO",
]


@pytest.mark.parametrize("variable", KUBERNETES)
def test_a_kubernetes_service_of_the_same_name_does_no_harm(variable):
    assert load(environment={variable: "tcp://10.0.0.1:9092"}).sources.given == {}


def test_a_variable_that_looks_like_one_is_still_an_error():
    with pytest.raises(SettingsError, match="LOGBROKER_SERVICE_HOSTS is no setting"):
        load(environment={"LOGBROKER_SERVICE_HOSTS": "x"})


def test_data_dir_needs_a_name():
    for bad in ("", "a,b"):
        with pytest.raises(SettingsError, match="--data-dir"):
            load(data_dir=bad)


def test_what_changed(write):
    before = load(assignments=["log.retention.ms=5", "num.partitions=2", "log.level=info"])
    after = load(assignments=["log.retention.ms=6", "num.partitions=3", "log.level=info"])
    assert changed_settings(before, after) == (["log.retention.ms"], ["num.partitions"])


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "broker.toml"
    path.write_text(text, errors="ignore", newline="")
    try:
        load(file=str(path))
    except ConfigError:
        return
