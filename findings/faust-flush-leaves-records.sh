#!/usr/bin/env bash
# Faust: flush() of the producer's buffer returns while records are unsent.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "faust-streaming 0.15.3, ProducerBuffer.flush()" \
  "It waits for 0.1 s for each record and then returns without a word; and it never waits for the one that the" \
  "sender has in hand. Offsets that are committed after it are ahead of what is written of tables."
python_with faust-streaming==0.15.3
"$PYTHON" - <<'PY'
import asyncio
import sys
from types import SimpleNamespace

import faust
from faust.transport.producer import ProducerBuffer
from faust.types import FutureMessage

RECORDS = 4


class Channel:
    """Takes *pause_s* for each record, as a broker does."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.written = 0

    async def publish_message(self, record: FutureMessage, wait: bool = True) -> None:
        await asyncio.sleep(self.pause_s)
        self.written += 1


async def written_at_flush(pause_s: float) -> int:
    channel = Channel(pause_s)
    buffer = ProducerBuffer()
    buffer.app = faust.App("a", broker="kafka://127.0.0.1:1", store="memory://")
    async with buffer:
        for _ in range(RECORDS):
            buffer.put(FutureMessage(SimpleNamespace(channel=channel)))
        await buffer.flush()
        written = channel.written
        while channel.written < RECORDS:
            await asyncio.sleep(0.02)
    return written


async def main() -> None:
    quick, slow = await written_at_flush(0.02), await written_at_flush(0.3)
    print(f"{RECORDS} records, 20 ms each:  {quick} written when flush() returns")
    print(f"{RECORDS} records, 300 ms each: {slow} written when flush() returns")
    if quick == RECORDS:
        sys.exit("CHANGED: it waits for the record that is being sent.")
    if slow >= RECORDS - 1:
        sys.exit("CHANGED: it waits for longer than a tenth of a second.")


asyncio.run(main())
PY
