# What the scripts of this folder share; sourced by each, never run. It makes a temporary folder, `$WORK`, and at the
# end takes it away and ends the servers that were started, by their pids.
#
#   python_with PACKAGE==VERSION…   `$PYTHON` is then an interpreter that has these
#   kafka VERSION                   a broker on loopback; `$BROKER` is its host:port
#   redis                           the system's redis-server on loopback; `$REDIS_PORT`
#   title WHAT…                     prints versions and behaviour before the evidence
# shellcheck shell=bash

WORK=$(mktemp -d)
PIDS=()
# Nothing that a script starts outlives this, whatever becomes of the script.
LONGEST_S=300

at_end() {
  local pid tries
  for pid in "${PIDS[@]}"; do
    kill "$pid" 2>/dev/null || continue
    for ((tries = 0; tries < 100; tries++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf "$WORK"
}
trap at_end EXIT

fail() {
  printf '%s\n' "$*" >&2
  exit 2
}

need() {
  command -v "$1" >/dev/null || fail "$1 is missing; Debian's package is $2."
}

title() {
  printf '%s\n' "$@" ''
}

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer with venv is missing; Debian's packages are python3 and python3-venv."
}

python_with() {
  local base
  base=$(find_python)
  "$base" -m venv "$WORK/venv"
  "$WORK/venv/bin/python" -m pip install -q --disable-pip-version-check "$@" >"$WORK/pip.log" 2>&1 ||
    fail "pip could not install $*: $(tail -n 5 "$WORK/pip.log")"
  export PYTHON="$WORK/venv/bin/python"
}

# A port of loopback that is free now, below those that systems give to outgoing connections.
free_port() {
  "$(find_python)" - <<'PY'
import random
import socket

for port in random.sample(range(20_000, 30_000), 200):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PY
}

# wait_for PORT LOG: until somebody listens.
wait_for() {
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  fail "Nothing listens at port $1 after 30 s: $(tail -n 5 "$2")"
}

kafka() {
  local version=$1 home="$WORK/kafka" port controller_port
  need java openjdk-17-jre-headless
  need mvn maven
  mkdir "$home"
  cat >"$home/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>findings</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version>
    </dependency>
  </dependencies>
</project>
XML
  mvn -q -B -f "$home/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    "-DoutputDirectory=$home/libs" >"$home/mvn.log" 2>&1 || fail "Maven failed: $(tail -n 5 "$home/mvn.log")"
  port=$(free_port)
  controller_port=$(free_port)
  cat >"$home/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$home/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=33554432
PROPERTIES
  local java=(java -Xmx512m -XX:TieredStopAtLevel=1 -cp "$home/libs/*")
  "${java[@]}" kafka.tools.StorageTool format "--cluster-id=$(new_cluster_id)" -c "$home/server.properties" \
    >"$home/format.log" 2>&1 || fail "Kafka's storage could not be formatted: $(tail -n 5 "$home/format.log")"
  timeout --kill-after=5 "$LONGEST_S" "${java[@]}" kafka.Kafka "$home/server.properties" >"$home/broker.log" 2>&1 &
  PIDS+=($!)
  wait_for "$port" "$home/broker.log"
  export BROKER="127.0.0.1:$port"
}

new_cluster_id() {
  "$(find_python)" -c 'import base64, uuid; print(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22])'
}

redis() {
  need redis-server redis-server
  REDIS_PORT=$(free_port)
  timeout --kill-after=5 "$LONGEST_S" redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --save '' \
    --appendonly no --dir "$WORK" >"$WORK/redis.log" 2>&1 &
  PIDS+=($!)
  wait_for "$REDIS_PORT" "$WORK/redis.log"
  export REDIS_PORT
}
