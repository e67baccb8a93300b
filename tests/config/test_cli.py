"""`logbroker config list|show|check`."""

import json

import pytest
from click.testing import CliRunner

from logbroker.cli.config import config
from logbroker.config.settings import SETTINGS


@pytest.fixture
def run(monkeypatch):
    for variable in ("LOGBROKER_CONFIG", "LOGBROKER_NODE_ID"):
        monkeypatch.delenv(variable, raising=False)

    def invoke(*arguments, **environment):
        return CliRunner().invoke(config, arguments, env=environment)

    return invoke


def test_list_names_every_setting(run):
    listed = json.loads(run("list", "--output", "json").stdout)
    assert [one["name"] for one in listed] == list(SETTINGS)
    segment = next(one for one in listed if one["name"] == "log.segment.bytes")
    assert segment["default"] == 1_073_741_824
    assert segment["unit"] == "bytes"
    assert segment["bounds"]["low"] == 1_048_576
    assert segment["variable"] == "LOGBROKER_LOG_SEGMENT_BYTES"
    assert segment["dynamic"]
    assert segment["in_kafka"]


def test_list_for_people(run):
    shown = run("list")
    assert shown.exit_code == 0
    for name in SETTINGS:
        assert name in shown.stdout
    # Each setting on one line, so that grep finds all of it.
    (line,) = [
        line for line in run("list", "socket", "request").stdout.splitlines() if "socket.request" in line
    ]
    assert "104857600" in line
    assert "The largest request" in line
    assert run("list", "no-such-word").exit_code == 1


def test_list_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    config.main(["list", "socket", "request"], standalone_mode=False)
    name, facts, *meaning = capsys.readouterr().out.splitlines()
    assert "socket.request.max.bytes" in name
    assert "int (bytes)  ·  default 104857600  ·  at least 1" in facts
    assert " ".join(line.strip() for line in meaning) == SETTINGS["socket.request.max.bytes"].doc
    assert all(len(line) <= 60 for line in meaning)


def test_show_says_where_from(run, tmp_path):
    file = tmp_path / "broker.toml"
    file.write_text("num.partitions = 3\n")
    arguments = ["show", "--config", str(file), "--set", "fetch.max.bytes=2048"]
    shown = run(*arguments, LOGBROKER_NODE_ID="7")
    assert shown.exit_code == 0
    assert f"{file}:1" in shown.stdout
    assert "environment LOGBROKER_NODE_ID" in shown.stdout
    assert "log.segment.bytes" not in shown.stdout
    assert "log.segment.bytes" in run(*arguments, "--all").stdout
    values = {one["name"]: one for one in json.loads(run(*arguments, "--output", "json").stdout)}
    assert values["num.partitions"] == {
        "name": "num.partitions",
        "value": 3,
        "source": "file",
        "place": f"{file}:1",
    }
    (only,) = json.loads(run(*arguments, "--output", "json", "log.dir").stdout)
    assert (only["name"], only["value"], only["source"]) == ("log.dirs", ["data"], "default")


def test_show_with_nothing_set(run):
    assert "Every setting has its default" in run("show").stdout


def test_show_of_what_can_not_be_used(run):
    refused = run("show", "--set", "num.partitions=0", "--set", "x=1")
    assert refused.exit_code == 2
    assert refused.stderr.count("error: ") == 2
    assert run("show", "no.such.setting").exit_code == 2


def test_check(run, tmp_path):
    file = tmp_path / "broker.toml"
    file.write_text("num.partitions = 3\n")
    fine = run("check", str(file), LOGBROKER_NODE_ID="not looked at")
    assert (fine.exit_code, fine.stdout) == (0, f"{file}: fine (1 setting)\n")
    file.write_text("num.partitions = 0\nnode.id = -1\n")
    bad = run("check", str(file))
    assert bad.exit_code == 1
    assert bad.stderr.splitlines() == [
        f"error: num.partitions = 0 ({file}:1): Value must be at least 1",
        f"error: node.id = -1 ({file}:2): Value must be at least 0",
    ]
    assert json.loads(run("check", str(file), "--output", "json").stdout) == {
        "file": str(file),
        "fine": False,
        "problems": [line.removeprefix("error: ") for line in bad.stderr.splitlines()],
    }
    file.write_text("")
    assert json.loads(run("check", str(file), "--output", "json").stdout)["fine"]
    assert run("check", str(tmp_path / "none")).exit_code == 2
    assert run("check").exit_code == 2
