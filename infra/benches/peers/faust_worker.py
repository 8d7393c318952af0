"""The same work on faust-streaming, exactly once, with a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faust
from mode.loop import use  # type: ignore[import-not-found]

from infra.benches.peers.flags import parse

COPIED = (1).to_bytes(8, "big")


def build() -> Any:
    """Declare the app, its topics, its table and its one agent."""
    flags = parse(__doc__ or "")
    app = faust.App(
        flags.group,
        broker=f"aiokafka://{flags.bootstrap}",
        processing_guarantee="exactly_once",
        store="memory://",
        topic_partitions=flags.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4_194_304,
        broker_max_poll_records=flags.batch,
        broker_commit_interval=flags.commit_ms / 1_000,
        stream_wait_empty=False,
        producer_linger=flags.linger_ms / 1_000,
        producer_max_batch_size=flags.batch_bytes,
        datadir=Path(flags.directory),
    )
    records = app.topic(flags.input, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    results = app.topic(flags.output, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    if flags.mode == "copy":

        @app.agent(records)  # type: ignore[untyped-decorator]
        async def copy(stream: Any) -> None:
            async for key, value in stream.items():
                await results.send(key=key, value=value[:8] + COPIED + value[16:])

        return app

    counts = app.Table("counts", default=int, partitions=flags.partitions)

    @app.agent(records)  # type: ignore[untyped-decorator]
    async def count(stream: Any) -> None:
        async for key, value in stream.items():
            n = counts[key] + 1
            counts[key] = n
            await results.send(key=key, value=value[:8] + n.to_bytes(8, "big") + value[16:])

    return app


if __name__ == "__main__":
    use("uvloop")
    faust.Worker(build(), loglevel="WARN", redirect_stdouts=False).execute_from_commandline()
