"""What is wrong with the command line or the settings: status 2, a line for each problem, no traceback."""

import importlib.metadata
import json
import subprocess
import sys

from logbroker.base.version import VERSION
from logbroker.daemons.entry import command as whole_command


def test_settings(command, tmp_path):
    file = tmp_path / "broker.toml"
    file.write_text("log.segment.bytes = 1\nlog.segmnt.ms = 1\n")
    ended = command("serve", "--config", str(file), LOGBROKER_NUM_PARTITIONS="no")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        f"error: log.segment.bytes = 1 ({file}:1): Value must be at least 1048576",
        f"error: unknown setting log.segmnt.ms ({file}:2); did you mean log.segment.bytes?",
        "error: num.partitions = 'no' (environment LOGBROKER_NUM_PARTITIONS): Not a number of type INT",
    ]


def test_settings_for_programs(command):
    ended = command("serve", "--log-format", "json", "--set", "num.partitions=0")
    assert ended.returncode == 2
    (line,) = [json.loads(line) for line in ended.stderr.splitlines()]
    assert line["level"] == "error"
    assert line["event"] == "num.partitions = '0' (--set): Value must be at least 1"


def test_arguments(command):
    for arguments in (["serve", "--no-such-option"], ["serve", "--log-level", "loud"], ["serve", "extra"]):
        ended = command(*arguments)
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr
        assert ended.stderr.startswith("Usage: logbroker serve")


def test_a_file_that_is_not_there(command):
    ended = command("serve", "--config", "/nowhere/broker.toml")
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: can't read the configuration file /nowhere/broker.toml: No such file or directory\n"
    )


def test_serve_is_part_of_the_command():
    assert "serve" in whole_command().commands
    assert whole_command().commands["serve"].get_short_help_str().startswith("Run the broker")


def test_serve_is_listed_and_its_help_is_light(command):
    assert "Run the broker until" in command("--help").stdout
    # What --help needs is click alone: nothing of the broker, and nothing of the other commands.
    code = (
        "import sys; sys.argv = ['logbroker', 'serve', '--help']\n"
        "from logbroker.daemons.entry import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('uvloop', 'msgspec', 'rich')], file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert "--data-dir DIR" in ended.stdout
    assert ended.stderr == "[]\n"


def test_the_version_is_the_packages():
    assert importlib.metadata.version("logbroker") == VERSION
