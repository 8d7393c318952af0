"""The floor: the shortest exactly-once loop that confluent-kafka allows, with nothing around it.

No rebalance, no restore, no metrics, no limits: what is left is what librdkafka, the transaction protocol and one
pass of Python over the batch cost. Counts are one dictionary; the keys that changed are written once a transaction.
"""

from __future__ import annotations

import signal
from argparse import Namespace
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, Message, Producer

from infra.benches.peers.flags import parse

Outgoing = list[tuple[bytes, bytes]]
"""Keys and values."""
Core = Callable[[list[Message]], tuple[Outgoing, Outgoing]]

COPIED = (1).to_bytes(8, "big")


def copy(messages: list[Message]) -> tuple[Outgoing, Outgoing]:
    """Write 1 into the count of every record."""
    return [(m.key() or b"", (v := m.value() or b"")[:8] + COPIED + v[16:]) for m in messages], []


def counting() -> Core:
    """Number the records of each key, and keep the numbers."""
    counts: dict[bytes, int] = {}

    def count(messages: list[Message]) -> tuple[Outgoing, Outgoing]:
        out: Outgoing = []
        changed: dict[bytes, bytes] = {}
        for message in messages:
            key, value = message.key() or b"", message.value() or b""
            counts[key] = n = counts.get(key, 0) + 1
            changed[key] = number = n.to_bytes(8, "big")
            out.append((key, value[:8] + number + value[16:]))
        return out, list(changed.items())

    return count


def send(producer: Producer, topic: str, batch: Outgoing) -> None:
    """Queue a batch. One `produce` a record is cheaper than `produce_batch`, which wants a dict a record."""
    produce = producer.produce
    for key, value in batch:
        while True:
            try:
                produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)


def run(flags: Namespace, core: Core) -> None:
    """Consume, transform, produce, in transactions of up to `--batch` records, until SIGTERM."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer(
        {"bootstrap.servers": flags.bootstrap, "group.id": flags.group, "auto.offset.reset": "earliest"}
        | {"enable.auto.commit": False, "isolation.level": "read_committed", "fetch.wait.max.ms": 20}
    )
    producer = Producer(
        {"bootstrap.servers": flags.bootstrap, "transactional.id": flags.group, "linger.ms": flags.linger_ms}
        | {"batch.size": flags.batch_bytes, "batch.num.messages": 10_000, "delivery.report.only.error": True}
    )
    producer.init_transactions(30)
    consumer.subscribe([flags.input])
    while running:
        messages = consumer.consume(flags.batch, 0.05)
        if not messages:
            continue
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        out, changed = core(messages)
        producer.begin_transaction()
        send(producer, flags.output, out)
        send(producer, flags.state, changed)
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
        )
        producer.commit_transaction(30)
    consumer.close()


def main() -> None:
    """Run the loop that the command line asks for."""
    flags = parse(__doc__ or "")
    run(flags, copy if flags.mode == "copy" else counting())


if __name__ == "__main__":
    main()
