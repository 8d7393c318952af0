"""`catseye train`: ask for a training as a person, and hear what the retrain trigger says."""

import getpass
import time
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from confluent_kafka import KafkaError, Producer

from catseye import clock
from catseye.cli.common import json_option, settings_with_broker, write_json
from catseye.client import subscribe
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.identity import digest
from catseye.contract.records import ModelEvent, RetrainDecision
from catseye.contract.topics import full_name
from catseye.kafka.clients import client_config
from catseye.kafka.registry import codec_for
from catseye.settings import Settings

_FLUSH_S = 30.0
_LOOK_EVERY_S = 0.2
_SERVICE = "retrain_trigger"
_DECLINED = 1


@click.command()
@click.option("--because", "reason", default="", help="Why, for the record.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="For the answer, seconds."
)
@json_option
def train(reason: str, wait_s: float, json_file: Path | None) -> None:
    """Ask for a training now, without an alert, a cool-down or a budget.

    The retrain trigger still says no, and why, while a training runs or when there are too few fresh labels; the exit
    status is 1 then.
    """
    settings, by = settings_with_broker(), _person()
    with subscribe("models", from_="beginning", until_end=True, settings=settings) as events:
        asked = request(list(events), by, reason, clock.now_ms())
    _write(settings, asked)
    said = _answer(settings, asked, wait_s)
    if not write_json(json_file, msgspec.to_builtins(said)):
        click.echo(sentence(said))
    if not said.accepted:
        raise click.exceptions.Exit(_DECLINED)


def request(events: Iterable[ModelEvent], by: str, reason: str, now_ms: int) -> RetrainDecision:
    """What a person asks for: a decision that is not accepted yet. Raises `Misconfigured` while there is no champion.

    Args:
        events: Of all models, oldest first.
        by: Who asks.
        reason: Why; may be empty.
        now_ms: Unix milliseconds.
    """
    champions = [event for event in events if event.stage == "champion"]
    if not champions:
        raise Misconfigured(
            "no model is champion yet, so there is none to train on: "
            "`catseye models register FILE --stage champion` names one"
        )
    champion = champions[-1]
    return RetrainDecision(
        decision_id=digest("request", champion.model, by, now_ms, reason),
        model=champion.model,
        base_version=champion.version,
        accepted=False,
        because="request",
        detail=reason or "asked for by hand",
        causes=[],
        by=by,
        decided_at_ms=now_ms,
    )


def sentence(said: RetrainDecision) -> str:
    """What the trigger said, for a person."""
    if said.accepted:
        return f"a training starts: {said.decision_id} ({said.detail})"
    return f"no training: {said.because.replace('_', ' ')} ({said.detail})"


def _person() -> str:
    """Who calls. Raises `Misconfigured` for a name that the service would take for its own."""
    name = getpass.getuser()
    if name == _SERVICE:
        raise Misconfigured(f"the user {_SERVICE} is the service itself: call this as a person")
    return name


def _write(settings: Settings, asked: RetrainDecision) -> None:
    faults: list[KafkaError] = []
    producer = Producer(
        client_config(settings) | {"enable.idempotence": True, "message.timeout.ms": 30_000, "log_level": 3}
    )
    producer.produce(
        full_name("retraining", settings.topic_prefix),
        codec_for(settings).encode(asked),
        asked.model.encode(),
        on_delivery=lambda fault, _: faults.append(fault) if fault else None,
    )
    if producer.flush(_FLUSH_S) or faults:
        raise Unavailable(f"the broker did not take the request: {faults or 'no answer'}")


def _answer(settings: Settings, asked: RetrainDecision, wait_s: float) -> RetrainDecision:
    """The decision that *asked* is a cause of. Raises `Unavailable` when there is none in time."""
    until = time.monotonic() + wait_s
    while True:
        with subscribe("retraining", from_="beginning", until_end=True, settings=settings) as decisions:
            for said in decisions:
                if asked.decision_id in said.causes:
                    return said  # type: ignore[no-any-return]
        if time.monotonic() >= until:
            raise Unavailable(
                f"no answer within {wait_s:g} s: is the retrain trigger up? The request {asked.decision_id} stands"
            )
        time.sleep(_LOOK_EVERY_S)
