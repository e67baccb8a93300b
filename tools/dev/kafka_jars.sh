#!/usr/bin/env bash
# Kafka's jars in tools/kafka/lib, by Maven: for tests that compare with it and for the benchmarks.
#
# kafka_jars.sh [--if-possible]: without them `make test` goes on, outside CI, and the tests that need them are skipped.
set -euo pipefail
if_possible=${1:-}
cd "$(dirname "$0")/../kafka"

version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' pom.xml)
[ ! -f "lib/kafka_2.13-$version.jar" ] || [ pom.xml -nt lib ] || exit 0
if [ -n "${KAFKA_LIB:-}" ]; then exit 0; fi

give_up() {
  echo "Kafka's jars can't be fetched: $1" >&2
  [ "$if_possible" = --if-possible ] && [ "${CI:-}" != true ] && exit 0
  exit 1
}

command -v mvn >/dev/null || give_up "Maven is missing: sudo apt-get install maven"
echo "fetching the jars of Kafka $version with Maven (54 MB, about ten seconds)"
rm -rf lib lib.partial
mvn -q -B -Dstyle.color=never dependency:copy-dependencies -DoutputDirectory=lib.partial </dev/null ||
  give_up "Maven failed, see above; try again with: make kafka"
mv lib.partial lib
touch lib
