#!/usr/bin/env bash
# librdkafka: the first record of an idempotent producer is reported as delivered and stands on no log.
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/lib/finding.sh"

title "confluent-kafka 2.16.0 with Apache Kafka 4.3.1, Producer with enable.idempotence" \
  "A partition's leader has just moved: the first request of a new producer is refused with NOT_LEADER_FOR_PARTITION," \
  "the second, which was under way too, is written. The broker takes its sequence number for the producer's beginning," \
  "refuses the first record when it comes again, and the delivery report of that record has no error. With" \
  "max.in.flight.requests.per.connection=1 both are on the log. (A proxy plays the broker that is not leader yet.)"
python_with confluent-kafka==2.16.0
kafka 4.3.1
"$PYTHON" - <<'PY'
import os
import socket
import struct
import sys
import threading

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

HOST, PORT = os.environ["BROKER"].split(":")
NOT_LEADER = 6


class Proxy:
    """In front of the broker: says of the first record that the partition's leader is elsewhere, as a broker does that
    is not its leader yet, when the second is there too or half a second has passed; all else goes through."""

    def __init__(self):
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.refused, self.first, self.second = False, threading.Event(), threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.door.accept()
            broker = socket.create_connection((HOST, int(PORT)))
            threading.Thread(target=self.requests, args=(client, broker), daemon=True).start()
            threading.Thread(target=self.answers, args=(broker, client), daemon=True).start()

    def requests(self, client, broker):
        while frame := frame_of(client):
            kind, version, number = struct.unpack(">hhi", frame[4:12])
            if kind == 0 and not self.refused:
                assert version in (9, 10), version
                self.refused = True
                self.first.set()
                threading.Thread(target=self.refuse, args=(client, number), daemon=True).start()
                continue
            if kind == 0:
                self.second.set()
                self.done.wait()
            broker.sendall(frame)

    done = threading.Event()

    def refuse(self, client, number):
        self.second.wait(0.5)
        answer = struct.pack(">ib", number, 0) + b"\2\2t\2" + struct.pack(">ihqqq", 0, NOT_LEADER, -1, -1, -1)
        answer += b"\1\0\0\0" + struct.pack(">ib", 0, 0)
        client.sendall(struct.pack(">i", len(answer)) + answer)
        self.done.set()

    def answers(self, broker, client):
        ours, theirs = (b"127.0.0.1" + struct.pack(">i", int(port)) for port in (self.port, PORT))
        while frame := frame_of(broker):
            client.sendall(frame.replace(theirs, ours))


def frame_of(stream):
    size = exactly(stream, 4)
    return size and size + exactly(stream, struct.unpack(">i", size)[0])


def exactly(stream, count):
    data = b""
    while len(data) < count:
        if not (more := stream.recv(count - len(data))):
            return b""
        data += more
    return data


def played(options):
    servers = {"bootstrap.servers": os.environ["BROKER"]}
    admin = AdminClient(servers)
    admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
    reader = Consumer(servers | {"group.id": "g"})
    proxy, delivered = Proxy(), []
    proxy.done = threading.Event()

    def report(error, message):
        delivered.append((message.value().decode(), error.name() if error else "delivered"))

    producer = Producer(
        {"bootstrap.servers": f"127.0.0.1:{proxy.port}", "enable.idempotence": True, "linger.ms": 0} | options
    )
    producer.produce("t", b"first", on_delivery=report)
    while not proxy.first.wait(0.05):
        producer.poll(0)
    producer.produce("t", b"second", on_delivery=report)
    producer.flush(30)
    end = reader.get_watermark_offsets(TopicPartition("t", 0))[1]
    reader.assign([TopicPartition("t", 0, 0)])
    log = []
    while len(log) < end:
        if (message := reader.poll(0.5)) is not None:
            log.append(message.value().decode())
    reader.close()
    admin.delete_topics(["t"])["t"].result(30)
    print(f"{options or 'as it comes'}: reported {sorted(delivered)}, on the log {log}", flush=True)
    return delivered, log


delivered, log = played({})
safe, whole = played({"max.in.flight.requests.per.connection": 1})
if (sorted(delivered), log) != ([("first", "delivered"), ("second", "delivered")], ["second"]):
    sys.exit("CHANGED: what is reported as delivered is on the log, or is reported as failed.")
if whole != ["first", "second"]:
    sys.exit("CHANGED: one request under way no longer keeps both.")
PY
