"""`catseye doctor`: one marked frame down the whole road; names the hop that does not answer."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import simplejpeg
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from catseye.cli.common import json_option, quiet_admin, settings_with_broker, write_json
from catseye.client import FrameId, Publisher, Subscription, subscribe
from catseye.errors import Unavailable
from catseye.identity import DOCTOR
from catseye.records import Place
from catseye.settings import Settings
from catseye.topics import TOPICS, full_name

_LETTER_S = 1.0  # how long to look whether a frame that was not accepted was refused
_LOOK_S = 0.05
_ANSWER_S = 10.0
_NOBODY = "no worker takes part; `infra/stack status` says what runs, `infra/stack up` starts it"


class Hop(NamedTuple):
    """One part of the road.

    Attributes:
        hop: broker, topics, publish, or the name of a service.
        ms: Until it answered, milliseconds; None for no answer.
        says: What a person should know.
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
    help="Seconds to wait for each hop.",
)
@json_option
@click.pass_context
def doctor(context: click.Context, timeout_s: float, json_file: Path | None) -> None:
    """Send one marked frame and name the hop that does not answer.

    The frame is a grey picture of a camera of its own, which drift leaves out. Ends at the first hop that is silent,
    with exit status 1.
    """
    hops: list[Hop] = []
    for hop in road(timeout_s):
        hops.append(hop)
        if str(json_file) != "-":
            took = "silent" if hop.ms is None else f"{hop.ms:.0f} ms"
            click.echo(f"{hop.hop:12}  {took:>8}  {hop.says}")
        if hop.ms is None:
            break
    silent = next((hop.hop for hop in hops if hop.ms is None), None)
    content = {
        "healthy": silent is None,
        "silent": silent,
        "hops": [{**hop._asdict(), "answered": hop.ms is not None} for hop in hops],
    }
    if not write_json(json_file, content):
        click.echo("all hops answer" if silent is None else f"{silent} does not answer")
    context.exit(0 if silent is None else 1)


def road(timeout_s: float) -> Iterator[Hop]:
    """Ask hop after hop, in the order in which a frame meets them. The caller stops at the first that is silent."""
    began_s = time.monotonic()
    try:
        settings = settings_with_broker()
    except Unavailable as fault:
        yield Hop("broker", None, str(fault))
        return
    yield _answered("broker", began_s, settings.kafka_bootstrap_servers)
    yield _topics(settings)
    with ExitStack() as stack:
        accepted, predictions, letters = [
            stack.enter_context(subscribe(topic, camera=DOCTOR, settings=settings, timeout_s=wait_s))
            for topic, wait_s in (
                ("frames.accepted", timeout_s),
                ("predictions", timeout_s),
                ("dead-letters", _LETTER_S),
            )
        ]
        began_s = time.monotonic()
        try:
            frame = _publish(settings)
        except Unavailable as fault:
            yield Hop("publish", None, str(fault))
            return
        yield _answered("publish", began_s, str(frame))
        began_s = time.monotonic()
        if _came(accepted, frame) is None:
            refused = next((f"refused the frame: {letter.reason}: {letter.detail}" for letter in letters), None)
            yield Hop("ingest", None, refused or _why(settings, "ingest"))
        yield _answered("ingest", began_s, "accepted")
        said = _came(predictions, frame)
        if said is None:
            why = f"{_why(settings, 'inference')}; is there a champion? `catseye models list` says so"
            yield Hop("inference", None, why)
            return
        yield _answered("inference", began_s, f"{said.label}, says {said.model} {said.version}")
        place = predictions.place
    assert place is not None
    for service in ("ground_truth", "drift"):
        yield _passed(settings, service, place, timeout_s)
    began_s = time.monotonic()
    working = _workers(settings, "incidents")
    yield Hop("incidents", None, _NOBODY) if not working else _answered("incidents", began_s, f"workers: {working}")


def _answered(hop: str, began_s: float, says: str) -> Hop:
    return Hop(hop, round((time.monotonic() - began_s) * 1_000, 1), says)


def _topics(settings: Settings) -> Hop:
    began_s = time.monotonic()
    there = quiet_admin(settings).list_topics(timeout=_ANSWER_S).topics
    wanted = [full_name(topic.name, settings.topic_prefix) for topic in TOPICS]
    if missing := [name for name in wanted if name not in there]:
        return Hop("topics", None, f"not there: {', '.join(missing)}; `catseye topics create` makes them")
    return _answered("topics", began_s, f"all {len(wanted)} of {settings.topic_prefix}*")


def _publish(settings: Settings) -> FrameId:
    """Send the marked frame; done when the broker has it. Raises `Unavailable`."""
    with Publisher(settings, camera=DOCTOR) as publisher:
        return publisher.publish(simplejpeg.encode_jpeg(np.full((64, 64, 3), 128, np.uint8)))


def _came(records: Subscription, frame: FrameId) -> Any:
    """The record about *frame*; None when its time is up. Another doctor's frames are not it."""
    return next((each for each in records if FrameId(each.camera, each.boot, each.sequence) == frame), None)


def _passed(settings: Settings, service: str, place: Place, timeout_s: float) -> Hop:
    """Whether a service has taken what lies at *place*: then its group's position is behind it."""
    client, group = quiet_admin(settings), settings.topic_prefix + service
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(place.topic, place.partition)])
    began_s = time.monotonic()
    while time.monotonic() - began_s < timeout_s:
        try:
            (position,) = client.list_consumer_group_offsets([asked])[group].result(_ANSWER_S).topic_partitions
        except KafkaException as fault:
            return Hop(service, None, f"its group does not say where it is: {fault}")
        if position.offset > place.offset:
            return _answered(service, began_s, f"past offset {place.offset} of {place.topic}-{place.partition}")
        time.sleep(_LOOK_S)
    return Hop(service, None, _why(settings, service))


def _why(settings: Settings, service: str) -> str:
    """What may be the reason of a silence."""
    working = _workers(settings, service)
    return f"workers: {working}; see /ready and the log of each" if working else _NOBODY


def _workers(settings: Settings, service: str) -> int:
    """How many workers of a service its group knows."""
    client, group = quiet_admin(settings), settings.topic_prefix + service  # a client that is let go of answers no more
    try:
        return len(client.describe_consumer_groups([group])[group].result(_ANSWER_S).members)
    except KafkaException:
        return 0  # a group that never was
