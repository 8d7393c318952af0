"""A trainer of your own, wherever it runs: it hears what the retrain trigger decides and hands its model in.

    python infra/example/trainer_elsewhere.py COMMAND…

COMMAND gets the decision as JSON on its standard input, trains as it likes, writes one ONNX file and prints its name.
With another exit status than 0, or a file that breaks the contract, the decision is answered with a rejection and the
reason. Run it instead of services.trainer, with the same settings.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from catseye import clock
from catseye.client import subscribe
from catseye.contract.errors import BadModel
from catseye.contract.identity import digest
from catseye.contract.records import ModelEvent, RetrainDecision
from catseye.kafka.registry import codec_for
from catseye.models.announce import announce
from catseye.models.register import register
from catseye.settings import Settings, load

BY = "trainer_elsewhere"


def answer(settings: Settings, decision: RetrainDecision, command: Sequence[str]) -> ModelEvent:
    """Train, and announce what came of it."""
    codec, decision_id = codec_for(settings), decision.decision_id
    try:
        done = subprocess.run(command, input=msgspec.json.encode(decision), stdout=subprocess.PIPE, check=True)
        onnx = Path(done.stdout.decode().strip()).read_bytes()
        return register(settings, codec, onnx, "candidate", by=BY, because="trained elsewhere", decision_id=decision_id)
    except (BadModel, OSError, subprocess.CalledProcessError) as fault:
        event = ModelEvent(
            event_id=digest("training", decision_id),
            model=decision.model,
            version=decision_id[:12],
            stage="rejected",
            sha256="",
            signature=b"",
            because=f"failed: {fault}",
            by=BY,
            at_ms=clock.now_ms(),
            decision_id=decision_id,
        )
        announce(settings, codec, event)
        return event


if __name__ == "__main__":
    with subscribe("retraining", group=BY, from_="beginning") as decisions:
        for decision in decisions:
            if isinstance(decision, RetrainDecision) and decision.accepted:
                event = answer(load(Settings), decision, sys.argv[1:])
                print(event.stage, event.version, event.because, flush=True)
