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
from catseye.contract.records import ModelCommand, RetrainDecision
from catseye.kafka.registry import codec_for
from catseye.models.ask import ask
from catseye.models.register import answer_id, handed_in
from catseye.settings import Settings, load

BY = "trainer_elsewhere"


def answer(settings: Settings, decision: RetrainDecision, command: Sequence[str]) -> ModelCommand:
    """Train; what rollout is asked to register."""
    decision_id = decision.decision_id
    try:
        done = subprocess.run(command, input=msgspec.json.encode(decision), stdout=subprocess.PIPE, check=True)
        onnx = Path(done.stdout.decode().strip()).read_bytes()
        return handed_in(settings, onnx, "candidate", by=BY, because="trained elsewhere", decision_id=decision_id)
    except (BadModel, OSError, subprocess.CalledProcessError) as fault:
        return ModelCommand(
            command_id=answer_id(decision_id),
            action="register",
            model=decision.model,
            version=decision_id[:12],
            stage="rejected",
            reason=f"failed: {fault}",
            by=BY,
            at_ms=clock.now_ms(),
            decision_id=decision_id,
        )


if __name__ == "__main__":
    with subscribe("retraining", group=BY, from_="beginning") as decisions:
        for decision in decisions:
            if isinstance(decision, RetrainDecision) and decision.accepted:
                settings = load(Settings)
                answered = answer(settings, decision, sys.argv[1:])
                ask(settings, codec_for(settings), answered)
                print(answered.stage, answered.version, answered.reason, flush=True)
