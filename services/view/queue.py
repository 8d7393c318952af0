"""Decides which frames people are asked to label, and with which chance each was drawn.

Four drawers: audit (each frame with the same small chance, by a hash of its name: the one that accuracy alarms may
trust alone), unsure (the less sure the model, the likelier, and never 0), evidence (of cameras that drift suspects),
suspect (frames whose label is in doubt: nobody draws them, and a correction has the label's own chance).
A frame's place in them follows from its prediction alone, so the queue is the same whenever it is built.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any, Final

import msgspec

from catseye.contract.identity import frame_id
from catseye.contract.records import LabelAnswer, LabelSuspect, Outcome, Prediction
from catseye.view.keys import Keys, log_place
from catseye.view.writes import Writes

SECOND_OPINIONS: Final = 0.05
"""Share of frames that two people are asked about."""
EVIDENCE_MOST: Final = 64
"""Frames of one camera that wait to be asked about when drift suspects it."""
_ANSWERS_MOST: Final = 10_000  # of one person
_OPINIONS_MOST: Final = 5_000
_LEAST_UNSURE: Final = 0.1  # of the greatest chance: a prediction that is sure may be wrong too
_WHOLE: Final = float(2**64)


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How likely a frame of a camera is drawn.

    Attributes:
        audit: Into the drawer of audits, 0 to 1.
        unsure: Into the drawer of unsure predictions where the model knows nothing at all, 0 to 1; a tenth of it where
            it is sure.
        evidence: Into the one of its camera, which is asked about while drift suspects it, 0 to 1.
    """

    audit: float = 0.01
    unsure: float = 0.05
    evidence: float = 0.2


@dataclass(frozen=True)
class Dice:
    """What is thrown for one frame: four numbers from 0 up to 1 that follow from its name, each by itself.

    Attributes:
        audit: Below the chance: it is in that drawer.
        unsure: Likewise.
        evidence: Likewise.
        second: Below `SECOND_OPINIONS`: two people are asked.
    """

    audit: float
    unsure: float
    evidence: float
    second: float


def dice(frame: str) -> Dice:
    """The dice of a frame, by a hash of its name."""
    thrown = blake2b(frame.encode(), digest_size=32, person=b"catseye-queue").digest()
    return Dice(*(int.from_bytes(thrown[at : at + 8], "big") / _WHOLE for at in range(0, 32, 8)))


def uncertainty(probabilities: Mapping[str, float]) -> float:
    """How little a model knows: 0 where it is sure, 1 where all classes are as likely."""
    if len(probabilities) < 2:
        return 1.0
    return min(max((1 - max(probabilities.values())) / (1 - 1 / len(probabilities)), 0.0), 1.0)


class Queue:
    """What a batch of records does to the queue.

    Args:
        keys: Names in Redis.
        rates: By pattern of camera names; the first that fits holds, and none fits: the usual ones.
        most: Frames of one drawer that wait.
    """

    def __init__(self, keys: Keys, rates: Mapping[str, Rates], most: int) -> None:
        self._keys = keys
        self._patterns = rates
        self._most = most
        self._rates: dict[str, Rates] = {}

    def wants(self, camera: str, boot: str, sequence: int) -> bool:
        """Whether a frame may be in a drawer; of most frames no more needs to be known."""
        rates, thrown = self._rates_of(camera), dice(frame_id(camera, boot, sequence))
        return thrown.audit < rates.audit or thrown.unsure < rates.unsure or thrown.evidence < rates.evidence

    def predicted(self, prediction: Prediction, writes: Writes) -> None:
        """Put a frame where it belongs."""
        frame = frame_id(prediction.camera, prediction.boot, prediction.sequence)
        rates, thrown = self._rates_of(prediction.camera), dice(frame)
        unsure = rates.unsure * max(uncertainty(prediction.probabilities), _LEAST_UNSURE)
        known = {
            "place": log_place(prediction.frame_partition, prediction.frame_offset),
            "predicted": prediction.label,
            "classes": sorted(prediction.probabilities),
            "hash": prediction.perceptual_hash,
            "track": prediction.track,
            "received_at_ms": prediction.received_at_ms,
            "twice": thrown.second < SECOND_OPINIONS,
        }
        for drawer, chance, falls, camera, most in (
            ("audit", rates.audit, thrown.audit, "", self._most),
            ("unsure", unsure, thrown.unsure, "", self._most),
            ("evidence", rates.evidence, thrown.evidence, prediction.camera, EVIDENCE_MOST),
        ):
            if falls < chance:
                ranking, drawn = self._keys.drawer(drawer, camera), self._keys.drawn(drawer, camera)
                writes.score(ranking, frame, prediction.received_at_ms)
                writes.fields(drawn, {frame: msgspec.json.encode(known | {"chance": chance})})
                writes.cap(ranking, drawn, most)

    def labelled(self, outcome: Outcome, writes: Writes) -> None:
        """A frame that has a label is not offered; one whose label was taken back is."""
        if self.wants(outcome.camera, outcome.boot, outcome.sequence):
            frame, key = frame_id(outcome.camera, outcome.boot, outcome.sequence), self._keys.labelled
            if outcome.label is None:
                writes.other("ZREM", key, frame)
            else:
                writes.other("ZADD", key, outcome.label_received_at_ms, frame)
                writes.cap(key, key + ":", 4 * self._most)

    def answered(self, answer: LabelAnswer, writes: Writes) -> None:
        """What a person said. The same answer may come again: each counts by its id."""
        keys, frame = self._keys, frame_id(answer.camera, answer.boot, answer.sequence)
        his, who = keys.answers_of(answer.by), f"{answer.by}\n{frame}"
        if answer.answer == "skipped":
            writes.other("ZADD", keys.skipped, answer.at_ms, who)
            writes.cap(keys.skipped, keys.skipped + ":", self._most)
            return
        writes.score(keys.people, answer.by, answer.at_ms)
        if answer.drawer == "suspect":
            self._looked_again(answer, writes)
            return
        if answer.answer == "undone":
            writes.other("ZREM", his, answer.answer_id)
            writes.other("ZREM", keys.opinions, who)
            writes.other("ZREM", keys.second_opinions if answer.second_opinion else keys.answered, frame)
            if not answer.second_opinion:
                writes.other("HDEL", keys.answered_by, frame)
            return
        writes.other("ZADD", his, answer.at_ms, answer.answer_id)
        writes.cap(his, his + ":", _ANSWERS_MOST)
        if answer.second_opinion:
            writes.other("ZADD", keys.second_opinions, answer.at_ms, frame)
            writes.cap(keys.second_opinions, keys.second_opinions + ":", 4 * self._most)
        else:
            writes.other("ZADD", keys.answered, answer.at_ms, frame)
            writes.other("HSET", keys.answered_by, frame, answer.by)
            writes.cap(keys.answered, keys.answered_by, 4 * self._most)
        if dice(frame).second < SECOND_OPINIONS and answer.label is not None:
            writes.other("ZADD", keys.opinions, answer.at_ms, who)
            writes.other("HSET", keys.opinion_labels, who, answer.label)
            writes.cap(keys.opinions, keys.opinion_labels, _OPINIONS_MOST)

    def _looked_again(self, answer: LabelAnswer, writes: Writes) -> None:
        keys, frame = self._keys, frame_id(answer.camera, answer.boot, answer.sequence)
        his = keys.answers_of(answer.by)
        if answer.answer == "undone":
            writes.other("ZREM", his, answer.answer_id)
            writes.other("ZREM", keys.looked_again, frame)
            return
        writes.other("ZADD", his, answer.at_ms, answer.answer_id)
        writes.cap(his, his + ":", _ANSWERS_MOST)
        writes.other("ZADD", keys.looked_again, answer.at_ms, frame)
        writes.cap(keys.looked_again, keys.looked_again + ":", 4 * self._most)

    def in_doubt(self, suspect: LabelSuspect, writes: Writes) -> None:
        """A label is probably wrong: its frame is shown again, with the class that is in doubt."""
        frame = frame_id(suspect.camera, suspect.boot, suspect.sequence)
        ranking, drawn = self._keys.drawer("suspect"), self._keys.drawn("suspect")
        known = {
            "place": log_place(suspect.frame_partition, suspect.frame_offset),
            "predicted": suspect.label,
            "classes": sorted(suspect.classes),
            "hash": 0,
            "track": None,
            "received_at_ms": suspect.received_at_ms,
            "twice": False,
            "chance": suspect.propensity,
            "source": suspect.source,
        }
        writes.score(ranking, frame, suspect.received_at_ms)
        writes.fields(drawn, {frame: msgspec.json.encode(known)})
        writes.cap(ranking, drawn, self._most)

    def suspects(self, camera: str, alarms: Iterable[Any], writes: Writes) -> None:
        """What drift says of a camera now."""
        writes.score(self._keys.suspected, camera, len(list(alarms)))

    def _rates_of(self, camera: str) -> Rates:
        found = self._rates.get(camera)
        if found is None:
            fitting = (rates for pattern, rates in self._patterns.items() if fnmatchcase(camera, pattern))
            found = self._rates[camera] = next(fitting, Rates())
        return found
