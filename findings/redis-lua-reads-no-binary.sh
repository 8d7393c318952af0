#!/usr/bin/env bash
# Redis 7: the MessagePack library of its Lua refuses binary strings, which every current encoder writes for bytes.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "Redis 7.0 (Debian's redis-server), cmsgpack in EVAL, with msgpack 1.1.2 from Python" \
  "cmsgpack.unpack() knows MessagePack as it was before 2013: a bytes object, packed with the type bin, is an error" \
  "(Bad data format in input). The same bytes packed as the older raw string are read, any byte among them."
command -v redis-server >/dev/null || { echo "redis-server is missing: apt-get install redis-server"; exit 2; }
python_with msgpack==1.1.2 redis==8.1.0
"$PYTHON" - <<'PY'
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgpack
import redis

folder = Path(tempfile.mkdtemp())
socket = folder / "redis.sock"
server = subprocess.Popen(
    ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)],
    stdout=subprocess.DEVNULL,
)
try:
    client = redis.Redis(unix_socket_path=str(socket))
    for _ in range(100):
        try:
            version = client.info("server")["redis_version"]
            break
        except redis.exceptions.ConnectionError:
            time.sleep(0.05)
    else:
        sys.exit("the server did not start")
    print(f"redis-server {version}")
    found = {}
    for name, packed in (
        ("bin", msgpack.packb(b"\x00\xff")),
        ("raw", msgpack.packb(b"\x00\xff", use_bin_type=False)),
    ):
        try:
            found[name] = client.eval("return cmsgpack.unpack(ARGV[1])", 0, packed)
        except redis.exceptions.ResponseError as fault:
            found[name] = str(fault)
        print(f"bytes packed as {name}: {packed.hex(' ')} is read as {found[name]!r}")
finally:
    server.terminate()
    server.wait()
if "Bad data format" not in str(found["bin"]):
    sys.exit("CHANGED: binary strings are read now.")
if found["raw"] != b"\x00\xff":
    sys.exit("CHANGED: the older raw string is no longer read.")
PY
