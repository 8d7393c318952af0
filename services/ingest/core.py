"""Decides what becomes of each frame and label. Law: in = accepted + views + dead + duplicate, always, by count.

A camera's repeats can only be seen where all its frames come together, and a public topic may be written with any
partitioner and have any number of partitions. So a frame on a partition that is not its camera's goes round once more
through frames.rekeyed, byte for byte, and is checked there. Where the public topic has another number of partitions
than ours, all frames do: workers share those otherwise, and a camera that went round at some times and not at others
would lose its order.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from catseye.contract.checks import Limits, check_content, check_identity, check_label, folded, readings
from catseye.contract.dead_letters import written_ms
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import partition_of
from catseye.contract.message import Message
from catseye.contract.records import AcceptedFrame, AcceptedLabel, CameraView, Frame, Label, RepeatedFrame
from catseye.models.jpeg import decode_rgb
from catseye.runtime.router import Forward, Written
from catseye.runtime.stream import Tally
from services.ingest.quality import measure
from services.ingest.window import CameraWindow, Verdict, Windows

QUEUED_MAX_MS = 9 * 24 * 3_600_000
"""Longest time from a record's being written to its being read: frames are kept for a day, but Kafka deletes a segment
as a whole, and one may span a week."""
BEHIND_MAX_MS = 10 * 60_000  # our clock may be behind the broker's by so much
_ROUND = "frames.rekeyed"
_THEN = "the broker took the {}"
CHECKED_PER_FRAME = 4  # cameras that are checked for silence with each frame: a new one is checked twice before it goes


class IngestCore(Tally):
    """Frames and labels in; accepted and forwarded ones out.

    Args:
        partitions: Partitions of every topic that a camera is the key of.
        limits: What is accepted.
    """

    new_state = Windows

    def __init__(self, partitions: int, limits: Limits) -> None:
        super().__init__()
        self._partitions = partitions
        self._shared_alike = True
        self._limits = limits
        self._silent_ms = limits.age_max_ms + limits.future_max_ms + QUEUED_MAX_MS
        frames = dict.fromkeys(("frames", _ROUND), limits.frame_max_bytes)
        self.max_bytes = frames | {"labels": limits.label_max_bytes}

    def on_time(self, states: Mapping[int, Windows], now_ms: int) -> Sequence[Written]:
        return ()

    def on_partitions(self, counts: Mapping[str, int]) -> None:
        """Whether workers share the public topic of frames as they share ours."""
        self._shared_alike = counts.get("frames") == counts.get(_ROUND)

    def on_frame(self, frame: Frame, message: Message, state: Windows | None, now_ms: int) -> Sequence[Written]:
        """Accept, forward or drop one frame. Raises `BadRecord`."""
        frame = folded(frame)
        check_identity(frame.camera, frame.boot, frame.sequence)
        key = frame.camera.encode()
        home = partition_of(frame.camera, self._partitions)
        here = home == message.partition() and (self._shared_alike or message.topic().endswith(_ROUND))
        if not here or state is None:
            self.events["frame_rekeyed"] += 1
            return [Forward(_ROUND, frame.camera, message)]
        at_ms = written_ms(message, now_ms)
        accepted = self._measured(frame, at_ms, self._received_ms(at_ms, now_ms))
        stored = state.get(key)
        window = CameraWindow.from_bytes(stored) if stored else CameraWindow()
        verdict = window.take(frame.boot, frame.sequence, at_ms)
        if verdict is Verdict.TOO_OLD:
            raise BadRecord(
                Reason.SEQUENCE_TOO_OLD,
                f"sequence {frame.sequence} is too far behind the highest of boot {frame.boot!r} to tell whether it is "
                "a repeat; a publisher that loses count starts a new boot",
            )
        state.put(key, window.to_bytes())
        # By the earlier of both clocks: who forgets too late only remembers more.
        self.events["camera_forgotten"] += state.forget(min(at_ms, now_ms), self._silent_ms, CHECKED_PER_FRAME)
        if verdict is Verdict.DUPLICATE:
            self.events["frame_duplicate"] += 1
            return [
                RepeatedFrame(
                    camera=frame.camera,
                    boot=frame.boot,
                    sequence=frame.sequence,
                    repeats=window.duplicates,
                    dropped_at_ms=now_ms,
                )
            ]
        self.events["frame_accepted" if frame.kind == "object" else "view_accepted"] += 1
        return [accepted]

    def on_label(self, label: Label, message: Message, state: Windows | None, now_ms: int) -> Sequence[Written]:
        """Accept one label. Raises `BadRecord`."""
        label = folded(label)
        check_identity(label.camera, label.boot, label.sequence)
        at_ms = written_ms(message, now_ms)
        check_label(label, at_ms, future_max_ms=self._limits.label_future_max_ms, then=_THEN.format("label"))
        accepted = AcceptedLabel(
            camera=label.camera,
            boot=label.boot,
            sequence=label.sequence,
            label=label.label,
            labelled_at_ms=label.labelled_at_ms,
            source=label.source,
            propensity=label.propensity,
            received_at_ms=self._received_ms(at_ms, now_ms),
        )
        self.events["label_accepted"] += 1
        return [accepted]

    def _received_ms(self, written_ms: int, now_ms: int) -> int:
        """Our clock, or the broker's where ours cannot be right: the time of a partition goes on with it, never back.

        A record that waited is no sign of a wrong clock, and all that waited are received when they are read.
        """
        if -BEHIND_MAX_MS <= now_ms - written_ms <= QUEUED_MAX_MS:
            return now_ms
        self.events["clock_wrong"] += 1
        return written_ms

    def _measured(self, frame: Frame, written_ms: int, received_at_ms: int) -> AcceptedFrame | CameraView:
        header = check_content(frame, written_ms, self._limits, then=_THEN.format("frame"))
        quality = measure(decode_rgb(frame.jpeg))
        measured: dict[str, Any] = {
            "camera": frame.camera,
            "boot": frame.boot,
            "sequence": frame.sequence,
            "captured_at_ms": frame.captured_at_ms,
            "received_at_ms": received_at_ms,
            "jpeg": frame.jpeg,
            "width": header.width,
            "height": header.height,
            "brightness": quality.brightness,
            "contrast": quality.contrast,
            "sharpness": quality.sharpness,
            "dark_share": quality.dark_share,
            "bright_share": quality.bright_share,
            "perceptual_hash": _signed(quality.perceptual_hash),
            "telemetry": readings(frame.telemetry),
            "chroma_blue": quality.chroma_blue,
            "chroma_red": quality.chroma_red,
            "bits_per_pixel": 8 * len(frame.jpeg) / (header.width * header.height),
        }
        if frame.kind == "view":
            return CameraView(**measured)
        return AcceptedFrame(
            **measured,
            explain=frame.explain,
            kind=frame.kind,
            track=frame.track,
            box=frame.box,
            first_seen_ms=frame.first_seen_ms,
            last_seen_ms=frame.last_seen_ms,
            direction=frame.direction,
            line=frame.line,
        )


def _signed(unsigned: int) -> int:
    return unsigned - 2**64 if unsigned >= 2**63 else unsigned
