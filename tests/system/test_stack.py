"""The stack as an operator meets it: up, up again, a service that dies, other ports, three brokers, down."""

import json
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.models.signing import sign, verify
from catseye.settings import Settings
from infra.local import jvm, ports
from infra.local.kafka import CUSTOMARY_PORT, KafkaCluster
from infra.local.processes import Process
from infra.local.redis import RedisServer
from infra.local.services import Service
from infra.local.stack import Stack
from infra.local.stack_commands import describe

pytestmark = pytest.mark.broker

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in.py")))
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker for the tests that do not ask how it starts, in a folder that cron would start it in: no locale."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LC_ALL", "C")
        with KafkaCluster(tmp_path_factory.mktemp("kafka with a späce"), heap_mb=256) as started:
            assert (started.directory / "broker-1" / "data" / "meta.properties").exists()
            yield started


@pytest.fixture
def topic(cluster: KafkaCluster) -> str:
    """A fresh topic of one partition."""
    name = f"t-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1)])[name].result()
    return name


def publish(bootstrap_servers: str, topic: str, values: list[bytes]) -> None:
    """Write *values* in one transaction."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": topic, "log_level": 0})
    producer.init_transactions()
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.commit_transaction()


def read(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    """Read the first *count* committed values; fewer if they do not come within 60 s."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    until = time.monotonic() + 60
    try:
        while len(values) < count and time.monotonic() < until:
            message = consumer.poll(1)
            # A broker that has just come back may not know the topic yet; the client says so and asks again.
            if message is not None and message.error() is None:
                values.append(message.value() or b"")
    finally:
        consumer.close()
    return values


def stack_on(cluster: KafkaCluster, folder: Path, *services: Service) -> Stack:
    """Return a stack of stand-ins on a cluster that is there, with topics of its own."""
    settings = Settings(
        kafka_bootstrap_servers=cluster.bootstrap_servers,
        data_dir=folder,
        topic_prefix=f"{uuid.uuid4().hex}.",
        partitions=1,
    )
    return Stack(settings, services=services or (Service("stand_in", 0, STAND_IN),))


def test_what_was_committed_survives_kill_and_restart_of_the_broker(cluster: KafkaCluster, topic: str) -> None:
    """A killed broker comes back on its port with its data; so does one that was stopped cleanly."""
    servers = cluster.bootstrap_servers
    for number in range(1, 3):
        # Killed between the word to the producer and the markers: infra/decisions/0005.
        publish(servers, topic, [b"x"])
        cluster.kill()
        assert cluster.process() is None
        cluster.start()
        assert cluster.bootstrap_servers == servers
        assert read(servers, topic, number) == [b"x"] * number
    cluster.restart()
    assert cluster.bootstrap_servers == servers


def test_another_program_finds_the_cluster_in_its_folder(cluster: KafkaCluster) -> None:
    """The folder is all that `status` and `down` need."""
    found = KafkaCluster(cluster.directory)
    assert found.bootstrap_servers == cluster.bootstrap_servers
    assert found.process() == cluster.process()


def test_a_cluster_of_another_size_is_refused(cluster: KafkaCluster) -> None:
    """Data of one broker are not those of three."""
    with pytest.raises(Misconfigured, match="holds a cluster of 1 brokers, not 3"):
        KafkaCluster(cluster.directory, brokers=3)


def test_a_busy_port_is_another_port(tmp_path: Path) -> None:
    """A cluster whose ports were taken while it was down moves, and keeps its data."""
    cluster = KafkaCluster(tmp_path, heap_mb=256)
    with cluster:
        name = "kept"
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
        admin.create_topics([NewTopic(name, 1)])[name].result()
        publish(cluster.bootstrap_servers, name, [b"here"])
    before = cluster.brokers[0]
    with (
        socket.create_server(("127.0.0.1", before.port)),
        socket.create_server(("127.0.0.1", before.controller_port)),
        cluster,
    ):
        assert cluster.brokers[0].port != before.port
        assert read(cluster.bootstrap_servers, name, 1) == [b"here"]


@pytest.mark.parametrize("lost", [{0: "port"}, {1: "controller_port", 3: "controller_port"}], ids=["once", "twice"])
def test_a_port_that_is_lost_after_it_was_chosen_is_chosen_again(
    cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: dict[int, str]
) -> None:
    """Another cluster on our port is not taken for ours, though it answers like a broker; nor on our controller's."""
    (theirs,) = cluster.brokers
    choices: list[int] = []

    def choose(preferred: int = 0, *, taken: Collection[int] = ()) -> int:
        mine = lost.get(len(choices))
        choices.append(getattr(theirs, mine) if mine else real_choose(preferred, taken=taken))
        return choices[-1]

    real_choose = ports.choose
    monkeypatch.setattr(ports, "choose", choose)
    with KafkaCluster(tmp_path, heap_mb=256, first_port=CUSTOMARY_PORT) as ours:
        assert ours.process() is not None
        assert {ours.brokers[0].port, ours.brokers[0].controller_port} == set(choices[-2:])
        assert not set(choices[-2:]) & {theirs.port, theirs.controller_port}
    assert len(choices) == 2 * (len(lost) + 1)


def test_a_broker_that_is_not_ready_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while Kafka is prepared on a machine that has much else to do."""

    def too_late(cluster: KafkaCluster, timeout_s: float) -> None:
        started.append(cluster.process())
        raise Unavailable("does not answer")

    started: list[Process | None] = []
    monkeypatch.setattr(KafkaCluster, "wait_until_ready", too_late)
    with pytest.raises(Unavailable, match="does not answer"), KafkaCluster(tmp_path, heap_mb=256):
        pass
    (broker,) = started
    assert broker is not None
    assert not broker.alive()


def test_three_brokers_go_on_without_one(tmp_path: Path) -> None:
    """Three copies, two in sync: one broker may die in the middle, and its return is waited for."""
    with KafkaCluster(tmp_path, brokers=3, heap_mb=256) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic("t", 3)])["t"].result()
        cluster.kill(2)
        publish(cluster.bootstrap_servers, "t", [b"without"])
        cluster.start()
        assert read(cluster.bootstrap_servers, "t", 1) == [b"without"]
        assert len(admin.list_topics(timeout=10).brokers) == 3


def test_a_broker_that_ends_by_itself_is_started_again_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its port, with its data, by the supervisor, whose log names the end and the start; `kill` keeps it down."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'shared'}:{ROOT}")
    stack = Stack(Settings(data_dir=tmp_path), services=())
    plan = stack.up()
    try:
        cluster = stack.cluster()
        first = cluster.process()
        assert first is not None
        publish(plan.bootstrap_servers, "catseye.frames", [b"here"])
        os.kill(first.pid, signal.SIGKILL)
        assert first.wait(PATIENCE_S)
        log = tmp_path / "logs" / "supervisor.log"
        until = time.monotonic() + PATIENCE_S
        lines: list[dict[str, Any]] = []
        while [line["event"] for line in lines] != ["ended", "started"]:
            assert time.monotonic() < until, lines
            time.sleep(0.1)
            lines = [json.loads(line) for line in log.read_text().splitlines()]
        again = cluster.process()
        assert again is not None
        assert [line["pid"] for line in lines] == [first.pid, again.pid]
        assert stack.status()["bootstrap_servers"] == plan.bootstrap_servers
        assert read(plan.bootstrap_servers, "catseye.frames", 1) == [b"here"]
        assert cluster.ended() == []
        cluster.kill()
        assert cluster.ended() == [], "whoever kills it here wants it down"
    finally:
        stack.down()


def test_up_twice_is_harmless_and_down_leaves_nothing(cluster: KafkaCluster, tmp_path: Path) -> None:
    """The second `up` starts nothing new; `down` ends every process that the stack started and no other."""
    stack = stack_on(cluster, tmp_path)
    stack.up()
    (first,) = stack.processes("stand_in")
    stack.up()
    assert [first] == stack.processes("stand_in")
    assert stack.status()["ready"]
    assert stack.down()
    assert not first.alive()
    assert not stack.status()["ready"]
    assert describe(stack.status()) == "The stack is down; infra/stack up starts it."
    assert not stack.down()
    assert cluster.process() is not None


def test_a_model_can_be_registered_for_a_cluster_that_was_there(cluster: KafkaCluster, tmp_path: Path) -> None:
    """`up` makes the signing keys whoever started the broker; `catseye models register` is what it then names."""
    stack = stack_on(cluster, tmp_path)
    plan = stack.up()
    try:
        assert plan.brokers == 0
        keys = tmp_path / "keys"
        verify("00" * 32, sign("00" * 32, keys), keys)
    finally:
        stack.down()


def test_a_killed_service_comes_back_in_its_own_place(cluster: KafkaCluster, tmp_path: Path) -> None:
    """kill -9 of one worker: it is started again with the same instance and port; the other is not touched."""
    stack = stack_on(cluster, tmp_path)
    stack.up(workers={"stand_in": 2})
    try:
        first, second = stack.processes("stand_in")
        first.kill()
        stack.up()
        again, untouched = stack.processes("stand_in")
        assert (first.name, first.port, 2) == (again.name, again.port, again.starts)
        assert second == untouched
    finally:
        stack.down()


def test_workers_are_added_and_taken_away_while_the_others_run(cluster: KafkaCluster, tmp_path: Path) -> None:
    """`up --workers` changes what it names and nothing else."""
    stack = stack_on(cluster, tmp_path)
    stack.up()
    try:
        (first,) = stack.processes("stand_in")
        stack.up(workers={"stand_in": 3})
        assert [process.name for process in stack.processes("stand_in")] == ["stand_in-0", "stand_in-1", "stand_in-2"]
        stack.up()
        assert len(stack.processes("stand_in")) == 3
        stack.up(workers={"stand_in": 1})
        assert [first] == stack.processes("stand_in")
    finally:
        stack.down()


def test_with_fewer_workers_up_returns_when_their_partitions_have_owners(
    cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that left is no member any more, and the one that stays has all that both had."""
    prefix = f"{uuid.uuid4().hex}."
    monkeypatch.setenv("CATSEYE_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("CATSEYE_PARTITIONS", "2")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'shared'}:{ROOT}")
    settings = Settings(kafka_bootstrap_servers=cluster.bootstrap_servers, data_dir=tmp_path)
    stack = Stack(settings, services=(Service("ingest", 0),))
    client = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})

    def owned() -> list[int]:
        (answer,) = client.describe_consumer_groups([f"{prefix}ingest"]).values()
        return sorted(len(member.assignment.topic_partitions) for member in answer.result().members)

    try:
        stack.up(workers={"ingest": 2})
        both = owned()
        assert both == [sum(both) // 2] * 2
        stack.up(workers={"ingest": 1})
        assert owned() == [sum(both)]
        assert stack.status()["ready"]
    finally:
        stack.down()


def test_a_misconfigured_service_is_named_with_what_it_reported(cluster: KafkaCluster, tmp_path: Path) -> None:
    """Exit status 2 means that a person must act: no second start, and the reason is in the message."""
    stack = stack_on(cluster, tmp_path, Service("stand_in", 0, (*STAND_IN, "2")))
    try:
        with pytest.raises(Misconfigured, match="stand_in-0 refuses to start: stand-in of 0"):
            stack.up()
    finally:
        stack.down()


def test_a_service_that_ends_again_and_again_is_named(cluster: KafkaCluster, tmp_path: Path) -> None:
    """`up` does not wait its whole time for what cannot come."""
    stack = stack_on(cluster, tmp_path, Service("stand_in", 0, (*STAND_IN, "1")))
    try:
        with pytest.raises(Unavailable, match="stand_in-0 ends again and again"):
            stack.up()
    finally:
        stack.down()


def test_up_starts_what_ended_when_its_cause_is_gone_and_shows_the_words_of_this_start(
    cluster: KafkaCluster, tmp_path: Path
) -> None:
    """Misconfigured twice, for two reasons that no setting shows, then well: the same supervisor, the same children."""
    stack, refuse = stack_on(cluster, tmp_path), tmp_path / "refuse"
    try:
        for reason in ("the first reason", "the second reason"):
            refuse.write_text(reason)
            with pytest.raises(Misconfigured, match=f"^stand_in-0 refuses to start: {reason}$"):
                stack.up()
            assert f"refuses to start: {reason}" in describe(stack.status())
        supervisor = stack.supervisor
        refuse.unlink()
        stack.up()
        assert stack.status()["ready"]
        assert stack.supervisor == supervisor
        (process,) = stack.processes("stand_in")
        assert process.starts == 3
    finally:
        stack.down()


def test_a_wrong_setting_is_refused_before_anything_is_stopped(
    cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a service that does not even run here: what runs goes on as it was."""
    stack = stack_on(cluster, tmp_path)
    stack.up()
    try:
        before = stack.processes("stand_in")
        monkeypatch.setenv("CATSEYE_DRIFT_REFERENCE_SAMPLES", "1")
        with pytest.raises(Misconfigured, match=r"^CATSEYE_DRIFT_REFERENCE_SAMPLES: .*; it is '1'$"):
            stack.up()
        assert stack.processes("stand_in") == before
        assert stack.status()["ready"]
    finally:
        stack.down()


def test_up_waits_for_what_it_started_and_not_for_what_ran_before(
    cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another setting is another process: `up` returns when that one is ready, or raises what that one said."""
    stack = stack_on(cluster, tmp_path)
    stack.up()
    try:
        (before,) = stack.processes("stand_in")
        monkeypatch.setenv("CATSEYE_TOPIC_PREFIX", "slow")
        stack.up()
        (after,) = stack.processes("stand_in")
        assert after.pid != before.pid
        assert stack.status()["ready"]
        (tmp_path / "refuse").write_text("no")
        monkeypatch.setenv("CATSEYE_TOPIC_PREFIX", "other")
        with pytest.raises(Misconfigured, match="refuses to start: no"):
            stack.up()
        assert not after.alive()
    finally:
        stack.down()


def test_a_health_port_that_was_lost_is_another_port_and_work_goes_on(cluster: KafkaCluster, tmp_path: Path) -> None:
    """A service dies and a stranger has its port before it is started again."""
    stack = stack_on(cluster, tmp_path)
    stack.up()
    try:
        (before,) = stack.processes("stand_in")
        supervisor = stack.supervisor
        assert supervisor is not None
        supervisor.pause()
        before.kill()
        with socket.create_server(("127.0.0.1", before.port)):
            supervisor.resume()
            until = time.monotonic() + PATIENCE_S
            while not stack.status()["ready"]:  # nobody calls `up`
                assert time.monotonic() < until, stack.status()
                time.sleep(0.1)
            (after,) = stack.processes("stand_in")
            (service,) = stack.status()["services"]
            assert after.port != before.port
            assert service["health"] == f"http://127.0.0.1:{after.port}"
            stack.up()
            assert stack.processes("stand_in") == [after]
    finally:
        stack.down()


def test_a_broker_of_an_up_that_failed_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` names it, `down` stops it and says so; services without it are not called ready."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'shared'}:{ROOT}")
    stack = Stack(Settings(data_dir=tmp_path), services=[Service("stand_in", 0, STAND_IN)])

    def refuse(_: Settings) -> None:
        raise Misconfigured("6 partitions are not 12")

    with monkeypatch.context() as patched:
        patched.setattr("infra.local.stack.create_topics", refuse)
        with pytest.raises(Misconfigured, match="6 partitions are not 12"):
            stack.up()
    try:
        broker = stack.cluster().process()
        assert broker is not None
        assert not stack.status()["ready"]
        assert stack.cluster().bootstrap_servers in describe(stack.status())
        assert "down;" not in describe(stack.status())
        stack.up()
        assert stack.status()["ready"]
        supervisor = stack.supervisor
        assert supervisor is not None
        supervisor.pause()  # it would start the broker again
        os.kill(broker.pid, signal.SIGKILL)
        assert broker.wait(PATIENCE_S)
        assert [service["ready"] for service in stack.status()["services"]] == [False]
        assert "does not answer" in describe(stack.status())
        supervisor.resume()
    finally:
        assert stack.down()
    assert not broker.alive()
    assert not stack.down()


def test_java_finds_its_classes_whatever_the_letters_of_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout in a folder that ASCII cannot write, started without a locale."""
    monkeypatch.setenv("LC_ALL", "C")
    libs = tmp_path / "späce" / "libs"
    libs.parent.mkdir()
    libs.symlink_to(jvm.LIBS)
    monkeypatch.setattr(jvm, "LIBS", libs)
    jvm.run([*jvm.command("-Xshare:auto"), "kafka.tools.StorageTool", "random-uuid"], [libs.parent])


def test_services_of_a_killed_supervisor_are_taken_over(cluster: KafkaCluster, tmp_path: Path) -> None:
    """`up` after kill -9 of the supervisor: no service runs twice, and all are watched again."""
    stack = stack_on(cluster, tmp_path)
    stack.up()
    try:
        (before,) = stack.processes("stand_in")
        supervisor = stack.supervisor
        assert supervisor is not None
        supervisor.kill()
        stack.up()
        (after,) = stack.processes("stand_in")
        assert not before.alive()
        assert after.alive()
    finally:
        stack.down()


def test_an_absent_cluster_is_one_sentence(tmp_path: Path) -> None:
    """KAFKA_BOOTSTRAP_SERVERS that nobody answers at is said so, and no broker is started instead."""
    stack = Stack(Settings(kafka_bootstrap_servers="127.0.0.1:9", data_dir=tmp_path))
    with pytest.raises(Unavailable, match=r"nobody listens at 127\.0\.0\.1:9, which KAFKA_BOOTSTRAP_SERVERS names"):
        stack.up()
    assert not (tmp_path / "kafka").exists()


def test_a_redis_whose_port_is_lost_chooses_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Redis that answers at the port is not taken for ours."""
    with RedisServer(tmp_path / "theirs") as theirs:
        assert theirs.process is not None
        taken, choices = theirs.process.port, []

        def choose(preferred: int = 0, *, taken_port: int = taken) -> int:
            choices.append(preferred)
            return taken_port if len(choices) == 1 else real_choose(preferred)

        real_choose = ports.choose
        monkeypatch.setattr(ports, "choose", choose)
        with RedisServer(tmp_path / "ours", preferred_port=taken) as ours:
            assert ours.process is not None
            assert ours.process.port != taken
            assert choices == [taken, 0]


def test_redis_answers_on_loopback_and_ends(tmp_path: Path) -> None:
    """Up, up again, paused and stopped all the same."""
    with RedisServer(tmp_path) as server:
        first = server.process
        assert first is not None
        assert server.url == f"redis://127.0.0.1:{first.port}/0"
        server.start()
        assert server.process == first
        first.signal(signal.SIGSTOP)
    assert not first.alive()
    with pytest.raises(Unavailable, match="does not run"):
        server.url  # noqa: B018 - the access is the claim
