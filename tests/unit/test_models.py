"""`catseye.models`: who serves, from when on, and what happens while a model cannot be had."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from msgspec.structs import replace

from catseye.backoff import Backoff
from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel, Misconfigured, Unavailable
from catseye.contract.records import ModelCommand, ModelEvent, Stage
from catseye.models import ask as ask_module
from catseye.models import follower as follower_module
from catseye.models import signing
from catseye.models.ask import answers, ask
from catseye.models.commands import carried_out, known_models
from catseye.models.follower import Follower
from catseye.models.net import Net
from catseye.models.register import handed_in, register, register_first, store_of
from catseye.models.signing import key_folder
from catseye.models.stages import Serves
from catseye.runtime.heartbeats import Problems
from catseye.settings import Settings
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import encode, scene

CODEC = Codec()
ONNX, OTHER = (tiny_model(("bike", "car"), encode(scene(40, 50, seed=seed))) for seed in (0, 1))
END = KafkaError(KafkaError._PARTITION_EOF)
AWAY = KafkaError(KafkaError._TRANSPORT, "broker down")
QUIET = "nothing comes in"


class Entry:
    """A message of the `models` topic; satisfies what is read of a confluent_kafka.Message."""

    def __init__(self, body: bytes | None, fault: KafkaError | None = None) -> None:
        self.body = body
        self.fault = fault

    def error(self) -> KafkaError | None:
        """What the client has to say in place of a record."""
        return self.fault

    def value(self) -> bytes | None:
        """Bytes of the record."""
        return self.body

    def offset(self) -> int:
        """Always the same: nothing depends on it."""
        return 7


class Reader:
    """A consumer that gives what a test put on the topic, then is silent; satisfies what is used of a Consumer."""

    def __init__(self, script: list[ModelEvent | KafkaError | bytes | str | Callable[[], None]]) -> None:
        self._script = script
        self.waited_s: list[float] = []
        self.finished = Event()
        self.assigned: list[TopicPartition] = []

    def __call__(self, config: dict[str, Any]) -> "Reader":
        assert config["isolation.level"] == "read_committed"
        return self

    def assign(self, places: list[TopicPartition]) -> None:
        """Where it starts."""
        self.assigned = places

    def poll(self, timeout_s: float) -> Entry | None:
        """The next of the script; at its end the thread of the test under way is left to sleep."""
        self.waited_s.append(timeout_s)
        while True:
            if not self._script:
                self.finished.set()
                Event().wait()
            match self._script.pop(0):
                case ModelEvent() as event:
                    return Entry(CODEC.encode(event))
                case bytes(body):
                    return Entry(body)
                case KafkaError() as fault:
                    return Entry(None, fault)
                case str():
                    return None
                case then:
                    then()


class Fleet:
    """A data folder with keys, a log of what was said, and a `models` topic that a test writes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(data_dir=folder)
        self.reported: list[tuple[str, dict[str, Any]]] = []
        self.problems = Problems()
        self.reader = Reader([])
        self._monkeypatch = monkeypatch
        signing.make_keys(key_folder(self.settings))

    def event(
        self, version: str = "1", stage: Stage = "champion", content: bytes = ONNX, cameras: tuple[str, ...] = ()
    ) -> ModelEvent:
        """A signed event of a file that is in the store."""
        address = store_of(self.settings).put(content)
        return ModelEvent(
            event_id=version,
            model="tiny",
            version=version,
            stage=stage,
            sha256=address,
            signature=signing.sign(address, key_folder(self.settings)),
            because="a test",
            by="a test",
            at_ms=1,
            cameras=list(cameras),
        )

    def follow(
        self,
        *script: ModelEvent | KafkaError | bytes | str | Callable[[], None],
        codec: Codec = CODEC,
        stage: Serves = "champion",
    ) -> Follower:
        """A follower that has read the script to its end."""
        reader = self.reader = Reader(list(script))
        self._monkeypatch.setattr(follower_module, "Consumer", reader)
        self._monkeypatch.setattr(follower_module, "log_bounds", lambda settings, topic, partitions: {0: (3, 9)})
        for pause in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
            self._monkeypatch.setattr(follower_module, pause, 0.001)
        # In a process of its own it takes half a second; tests/unit/test_net.py has that.
        self._monkeypatch.setattr(follower_module, "check_file", Net)
        follower = self.follower = Follower(
            self.settings,
            codec,
            lambda event, **fields: self.reported.append((event, fields)),
            1,
            stage,
            problems=self.problems,
        )
        follower.follow()
        assert reader.finished.wait(30)
        assert [(place.topic, place.partition, place.offset) for place in reader.assigned] == [("catseye.models", 0, 3)]
        return follower

    def checking(self, check: Callable[[bytes], None]) -> None:
        """From now on a model file is looked into by *check*."""
        self._monkeypatch.setattr(follower_module, "check_file", check)

    @property
    def events(self) -> list[str]:
        """Names of the lines that were logged."""
        return [event for event, _ in self.reported]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """With keys and an empty store."""
    return Fleet(tmp_path, monkeypatch)


def version_of(follower: Follower, camera: str = "any") -> str | None:
    """Who serves a camera."""
    loaded = follower.current().of(camera)
    return loaded and loaded[0].version


def test_the_newest_champion_serves(fleet: Fleet) -> None:
    """Those before it are history and are not loaded; other stages name nobody."""
    champion = fleet.follow(fleet.event("1"), fleet.event("2"), fleet.event("3", stage="shadow"), END)
    assert version_of(champion) == "2"
    assert fleet.events == ["champion"]


def test_a_new_champion_takes_over_from_the_old_one(fleet: Fleet) -> None:
    """It is named while the old one serves, and until it is loaded, however long that takes, the old one does."""
    meanwhile: list[str | None] = []

    def checked(content: bytes) -> None:
        meanwhile.append(version_of(fleet.follower))

    new = fleet.event("2", content=OTHER)
    assert version_of(fleet.follow(fleet.event("1"), END, partial(fleet.checking, checked), new, END)) == "2"
    assert meanwhile == ["1"]
    assert fleet.events == ["champion", "champion"]


def test_without_a_champion_nothing_is_predicted(fleet: Fleet) -> None:
    """And the sentence says what to do."""
    with pytest.raises(
        Unavailable, match="no champion to predict with: `catseye models register FILE --stage champion` names"
    ):
        fleet.follow(END).current()


@pytest.mark.parametrize("fault", ["file", "signature", "contract", "key"])
def test_a_champion_that_cannot_be_trusted_is_refused(fleet: Fleet, fault: str) -> None:
    """The one before stays; it is said once and not tried again."""
    first, second = fleet.event("1"), fleet.event("2", content=ONNX + b"\0" if fault == "contract" else OTHER)

    def spoil() -> None:
        if fault == "file":
            folder = fleet.settings.data_dir / "artifacts" / second.sha256[:2]
            (folder / second.sha256).write_bytes(b"other")
        if fault == "key":
            (key_folder(fleet.settings) / signing.PUBLIC).unlink()

    if fault == "signature":
        second = replace(second, signature=bytes(64))
    champion = fleet.follow(first, END, spoil, second, END, QUIET, QUIET)
    assert version_of(champion) == "1"
    assert fleet.events == ["champion", "champion_refused"]


def test_a_store_that_is_away_is_tried_again(fleet: Fleet) -> None:
    """Though nothing new comes in on the topic: librdkafka tells the end of a partition once."""
    event = fleet.event("1")
    kept = fleet.settings.data_dir / "artifacts" / event.sha256[:2]
    aside = fleet.settings.data_dir / "aside"
    kept.rename(aside)

    def bring_back() -> None:
        aside.rename(kept)

    champion = fleet.follow(event, END, QUIET, bring_back, QUIET)
    assert version_of(champion) == "1"
    assert fleet.events == ["champion_not_loaded", "champion_not_loaded", "champion"]


def test_a_store_that_stays_away_is_asked_ever_less_often(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """And as often as ever once its file is loaded: a period again, which an event that comes ends."""
    event = fleet.event("1")
    kept = fleet.settings.data_dir / "artifacts" / event.sha256[:2]
    aside = fleet.settings.data_dir / "aside"
    kept.rename(aside)

    def bring_back() -> None:
        aside.rename(kept)

    bounds = partial(Backoff, chance=lambda: 1.0)
    monkeypatch.setattr(follower_module, "Backoff", lambda *_: bounds(1.0, 4.0))
    script = (event, END, QUIET, QUIET, QUIET, bring_back, QUIET, QUIET)
    assert version_of(fleet.follow(*script)) == "1"
    period_s = follower_module.POLL_S
    assert fleet.reader.waited_s == [period_s, period_s, 1.0, 2.0, 4.0, 4.0, period_s, period_s]


def test_the_reason_is_reported_while_there_is_no_champion(fleet: Fleet) -> None:
    """Whoever waits for predictions sees why there are none."""
    event = fleet.event("1")
    (fleet.settings.data_dir / "artifacts" / event.sha256[:2] / event.sha256).unlink()
    with pytest.raises(Unavailable, match=r"no champion to predict with \(the artifact store has no "):
        fleet.follow(event, END).current()


def test_history_is_not_loaded_while_it_is_read(fleet: Fleet) -> None:
    """A slow broker makes pauses; they are not the end."""
    assert version_of(fleet.follow(fleet.event("1"), QUIET, fleet.event("2"), QUIET, END)) == "2"
    assert fleet.events == ["champion"]


def test_what_is_no_event_is_passed_over(fleet: Fleet) -> None:
    """Garbage on the topic is said and costs nothing else."""
    assert version_of(fleet.follow(fleet.event("1"), b"garbage", END)) == "1"
    assert fleet.events == ["model_event_unreadable", "champion"]


def test_a_broker_that_is_away_is_reported(fleet: Fleet) -> None:
    """And what was known stays."""
    assert version_of(fleet.follow(AWAY, fleet.event("1"), END, AWAY)) == "1"
    assert fleet.events == ["models_unreadable", "champion", "models_unreadable"]


def test_a_registry_that_is_away_is_waited_for(fleet: Fleet) -> None:
    """The event in Confluent's format is read as soon as its id can be looked up: none is lost."""
    ids = {"catseye.ModelEvent": 5}
    asked: list[int] = []

    def fingerprint_of(schema_id: int) -> bytes | None:
        asked.append(schema_id)
        if len(asked) < 3:
            raise Unavailable("the registry is away")
        return CODEC.encode(fleet.event("1"))[2:10]

    champion = fleet.follow(Codec(ids).encode(fleet.event("1")), END, codec=Codec(fingerprint_of_id=fingerprint_of))
    assert version_of(champion) == "1"
    assert fleet.events == ["model_event_not_read", "model_event_not_read", "champion"]


def test_what_was_refused_is_tried_again_when_it_is_named_again(fleet: Fleet) -> None:
    """The key is there again, and an event says so; until then the one before goes on."""
    first, second = fleet.event("1"), fleet.event("2", content=OTHER)
    public = key_folder(fleet.settings) / signing.PUBLIC
    aside = public.with_name("aside")

    def lose() -> None:
        public.rename(aside)

    def find() -> None:
        aside.rename(public)

    assert version_of(fleet.follow(first, END, lose, second, END, find, QUIET)) == "1"
    assert version_of(fleet.follow(first, END, lose, second, END, find, second, END)) == "2"


def test_a_start_goes_back_to_the_champion_before_one_that_is_refused(fleet: Fleet) -> None:
    """As a process that has been there all the time would."""
    broken = replace(fleet.event("2", content=OTHER), signature=bytes(64))
    assert version_of(fleet.follow(fleet.event("1"), broken, END)) == "1"
    assert fleet.events == ["champion_refused", "champion"]


def test_a_champion_that_is_rejected_gives_way_to_the_one_before(fleet: Fleet) -> None:
    """A rollback in one step; the file is loaded once more, the event is the older one."""
    one, two = fleet.event("1"), fleet.event("2", content=OTHER)
    rejected = fleet.event("2", stage="rejected", content=OTHER)
    assert version_of(fleet.follow(one, END, two, END, rejected, END)) == "1"
    assert [fields["version"] for event, fields in fleet.reported] == ["1", "2", "1"]


def test_a_canary_serves_its_cameras(fleet: Fleet) -> None:
    """The others keep the champion before, whose net is not loaded again."""
    one, two = fleet.event("1"), fleet.event("2", content=OTHER, cameras=("a", "b"))
    follower = fleet.follow(one, END, two, END)
    assert [version_of(follower, camera) for camera in ("a", "b", "c")] == ["2", "2", "1"]
    assert fleet.reported[1] == (
        "champion",
        {"model": "tiny", "version": "1", "canaries": ["2"], "cameras": 2, "load_s": fleet.reported[1][1]["load_s"]},
    )


def test_the_newest_shadow_is_followed_until_it_is_none_any_more(fleet: Fleet) -> None:
    """Nothing is said of champions; without a shadow nobody serves, and that is no fault."""
    two, three = (fleet.event(version, stage="shadow", content=OTHER) for version in ("2", "3"))
    follower = fleet.follow(fleet.event("1"), two, END, three, END, stage="shadow")
    assert version_of(follower) == "3"
    promoted, rejected = fleet.event("3", content=OTHER), fleet.event("2", stage="rejected", content=OTHER)
    follower = fleet.follow(fleet.event("1"), two, three, END, promoted, END, rejected, END, stage="shadow")
    assert version_of(follower) is None
    assert fleet.events == ["shadow", "shadow", "shadow", "shadow", "no_shadow"]


def test_before_there_is_a_shadow_nothing_is_reported(fleet: Fleet) -> None:
    """A fleet without one is the usual one."""
    assert version_of(fleet.follow(fleet.event("1"), END, stage="shadow")) is None
    assert fleet.reported == []


class Writer:
    """A producer that keeps what it is given, or says that it could not; satisfies what is used of a Producer."""

    def __init__(self, fault: KafkaError | None = None, unsent: int = 0) -> None:
        self._fault = fault
        self._unsent = unsent
        self.written: list[tuple[str, bytes, bytes]] = []

    def __call__(self, config: dict[str, Any]) -> "Writer":
        assert config["enable.idempotence"] is True
        return self

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Callable[[Any, Any], None]) -> None:
        """Keep a record and report on it at once."""
        self.written.append((topic, value, key))
        on_delivery(self._fault, None)

    def poll(self, timeout_s: float) -> int:
        """Nothing to report."""
        return 0

    def flush(self, timeout_s: float) -> int:
        """How many are still on their way."""
        return self._unsent


class Register:
    """Stands for the `models` topic with a rollout that carries out what *writer* was given, or does not.

    Args:
        writer: Has the commands.
        answering: Whether rollout runs.
        champion: Version that it made champion before it read them.
    """

    def __init__(self, writer: Writer, answering: bool = True, champion: str | None = None) -> None:
        self._writer = writer
        self._answering = answering
        self._commands = [COMMAND, *([replace(COMMAND, version=champion, stage="champion")] if champion else [])]

    def __call__(self, topic: str, **_: Any) -> "Register":
        assert topic == "models"
        return self

    def __enter__(self) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        for command in self._commands:
            events += carried_out(known_models(events), command, 1)
        if self._answering:
            for _, value, _ in self._writer.written:
                events += carried_out(known_models(events), CODEC.decode(value, ModelCommand), 2)
        return events

    def __exit__(self, *_: object) -> None:
        pass


COMMAND = ModelCommand(
    command_id="c",
    action="register",
    model="tiny",
    version="1",
    stage="candidate",
    sha256="ab" * 32,
    signature=b"s",
    by="a test",
    at_ms=1,
)


def test_registering_keeps_signs_and_asks_rollout(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version is the beginning of the hash: the same file is the same version. What rollout makes of it is said."""
    writer = Writer()
    monkeypatch.setattr("catseye.kafka.producing.Producer", writer)
    monkeypatch.setattr(ask_module, "subscribe", Register(writer))
    event = register(fleet.settings, CODEC, ONNX, "candidate", by="a test", because="it is better", owner="ada")
    assert event.owner == "ada"
    ((topic, value, key),) = writer.written
    assert (topic, key) == ("catseye.model.commands", f"tiny/{event.sha256[:12]}".encode())
    command = CODEC.decode(value, ModelCommand)
    assert (command.action, command.stage, command.reason) == ("register", "candidate", "it is better")
    assert (event.command_id, event.version, event.sha256) == (command.command_id, command.version, command.sha256)
    assert (event.stage, event.because, event.by) == ("candidate", "it is better", "a test")
    assert store_of(fleet.settings).get(event.sha256) == ONNX
    signing.verify(event.sha256, event.signature, key_folder(fleet.settings))


@pytest.mark.parametrize("before", [None, "of ann"])
def test_a_new_fleet_gets_a_first_champion_unless_it_has_one(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    """Whichever came first is reported, though the command itself asks before it knows."""
    writer = Writer()
    monkeypatch.setattr("catseye.kafka.producing.Producer", writer)
    monkeypatch.setattr(ask_module, "subscribe", Register(writer, champion=before))
    event = register_first(fleet.settings, CODEC, ONNX, by="a test", because="there was none")
    ((_, value, _),) = writer.written
    command = CODEC.decode(value, ModelCommand)
    assert (command.action, command.stage, command.only_as_first) == ("register", "champion", True)
    assert (event.stage, event.version) == ("champion", before or command.version)


def test_a_first_champion_without_rollout_is_reported(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate that stands there is no answer."""
    writer = Writer()
    monkeypatch.setattr("catseye.kafka.producing.Producer", writer)
    monkeypatch.setattr(ask_module, "subscribe", Register(writer, answering=False))
    with pytest.raises(Unavailable, match="rollout did not answer within 2 s: is it up"):
        register_first(fleet.settings, CODEC, ONNX, by="a test", because="there was none", wait_s=2)


def test_a_decision_is_answered_by_one_command(fleet: Fleet) -> None:
    """However often and by whom it is handed in; other files that are handed in twice are two commands."""
    one, again = (
        handed_in(fleet.settings, ONNX, "candidate", by=by, because="trained", decision_id="d") for by in ("x", "y")
    )
    assert one.command_id == again.command_id
    assert one.decision_id == "d"
    other = handed_in(fleet.settings, ONNX, "candidate", by="x", because="trained")
    assert other.command_id not in (one.command_id, handed_in(fleet.settings, OTHER, "candidate", by="x", because="y"))


def test_a_rollout_that_does_not_answer_is_named(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that the command stands; other events are no answer."""
    monkeypatch.setattr(ask_module, "subscribe", Register(Writer(), answering=False))
    why = "rollout did not answer within 2 s: is it up? The command c2 stands"
    with pytest.raises(Unavailable, match=re.escape(why)):
        answers(fleet.settings, replace(COMMAND, command_id="c2"), 2)


def test_a_bad_file_is_not_handed_in(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept, signed or said."""
    writer = Writer()
    monkeypatch.setattr("catseye.kafka.producing.Producer", writer)
    with pytest.raises(BadModel):
        register(fleet.settings, CODEC, b"not ONNX", "candidate", by="a test", because="a test")
    assert writer.written == []
    assert not (fleet.settings.data_dir / "artifacts").exists()


@pytest.mark.parametrize(
    ("writer", "what"), [(Writer(unsent=1), "no answer"), (Writer(fault=AWAY), "broker down")], ids=["late", "failed"]
)
def test_a_command_that_the_broker_did_not_take_is_reported(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, writer: Writer, what: str
) -> None:
    """`Unavailable`: do it again."""
    monkeypatch.setattr("catseye.kafka.producing.Producer", writer)
    with pytest.raises(Unavailable, match=what):
        ask(fleet.settings, CODEC, COMMAND)


def test_artifacts_are_where_the_setting_says(tmp_path: Path) -> None:
    """Else in the data folder."""
    elsewhere = Settings(data_dir=tmp_path, artifacts_url=f"file://{tmp_path / 'elsewhere'}")
    store_of(elsewhere).put(b"x")
    store_of(Settings(data_dir=tmp_path)).put(b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "elsewhere"]


def test_without_a_signing_key_nothing_is_registered(tmp_path: Path) -> None:
    """The operator is told what makes one."""
    with pytest.raises(Misconfigured, match="`catseye models keys`"):
        register(Settings(data_dir=tmp_path), CODEC, ONNX, "candidate", by="a test", because="a test")


def test_a_champion_that_fails_while_it_serves_is_refused_and_the_one_before_serves(fleet: Fleet) -> None:
    """Whoever predicts with it says so; with nobody before it the reason stands in what is waited for."""
    one, two = fleet.event("1"), fleet.event("2")

    def fails() -> None:
        fleet.follower.refuse(two, "the net fails for 3 crops")

    assert version_of(fleet.follow(one, END, two, END, fails, QUIET)) == "1"
    assert ("champion_refused", {"model": two.model, "version": "2", "what": "the net fails for 3 crops"}) in (
        fleet.reported
    )
    with pytest.raises(Unavailable, match="the net fails for 3 crops"):
        fleet.follow(two, END, fails, QUIET).current()


def found(fleet: Fleet) -> list[tuple[str, str, str]]:
    """Kind, version and reason of what the follower reports that it does not serve."""
    return [(each.kind, each.version, each.detail) for each in fleet.problems.found()]


def test_what_is_refused_is_a_problem_until_another_one_is_named(fleet: Fleet) -> None:
    """The champion before, which serves meanwhile, does not end it; a new one does."""
    one = fleet.event("1")
    broken = replace(fleet.event("2", content=OTHER), signature=bytes(64))
    fleet.follow(one, END, broken, END, fleet.event("1", stage="shadow"), END)
    ((kind, version, why),) = found(fleet)
    assert (kind, version) == ("model_refused", "2")
    assert "signature" in why
    fleet.follow(one, END, broken, END, fleet.event("4", content=OTHER), END)
    assert found(fleet) == []


@pytest.mark.parametrize("then", ["rejected", "champion"])
def test_a_problem_ends_when_the_version_is_taken_back_or_serves(fleet: Fleet, then: Stage) -> None:
    """A person rejects it, or names it again once the key is there."""
    one, two = fleet.event("1"), fleet.event("2", content=OTHER)
    public = key_folder(fleet.settings) / signing.PUBLIC
    aside = public.with_name("aside")
    seen: list[int] = []

    def lose() -> None:
        public.rename(aside)

    def find() -> None:
        aside.rename(public)
        seen.append(len(found(fleet)))

    fleet.follow(one, END, lose, two, END, find, fleet.event("2", stage=then, content=OTHER), END, QUIET)
    assert (seen, found(fleet)) == ([1], [])


def test_a_file_that_cannot_be_had_is_a_problem_until_it_is_there(fleet: Fleet) -> None:
    """The store was away; nobody need do anything."""
    event = fleet.event("1")
    kept = fleet.settings.data_dir / "artifacts" / event.sha256[:2]
    aside = fleet.settings.data_dir / "aside"
    kept.rename(aside)
    seen: list[str] = []

    def bring_back() -> None:
        seen.extend(why for _, _, why in found(fleet))
        aside.rename(kept)

    fleet.follow(event, END, bring_back, QUIET, QUIET)
    assert ["cannot be had now" in why for why in seen] == [True]
    assert found(fleet) == []
