"""Makes predictions of frames.

Laws: one prediction a frame of an object by the champion, none of a view; no run of a net and no batch of one camera
mixes two versions; the shadow takes what it can and owes nothing: frames that wait too long are its first to go, and it
writes no dead letters.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import BadModel, BadRecord, Reason, Unavailable
from catseye.contract.identity import prediction_id
from catseye.contract.message import Message
from catseye.contract.records import AcceptedFrame, ModelEvent, Prediction, Role
from catseye.models.net import Answer, Crop, Net
from catseye.models.stages import Serving
from catseye.runtime.router import Refusal, Written
from catseye.runtime.stream import NoState, Tally

DecodeMany = Callable[[Sequence[bytes]], Iterator[Crop | BadRecord]]
Loaded = tuple[ModelEvent, Net]


class Job(NamedTuple):
    """A frame that is to be predicted, and by whom."""

    message: Message
    frame: AcceptedFrame
    crop: Crop
    model: Loaded


class Swap(NamedTuple):
    """From *offset* of frames.accepted on *versions* predict *partition*: that for all cameras, then the canaries."""

    partition: int
    offset: int
    versions: tuple[str, ...]
    before: tuple[str, ...]


class ServingVersions(NoState):
    """Knows which versions predict one partition, and says so when another one's first batch is on the log.

    Args:
        swapped: Is called with each swap.
    """

    def __init__(self, swapped: Callable[[Swap], None]) -> None:
        self._swapped = swapped
        self._before: tuple[str, ...] = ()
        self._pending: Swap | None = None
        self.versions: tuple[str, ...] = ()

    def swap(self, partition: int, offset: int, versions: tuple[str, ...]) -> None:
        """Others predict from *offset* on."""
        self._pending = Swap(partition, offset, versions, self._before)
        self.versions = versions

    def commit(self) -> None:
        if self._pending:
            self._swapped(self._pending)
            self._before, self._pending = self.versions, None

    def rollback(self) -> None:
        self.versions, self._pending = self._before, None


class InferenceCore(Tally):
    """Accepted frames in, predictions out.

    Args:
        models: Gives who predicts; asked once a batch. May raise `Unavailable`.
        refuse: Is called with a version whose net failed over frames, and why.
        decode: Decodes JPEGs, in order; may work ahead.
        micro_batch: Most frames of one run of the net.
        role: In which its models predict.
        shadow_age_ms: How old a record may be when a shadow reads it, by the broker's clock.
        swapped: Is called with the offset from which other versions predict a partition.
    """

    def __init__(
        self,
        models: Callable[[], Serving[Loaded]],
        refuse: Callable[[ModelEvent, str], None],
        decode: DecodeMany,
        micro_batch: int,
        *,
        role: Role = "champion",
        shadow_age_ms: int = 0,
        swapped: Callable[[Swap], None] = lambda swap: None,
    ) -> None:
        super().__init__()
        self._models = models
        self._refuse = refuse
        self._decode = decode
        self._micro_batch = micro_batch
        self._role: Role = role
        self._shadow_age_ms = shadow_age_ms
        self._swapped = swapped
        self._serving: Serving[Loaded] = Serving()
        self._taken: list[tuple[Message, AcceptedFrame, Loaded]] = []  # of the batch under way

    def new_state(self) -> ServingVersions:
        return ServingVersions(self._swapped)

    def begin(self, batch: Sequence[Message], states: Mapping[int, ServingVersions], now_ms: int) -> Sequence[Message]:
        self._taken = []
        self._serving = self._models()
        if self._role == "shadow":
            batch = self._of_shadow(batch, now_ms)
        self._note(batch, states)
        return batch

    def on_accepted_frame(
        self, frame: AcceptedFrame, message: Message, state: ServingVersions, now_ms: int
    ) -> Sequence[Written]:
        """Take a frame of the batch; it is predicted with the others. A view shows no object, and has no prediction."""
        if frame.kind == "view":
            self.events["view_not_predicted"] += 1
            return ()
        model = self._serving.of(frame.camera)
        if model is None:
            self.events["without_shadow"] += 1
        else:
            self._taken.append((message, frame, model))
        return ()

    def end(self, states: Mapping[int, ServingVersions], now_ms: int) -> list[Written]:
        written: list[Written] = []
        groups: dict[str, list[Job]] = {}  # one version each; a camera has one, so its frames stay in order
        for job in self._jobs(written):
            group = groups.setdefault(job.model[0].sha256, [])
            group.append(job)
            if len(group) == self._micro_batch:
                written += self._predicted(group, now_ms)
                group.clear()
        for group in groups.values():
            if group:
                written += self._predicted(group, now_ms)
        return written

    def on_time(self, states: Mapping[int, ServingVersions], now_ms: int) -> Sequence[Written]:
        return ()

    def _of_shadow(self, batch: Sequence[Message], now_ms: int) -> list[Message]:
        """What a shadow takes of *batch*: nothing while there is none, and nothing that has waited too long."""
        if not self._serving.each():
            self.events["without_shadow"] += len(batch)
            return []
        oldest_ms = now_ms - self._shadow_age_ms
        fresh = [message for message in batch if message.timestamp()[1] >= oldest_ms]
        if len(fresh) < len(batch):
            self.events["shadow_dropped"] += len(batch) - len(fresh)
        return fresh

    def _note(self, batch: Sequence[Message], states: Mapping[int, ServingVersions]) -> None:
        """Note on each partition of *batch* from where on other versions predict it than before."""
        versions = tuple(dict.fromkeys(event.version for event, _ in self._serving.each()))
        changed = {partition: state for partition, state in states.items() if state.versions != versions}
        if not changed:
            return
        for message in batch:
            if state := changed.pop(message.partition(), None):
                if state.versions:
                    self.events["model_swapped"] += 1
                state.swap(message.partition(), message.offset(), versions)

    def _jobs(self, written: list[Written]) -> Iterator[Job]:
        """Frames with their pixels, in order; what cannot be decoded is refused in *written*."""
        crops = self._decode([frame.jpeg for _, frame, _ in self._taken])
        for (message, frame, model), crop in zip(self._taken, crops, strict=True):
            if isinstance(crop, BadRecord):
                written.append(Refusal(message, crop))
            else:
                yield Job(message, frame, crop, model)

    def _predicted(self, group: Sequence[Job], now_ms: int) -> list[Written]:
        """Predictions of frames of one version, in order."""
        written: list[Written] = []
        event, net = group[0].model
        try:
            answer = net.predict([job.crop for job in group])
        except BadModel as fault:
            # No frame is lost over it: the batch is taken again, by then with the version before.
            self._refuse(event, str(fault))
            raise Unavailable(f"{event.model} {event.version} failed while it served: {fault}") from fault
        for place, job in enumerate(group):
            if not np.isfinite(answer.probabilities[place]).all():
                no_number = BadRecord(Reason.MODEL_GAVE_NO_NUMBER, f"model {event.version} gives NaN for this frame")
                written.append(Refusal(job.message, no_number))
                continue
            written.append(_prediction(job, self._role, answer, place, now_ms))
            self.events["predicted"] += 1
        return written


def _prediction(job: Job, role: Role, answer: Answer, place: int, now_ms: int) -> Prediction:
    frame, (event, net) = job.frame, job.model
    classes = net.spec.classes
    row = answer.probabilities[place]
    best = int(row.argmax())
    maps = answer.maps if frame.explain and role == "champion" else None
    return Prediction(
        camera=frame.camera,
        boot=frame.boot,
        sequence=frame.sequence,
        captured_at_ms=frame.captured_at_ms,
        received_at_ms=frame.received_at_ms,
        predicted_at_ms=now_ms,
        prediction_id=prediction_id(frame.camera, frame.boot, frame.sequence, event.model, event.version, role),
        model=event.model,
        version=event.version,
        role=role,
        frame_partition=job.message.partition(),
        frame_offset=job.message.offset(),
        label=classes[best],
        probabilities=dict(zip(classes, row.tolist(), strict=True)),
        brightness=frame.brightness,
        contrast=frame.contrast,
        sharpness=frame.sharpness,
        dark_share=frame.dark_share,
        bright_share=frame.bright_share,
        perceptual_hash=frame.perceptual_hash,
        model_sha256=event.sha256,
        embedding=answer.embedding[place].tolist(),
        telemetry=frame.telemetry,
        activation_map_png=None if maps is None else _png(maps[place, best]),
        chroma_blue=frame.chroma_blue,
        chroma_red=frame.chroma_red,
        bits_per_pixel=frame.bits_per_pixel,
        kind=frame.kind,
        track=frame.track,
        box=frame.box,
        first_seen_ms=frame.first_seen_ms,
        last_seen_ms=frame.last_seen_ms,
        direction=frame.direction,
        line=frame.line,
    )


def _png(activation: NDArray[np.float32]) -> bytes:
    """A class activation map [h, w] as an 8-bit grey PNG: 0 where it is lowest, 255 where it is highest."""
    low, high = float(activation.min()), float(activation.max())
    scaled = (activation - low) / (high - low or 1.0) * 255
    return bytes(cv2.imencode(".png", scaled.astype(np.uint8))[1])
