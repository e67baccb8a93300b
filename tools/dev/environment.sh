#!/usr/bin/env bash
# environment.sh runtime|dev: the virtual environment .venv, with what the broker needs, or what its tests need too.
#
# Called by make when pyproject.toml or constraints.txt changed; safe to call again at any time. PYTHON chooses the
# interpreter of a new .venv (the newest of python3.14 ... python3.11 found otherwise).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/dev/privileges.sh

wanted=${1:?usage: environment.sh runtime|dev}

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
    if command -v "$candidate" >/dev/null && usable "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  echo "error: logbroker needs Python 3.11 or newer; none was found${PYTHON:+ at $PYTHON}. Install one, or: make PYTHON=/path/to/python3" >&2
  exit 1
}

make_venv() {
  local python
  python=$(find_python)
  echo "making .venv with $("$python" --version)"
  rm -rf .venv
  if ! "$python" -m venv .venv 2>/dev/null; then
    # Debian and Ubuntu keep venv's parts in a package of their own.
    local package
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    rm -rf .venv
    if may_install_system_packages; then
      install_system_packages "$package"
      "$python" -m venv .venv
    else
      echo "error: $python can't make virtual environments; install what it lacks: sudo apt-get install $package" >&2
      exit 1
    fi
  fi
}

usable .venv/bin/python || make_venv

extra=
[ "$wanted" = dev ] && extra='[dev]'
count=$(grep -c == constraints.txt)
if [ "$wanted" = dev ]; then
  echo "installing logbroker and what its tests need (at most $count packages, less than a minute)"
else
  echo "installing logbroker and its dependencies (some seconds)"
fi
.venv/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -e ".$extra"
touch ".venv/.installed-$wanted"
