#!/usr/bin/env bash
# Redis: a string that grows by SETRANGE takes up to twice its length, and keeps it; written whole it takes its length.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "Redis (Debian's redis-server), SETRANGE, MEMORY USAGE, with redis 8.1.0 from Python" \
  "A string that grows slot by slot, as packed time series do, is given twice the room that it needs each time that it" \
  "has none left, and what it does not use is not given back. Set to its whole length first, with zeros, and written" \
  "by the same SETRANGE calls, it has the same bytes and little more memory than those."
redis
python_with redis==8.1.0
"$PYTHON" - <<'PY'
import os
import sys

import redis

SLOT = 8
client = redis.Redis(port=int(os.environ["REDIS_PORT"]))
print("redis-server", client.info("server")["redis_version"])
ratios = []
for slots in range(100, 600, 100):
    client.flushall()
    client.set("whole", bytes(slots * SLOT))
    for slot in range(slots):
        for key in ("grown", "whole"):
            client.setrange(key, slot * SLOT, slot.to_bytes(SLOT, "big"))
    grown, whole = (client.memory_usage(key) for key in ("grown", "whole"))
    ratios.append(grown / whole)
    same = client.get("grown") == client.get("whole")
    print(f"{slots * SLOT:,} bytes, equal: {same}; grown {grown:,} bytes of memory, whole at first {whole:,}")
if max(ratios) < 1.5:
    sys.exit("CHANGED: a string that grew takes no more memory than one that was whole at first.")
PY
