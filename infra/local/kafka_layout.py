"""How a Kafka cluster of this machine is laid out: its nodes, their ports, and what each is told to be."""

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infra.local import ports
from infra.local.files import write_whole


class Broker(msgspec.Struct, frozen=True):
    """A node that is broker and controller: its id, its clients' port and its controller's port."""

    node_id: int
    port: int
    controller_port: int


class Layout(msgspec.Struct, frozen=True):
    """What `cluster.json` holds.

    Attributes:
        cluster_id: 16 bytes as URL-safe base64, which Kafka writes into the data folders.
        brokers: All nodes.
    """

    cluster_id: str
    brokers: tuple[Broker, ...]


def read(directory: Path) -> Layout | None:
    """Return what was written to *directory* last; None where nothing was."""
    try:
        return msgspec.json.decode((directory / "cluster.json").read_bytes(), type=Layout)
    except FileNotFoundError:
        return None


def write(directory: Path, layout: Layout) -> None:
    """Write *layout* down in *directory*."""
    write_whole(directory / "cluster.json", msgspec.json.encode(layout))


def choose(before: Layout | None, size: int, *, first_port: int, customary: bool) -> Layout:
    """Choose ports: the ones of last time, else the customary ones, else any; only any if not *customary*.

    Args:
        before: As it was laid out last time, if it was.
        size: Number of its brokers.
        first_port: Preferred port of the first broker, 0 for any; the others and the controllers follow it.
        customary: Whether those of last time and the preferred ones are tried.
    """
    taken: set[int] = set()

    def port(last: int, preferred: int) -> int:
        wanted = last if last and ports.is_free(last) else preferred
        chosen = ports.choose(wanted if customary else 0, taken=taken)
        taken.add(chosen)
        return chosen

    cluster_id = before.cluster_id if before else urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]
    brokers = []
    for index in range(size):
        last = before.brokers[index] if before else Broker(index + 1, 0, 0)
        preferred = first_port + 2 * index if first_port else 0
        brokers.append(
            Broker(
                node_id=index + 1,
                port=port(last.port, preferred),
                controller_port=port(last.controller_port, preferred and preferred + 1),
            )
        )
    return Layout(cluster_id, tuple(brokers))


def properties(broker: Broker, brokers: Sequence[Broker]) -> dict[str, str]:
    """Return `server.properties` of one of *brokers*."""
    copies, in_sync = (1, 1) if len(brokers) == 1 else (3, 2)
    # A static quorum: ports may move from one start to the next, and voters that were written into the log
    # (KIP-853, what `format --standalone` makes) would look for each other at the ports of the first start.
    voters = (f"{node.node_id}@{ports.LOOPBACK}:{node.controller_port}" for node in brokers)
    return {
        "process.roles": "broker,controller",
        "node.id": str(broker.node_id),
        "controller.quorum.voters": ",".join(voters),
        "listeners": f"PLAINTEXT://{ports.LOOPBACK}:{broker.port},"
        f"CONTROLLER://{ports.LOOPBACK}:{broker.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        # Beside this file, from where a broker is started: Java reads these lines as Latin-1, and the folder's path
        # may have other letters.
        "log.dirs": "data",
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(copies),
        # Longer than any record is kept: a service that was stopped for a week must not begin anew.
        "offsets.retention.minutes": str(30 * 24 * 60),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        # 50 each by default: for hundreds of groups, which one machine does not have.
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "8",
        # A broker that was killed is let back in only when its last session is over: 9 s by default. With 3 s, a
        # machine whose cores are all taken lost sessions of brokers that were alive. Nobody can stand in for a single
        # one, and fencing it while it lives loses markers too (decision 0005); `KafkaCluster` fences it after a kill.
        "broker.session.timeout.ms": "30000" if len(brokers) == 1 else "6000",
        "broker.heartbeat.interval.ms": "1000",
        # 8 and 3 by default; on two cores they only wake each other: p99 of the demo 150 with them, 134 ms without.
        "num.io.threads": "2",
        "num.network.threads": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A worker may be given up sooner than after the 6 s that a broker insists on by default.
        "group.min.session.timeout.ms": "1000",
        # The cleaner takes this from the heap at once; the default is 128 MiB.
        "log.cleaner.dedupe.buffer.size": str(32 * 2**20),
    }
