"""What a prediction says of its object costs no frame its outcome."""

from typing import Any

import pytest

from catseye.contract.codec import Codec
from catseye.contract.heads import FEWEST
from catseye.contract.records import AcceptedLabel, Outcome
from catseye.runtime.router import Router
from catseye.runtime.stream import Output
from services.ground_truth import NAME, READS, WRITES, sightings
from services.ground_truth.core import GroundTruthCore
from tests.simulation.cameras import Camera
from tests.simulation.partitions import FakeMessage

CODEC = Codec()
OBJECT: dict[str, Any] = {"track": "b-7", "box": [0.1, 0.2, 0.3, 0.4], "first_seen_ms": 40, "last_seen_ms": 90}
SHOT = Camera().shot(**OBJECT, direction="left", line="n")
WHOLE = CODEC.encode(SHOT)
LABEL = AcceptedLabel(
    camera=SHOT.camera,
    boot=SHOT.boot,
    sequence=SHOT.sequence,
    label="car",
    source="person",
    propensity=1.0,
    labelled_at_ms=SHOT.received_at_ms + 500,
    received_at_ms=SHOT.received_at_ms + 1_000,
)


def joined(prediction: bytes, fewest: int) -> list[Output]:
    """All that the join writes of a prediction and its label."""
    core = GroundTruthCore(CODEC, 10_000, 3_000, fewest=fewest)
    service: Any = Router(core, NAME, READS, WRITES, CODEC, "", 1)
    batch = [FakeMessage("predictions", prediction), FakeMessage("labels.accepted", CODEC.encode(LABEL))]
    written: list[Output] = service.on_batch(batch, {0: service.new_state()}, LABEL.received_at_ms)
    return written


def objects_of(outputs: list[Output]) -> list[dict[str, Any]]:
    """What outcomes say of the object."""
    assert {each.topic for each in outputs} == {"outcomes"}
    found = [CODEC.decode(each.value, Outcome) for each in outputs]
    return [{name: getattr(each, name) for name in OBJECT} for each in found]


@pytest.mark.parametrize("fewest", [FEWEST, 1], ids=["alone", "at once"])
def test_a_prediction_whose_end_cannot_be_read_has_its_outcome(fewest: int) -> None:
    """What the join needs stands before: the outcome says nothing of the object, as if nobody had followed it."""
    assert objects_of(joined(WHOLE, fewest)) == [OBJECT]
    cut = WHOLE[: WHOLE.index(b"b-7")]
    assert objects_of(joined(cut, fewest)) == [dict.fromkeys(OBJECT)]


@pytest.mark.parametrize("gone", range(1, 40))
def test_of_an_object_all_is_said_or_nothing(gone: int) -> None:
    """Wherever a prediction is cut: never a track without its box, and all where only what stands behind is gone."""
    behind = len(b"\x02\x08left" + b"\x02\x02n")  # direction and line, as Avro has them
    packed = sightings.read(CODEC, WHOLE[:-gone])
    assert (packed is None) == (gone > behind)
    assert sightings.unpack(packed) == (sightings.NOTHING if gone > behind else sightings.Sighting(**OBJECT))
