"""`catseye train`: ask for a training as a person, and print what the retrain trigger decides."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from catseye import clock
from catseye.cli.common import SENTENCE, json_option, records_of, settings_with_broker, write_json
from catseye.cli.service_faults import runs
from catseye.contract.errors import Unavailable
from catseye.contract.records import RetrainDecision, TrainingRequest
from catseye.kafka.producing import produce
from catseye.kafka.registry import codec_for
from catseye.models.asking import request

if TYPE_CHECKING:
    from catseye.settings import Settings

_POLL_S = 0.2
_TRIGGER = "retrain_trigger"
_DECLINED = 1


@click.command()
@click.option("--because", "reason", type=SENTENCE, default="", help="Why, for the record.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="For the answer, seconds."
)
@json_option
def train(reason: str, wait_s: float, json_file: Path | None) -> None:
    """Ask for a training now, without an alert, a cool-down or a budget.

    The retrain trigger still refuses, and gives the reason, while a training runs or when there are too few fresh
    labels; the exit status is 1 then.
    """
    settings = settings_with_broker()
    asked = request(records_of(settings, "models"), getpass.getuser(), reason, clock.now_ms())
    produce(settings, codec_for(settings), "training.requests", asked)
    if not runs(settings, _TRIGGER):
        raise Unavailable(
            f"no retrain trigger runs, so nobody decides: `infra/stack up --loop` starts one, with a trainer. The "
            f"request {asked.request_id} stands, and is decided then"
        )
    click.echo(f"asked; the retrain trigger decides within {wait_s:g} s", err=True)
    decision = _answer(settings, asked, wait_s)
    if not write_json(json_file, msgspec.to_builtins(decision)):
        click.echo(sentence(decision))
    if not decision.accepted:
        raise click.exceptions.Exit(_DECLINED)


def sentence(decision: RetrainDecision) -> str:
    """The decision, for a person."""
    if decision.accepted:
        return f"a training starts: {decision.decision_id} ({decision.detail})"
    return f"no training: {decision.because.replace('_', ' ')} ({decision.detail})"


def _answer(settings: Settings, asked: TrainingRequest, wait_s: float) -> RetrainDecision:
    """The decision that *asked* is a cause of. Raises `Unavailable` when there is none in time."""
    until = time.monotonic() + wait_s
    while True:
        for decision in records_of(settings, "retraining"):
            if asked.request_id in decision.causes:
                return decision  # type: ignore[no-any-return]
        if time.monotonic() >= until:
            raise Unavailable(
                f"no answer within {wait_s:g} s: is the retrain trigger up? The request {asked.request_id} stands"
            )
        time.sleep(_POLL_S)
