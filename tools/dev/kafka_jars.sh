#!/usr/bin/env bash
# Kafka's jars in tools/kafka/lib, by Maven: for tests that compare with it and for the benchmarks.
set -euo pipefail
cd "$(dirname "$0")/../kafka"

version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' pom.xml)
[ ! -f "lib/kafka_2.13-$version.jar" ] || [ pom.xml -nt lib ] || exit 0
if [ -n "${KAFKA_LIB:-}" ]; then exit 0; fi
if ! command -v mvn >/dev/null; then
  echo "Kafka's jars can't be fetched without Maven: sudo apt-get install maven" >&2
  [ "${CI:-}" = true ] && exit 1
  exit 0
fi
echo "fetching the jars of Kafka $version with Maven (54 MB, about ten seconds)"
rm -rf lib lib.partial
mvn -q -B -Dstyle.color=never dependency:copy-dependencies -DoutputDirectory=lib.partial </dev/null
mv lib.partial lib
touch lib
