"""``python -m services.simulator``: play a road of cameras against the broker that the settings name."""

import math
import secrets
import signal
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

import click
import cv2
from confluent_kafka import Producer

from catseye import clock
from catseye.cli.streams import print_anything
from catseye.client.config import publisher_config
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.topics import full_name
from catseye.kafka.admin import wait_for_broker
from catseye.kafka.registry import codec_for
from catseye.runtime import log
from catseye.settings import Settings, load
from services.simulator import NAME
from services.simulator.changes import Nothing
from services.simulator.core import Plan, Road
from services.simulator.ledger import Ledger
from services.simulator.pictures import Appearance, Pictures
from services.simulator.play import Player, Stage
from services.simulator.scenario import SCENARIOS, how_many, load_scenario, planned

EXAMPLE = Path(__file__).resolve().parents[2] / "infra" / "example" / "crops"
SHARE = click.FloatRange(0, 1)
HURRY = 10.0
"""Labels that are still due after the last frame come ten times faster, unless --label-wait says how long to wait."""


def changed_cameras(wanted: str, cameras: int) -> int:
    """How many of *cameras* change: "2" is two of them, "0.5" half of them.

    Raises:
        Misconfigured: *wanted* is neither.
    """
    try:
        number: float = float(wanted) if "." in wanted else int(wanted)
    except ValueError as fault:
        raise Misconfigured(f"--change-cameras: {wanted} is neither a number nor a share of cameras") from fault
    return how_many(number, cameras, "--change-cameras")


def happening(
    plan: Plan, scenario: str | None, after: Path | None, change_at_s: float | None, change_cameras: str | None
) -> Plan:
    """*plan* with what the options say of a change; without one nothing changes.

    Raises:
        Misconfigured: two changes at once, or one that this road cannot have.
    """
    story = load_scenario(scenario or "none")
    quiet = isinstance(story.change, Nothing) and story.model == "same"
    count = None if change_cameras is None else changed_cameras(change_cameras, plan.cameras)
    if after is None:
        return planned(plan, story, at_s=change_at_s, cameras=None if quiet else count)
    if not quiet:
        raise Misconfigured(f"--after is a scenario of its own; it cannot be played with --scenario {story.name}")
    return replace(
        plan,
        change_at_ms=(30.0 if change_at_s is None else change_at_s) * 1_000,
        change_cameras=plan.cameras if count is None else count,
    )


@click.command()
@click.option("--frames", type=click.Path(path_type=Path), default=EXAMPLE, help="One folder of JPEGs a class.")
@click.option("--cameras", type=click.IntRange(1, 10_000), default=6, show_default=True, help="How many.")
@click.option(
    "--fps", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True, help="Frames/s a camera, mean."
)
@click.option("--duration", type=click.FloatRange(0), help="Seconds of publishing  [default: 60, with --count no end]")
@click.option("--count", type=click.IntRange(1), help="Frames in all, copies not counted.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of all chance.")
@click.option("--boot", help="Name of this run of the counters  [default: random]")
@click.option(
    "--label-delay", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Mean, s."
)
@click.option("--label-share", type=SHARE, default=0.9, show_default=True, help="Share of frames that get a label.")
@click.option("--label-wait", type=click.FloatRange(0), help="Wait so long for labels, s  [default: all, 10x faster]")
@click.option("--wrong-share", type=SHARE, default=0.01, show_default=True, help="Wrong at first, corrected later.")
@click.option("--repeat-share", type=SHARE, default=0.01, show_default=True, help="Labels that are sent twice.")
@click.option("--copy-share", type=SHARE, default=0.001, show_default=True, help="Frames that are sent twice.")
@click.option("--corrupt-share", type=SHARE, default=0.0, show_default=True, help="Frames with a damaged JPEG.")
@click.option(
    "--light",
    type=click.FloatRange(0, 0.9),
    default=0.15,
    show_default=True,
    help="How much brighter noon is; 0 sends the files as they are.",
)
@click.option(
    "--day", type=click.FloatRange(0, min_open=True), default=600.0, show_default=True, help="Length of a day, s."
)
@click.option("--after", type=click.Path(path_type=Path), help="Other frames, laid out like --frames.")
@click.option(
    "--scenario", metavar="NAME|FILE", help=f"What happens on the road: {', '.join(SCENARIOS)}, or a file of your own."
)
@click.option("--change-at", type=click.FloatRange(0), help="From when on, s  [default: the scenario's; 30]")
@click.option(
    "--change-cameras", help="On which: a number or, with a point, a share  [default: the scenario's; 1.0 of --after]"
)
@click.option("--tiny", is_flag=True, help="Shrink pictures to 32 x 32, about 0.8 KB.")
@click.option(
    "--partitioner",
    type=click.Choice(["murmur2_random", "consistent_random"]),
    default="murmur2_random",
    show_default=True,
    help="consistent_random plays a client that is not like Java's.",
)
@click.option("--ledger", type=click.Path(path_type=Path), help="Write a line for all that the broker acknowledged.")
def main(
    *,
    frames: Path,
    after: Path | None,
    cameras: int,
    duration: float | None,
    count: int | None,
    seed: int,
    boot: str | None,
    light: float,
    tiny: bool,
    scenario: str | None,
    change_at: float | None,
    change_cameras: str | None,
    label_wait: float | None,
    partitioner: Literal["murmur2_random", "consistent_random"],
    ledger: Path | None,
    **rest: float,
) -> None:
    """Play a seeded road of cameras: frames now, labels later.

    Ends by itself; SIGTERM ends it early, with all acknowledgements awaited. Exit status: 0 all acknowledged, 1 not
    all, 2 misconfigured.
    """
    cv2.setNumThreads(1)  # a picture is too small to share: several threads take longer for it than one
    settings = load(Settings, service=NAME)
    logger = log.set_up(NAME, settings.instance, settings.log_level)
    appearance = Appearance(light, tiny)
    pictures = Pictures(frames, seed, appearance)
    pictures.load()
    others = pictures
    if after is not None:
        others = Pictures(after, seed, appearance, "--after")
        others.check_covers(pictures.classes)
        others.load()
    duration_s = duration if duration is not None else 60.0 if count is None else math.inf
    plan = Plan(
        classes=pictures.classes,
        seed=seed,
        cameras=cameras,
        fps=rest["fps"],
        duration_ms=duration_s * 1_000,
        count=count,
        light=light > 0,
        day_ms=rest["day"] * 1_000,
        copy_share=rest["copy_share"],
        corrupt_share=rest["corrupt_share"],
        label_share=rest["label_share"],
        label_delay_ms=rest["label_delay"] * 1_000,
        wrong_share=rest["wrong_share"],
        repeat_share=rest["repeat_share"],
        hurry=HURRY if label_wait is None else 1.0,
    )
    plan = happening(plan, scenario, after, change_at, change_cameras)
    stage = Stage(
        pictures,
        others,
        boot or secrets.token_hex(6),
        full_name("frames", settings.topic_prefix),
        full_name("labels", settings.topic_prefix),
        math.inf if label_wait is None else label_wait * 1_000,
    )
    wait_for_broker(settings)
    producer = Producer(publisher_config(settings, partitioner), logger=log.client_lines(logger))
    for topic in (stage.frames, stage.labels):
        producer.list_topics(topic, timeout=10)  # so that the first frame does not wait for it
    stop = Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    with Ledger(ledger) as lines:
        end: dict[str, Any] = Player(
            Road(plan), stage, producer, codec_for(settings), lines, clock.now_ms, logger.info
        ).play(stop)
    sys.exit(1 if end["failed"] or end["unacknowledged"] else 0)


if __name__ == "__main__":
    print_anything()
    try:
        main()
    except Misconfigured as fault:
        click.echo(f"Error: {fault}", err=True)
        sys.exit(2)
    except Unavailable as fault:
        click.echo(f"Error: {fault}", err=True)
        sys.exit(1)
