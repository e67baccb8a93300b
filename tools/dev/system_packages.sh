#!/usr/bin/env bash
# The system packages that some tests need: kcat, a JDK, Maven, a C compiler. Installed as root or in CI; elsewhere the
# command that installs them is printed, and the tests that lack them are skipped with that command.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/dev/privileges.sh

missing=()
command -v kcat >/dev/null || missing+=(kcat)
command -v javac >/dev/null || missing+=(default-jdk-headless)
command -v mvn >/dev/null || missing+=(maven)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v mkfs.ext4 >/dev/null || [ -x /sbin/mkfs.ext4 ] || missing+=(e2fsprogs)

[ ${#missing[@]} -gt 0 ] || exit 0
if may_install_system_packages; then
  install_system_packages "${missing[@]}"
else
  echo "some tests will be skipped; to run them too: sudo apt-get install ${missing[*]}" >&2
fi
