"""The README's programs run as they stand, and its figures have files behind them."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text()


def test_producer_and_consumer(broker):
    programs = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(programs) == 2
    shown = []
    for program in programs:
        assert sum(bool(line) for line in program.splitlines()) <= 10  # what fits into a glance
        done = subprocess.run(
            [sys.executable, "-c", program.replace("127.0.0.1:9092", broker.bootstrap)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout)
    assert sorted(shown[0].splitlines()) == [f"orders-0@{n} is on the disk" for n in range(3)]
    assert sorted(shown[1].splitlines()) == [f"(b'customer {n}', b'order {n}')" for n in range(3)]


def test_what_it_links_to_is_there():
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (REPOSITORY / page).read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (REPOSITORY / target).exists(), f"{page}: {target}"


def test_the_map_is_of_this_house():
    rows = re.findall(
        r"^\| `(logbroker/\w+)` \|.*\| (.+) \|$", (REPOSITORY / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    packages = {f"logbroker/{path.parent.name}" for path in (REPOSITORY / "logbroker").glob("*/__init__.py")}
    assert {folder for folder, _ in rows} == packages
    for folder, start in rows:
        for file in re.findall(r"`([^`]+)`", start):
            assert (REPOSITORY / folder / file).is_file(), f"{folder}/{file}"
