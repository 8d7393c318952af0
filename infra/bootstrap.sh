# Sets up what a command in infra/ needs, from a bare checkout; sourced by each of them, never run.
#
#   source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/bootstrap.sh"
#   need_python runtime|test|trainer|retrain_trigger|bench|fuzz   PYTHON is then the interpreter that has those packages,
#                                            of the Python that INFRA_PYTHON names, else of 3.11 or the next newer one
#   need_kafka                               Java 17 or newer, and Kafka's jars in .catseye/kafka/libs
#   need_javac                               a Java compiler on the PATH
#   need_redis                               redis-server on the PATH
#   need_chromium                            Debian's browser, for the tests of the pages
#   need_kcat                                kcat on the PATH: a client that is not ours, for the tests
#
# Once done, each answers in milliseconds: a stamp beside the thing holds the hash of the file that asked for it.
# Calls at the same time wait for each other (flock). What a call left half done, by Ctrl-C or kill -9, is never used:
# the next one makes it anew. The working directory is left alone, so that paths that a
# person gives stay theirs; PYTHONPATH holds the two source roots instead.
# shellcheck shell=bash

ROOT="$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")"
export PYTHONPATH="$ROOT/shared:$ROOT"
# Else `python -m` puts the working directory first, and a folder there called "services" would be ours.
export PYTHONSAFEPATH=1
export ORT_DISABLE_TELEMETRY=1 # as catseye/__init__.py has it, for what imports onnxruntime first
# Compiled modules are kept, all in one place: uv compiles none, and a service that compiles what it imports takes four
# times the CPU to start, each time.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$ROOT/.catseye/cache/bytecode"
mkdir -p "$ROOT/.catseye/run" "$ROOT/.catseye/logs"

UV_VERSION=0.13.9
JAVA_AT_LEAST=17

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

# quietly STEP COMMAND…: the command's output goes to .catseye/logs/STEP.log and is shown only if it fails.
quietly() {
  local log="$ROOT/.catseye/logs/$1.log"
  shift
  "$@" >"$log" 2>&1 && return
  tail -n 20 "$log" >&2
  return 1
}

# locked NAME COMMAND…: one at a time. The lock is not handed down to what the command leaves running.
locked() {
  local lock="$ROOT/.catseye/run/$1.lock" status=0
  shift
  trap interrupted INT TERM
  (
    trap interrupted INT TERM # a program that ends by itself on Ctrl-C must not be taken for one that failed
    flock 9
    "$@" 9>&-
  ) 9>"$lock" || status=$?
  trap - INT TERM
  return "$status"
}

interrupted() {
  ((BASH_SUBSHELL)) || say "stopped during set-up. What was complete is kept, the step that was not is done anew: call the same command again."
  exit 130
}

# discard FOLDER: gone at once; half a folder is never left under its name.
discard() {
  rm -rf "$1.gone"
  [[ ! -e $1 ]] || mv -T "$1" "$1.gone"
  rm -rf "$1.gone"
}

# system_packages WHY PACKAGE…: from Debian's packages if we may, else one sentence that names the command.
system_packages() {
  local why=$1
  shift
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    fail "$why Install it with: sudo apt-get install $* (or your system's own packages of that name)."
  fi
  say "installing $* (once, about a minute)"
  DEBIAN_FRONTEND=noninteractive locked apt quietly apt install_with_apt "$@" ||
    fail "$why 'apt-get install $*' failed; its last lines are above."
}

install_with_apt() {
  # An installation that was stopped half-way blocks all others until this is done.
  { ! command -v dpkg >/dev/null || dpkg --configure -a; } &&
    apt-get update -q && apt-get install -q -y --no-install-recommends "$@"
}

# ---- Python ----------------------------------------------------------------------------------------------------

# The requirement files hold what 3.11 to 3.13 need (tests/contract/test_requirements.py); a newer one comes last.
PYTHONS=(python3.11 python3.12 python3.13)

find_python() {
  local candidate
  if [[ -n ${INFRA_PYTHON:-} ]]; then
    printf '%s\n' "$INFRA_PYTHON"
    return
  fi
  for candidate in "${PYTHONS[@]}" python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

need_python() {
  local kind=$1 venv requirements
  case $kind in
    runtime | test) venv="$ROOT/.catseye/venv" ;; # the tests' packages are the services' and some more
    *) venv="$ROOT/.catseye/venv-$kind" ;;
  esac
  # A Python that is asked for has environments of its own.
  [[ -z ${INFRA_PYTHON:-} ]] || venv+="-$("$INFRA_PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" ||
    fail "INFRA_PYTHON: $INFRA_PYTHON is no Python."
  requirements="$ROOT/infra/requirements/$kind.txt"
  [[ -f $requirements ]] || fail "There is no $requirements."
  if ! python_is_ready "$kind" "$venv" "$requirements"; then
    locked "$(basename "$venv")" install_python "$kind" "$venv" "$requirements" || exit 1
  fi
  export PYTHON="$venv/bin/python"
}

python_is_ready() {
  local kind=$1 venv=$2 requirements=$3 stamp=
  [[ -x $venv/bin/python && -f $venv/.installed-$kind && ! -e $venv/.unfinished ]] || return 1
  read -r stamp <"$venv/.installed-$kind" || true
  [[ $stamp == "$(sha256sum <"$requirements")" ]]
}

install_python() {
  local kind=$1 venv=$2 requirements=$3 base takes="about 20 s"
  python_is_ready "$@" && return # another call did it while this one waited
  [[ $kind == trainer ]] && takes="some minutes: torch is large"
  say "installing Python packages for $kind (once, $takes)"
  if ! python_is_whole "$venv"; then
    if ! base=$(find_python); then
      system_packages "Python 3.11 or newer with its venv module is missing." python3 python3-venv
      base=$(find_python) || fail "Python 3.11 or newer is needed; this system's packages have an older one."
    fi
    discard "$venv"
    mkdir "$venv"
    : >"$venv/.unfinished"
    quietly venv "$base" -m venv "$venv" || fail "No virtual environment could be made in $venv."
  fi
  : >"$venv/.unfinished"
  quietly "pip-$kind" install_with_uv "$venv" "$requirements" ||
    quietly "pip-$kind" "$venv/bin/python" -m pip install -q --require-hashes -r "$requirements" ||
    fail "The packages of $requirements could not be installed; the reason is above."
  sha256sum <"$requirements" >"$venv/.installed-$kind"
  if [[ $kind == test ]]; then
    sha256sum <"$ROOT/infra/requirements/runtime.txt" >"$venv/.installed-runtime"
  fi
  rm "$venv/.unfinished"
}

# An environment that some packages were installed into to the end, and in which no installation was stopped since.
python_is_whole() {
  [[ -x $1/bin/python && ! -e $1/.unfinished && -n $(find "$1" -maxdepth 1 -name '.installed-*' -print -quit) ]]
}

install_with_uv() {
  local python="$1/bin/python"
  "$python" -m uv --version 2>/dev/null | grep -qF "uv $UV_VERSION" ||
    "$python" -m pip install -q "uv==$UV_VERSION" || return
  "$python" -m uv pip install -q --python "$python" --require-hashes -r "$2"
}

# ---- Kafka -----------------------------------------------------------------------------------------------------

java_version() {
  # 'openjdk version "17.0.15" 2025-04-15' gives 17; the old '"1.8.0"' gives 1.
  java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p;T;q'
}

need_kafka() {
  local libs="$ROOT/.catseye/kafka/libs"
  kafka_is_ready "$libs" || locked kafka install_kafka "$libs" || exit 1
}

kafka_is_ready() {
  local stamp=
  [[ -f $1/.installed ]] && command -v java >/dev/null || return 1
  read -r stamp <"$1/.installed" || true
  [[ $stamp == "$(kafka_stamp)" ]]
}

# The jars that the pom asks for, seen by a Java that was found new enough.
kafka_stamp() {
  printf '%s %s\n' "$(sha256sum <"$ROOT/infra/kafka/pom.xml" | cut -c 1-64)" "$(readlink -f "$(command -v java)")"
}

install_kafka() {
  local libs=$1 fresh="$1.new" version
  kafka_is_ready "$libs" && return # another call did it while this one waited
  if command -v java >/dev/null; then
    version=$(java_version)
  fi
  if ((${version:-0} < JAVA_AT_LEAST)); then
    system_packages "Kafka needs Java $JAVA_AT_LEAST or newer." openjdk-17-jre-headless
    version=$(java_version)
    ((${version:-0} >= JAVA_AT_LEAST)) || fail "java on the PATH is version ${version:-unknown}; Kafka needs $JAVA_AT_LEAST."
  fi
  command -v mvn >/dev/null || system_packages "Maven, which fetches Kafka, is missing." maven
  say "fetching Kafka (once, about 10 s)"
  rm -rf "$fresh"
  # Java writes no file whose path has a letter that its locale lacks.
  quietly maven env LC_ALL=C.UTF-8 mvn -q -B -f "$ROOT/infra/kafka/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies "-DoutputDirectory=$fresh" ||
    fail "Maven could not fetch Kafka; its last lines are above."
  kafka_stamp >"$fresh/.installed"
  discard "$libs"
  mv "$fresh" "$libs"
}

# A Java that compiles, for peers of benches and clients of tests.
need_javac() {
  command -v javac >/dev/null || system_packages "The Java compiler is missing." openjdk-17-jdk-headless
}

# ---- Redis -----------------------------------------------------------------------------------------------------

need_redis() {
  command -v redis-server >/dev/null || system_packages "redis-server is missing." redis-server
}

# ---- Chromium, for the tests of the pages ------------------------------------------------------------------------

need_chromium() {
  [[ -x /usr/bin/chromium ]] || system_packages "chromium is missing." chromium
}

# ---- kcat ------------------------------------------------------------------------------------------------------

need_kcat() {
  command -v kcat >/dev/null || system_packages "kcat is missing." kcat
}
