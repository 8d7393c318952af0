"""The same work on quixstreams, exactly once, its RocksDB state and changelog included."""

from __future__ import annotations

import logging
from typing import Any

from quixstreams import Application, State

from infra.benches.peers.flags import parse

COPIED = (1).to_bytes(8, "big")


def copy(value: bytes) -> bytes:
    """Write 1 into the count of the record."""
    return value[:8] + COPIED + value[16:]


def count(value: bytes, state: State) -> bytes:
    """Number the records of each key."""
    n: int = state.get("n", 0) + 1
    state.set("n", n)
    return value[:8] + n.to_bytes(8, "big") + value[16:]


def main() -> None:
    """Build the dataframe and run it; quixstreams ends by itself on SIGTERM."""
    flags = parse(__doc__ or "")
    app: Any = Application(
        broker_address=flags.bootstrap,
        consumer_group=flags.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=flags.commit_ms / 1_000,
        state_dir=flags.directory,
        auto_create_topics=True,
        loglevel=logging.WARNING,
        consumer_extra_config={"fetch.wait.max.ms": 20},
        producer_extra_config={
            "linger.ms": flags.linger_ms,
            "batch.size": flags.batch_bytes,
            "batch.num.messages": 10_000,
        },
    )
    records = app.topic(flags.input, key_deserializer="bytes", value_deserializer="bytes")
    results = app.topic(flags.output, key_serializer="bytes", value_serializer="bytes")
    frame = app.dataframe(records)
    frame = frame.apply(count, stateful=True) if flags.mode == "count" else frame.apply(copy)
    frame.to_topic(results)
    app.run()


if __name__ == "__main__":
    main()
