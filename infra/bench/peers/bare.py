"""The floor: the shortest exactly-once loop that confluent-kafka allows, with nothing around it.

No rebalance, no restore, no metrics, no limits: what is left is what librdkafka, the transaction protocol and one
pass of Python over the batch cost. Counts are one dictionary; the keys that changed are written once a transaction.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, Message, Producer

from infra.bench.peers.flags import parse

Outgoing = list[dict[str, object]]
Core = Callable[[list[Message]], tuple[Outgoing, Outgoing]]

COPIED = (1).to_bytes(8, "big")


def copy(messages: list[Message]) -> tuple[Outgoing, Outgoing]:
    """Write 1 into the count of every record."""
    return [{"key": m.key(), "value": (v := m.value() or b"")[:8] + COPIED + v[16:]} for m in messages], []


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
            out.append({"key": key, "value": value[:8] + number + value[16:]})
        return out, [{"key": key, "value": number} for key, number in changed.items()]

    return count


def send(producer: Producer, topic: str, batch: Outgoing) -> None:
    """Queue a batch; what finds the queue full is tried again."""
    while batch:
        producer.produce_batch(topic, batch)
        batch = [m for m in batch if m.pop("_error", None)]
        producer.poll(0.05 if batch else 0)


def main() -> None:
    """Consume, transform, produce, in transactions of up to `--batch` records."""
    flags = parse(__doc__ or "")
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
        | {"batch.size": flags.batch_bytes, "batch.num.messages": 10_000, "queue.buffering.max.messages": 100_000}
    )
    producer.init_transactions(30)
    consumer.subscribe([flags.input])
    core = copy if flags.mode == "copy" else counting()
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


if __name__ == "__main__":
    main()
