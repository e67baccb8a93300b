"""The files in config/: they load, and what they say is true."""

import json
import pathlib
import re
import shutil
import subprocess

from logbroker.config.loader import load
from logbroker.config.settings import SETTINGS, Settings

FOLDER = pathlib.Path(__file__).parents[2] / "config"
BROKER = FOLDER / "broker.toml"

# A commented-out setting: no blank behind the `#`, so that prose isn't taken for one.
SETTING_LINE = re.compile(r'^#("?[a-z][a-z.]*"?) = (.+)$', re.MULTILINE)

# Lines of broker.toml that show an example where the default is to leave it unset.
EXAMPLES = {"metadata.log.dir", "log.flush.interval.ms"}


def test_broker_toml_changes_nothing_as_it_is():
    assert load(file=str(BROKER)).settings == Settings()


def test_what_broker_toml_shows_is_the_default(tmp_path):
    names = [name.strip('"') for name, _ in SETTING_LINE.findall(BROKER.read_text())]
    assert len(names) > 30
    assert len(set(names)) == len(names)
    uncommented = tmp_path / "broker.toml"
    uncommented.write_text(SETTING_LINE.sub(r"\1 = \2", BROKER.read_text()))
    loaded = load(file=str(uncommented))
    assert set(loaded.sources.given) == set(names)
    for name in names:
        setting = SETTINGS[name]
        value = getattr(loaded.settings, setting.attribute)
        if name in EXAMPLES:
            assert setting.default is None
        else:
            assert value == setting.default, name


def test_what_broker_toml_calls_live_is():
    for block in BROKER.read_text().split("\n\n"):
        names = [name.strip('"') for name, _ in SETTING_LINE.findall(block)]
        if names and "(live)" in block:
            assert all(SETTINGS[name].dynamic for name in names), names


def test_broker_memory_toml():
    settings = load(file=str(FOLDER / "broker-memory.toml")).settings
    assert (settings.storage_type, settings.memory_full_policy) == ("memory", "evict")


def test_no_absolute_path_of_a_developers_machine():
    for path in FOLDER.iterdir():
        assert "/home/" not in path.read_text()
        assert "/work/" not in path.read_text()


def test_the_unit_stops_for_wrong_settings_and_is_notified():
    unit = (FOLDER / "logbroker.service").read_text()
    assert "Type=notify\n" in unit
    assert "RestartPreventExitStatus=2\n" in unit
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in unit
    if shutil.which("systemd-analyze") is None:
        return
    # Executables and users that aren't installed here are not the unit's fault.
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(FOLDER / "logbroker.service")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    complaints = [
        line
        for line in checked.stderr.splitlines()
        if "logbroker.service" in line and "not executable" not in line and "No such file" not in line
    ]
    assert complaints == []


def test_the_dashboard_is_whole():
    board = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    panels = board["panels"]
    assert len(panels) > 20
    identifiers = [panel["id"] for panel in panels]
    assert len(set(identifiers)) == len(identifiers)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))
        assert panel["type"] == "row" or panel["targets"]
