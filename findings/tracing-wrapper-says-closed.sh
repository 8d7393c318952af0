#!/usr/bin/env bash
# OpenTelemetry for confluent-kafka: a wrapped client that is open says that it is closed, at half of its methods.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "opentelemetry-instrumentation-confluent-kafka 0.66b1 with confluent-kafka 2.16.0, Apache Kafka 4.3.1" \
  "instrument_producer() and instrument_consumer() return objects of the client's own class that hand on some" \
  "methods. At the others, among them all of transactions, assign() and position(), they raise \"has been closed\"," \
  "though the client is open and the original does what it is asked."
python_with opentelemetry-instrumentation-confluent-kafka==0.66b1 confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor

servers = {"bootstrap.servers": os.environ["BROKER"], "log_level": 0}
producer = Producer(servers | {"transactional.id": "w"})
consumer = Consumer(servers | {"group.id": "g"})
wrapped_producer = ConfluentKafkaInstrumentor().instrument_producer(producer)
wrapped_consumer = ConfluentKafkaInstrumentor().instrument_consumer(consumer)
place = TopicPartition("t", 0, 0)


def answer(client: Producer | Consumer, method: str, arguments: tuple[object, ...]) -> str:
    try:
        getattr(client, method)(*arguments)
    except RuntimeError as fault:
        return f"RuntimeError: {fault}"
    return "done"


CALLS = (
    (wrapped_producer, producer, "init_transactions", (30,)),
    (wrapped_producer, producer, "begin_transaction", ()),
    (wrapped_producer, producer, "abort_transaction", (30,)),
    (wrapped_consumer, consumer, "assign", ([place],)),
    (wrapped_consumer, consumer, "position", ([place],)),
    (wrapped_consumer, consumer, "consumer_group_metadata", ()),
)
print(f"the wrapped consumer is a Consumer: {isinstance(wrapped_consumer, Consumer)}")
done = []
for wrapped, original, method, arguments in CALLS:
    by_wrapped, by_original = answer(wrapped, method, arguments), answer(original, method, arguments)
    print(f"{method:24} wrapped: {by_wrapped:40} original: {by_original}")
    if by_original != "done":
        sys.exit(f"CHANGED: the original client's {method} fails too.")
    if by_wrapped == "done":
        done.append(method)
consumer.close()
if done:
    sys.exit(f"CHANGED: wrapped clients now do {', '.join(done)}.")
PY
