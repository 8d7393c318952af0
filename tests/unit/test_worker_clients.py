"""`catseye.kafka`: how clients are set up, and what a start insists on."""

from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.limits import PUBLIC_MAX_BYTES, RECORD_MAX_BYTES
from catseye.contract.topics import BY_NAME, TOPICS
from catseye.kafka import admin
from catseye.kafka.admin import check_partitions, create_topics, topic_config, wait_for_broker
from catseye.kafka.clients import client_config, partition_bounds, reader_config
from catseye.settings import Settings
from tests.simulation.fake_kafka import kafka_fault

DAY_MS = 24 * 3_600_000
SIX = Settings(topic_prefix="blue.", partitions=6)


class Admin:
    """A cluster that lists and makes topics; satisfies what is used of an AdminClient."""

    def __init__(self, topics: dict[str, int], faults: dict[str, int] | None = None, away: int = 0) -> None:
        self._topics = topics
        self._faults = faults or {}
        self._away = away
        self.made: dict[str, Any] = {}
        self.longest: dict[str, int] = {}
        self.altered: dict[str, str] = {}
        self.widened: dict[str, int] = {}

    def __call__(self, config: dict[str, Any]) -> "Admin":
        return self

    def list_topics(self, timeout: float) -> Any:
        """What is there, or nobody."""
        if self._away:
            self._away -= 1
            raise kafka_fault(KafkaError._TRANSPORT)
        return SimpleNamespace(
            topics={name: SimpleNamespace(partitions=dict.fromkeys(range(n))) for name, n in self._topics.items()}
        )

    def create_topics(self, wanted: list[Any]) -> dict[str, Future[None]]:
        """A promise for each."""
        promises: dict[str, Future[None]] = {}
        for topic in wanted:
            promises[topic.topic] = Future()
            if topic.topic in self._faults:
                promises[topic.topic].set_exception(kafka_fault(self._faults[topic.topic]))
            else:
                promises[topic.topic].set_result(None)
                self.made[topic.topic] = topic
        return promises

    def create_partitions(self, wanted: list[Any]) -> dict[str, Future[None]]:
        """Remembers who is widened, or refuses."""
        answers: dict[str, Future[None]] = {}
        for one in wanted:
            answers[one.topic] = Future()
            if one.topic in self._faults:
                answers[one.topic].set_exception(kafka_fault(self._faults[one.topic]))
            else:
                answers[one.topic].set_result(None)
                self.widened[one.topic] = one.new_total_count
        return answers

    def describe_configs(self, asked: list[Any]) -> dict[Any, Future[Any]]:
        """Topics of today, or as long as the test says."""
        answers: dict[Any, Future[Any]] = {}
        for one in asked:
            answers[one] = Future()
            longest = self.longest.get(one.name, RECORD_MAX_BYTES)
            answers[one].set_result({"max.message.bytes": SimpleNamespace(value=str(longest))})
        return answers

    def incremental_alter_configs(self, wanted: list[Any]) -> dict[Any, Future[None]]:
        """Remembers what was altered, or refuses."""
        answers: dict[Any, Future[None]] = {}
        for one in wanted:
            answers[one] = Future()
            if one.name in self._faults:
                answers[one].set_exception(kafka_fault(self._faults[one.name]))
            else:
                answers[one].set_result(None)
                (entry,) = one.incremental_configs
                self.altered[one.name] = entry.value
        return answers


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Admin]:
    """Makes the cluster that clients find."""

    def make(*arguments: Any, **faults: Any) -> Admin:
        made = Admin(*arguments, **faults)
        monkeypatch.setattr(admin, "AdminClient", made)
        return made

    return make


def test_a_plain_client_needs_no_secrets() -> None:
    """And gets none."""
    config = client_config(Settings(kafka_bootstrap_servers="k:1", kafka_sasl_password="hunter2"))
    assert (config["bootstrap.servers"], config["security.protocol"]) == ("k:1", "PLAINTEXT")
    assert [key for key in config if key.startswith(("sasl", "ssl"))] == []


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_client_that_logs_in_says_who_it_is(protocol: Any) -> None:
    """Mechanism, name and password."""
    config = client_config(Settings(kafka_security_protocol=protocol, kafka_sasl_username="u", kafka_sasl_password="p"))
    sasl = [config[f"sasl.{key}"] for key in ("mechanism", "username", "password")]
    assert sasl == ["SCRAM-SHA-512", "u", "p"]


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_a_client_over_tls_gets_the_files_that_are_set(protocol: Any) -> None:
    """An empty path would be an error of librdkafka's."""
    config = client_config(Settings(kafka_security_protocol=protocol, kafka_ssl_ca_location="ca.pem"))
    assert {key for key in config if key.startswith("ssl")} == {"ssl.ca.location"}


def test_readers_see_committed_records_and_never_start_anew_by_themselves() -> None:
    """What delivery rests on."""
    config = reader_config(SIX, "g")
    expected = {
        "group.id": "g",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
    }
    assert {key: config[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("frames", {"retention.ms": str(DAY_MS), "max.message.bytes": str(PUBLIC_MAX_BYTES)}),
        ("frames.rekeyed", {"retention.ms": str(DAY_MS), "max.message.bytes": str(RECORD_MAX_BYTES)}),
        ("predictions", {"retention.ms": str(7 * DAY_MS)}),
        ("dead-letters", {"retention.ms": str(30 * DAY_MS)}),
        ("frames.accepted", {"retention.ms": str(int(3.5 * DAY_MS))}),
        ("models", {"retention.ms": "-1"}),
        ("ingest.state", {"cleanup.policy": "compact"}),
    ],
)
def test_topics_keep_what_the_table_says(name: str, expected: dict[str, str]) -> None:
    """On the broker's clock, all of them; a dead letter has room for the longest public record."""
    settings = Settings(label_horizon_h=2 * 24, archive_margin_h=36)
    config = topic_config(BY_NAME[name], settings)
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config | expected == config
    assert ("retention.ms" in config) != ("cleanup.policy" in config)
    assert RECORD_MAX_BYTES > PUBLIC_MAX_BYTES


def test_topics_that_are_missing_are_made(cluster: Callable[..., Admin]) -> None:
    """With their partitions; those that are there are left alone."""
    made = cluster({"blue.frames": 6, "somebody.elses": 1})
    names = create_topics(SIX)
    assert names == list(made.made) == [f"blue.{topic.name}" for topic in TOPICS if topic.name != "frames"]
    assert {name: topic.num_partitions for name, topic in made.made.items() if topic.num_partitions != 6} == {
        "blue.outcomes.paired": 1,
        "blue.drift.reports": 1,
        "blue.alerts": 1,
        "blue.heartbeats": 1,
        "blue.retraining": 1,
        "blue.models": 1,
        "blue.labels.answers": 1,
        "blue.labels.suspects": 1,
        "blue.alert.commands": 1,
        "blue.training.requests": 1,
        "blue.model.commands": 1,
        "blue.notifications": 1,
        "blue.rollout.state": 1,
        "blue.incidents.state": 1,
        "blue.notifier.state": 1,
    }


def test_nothing_is_made_where_all_is_there(cluster: Callable[..., Admin]) -> None:
    """The second time is free."""
    cluster({f"blue.{topic.name}": 6 if topic.by_camera else 1 for topic in TOPICS})
    assert create_topics(SIX) == []


def test_topics_of_an_earlier_version_take_the_longest_record_of_today(cluster: Callable[..., Admin]) -> None:
    """Raised, never lowered: an ingest that writes a 4K frame to a topic of 5 MiB would never commit again."""
    there = {f"blue.{topic.name}": 6 if topic.by_camera else 1 for topic in TOPICS}
    found = cluster(there)
    create_topics(SIX)
    assert found.altered == {}
    found.longest = {"blue.frames": 4 * 2**20, "blue.labels": PUBLIC_MAX_BYTES, "blue.frames.accepted": 5 * 2**20}
    create_topics(SIX)
    assert found.altered == {"blue.frames": str(PUBLIC_MAX_BYTES), "blue.frames.accepted": str(RECORD_MAX_BYTES)}
    refusing = cluster(there, {"blue.frames": KafkaError.POLICY_VIOLATION})
    refusing.longest = {"blue.frames": 4 * 2**20}
    with pytest.raises(
        Unavailable, match=r"max\.message\.bytes of the topics cannot be .* raised: on order; records up"
    ):
        create_topics(SIX)


def test_a_topic_with_other_partitions_is_not_accepted(cluster: Callable[..., Admin]) -> None:
    """The sentence names both numbers and both settings that can mend it."""
    cluster({"blue.labels.accepted": 4})
    with pytest.raises(
        Misconfigured, match=r"blue\.labels\.accepted has 4 partitions, CATSEYE_PARTITIONS asks for 6.*PREFIX"
    ):
        create_topics(SIX)


def test_topics_of_ours_get_as_many_partitions_as_the_widest(
    cluster: Callable[..., Admin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are made too; public ones stay as they are, and nobody else's are touched."""
    monkeypatch.setattr(admin, "log_bounds", lambda settings, name, partitions: dict.fromkeys(partitions, (0, 0)))
    there = {f"blue.{topic.name}": 6 if topic.by_camera else 1 for topic in TOPICS if topic.name != "predictions"}
    found = cluster(there | {"blue.outcomes": 12, "blue.frames": 9, "blue.labels": 3, "blue.alerts": 2})
    assert create_topics(SIX) == ["blue.predictions"]
    assert found.made["blue.predictions"].num_partitions == 12
    assert found.widened == {
        f"blue.{topic.name}": 12 if topic.by_camera else 2
        for topic in TOPICS
        if not topic.public and topic.name not in ("predictions", "outcomes", "alerts")
    }
    check_partitions(SIX, ("blue.frames", "blue.labels", "blue.outcomes"))
    cluster(there | {"blue.outcomes": 12}, {"blue.models": KafkaError.POLICY_VIOLATION, "blue.dead-letters": 44})
    with pytest.raises(Unavailable, match=r"topic blue\.dead-letters did not get 12 partitions: on order"):
        create_topics(SIX)


def test_records_beyond_the_partitions_of_cameras_are_somebody_elses(
    cluster: Callable[..., Admin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet of twelve is not read as one of six: then a camera's records would lie on two partitions."""
    ends = {partition: (0, 7 * (partition == 8)) for partition in range(12)}
    monkeypatch.setattr(
        admin, "log_bounds", lambda settings, name, partitions: {each: ends[each] for each in partitions}
    )
    cluster({"blue.outcomes": 12})
    for refused in (create_topics, lambda settings: check_partitions(settings, ("blue.outcomes",))):
        with pytest.raises(Misconfigured, match=r"outcomes has records on partition 8 and CATSEYE_PARTITIONS is 6"):
            refused(SIX)


def test_a_topic_that_somebody_else_makes_meanwhile_is_there(cluster: Callable[..., Admin]) -> None:
    """Two starts at once do not fail each other; any other refusal is said."""
    cluster({}, {"blue.frames": KafkaError.TOPIC_ALREADY_EXISTS})
    assert "blue.frames" not in create_topics(SIX)
    cluster({}, {"blue.frames": KafkaError.POLICY_VIOLATION})
    with pytest.raises(Unavailable, match=r"did not make topic blue\.frames: on order"):
        create_topics(SIX)


@pytest.mark.slow
def test_topics_that_are_joined_must_fit(cluster: Callable[..., Admin]) -> None:
    """Present, and with as many partitions as the setting says."""
    cluster({"a": 6, "b": 6, "c": 3})
    check_partitions(SIX, ("a", "b"))
    with pytest.raises(Misconfigured, match="topic c has 3 partitions, CATSEYE_PARTITIONS asks for 6"):
        check_partitions(SIX, ("a", "c"))
    with pytest.raises(Misconfigured, match="topic d does not exist: `catseye topics create` makes it"):
        check_partitions(SIX, ("d",))


def test_a_broker_that_starts_is_waited_for(cluster: Callable[..., Admin]) -> None:
    """Until it answers, or the time is over."""
    cluster({}, away=3)
    wait_for_broker(SIX, timeout_s=60)
    cluster({}, away=1)
    with pytest.raises(Unavailable, match=r"no Kafka broker answers at 127\.0\.0\.1:9092"):
        wait_for_broker(SIX, timeout_s=-1)


class Reader:
    """A consumer whose partition has moved; satisfies what is used of a Consumer."""

    def __init__(self, *faults: KafkaException) -> None:
        self._faults = list(faults)

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        """The bounds, after the faults."""
        if self._faults:
            raise self._faults.pop(0)
        return 3, 9


def test_a_leader_that_moves_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for ever, and nothing else is."""
    place, moved = TopicPartition("t", 0), kafka_fault(KafkaError.NOT_LEADER_FOR_PARTITION)
    seconds = iter(range(1_000))
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)), sleep=lambda pause_s: None)
    for module in ("tenacity", "tenacity.nap"):  # what stamina tries again with
        monkeypatch.setattr(import_module(module), "time", clock)
    moving: Any = Reader(moved, kafka_fault(KafkaError.LEADER_NOT_AVAILABLE), moved)
    assert partition_bounds(moving, place) == (3, 9)
    for gone in (Reader(kafka_fault(KafkaError._TRANSPORT)), Reader(*[moved] * 100)):
        lost: Any = gone
        with pytest.raises(KafkaException):
            partition_bounds(lost, place)
