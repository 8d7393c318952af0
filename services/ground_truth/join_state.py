"""State of the join: every prediction of one partition for as long as a label may come, found by frame and by age.

Entries lie in segments, which cost little more than the entries' own bytes and find them by frame and by age. While
there is a shadow, its prediction of a frame waits beside, in segments of its own, until the frame's label or its end.

Of what is forgotten each boot leaves a mark, how far it is forgotten: by it a label that is too late differs from one
that is early. The mark goes when no such label can come any more. A frame can be looked at for horizon and
margin, in the archive; a label that is made at the last moment lies for horizon and margin on its topic, however long
we were away. The first horizon is over when a frame is forgotten, so a mark stays for another one and twice the margin.
"""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from struct import Struct
from typing import NamedTuple

import msgspec

from services.ground_truth import sightings
from services.ground_truth.entry import MODEL_NO, MODEL_NO_AT, RECEIVED, shadow_model_no, shadow_size_of, size_of
from services.ground_truth.segments import Entries, Segments
from services.ground_truth.state_formats import (
    BOOT,
    EARLY,
    MODEL,
    NUMBER,
    PREDICTION,
    SHADOW,
    SIGHTING,
    as_known,
    as_written,
)

BUCKETS_A_HORIZON = 200  # an entry is forgotten at most half a per cent of the horizon late
EARLY_BUCKET_MS = 1_000  # a label that waits is let go so much late at most
MARK_BUCKETS = 50  # a mark stays at most one in so many longer than it must
MARK = Struct(">Qq")  # big-endian: sequence number, forgot_at_ms


class Model(msgspec.Struct, array_like=True, frozen=True):
    """A version whose predictions wait: what turns its numbers back into names."""

    name: str
    version: str
    classes: tuple[str, ...]


class Mark(NamedTuple):
    """How far a boot is forgotten: the highest sequence number, and when, in time of the frames, it last forgot one."""

    sequence: int
    forgot_at_ms: int


def frame_key(camera: str, boot: str, sequence: int) -> bytes:
    """Key of a frame: that of its boot, then the sequence, 8 bytes."""
    return boot_key(camera, boot) + sequence.to_bytes(8, "big")


def boot_key(camera: str, boot: str) -> bytes:
    """Key of a boot: with the camera's length, so that no two boots share one."""
    named = camera.encode()
    return b"%d:%b%b" % (len(named), named, boot.encode())


class JoinState:
    """State of ground truth for one partition; satisfies `catseye.runtime.stream.State`.

    Args:
        horizon_ms: How long an entry is kept, in time of the frames that come in.
        margin_ms: How long frames and labels stay on their topics beyond the horizon.
    """

    def __init__(self, horizon_ms: int, margin_ms: int = 0) -> None:
        self._horizon_ms = horizon_ms
        self._mark_kept_ms = horizon_ms + 2 * margin_ms
        self._mark_bucket_ms = max(1, self._mark_kept_ms // MARK_BUCKETS)
        bucket_ms = max(1, horizon_ms // BUCKETS_A_HORIZON)
        self.models: list[Model] = []
        self._model_no: dict[tuple[str, str], int] = {}
        # Given the list and not a method of ours: in a circle nothing is freed until the collector looks for it.
        self._predictions = Segments(bucket_ms, partial(_size, self.models))
        self._shadows = Segments(bucket_ms, partial(_shadow_size, self.models))
        self._sightings = Segments(bucket_ms, sightings.size_of)
        self._segments = {PREDICTION: self._predictions, SHADOW: self._shadows, SIGHTING: self._sightings}
        # Packed entry of the frame with a key, and its shadow's. Not passed on by methods: a call costs as much
        # as half of what it does.
        self.get: Callable[[bytes], bytes | None] = self._predictions.get
        self.shadow: Callable[[bytes], bytes | None] = self._shadows.get
        self.sighting: Callable[[bytes], bytes | None] = self._sightings.get
        self._marks: dict[bytes, Mark] = {}
        self._mark_buckets: dict[int, dict[bytes, None]] = {}  # each boot stands in one, that of its mark or an earlier
        self._early: dict[bytes, bytes] = {}
        self._early_buckets: dict[int, list[bytes]] = {}
        self._early_due: list[int] = []  # heap of the keys of _early_buckets
        self._before: dict[bytes, bytes | None] = {}  # of what changed since the last commit: how it was,
        self._after: dict[bytes, bytes | None] = {}  # and how it is
        self.newest_ms = 0
        self._committed_newest_ms = 0

    # -- for the core

    @property
    def waiting(self) -> int:
        """How many predictions are kept."""
        return self._predictions.count

    @property
    def shadows(self) -> int:
        """How many predictions of a shadow are kept."""
        return self._shadows.count

    @property
    def sightings(self) -> int:
        """Of how many predictions it is kept what they say of an object."""
        return self._sightings.count

    def put(self, key: bytes, packed: bytes, before: bytes | None) -> None:
        """Keep an entry, or change the one that is there: *before*, as `get` gave it."""
        # As `_change`, written out: this is done twice a pair, and a call costs as much again.
        changed = PREDICTION + key
        self._after[changed] = packed
        self._before.setdefault(changed, before)
        self._predictions.place(key, packed)

    def put_sighting(self, key: bytes, packed: bytes) -> None:
        """Keep what a prediction that is new says of its object."""
        self._change(SIGHTING + key, self._sightings.get(key), packed)
        self._sightings.place(key, packed)

    def put_shadow(self, key: bytes, packed: bytes) -> None:
        """Keep a shadow's prediction of a frame of which none is kept."""
        self._change(SHADOW + key, None, packed)
        self._shadows.place(key, packed)

    def take_shadow(self, key: bytes) -> None:
        """The shadow's prediction of this frame is needed no longer."""
        self._change(SHADOW + key, self._shadows.get(key), None)
        self._shadows.remove(key)

    def is_expired(self, key: bytes) -> bool:
        """Whether the frame with *key* is older than what its boot has already forgotten."""
        mark = self._marks.get(key[:-8])
        return mark is not None and int.from_bytes(key[-8:], "big") <= mark.sequence

    def early(self, key: bytes) -> bytes | None:
        """The label that waits for the prediction of the frame with *key*, as the core packed it."""
        return self._early.get(key)

    def put_early(self, key: bytes, packed: bytes) -> None:
        """Let a label wait; *packed* starts with its received_at_ms, as `RECEIVED` has it."""
        self._change(EARLY + key, self._early.get(key), packed)
        self._set_early(key, packed)

    def take_early(self, key: bytes) -> None:
        """The label waits no longer."""
        self._change(EARLY + key, self._early.pop(key), None)

    def model_no(self, name: str, version: str, classes: Sequence[str]) -> int:
        """Number of a version in this state; a new one is remembered."""
        number = self._model_no.get((name, version))
        if number is None:
            number = len(self.models)
            model = Model(name, version, tuple(classes))
            self._change(MODEL + number.to_bytes(2, "big"), None, msgspec.msgpack.encode(model))
            self._set_model(number, model)
        return number

    def saw(self, received_at_ms: int) -> None:
        """A prediction of a frame received then came in: time moves on, never back."""
        self.newest_ms = max(self.newest_ms, received_at_ms)

    def early_before(self, received_at_ms: int) -> list[tuple[bytes, bytes]]:
        """Labels that came in before then (to the bucket) and still wait."""
        due: dict[bytes, bytes] = {}
        while self._early_due and (self._early_due[0] + 1) * EARLY_BUCKET_MS <= received_at_ms:
            bucket = heappop(self._early_due)
            for key in self._early_buckets.pop(bucket):
                packed = self._early.get(key)
                # A label that took the place of an earlier one stands in the bucket of its own time too.
                if packed is not None and RECEIVED.unpack_from(packed)[0] // EARLY_BUCKET_MS == bucket:
                    due[key] = packed
        return list(due.items())

    def expire(self, most: int) -> int:
        """Forget entries past the horizon, about *most* of them. Returns how many."""
        return self._predictions.expire(self.newest_ms - self._horizon_ms, most, self._forgotten)

    def expire_shadows(self, most: int) -> int:
        """The same with predictions of shadows."""
        return self._shadows.expire(self.newest_ms - self._horizon_ms, most, self._forgotten_shadows)

    def expire_sightings(self, most: int) -> int:
        """The same with what predictions say of objects."""
        return self._sightings.expire(self.newest_ms - self._horizon_ms, most, self._forgotten_sightings)

    def end_marks(self, most: int) -> int:
        """Take away the marks of boots that no label can be about any more, at most *most*. Returns how many."""
        cutoff_ms = self.newest_ms - self._mark_kept_ms
        gone = 0
        while self._mark_buckets and gone < most:
            oldest = min(self._mark_buckets)
            if (oldest + 1) * self._mark_bucket_ms > cutoff_ms:
                break
            boots = self._mark_buckets[oldest]
            while boots and gone < most:
                boot, _ = boots.popitem()
                mark = self._marks.get(boot)
                if mark is None:
                    continue
                if mark.forgot_at_ms // self._mark_bucket_ms > oldest:  # the boot went on
                    self._note_mark(boot, mark)
                else:
                    self._change(BOOT + boot, MARK.pack(*self._marks.pop(boot)), None)
                    gone += 1
            if not boots:
                del self._mark_buckets[oldest]
        return gone

    # -- for the worker

    def restore(self, key: bytes, value: bytes | None) -> None:
        self._set(key[:1], key[1:], as_known(key, value))

    def changes(self) -> Sequence[tuple[bytes, bytes | None]]:
        # As `as_written`, written out for predictions: nearly all are.
        return [
            (key, NUMBER + known if known is not None and key[:1] == PREDICTION else as_written(key, known))
            for key, known in self._after.items()
        ]

    def commit(self) -> None:
        self._before.clear()
        self._after.clear()
        self._committed_newest_ms = self.newest_ms

    def rollback(self) -> None:
        for key, value in reversed(self._before.items()):
            self._set(key[:1], key[1:], value)
        self._before.clear()
        self._after.clear()
        self.newest_ms = self._committed_newest_ms

    def items(self) -> dict[bytes, bytes]:
        """Everything that is known, as it stands on the state topic."""
        known = {PREDICTION + key: packed for key, packed in self._predictions.items()}
        known |= {SHADOW + key: packed for key, packed in self._shadows.items()}
        known |= {SIGHTING + key: packed for key, packed in self._sightings.items()}
        known |= {EARLY + key: packed for key, packed in self._early.items()}
        known |= {BOOT + boot: MARK.pack(*mark) for boot, mark in self._marks.items()}
        models = {number.to_bytes(2, "big"): model for number, model in enumerate(self.models)}
        known |= {MODEL + number: msgspec.msgpack.encode(model) for number, model in models.items()}
        return {key: as_written(key, value) or b"" for key, value in known.items()}

    # -- within

    def _change(self, key: bytes, before: bytes | None, after: bytes | None) -> None:
        """Note that *key* of the state topic is *after* now; *before* counts the first time since the commit."""
        self._after[key] = after
        self._before.setdefault(key, before)

    def _forgotten(self, entries: Entries) -> None:
        """Entries of one boot are gone, the last of them the highest: it is forgotten up to there."""
        for key, packed in entries:
            self._change(PREDICTION + key, packed, None)
        boot, sequence = key[:-8], int.from_bytes(key[-8:], "big")
        before = self._marks.get(boot)
        mark = Mark(sequence if before is None else max(before.sequence, sequence), self.newest_ms)
        self._set_mark(boot, mark)
        self._change(BOOT + boot, None if before is None else MARK.pack(*before), MARK.pack(*mark))

    def _forgotten_shadows(self, entries: Entries) -> None:
        for key, packed in entries:
            self._change(SHADOW + key, packed, None)

    def _forgotten_sightings(self, entries: Entries) -> None:
        for key, packed in entries:
            self._change(SIGHTING + key, packed, None)

    def _set(self, kind: bytes, name: bytes, value: bytes | None) -> None:
        segments = self._segments.get(kind)
        if segments is not None:
            if value is None:
                segments.remove(name)
            else:
                segments.place(name, value)
                if kind == PREDICTION:
                    self.saw(RECEIVED.unpack_from(value)[0])
        elif kind == EARLY:
            if value is None:
                self._early.pop(name, None)
            else:
                self._set_early(name, value)
        elif kind == BOOT:
            if value is None:
                self._marks.pop(name, None)
            else:
                # A mark of 8 bytes is from before marks had an end; what stands before it on the log dates it.
                dated = value if len(value) == MARK.size else value + self.newest_ms.to_bytes(8, "big")
                self._set_mark(name, Mark(*MARK.unpack(dated)))
        elif value is None:
            gone = self.models.pop()
            del self._model_no[gone.name, gone.version]
        else:
            self._set_model(int.from_bytes(name, "big"), msgspec.msgpack.decode(value, type=Model))

    def _set_model(self, number: int, model: Model) -> None:
        # With at_least_once an aborted batch may stand on the log, its number gone to another model: the last holds.
        for gone in self.models[number : number + 1]:
            del self._model_no[gone.name, gone.version]
        self.models[number : number + 1] = [model]
        self._model_no[model.name, model.version] = number

    def _set_mark(self, boot: bytes, mark: Mark) -> None:
        before = self._marks.get(boot)
        self._marks[boot] = mark
        # One that moves on is noted again when its bucket is checked; one that an abort gives back may be older.
        if before is None or mark.forgot_at_ms < before.forgot_at_ms:
            self._note_mark(boot, mark)

    def _note_mark(self, boot: bytes, mark: Mark) -> None:
        self._mark_buckets.setdefault(mark.forgot_at_ms // self._mark_bucket_ms, {})[boot] = None

    def _set_early(self, key: bytes, packed: bytes) -> None:
        self._early[key] = packed
        bucket = RECEIVED.unpack_from(packed)[0] // EARLY_BUCKET_MS
        if bucket not in self._early_buckets:
            heappush(self._early_due, bucket)
            self._early_buckets[bucket] = []
        self._early_buckets[bucket].append(key)


def _size(models: Sequence[Model], packed: bytes) -> int:
    """Bytes of an entry, given the models by number."""
    return size_of(len(models[MODEL_NO.unpack_from(packed, MODEL_NO_AT)[0]].classes))


def _shadow_size(models: Sequence[Model], packed: bytes) -> int:
    """The same of a shadow's prediction."""
    return shadow_size_of(len(models[shadow_model_no(packed)].classes))
