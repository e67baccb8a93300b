"""The command line before it talks to anybody: help, the lazy table, wrong usage, exit codes."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ConfigError
from logbroker.cli.lazy import LazyGroup
from logbroker.cli.main import cli
from logbroker.client.errors import RefusedError
from logbroker.testing.broker_process import free_port


def run(*arguments, **options):
    return CliRunner().invoke(cli, list(arguments), prog_name="logbroker", **options)


@pytest.mark.parametrize("name", list(cli.lazy))
def test_the_table_says_what_the_commands_say(name):
    entry = cli.lazy[name]
    command = entry.load()
    assert command.name == name
    assert command.hidden == entry.hidden
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == entry.short_help


def test_help_imports_no_command():
    code = (
        "import sys; from logbroker.cli.main import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncio', 'logbroker.client.cluster', 'logbroker.cli.topics', 'logbroker.cli.config'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"
    assert "  topics " in output
    assert "  tour " not in output


def test_every_command_has_help():
    def visit(command, path):
        result = run(*path, "--help")
        assert result.exit_code == 0, path
        assert result.output.startswith(f"Usage: {' '.join(['logbroker', *path])}"), path
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{path}: {parameter.name}"
        for name in getattr(command, "lazy", None) or getattr(command, "commands", {}):
            visit(command.get_command(None, name), [*path, name])

    visit(cli, [])


def test_the_version():
    result = run("--version")
    assert result.exit_code == 0
    assert result.output.startswith("logbroker 0.")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no-such-command"], "No such command"),
        (["topics", "create"], "Missing argument 'TOPIC'"),
        (["topics", "create", "t", "--config", "x"], "'x' is not NAME=VALUE"),
        (["topics", "create", "t", "--config", "=x"], "'=x' is not NAME=VALUE"),
        (["topics", "create", "t", "--partitions", "0"], "--partitions"),
        (["topics", "alter", "t"], "nothing to alter"),
        (["topics", "alter", "t", "--config", "a=1", "--delete-config", "a"], "a can't be set and deleted"),
        (["topics", "list", "--output", "xml"], "--output"),
        (["topics", "list", "--bootstrap-server", "nowhere:x"], "'nowhere:x' is not HOST:PORT"),
        (["topics", "list", "--bootstrap-server", ""], "no bootstrap server"),
        (["produce", "t", "--value", "a", "--file", "-"], "--value"),
        (["produce", "t", "--value", "a", "--key-separator", ":"], "--key-separator"),
        (["produce", "t", "--key", "a", "--key-separator", ":"], "--key-separator"),
        (["produce", "t", "--key-separator", ""], "is empty"),
        (["produce", "t", "--value", "a", "--header", "x"], "'x' is not NAME=VALUE"),
        (["produce", "t", "--acks", "2"], "--acks"),
        (["produce", "t", "--file", "/no/such/file"], "/no/such/file"),
        (["consume", "t", "--offset", "first"], "'first' is no offset"),
        (["consume", "t", "--offset", "9" * 19], "is no offset"),
        (["consume", "t", "--from-timestamp", "yesterday"], "'yesterday' is no time"),
        (["consume", "t", "--from-beginning", "--offset", "1"], "exclude each other"),
        (["consume", "t", "--max-messages", "0"], "--max-messages"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_wrong(arguments, complaint):
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics", "list"],
        ["produce", "t", "--value", "x"],
        ["consume", "t"],
        ["cluster", "describe"],
        ["tour"],
    ],
)
def test_no_broker_exits_1_and_says_what_to_do(arguments):
    port = free_port()
    result = run(*arguments, "--bootstrap-server", f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert (
        result.stderr == f"Error: cannot reach 127.0.0.1:{port}: connection refused; is the broker running?\n"
    )
    assert result.stdout == ""


def test_a_person_who_waits_is_told_for_whom():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        outer, inner = pty.openpty()
        command = [
            sys.executable,
            "-m",
            "logbroker.daemons.entry",
            "topics",
            "list",
            "--bootstrap-server",
            address,
        ]
        with subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner) as process:
            os.close(inner)
            said = b""
            while f"waiting for {address}, ".encode() not in said:
                said += os.read(outer, 4096)
            process.kill()
        os.close(outer)


def test_the_server_comes_from_the_environment():
    port = free_port()
    result = run("topics", "list", env={"LOGBROKER_BOOTSTRAP_SERVER": f"127.0.0.1:{port}"})
    assert f"127.0.0.1:{port}" in result.stderr


def test_our_errors_become_messages_and_exit_codes():
    group = LazyGroup("x")

    @group.command()
    def refused():
        raise RefusedError(ErrorCode.TOPIC_ALREADY_EXISTS, "topic 'a'", "it is there")

    @group.command()
    def misconfigured():
        raise ConfigError("that can't be")

    result = CliRunner().invoke(group, ["refused"])
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: topic 'a': TOPIC_ALREADY_EXISTS (it is there); --if-not-exists accepts that\n",
    )
    result = CliRunner().invoke(group, ["misconfigured"])
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: that can't be\n")


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete "), ("zsh", "#compdef logbroker"), ("fish", "complete ")]
)
def test_completion_scripts(shell, mark):
    result = run("completion", shell)
    assert result.exit_code == 0
    assert mark in result.stdout
    assert "_LOGBROKER_COMPLETE" in result.stdout
