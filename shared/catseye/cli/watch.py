"""`catseye watch`: records as they come, a line each."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Literal

import click
import msgspec

from catseye.cli.common import CAMERA, at, echo_json, settings_with_broker
from catseye.client import FrameId, Unreadable, subscribe
from catseye.contract.names import shown
from catseye.contract.records import Alert, DriftStatistic, Outcome, Prediction

_QUIET_S: Final = 0.2  # after so long without a record it is asked how long none came
_REPORTED_S: Final = 2.0


@click.command()
@click.argument("topic", type=click.Choice(["predictions", "outcomes", "statistics", "alerts"]))
@click.option("--camera", type=CAMERA, help="Only this camera's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--from", "from_", type=click.Choice(["now", "beginning"]), default="now", show_default=True, help="Where to start."
)
@click.option("--count", type=click.IntRange(1), help="Stop after so many.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Stop after so many seconds without one.")
def watch(
    topic: str,
    camera: str | None,
    as_json: bool,
    from_: Literal["now", "beginning"],
    count: int | None,
    timeout: float | None,
) -> None:
    """Print predictions, outcomes, statistics or alerts as they come, until Ctrl-C.

    Unreadable records are reported on standard error and skipped.
    """
    settings = settings_with_broker()
    with subscribe(
        topic, camera=camera, from_=from_, settings=settings, timeout_s=_QUIET_S, on_unreadable=_warn
    ) as records:
        for record in islice(_with_patience(records, count, timeout), count):
            if as_json:
                echo_json(msgspec.json.encode(record).decode() + "\n")
            else:
                click.echo(shown(_line(record)))


def _with_patience(records: Iterator[Any], count: int | None, timeout_s: float | None) -> Iterator[Any]:
    """*records*, which pause now and then, until none came for *timeout_s*; say what is awaited when it is quiet."""
    seen, newest_s, reported = 0, time.monotonic(), False
    while timeout_s is None or time.monotonic() - newest_s < timeout_s:
        record = next(records, None)
        if record is not None:
            yield record
            seen, newest_s, reported = seen + 1, time.monotonic(), False
        elif not reported and time.monotonic() - newest_s >= _REPORTED_S:
            reported = True
            so_far = f"{seen} so far" if count is None else f"{seen} of {count} so far"
            click.echo(f"{so_far}, waiting for more: Ctrl-C ends, --timeout SECONDS gives up by itself", err=True)


def _warn(unreadable: Unreadable) -> None:
    place = unreadable.place
    click.echo(f"skipped {place.topic}-{place.partition} offset {place.offset}: {unreadable.detail}", err=True)


def _line(record: Prediction | Outcome | DriftStatistic | Alert) -> str:
    match record:
        case Prediction():
            frame = FrameId(record.camera, record.boot, record.sequence)
            sure = record.probabilities[record.label]
            return f"{at(record.predicted_at_ms)}  {frame}  {record.label} {sure:.1%}  {record.model} {record.version}"
        case Outcome():
            frame = FrameId(record.camera, record.boot, record.sequence)
            verdict = {True: "right", False: f"wrong, was {record.label}", None: "withdrawn"}[record.correct]
            return f"{at(record.label_received_at_ms)}  {frame}  {record.predicted}: {verdict}  ({record.change})"
        case DriftStatistic():
            evidence = f"evidence {record.evidence:.3g} of {record.threshold:.3g}"
            normal = f"normally {record.reference:.4g}"
            if record.learning_left:
                normal = f"learning what is normal, {record.learning_left} to go"
            numbers = f"{record.estimate:.4g}, {normal}"
            return f"{at(record.at_ms)}  {record.camera}  {record.signal} {record.phase}  {numbers}  {evidence}"
        case Alert():
            where = record.camera or record.group or "fleet"
            what = f"{record.severity} {record.kind} {record.state}"
            return f"{at(record.updated_at_ms)}  {where}  {what}  {record.explanation}"
