#!/usr/bin/env bash
# redis-py: one call of a script that takes longer than socket_timeout runs eleven times.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

redis
title "redis-py 8.1.0 with $(redis-server --version | cut -d ' ' -f 1-3)" \
  "At default settings a call that is not answered within socket_timeout is sent again, ten times, whether or not it" \
  "may be repeated: a script that counts, and takes a little longer than that, counts 11 and ends in a TimeoutError."
python_with redis==8.1.0
"$PYTHON" - <<'PY'
import os
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SCRIPT = """
redis.call('INCR', KEYS[1])
local begun = redis.call('TIME')
while true do
  local now = redis.call('TIME')
  if (now[1] - begun[1]) * 1000000 + (now[2] - begun[2]) > 400000 then return 'done' end
end
"""
place = {"host": "127.0.0.1", "port": int(os.environ["REDIS_PORT"])}
patient = redis.Redis(**place, socket_timeout=30)


def count(key: str, client: redis.Redis) -> tuple[int, str]:
    try:
        answer = client.eval(SCRIPT, 1, key).decode()
    except redis.TimeoutError as fault:
        answer = f"TimeoutError: {fault}"
    while True:
        before = patient.get(key)
        time.sleep(2)  # several times what one run of the script takes
        if patient.get(key) == before:
            return int(before), answer


default, answer = count("default", redis.Redis(**place, socket_timeout=0.2))
print(f"one eval of 0.4 s, socket_timeout 0.2 s: counted {default}; {answer}")
single, answer = count("single", redis.Redis(**place, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)))
print(f"the same without retries:                counted {single}; {answer}")
if (default, single) != (11, 1):
    sys.exit("CHANGED: it was counted 11 times, and once without retries.")
PY
