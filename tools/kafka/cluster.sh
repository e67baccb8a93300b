#!/usr/bin/env bash
# Three Apache Kafka nodes (KRaft, broker and controller in one process each), for comparisons.
#
#   cluster.sh DIR BASEPORT [property=value ...]   brokers on BASEPORT, +10 and +20; pids in DIR/{1,2,3}/pid
#
# KAFKA_LIB names the jars (tools/kafka/lib). Stop them with: kill $(cat DIR/*/pid)
set -euo pipefail

usage="usage: cluster.sh DIR BASEPORT [property=value ...]"
dir=${1:?$usage} base_port=${2:?$usage}
. "$(dirname "$0")/common.sh"
voters="1@127.0.0.1:$((base_port + 1)),2@127.0.0.1:$((base_port + 11)),3@127.0.0.1:$((base_port + 21))"

mkdir -p "$dir"
[ -s "$dir/cluster.id" ] || java_tool error kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1 >"$dir/cluster.id"

for node in 1 2 3; do
  node_dir=$dir/$node port=$((base_port + (node - 1) * 10))
  mkdir -p "$node_dir"
  if [ ! -f "$node_dir/formatted" ]; then
    {
      cat <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$node_dir/data
default.replication.factor=3
min.insync.replicas=2
group.initial.rebalance.delay.ms=0
PROPERTIES
      for property in "${@:3}"; do echo "$property"; done
    } >"$node_dir/server.properties"
    java_tool error kafka.tools.StorageTool format -t "$(cat "$dir/cluster.id")" -c "$node_dir/server.properties" >"$node_dir/format.log" 2>&1
    touch "$node_dir/formatted"
  fi
  java -Xms768m -Xmx768m -XX:+UseG1GC -cp "$lib/*" -Dorg.slf4j.simpleLogger.defaultLogLevel="${LOG_LEVEL:-warn}" \
    kafka.Kafka "$node_dir/server.properties" >"$node_dir/kafka.log" 2>&1 </dev/null &
  echo $! >"$node_dir/pid"
done
for node in 1 2 3; do
  wait_for_port $((base_port + (node - 1) * 10)) "$(cat "$dir/$node/pid")" "$dir/$node/kafka.log"
done
echo ready
