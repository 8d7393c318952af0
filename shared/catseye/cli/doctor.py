"""`catseye doctor`: one marked frame down the whole road; names the hop that does not answer."""

import base64
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from msgspec.structs import asdict

from catseye.cli.common import json_option, settings_with_broker, write_json
from catseye.cli.models import serving
from catseye.cli.repeats import frames_repeated, newest_repeats, sentence
from catseye.cli.service_faults import Services, services_now
from catseye.client import FrameId, Publisher, Subscription, subscribe
from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.identity import DOCTOR
from catseye.contract.records import Place
from catseye.contract.topics import TOPICS, full_name, misfits
from catseye.kafka.admin import admin
from catseye.kafka.clients import SILENT, reader_config

HOPS: Final = ("broker", "topics", "publish", "ingest", "inference", "ground_truth", "drift", "incidents")
"""In the order in which a frame meets them."""
GREY: Final = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYU"
    "GBIUFRT/wAALCAAQABABAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AAP/Z"
)
"""A JPEG of 16 x 16 grey pixels."""
_LETTER_S: Final = 5.0  # how long to look whether a frame that was not accepted was refused
_POLL_S: Final = 0.05
_ANSWER_S: Final = 10.0
_NOBODY: Final = "no worker takes part; `infra/stack status` says what runs, `infra/stack up` starts it"
_NO_MODEL: Final = "no model is champion; `catseye models register FILE --stage champion` names one"


class Hop(NamedTuple):
    """One part of the road.

    Attributes:
        hop: One of `HOPS`.
        ms: Until it answered, from the answer of the one before, milliseconds; None for no answer.
        says: One line for a person; a key of the JSON.
    """

    hop: str
    ms: float | None
    says: str


@click.command()
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds to wait for each service; the broker has at least ten.",
)
@json_option
@click.pass_context
def doctor(context: click.Context, timeout_s: float, json_file: Path | None) -> None:
    """Send one marked frame and name the hop that does not answer.

    The frame is a grey picture of a camera of its own, which drift leaves out. Ends at the first hop that is silent,
    with exit status 1, which it also has where a service is down, in a crash loop, or refuses a model. Where all
    answer, cameras whose frames came again are named. A service for which records have waited for ten seconds or more
    is named with their number and age; JSON has those of all services.
    """
    hops: list[Hop] = []
    repeated: dict[str, int] = {}
    with ExitStack() as stack:
        road = Road(stack, timeout_s)
        for hop in asked(road):
            hops.append(hop)
            if str(json_file) != "-":
                took = "silent" if hop.ms is None else f"{hop.ms:.0f} ms"
                click.echo(f"{hop.hop:12}  {took:>8}  {hop.says}")
        if hops[-1].ms is not None:
            repeated = road.repeated()
        services = road.services() if hops[0].ms is not None else Services([], incidents_runs=False)
    silent = next((hop.hop for hop in hops if hop.ms is None), None)
    is_healthy = silent is None and not services.lines
    content = {
        "healthy": is_healthy,
        "silent": silent,
        "hops": [{**hop._asdict(), "answered": hop.ms is not None} for hop in hops],
        "frames_repeated": repeated,
        "faults": services.to_json(),
        "backlogs": [{"service": service, **asdict(each)} for (service, _), each in sorted(services.backlogs.items())],
    }
    if not write_json(json_file, content):
        if came_again := sentence(repeated):
            click.echo(came_again)
        for line in [*services.waiting, *services.lines]:
            click.echo(line)
        click.echo("all hops answer" if silent is None else f"{silent} does not answer")
    context.exit(0 if is_healthy else 1)


def asked(road: "Road") -> Iterator[Hop]:
    """Ask hop after hop, up to the first one that is silent."""
    for name in HOPS:
        began_s = time.monotonic()
        try:
            says: str = getattr(road, name)()
        except (Unavailable, BadRecord, KafkaException) as fault:  # a limit here may be lower than a grey picture
            yield Hop(name, None, str(fault))
            return
        except TimeoutError:
            yield Hop(name, None, f"the broker did not answer within {_ANSWER_S:g} s")
            return
        yield Hop(name, round((time.monotonic() - began_s) * 1_000, 1), says)


class Road:
    """Asks each hop, in the order of `HOPS`. A method returns what is printed, and raises `Unavailable` for silence.

    Args:
        stack: Closes what is opened.
        timeout_s: How long to wait for each.
    """

    def __init__(self, stack: ExitStack, timeout_s: float) -> None:
        self._stack = stack
        self._timeout_s = timeout_s

    def broker(self) -> str:
        self._settings = settings_with_broker()
        self._client = admin(self._settings)  # one that is let go of answers no more
        return self._settings.kafka_bootstrap_servers

    def topics(self) -> str:
        prefix = self._settings.topic_prefix
        there = self._client.list_topics(timeout=_ANSWER_S).topics
        wanted = [full_name(topic.name, prefix) for topic in TOPICS]
        if missing := [name for name in wanted if name not in there]:
            raise Unavailable(f"not there: {', '.join(missing)}; `catseye topics create` makes them")
        counts = {name: len(topic.partitions) for name, topic in there.items()}
        if unfit := misfits(counts, [topic.name for topic in TOPICS], prefix, self._settings.partitions):
            raise Unavailable(next(iter(unfit.values())))
        self._accepted = self._subscribed("frames.accepted", self._timeout_s)
        self._predictions = self._subscribed("predictions", self._timeout_s)
        self._letters = self._subscribed("dead-letters", _LETTER_S)
        return f"all {len(wanted)} of {prefix}*"

    def publish(self) -> str:
        publisher = Publisher(self._settings, camera=DOCTOR)
        self._frame = publisher.publish(GREY)
        publisher.flush(max(_ANSWER_S, self._timeout_s))  # the broker's matter, as the hops before
        return str(self._frame)

    def ingest(self) -> str:
        if self._came(self._accepted) is None:
            if (why := self._why("ingest")) != _NOBODY:
                for letter in self._letters:
                    raise Unavailable(f"refused the frame: {letter.reason}: {letter.detail}")
            raise Unavailable(why)
        return "accepted"

    def inference(self) -> str:
        prediction = self._came(self._predictions)
        if prediction is None:
            raise Unavailable(self._why("inference") if serving(self._settings) else _NO_MODEL)
        assert self._predictions.place is not None
        self._place: Place = self._predictions.place
        return f"{prediction.label}, by {prediction.model} {prediction.version}"

    def ground_truth(self) -> str:
        return self._passed("ground_truth")

    def drift(self) -> str:
        return self._passed("drift")

    def incidents(self) -> str:
        """It is not asked about the frame, of which nothing is wrong: that a worker takes part must do."""
        if not (working := self._workers("incidents")):
            raise Unavailable(_NOBODY)
        return f"workers: {working}"

    def services(self) -> Services:
        """What is wrong with services, those beside the road too, by their own word or silence."""
        return services_now(self._settings)

    def repeated(self) -> dict[str, int]:
        """Frames of each camera that came again lately, so far: no fault of a hop, but one of a publisher."""
        return frames_repeated(newest_repeats(self._settings))

    def _subscribed(self, topic: str, wait_s: float) -> Subscription:
        records = subscribe(topic, camera=DOCTOR, settings=self._settings, timeout_s=wait_s)
        return self._stack.enter_context(records)

    def _came(self, records: Subscription) -> Any:
        """The record about our frame; None when its time is up. Another doctor's frames are not it."""
        return next(
            (each for each in records if FrameId(each.camera, each.boot, each.sequence) == self._frame),
            None,
        )

    def _passed(self, service: str) -> str:
        """A service has taken the prediction when its group's position is behind it."""
        place = self._place
        # No member of that group. The same question by an AdminClient ends the process when a broker dies (librdkafka
        # 2.16): `catseye.runtime.observer`.
        asking = Consumer(reader_config(self._settings, self._settings.topic_prefix + service) | SILENT)
        self._stack.callback(asking.close)
        until_s = time.monotonic() + self._timeout_s
        while time.monotonic() < until_s:
            wanted = [TopicPartition(place.topic, place.partition)]
            (position,) = asking.committed(wanted, timeout=_ANSWER_S)
            if position.error is not None:
                raise KafkaException(position.error)
            if position.offset > place.offset:
                return f"past offset {place.offset} of {place.topic}-{place.partition}"
            time.sleep(_POLL_S)
        raise Unavailable(self._why(service))

    def _why(self, service: str) -> str:
        """What may be the reason of a silence."""
        working = self._workers(service)
        return f"workers: {working}; see /ready and the log of each" if working else _NOBODY

    def _workers(self, service: str) -> int:
        """How many workers of a service its group knows; one that was killed counts until its session is over."""
        group = self._settings.topic_prefix + service
        try:
            return len(self._client.describe_consumer_groups([group])[group].result(_ANSWER_S).members)
        except KafkaException as fault:
            if fault.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            return 0
