"""Makes predictions of frames. Law: one prediction a frame, and no batch mixes two versions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.codec import Codec
from catseye.dead_letters import dead_letter, source_of
from catseye.errors import BadRecord, Reason
from catseye.identity import prediction_id
from catseye.net import Answer, Crop, Net
from catseye.records import AcceptedFrame, ModelEvent, Prediction
from catseye.stream import Message, NoState, Output, Tally
from catseye.topics import full_name

DecodeMany = Callable[[Sequence[bytes]], Iterator[Crop | BadRecord]]
Job = tuple[Message, AcceptedFrame, Crop]


class InferenceCore(Tally):
    """Accepted frames in, predictions out.

    Args:
        codec: Reads and writes records.
        prefix: Of topic names.
        champion: Gives the model to predict with; asked once a batch. May raise `Unavailable`.
        decode: Decodes JPEGs, in order; may work ahead.
        micro_batch: Most frames of one run of the net.
    """

    new_state = NoState

    def __init__(
        self,
        codec: Codec,
        prefix: str,
        champion: Callable[[], tuple[ModelEvent, Net]],
        decode: DecodeMany,
        micro_batch: int,
    ) -> None:
        super().__init__()
        self._codec = codec
        self._champion = champion
        self._decode = decode
        self._micro_batch = micro_batch
        self._predictions = full_name("predictions", prefix)
        self._dead_letters = full_name("dead-letters", prefix)

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, NoState], now_ms: int) -> list[Output]:
        event, net = self._champion()
        outputs: list[Output] = []
        jobs = self._jobs(batch, outputs, now_ms)
        while micro_batch := list(islice(jobs, self._micro_batch)):
            answer = net.predict([crop for _, _, crop in micro_batch])
            for place, (message, frame, _) in enumerate(micro_batch):
                if not np.isfinite(answer.probabilities[place]).all():
                    fault = BadRecord(Reason.MODEL_GAVE_NO_NUMBER, f"model {event.version} gives NaN for this frame")
                    outputs.append(self._dead(message, fault, now_ms))
                    continue
                prediction = _prediction(message, frame, event, net.spec.classes, answer, place, now_ms)
                value = self._codec.encode(prediction)
                outputs.append(Output(self._predictions, message.partition(), message.key(), value))
        self.events["predicted"] += sum(output.topic == self._predictions for output in outputs)
        return outputs

    def on_time(self, states: Mapping[int, NoState], now_ms: int) -> list[Output]:
        return []

    def _jobs(self, batch: Sequence[Message], outputs: list[Output], now_ms: int) -> Iterator[Job]:
        """Frames with their pixels, in order; what cannot be read goes to *outputs* as a dead letter."""
        readable: list[tuple[Message, AcceptedFrame]] = []
        for message in batch:
            try:
                readable.append((message, self._codec.decode(message.value(), AcceptedFrame)))
            except BadRecord as fault:
                outputs.append(self._dead(message, fault, now_ms))
        crops = self._decode([frame.jpeg for _, frame in readable])
        for (message, frame), crop in zip(readable, crops, strict=True):
            if isinstance(crop, BadRecord):
                outputs.append(self._dead(message, crop, now_ms))
            else:
                yield message, frame, crop

    def _dead(self, message: Message, fault: BadRecord, now_ms: int) -> Output:
        self.events[f"dead_{fault.reason}"] += 1
        letter = dead_letter("inference", message, fault, now_ms)
        return Output(self._dead_letters, message.partition(), source_of(message), self._codec.encode(letter))


def _prediction(
    message: Message,
    frame: AcceptedFrame,
    event: ModelEvent,
    classes: Sequence[str],
    answer: Answer,
    place: int,
    now_ms: int,
) -> Prediction:
    row = answer.probabilities[place]
    best = int(row.argmax())
    return Prediction(
        camera=frame.camera,
        boot=frame.boot,
        sequence=frame.sequence,
        captured_at_ms=frame.captured_at_ms,
        received_at_ms=frame.received_at_ms,
        predicted_at_ms=now_ms,
        prediction_id=prediction_id(frame.camera, frame.boot, frame.sequence, event.model, event.version, "champion"),
        model=event.model,
        version=event.version,
        role="champion",
        frame_partition=message.partition(),
        frame_offset=message.offset(),
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
        activation_map_png=_png(answer.maps[place, best]) if frame.explain and answer.maps is not None else None,
    )


def _png(activation: NDArray[np.float32]) -> bytes:
    """A class activation map [h, w] as an 8-bit grey PNG: 0 where it is lowest, 255 where it is highest."""
    low, high = float(activation.min()), float(activation.max())
    scaled = (activation - low) / (high - low or 1.0) * 255
    return bytes(cv2.imencode(".png", scaled.astype(np.uint8))[1])
