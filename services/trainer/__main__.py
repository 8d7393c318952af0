"""The trainer: without a command it follows `retraining`; ``fit --frames DIR`` makes a model of a folder of crops."""

import json
import math
import os
import resource
import signal
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import click
import msgspec
from prometheus_client import CollectorRegistry
from rich.console import Console

from catseye.cli.common import OutFile, write_file
from catseye.cli.streams import print_anything
from catseye.contract.errors import BadModel, Misconfigured, Unavailable
from catseye.kafka.admin import wait_for_broker
from catseye.kafka.registry import codec_for
from catseye.runtime import log
from catseye.runtime.backlog import BacklogWatch, group_places
from catseye.runtime.health import Health
from catseye.runtime.heartbeats import Heartbeats, Problems, report_refused_settings
from catseye.runtime.metrics import Metrics
from catseye.settings import load
from services.trainer import NAME
from services.trainer.data import decode, read_folder
from services.trainer.job import Job, Progress, Result
from services.trainer.serve import MISCONFIGURED, UNAVAILABLE, Trainer
from services.trainer.settings import TrainerSettings

SIZE, PRETRAINED_SIZE = 100, 80
TEST_SHARE = 0.15625
VALIDATION_SHARE = 0.0625
"""Of 640 crops a class: the last 100 for the test, 40 before them for the temperature, 500 to fit."""


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Make models for Catseye of labelled frames; without a command, for each decision on `retraining`."""
    if context.invoked_subcommand is None:
        serve()


def serve() -> NoReturn:
    """Follow `retraining` until asked to stop, and exit: 0 asked to stop; 1 start again; 2 a person must act."""
    try:
        settings = load(TrainerSettings, service=NAME)
    except Misconfigured as fault:
        report_refused_settings(NAME, fault)
        raise
    logger = log.set_up(NAME, settings.instance, settings.log_level)
    stop = Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    health = Health(Metrics(CollectorRegistry()), logger.info)
    try:
        with Heartbeats(NAME, settings, health, Problems(), logger.info):
            check_torch()
            port = health.serve(settings.health_host, settings.health_port)
            logger.info("listening", host=settings.health_host, port=port)
            wait_for_broker(settings)
            places = group_places(settings, f"{settings.topic_prefix}{NAME}", ["retraining"])
            BacklogWatch(settings, places, health.waiting).start()
            Trainer(settings, codec_for(settings), health, logger).run(stop)
    except Unavailable as fault:
        logger.error("failed", what=str(fault))
        sys.exit(1)
    logger.info("stopped")
    sys.exit(0)


@main.command(hidden=True)
@click.option("--report-fd", type=int, required=True, help="File descriptor for progress.")
def attempt(report_fd: int) -> None:
    """Do one training, which the service asks for on standard input, and end when the service ends."""
    settings = load(TrainerSettings, service=NAME)
    os.nice(settings.trainer_niceness)
    # Memory that is written to, not addresses: torch reserves generously.
    limit = settings.trainer_memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    # Not at the top, see fit.
    from services.trainer.attempt import Attempt, warm  # noqa: PLC0415
    from services.trainer.export import ExportFailed  # noqa: PLC0415

    warm(settings)
    asked = sys.stdin.buffer.readline()
    if not asked:
        return  # the service has ended
    job = msgspec.json.decode(asked, type=Job)
    Thread(target=_end_with_the_service, name="service", daemon=True).start()
    with os.fdopen(report_fd, "wb", buffering=0) as lines:

        def report(phase: str, result: Result | None = None, **numbers: float) -> None:
            # JSON has no name for a number that has run away; the other side would take the line for damaged.
            finite = {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
            lines.write(msgspec.json.encode(Progress(phase=phase, numbers=finite, result=result)) + b"\n")

        try:
            report("ended", Attempt(settings, codec_for(settings), job, report).run())
        except (Misconfigured, BadModel, ExportFailed) as fault:
            report("ended", Result(stage="rejected", because=f"cannot_train: {fault}"))
        except Unavailable as fault:
            click.echo(f"Error: {fault}", err=True)
            sys.exit(UNAVAILABLE)


def _end_with_the_service() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing more comes: it returns when the other end is closed
    os._exit(1)


def check_torch() -> None:
    """Raises `Misconfigured` in an environment without torch."""
    if find_spec("torch") is None:
        raise Misconfigured("torch is not installed here: run in an environment made of infra/requirements/trainer.txt")


@main.command()
@click.option("--frames", type=click.Path(path_type=Path), required=True, help="One folder of JPEGs a class.")
@click.option("--out", type=click.Path(path_type=Path), help="Model file [default: .catseye/models/NAME.onnx]")
@click.option("--name", help="The model's name [default: that of the folder of frames]")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training crops [default: the recipe's]")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of all chance.")
@click.option("--size", type=click.IntRange(32, 512), help="Input side in pixels [default: 100; 80 with --pretrained]")
@click.option(
    "--validation-share",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=VALIDATION_SHARE,
    show_default=True,
    help="Share of each class for the temperature.",
)
@click.option(
    "--test-share",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=TEST_SHARE,
    show_default=True,
    help="Share of each class, the last crops, for the test.",
)
@click.option(
    "--folds",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Fit so many more nets, each without some of the views: the card says how each view fares unseen.",
)
@click.option("--fold-epochs", type=click.IntRange(1), help="Passes of each of those nets [default: as many]")
@click.option(
    "--swap-share",
    type=click.FloatRange(0, 1),
    help="Share of crops whose object is put before the background of another crop [default: the recipe's]",
)
@click.option(
    "--pretrained",
    is_flag=True,
    help="Begin with the lower half of EfficientNet-lite0 as ImageNet taught it, by a recipe of its own: better for "
    "few crops, and the file names the weights' licence.",
)
@click.option("--start", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Model file to go on from.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Highest [default: the recipe's]")
@click.option(
    "--balance",
    type=click.FloatRange(0, 1),
    help="How far rare views of a class are drawn more often; 1: as often as its commonest [default: the recipe's]",
)
@click.option(
    "--copies",
    type=click.IntRange(0),
    help="Change so many copies of each crop beforehand; 0 changes each anew in each pass [default: the recipe's]",
)
@click.option(
    "--frozen-modules",
    type=click.IntRange(0),
    help="First modules of the net's body that stay as they began; with --copies only [default: the recipe's]",
)
@click.option("--pictures", help="What the card's links to test crops begin with [default: the way to --frames]")
@click.option("--threads", type=click.IntRange(1), help="Processor cores to use [default: all there are]")
@click.option("--json", "json_file", type=OutFile(), help="Write the report as one JSON object.")
def fit(
    frames: Path,
    out: Path | None,
    name: str | None,
    epochs: int | None,
    seed: int,
    size: int | None,
    validation_share: float,
    test_share: float,
    folds: int,
    fold_epochs: int | None,
    swap_share: float | None,
    pretrained: bool,
    start: Path | None,
    learning_rate: float | None,
    balance: float | None,
    copies: int | None,
    frozen_modules: int | None,
    pictures: str | None,
    threads: int | None,
    json_file: Path | None,
) -> None:
    """Fit, calibrate and export a model of the crops in --frames; its card is written beside it as Markdown."""
    check_torch()
    # Threads that wait for each other give their core away, for services may run beside the trainer. Spinning, two
    # threads took three times as long on a busy machine. Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Not at the top: --help and the sentence above must work without torch.
    from services.trainer.recipe import PRETRAINED, Recipe  # noqa: PLC0415
    from services.trainer.run import Order, run  # noqa: PLC0415

    recipe = PRETRAINED if pretrained else Recipe()
    asked = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "balance": balance,
        "copies": copies,
        "frozen_modules": frozen_modules,
    }
    recipe = replace(recipe, **{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]
    if swap_share is not None:
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, swap_share=swap_share))
    if recipe.frozen_modules and not ((start or pretrained) and recipe.copies):
        raise Misconfigured("--frozen-modules stay as --start has them, seen once in --copies: give both")
    if folds and start:
        raise Misconfigured("--folds asks nets about views that they never saw; that of --start may have seen them all")
    if pretrained and start:
        raise Misconfigured("--pretrained begins with ImageNet's weights, --start with a model's: give one")
    order = Order(
        frames=frames,
        out=out,
        name=name,
        seed=seed,
        size=size or (PRETRAINED_SIZE if pretrained else SIZE),
        validation_share=validation_share,
        test_share=test_share,
        threads=threads,
        folds=folds,
        recipe=recipe,
        start=start,
        pretrained=pretrained,
        fold_epochs=fold_epochs,
        pictures=pictures,
    )
    report = run(order, Console(stderr=True))
    if json_file is not None:
        write_file(json_file, json.dumps(report, indent=1).encode() + b"\n")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--frames", type=click.Path(path_type=Path), required=True, help="One folder of JPEGs a class.")
@click.option("--count", type=click.IntRange(1), default=1000, show_default=True, help="Composites.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of their choice.")
def counterfactual(file: Path, frames: Path, count: int, seed: int) -> None:
    """Say how often the model FILE stays with its answer when an object stands before another class's background.

    Objects are cut out of the crops in --frames. A model that reads the place and not the object changes its answer.
    """
    from catseye.models.net import Net  # noqa: PLC0415 - the service does without
    from services.trainer.counterfactual import answered_by, unchanged  # noqa: PLC0415

    net = Net(file.read_bytes())
    folder = read_folder(frames)
    if strange := sorted(set(folder.classes) - set(net.spec.classes)):
        raise Misconfigured(f"--frames: {file.name} knows no class {', '.join(strange)}")
    part = decode(folder.crops, lambda: None)
    try:
        found = unchanged(answered_by(net), part, folder.classes, count=count, seed=seed)
    except ValueError as fault:
        raise Misconfigured(f"--frames: {fault}") from fault
    low, high = found.share.interval
    click.echo(f"{found.share.right} of {count} answers stay: {found.share.value:.1%} ({low:.1%} to {high:.1%})")
    for name, own in found.by_class.items():
        click.echo(f"{name}: {own.right} of {own.of}, {own.value:.1%}")


if __name__ == "__main__":
    print_anything()
    try:
        main()
    except Misconfigured as fault:
        click.echo(f"Error: {fault}", err=True)
        sys.exit(MISCONFIGURED)
