"""The models of a demo: the one to start with, and a worse one that is promoted while all look."""

import random
from pathlib import Path
from typing import Any

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel, BadRecord, Misconfigured
from catseye.contract.identity import digest
from catseye.contract.records import ModelCommand, ModelEvent
from catseye.kafka.reading import read_to_end
from catseye.kafka.registry import codec_for
from catseye.models.ask import ask
from catseye.models.jpeg import decode_rgb
from catseye.models.register import handed_in
from catseye.settings import Settings
from infra.local.jvm import ROOT
from infra.local.worse_model import worse

MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
CROPS = ROOT / "infra" / "example" / "crops"
BY = "infra/demo"
BY_SCENARIO = "promoted by the scenario"
_TEST_CROPS = 60
"""Crops on which a model is compared with a worse one: a second a step or so."""


def champion(settings: Settings, codec: Codec, model: Path) -> ModelCommand:
    """Ask for a file as the champion to start with: rollout, which need not run yet, will make it that.

    Raises:
        Misconfigured: it cannot be used.
    """
    try:
        command = handed_in(settings, model.read_bytes(), "champion", by=BY, because="start of the demo")
    except (BadModel, OSError) as fault:
        raise Misconfigured(f"--model: {model} cannot be used: {fault}") from fault
    ask(settings, codec, command)
    return command


def candidate(settings: Settings, codec: Codec, model: Path, frames: Path | None) -> ModelCommand:
    """Hand in a worse version of *model*, so that only its promotion is left to be asked for."""
    files = sorted((frames or CROPS).glob("*/*"))
    random.Random(1).shuffle(files)
    crops = []
    for file in files[: 2 * _TEST_CROPS]:
        try:
            crops.append(decode_rgb(file.read_bytes()))
        except (BadRecord, OSError):
            continue  # not a picture; the simulator says what it makes of it
    try:
        noisy = worse(model.read_bytes(), crops[:_TEST_CROPS])
        command = handed_in(settings, noisy, "candidate", by=BY, because="worse on purpose: noise on its weights")
    except BadModel as fault:
        raise Misconfigured(f"--scenario: no worse model can be made of {model}: {fault}") from fault
    ask(settings, codec, command)
    return command


def promote(settings: Settings, codec: Codec, registered: ModelCommand) -> None:
    """Ask for a candidate as the champion."""
    command = ModelCommand(
        command_id=digest("promote", registered.command_id),
        action="promote",
        model=registered.model,
        version=registered.version,
        reason=BY_SCENARIO,
        by=BY,
        at_ms=clock.now_ms(),
    )
    ask(settings, codec, command)


def models_seen(settings: Settings, started_at_ms: float) -> list[dict[str, Any]]:
    """Every event of the register, in order; negative times lie before publishing began."""
    codec = codec_for(settings)
    events = [codec.decode(message.value(), ModelEvent) for message in read_to_end(settings, "models")]
    return [
        {
            "version": event.version,
            "stage": event.stage,
            "at_s": round((event.at_ms - started_at_ms) / 1_000, 3),
            "because": event.because,
        }
        for event in events
    ]
