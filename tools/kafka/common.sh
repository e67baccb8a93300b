# Shared by kafka.sh, cluster.sh and kt: where the jars are, and how to wait for a port. To be sourced.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lib=${KAFKA_LIB:-$here/lib}
if ! compgen -G "$lib/kafka-clients-*.jar" >/dev/null; then
  echo "no Kafka jars in $lib: run 'make kafka', or set KAFKA_LIB to their directory" >&2
  exit 2
fi

# java_tool LOG_LEVEL JAVA_OPTIONS... CLASS ARGUMENTS...
java_tool() {
  local level=$1
  shift
  java -cp "$lib/*" -Dorg.slf4j.simpleLogger.defaultLogLevel="$level" "$@"
}

# wait_for_port PORT PID LOG: until something listens there; fails when the process is gone or a minute has passed.
wait_for_port() {
  local port=$1 pid=$2 log=$3
  for _ in $(seq 1 1200); do
    if (echo >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 0; fi
    if ! kill -0 "$pid" 2>/dev/null; then
      echo "Kafka on port $port ended:" >&2
      tail -n 20 "$log" >&2
      return 1
    fi
    sleep 0.05
  done
  echo "nothing listens on port $port after a minute; see $log" >&2
  return 1
}
