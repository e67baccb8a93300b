#!/usr/bin/env bash
# One Apache Kafka node (KRaft, broker and controller in one process), for comparisons.
#
#   kafka.sh start DIR PORT [property=value ...]   PORT is the broker's, PORT+1 the controller's; the pid is in DIR/pid
#   kafka.sh stop DIR
#
# DIR keeps its properties and data from one start to the next. KAFKA_LIB names the jars (tools/kafka/lib).
set -euo pipefail

usage="usage: kafka.sh start DIR PORT [property=value ...] | kafka.sh stop DIR"
command=${1:?$usage} dir=${2:?$usage}

format() {
  local port=$1
  shift
  {
    cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$dir/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
    for property in "$@"; do echo "$property"; done
  } >"$dir/server.properties"
  java_tool error kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1 >"$dir/cluster.id"
  java_tool error kafka.tools.StorageTool format -t "$(cat "$dir/cluster.id")" -c "$dir/server.properties" >"$dir/format.log" 2>&1
  touch "$dir/formatted"
}

case $command in
  start)
    . "$(dirname "$0")/common.sh"
    port=${3:?$usage}
    mkdir -p "$dir"
    [ -f "$dir/formatted" ] || format "$port" "${@:4}"
    java -Xms1G -Xmx1G -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -cp "$lib/*" \
      -Dorg.slf4j.simpleLogger.defaultLogLevel="${LOG_LEVEL:-warn}" kafka.Kafka "$dir/server.properties" \
      >"$dir/kafka.log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    wait_for_port "$port" "$(cat "$dir/pid")" "$dir/kafka.log"
    echo ready
    ;;
  stop)
    pid=$(cat "$dir/pid")
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    ;;
  *)
    echo "$usage" >&2
    exit 2
    ;;
esac
