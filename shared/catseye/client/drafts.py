"""What a publisher says, checked and numbered before it goes anywhere. Pure."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, Self, SupportsFloat

from msgspec.structs import replace

from catseye.client.given import Readings, Time, jpeg_bytes, readings_of, share, text, time_ms, whole
from catseye.contract.checks import CONTRACT, Limits, check_content, check_identity, check_label, folded, readings
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import frame_id
from catseye.contract.names import boot_of
from catseye.contract.records import Frame, FrameKind, Label

if TYPE_CHECKING:
    from catseye.client.given import Picture


class FrameId(NamedTuple):
    """Names one frame: the publisher counts frames of a camera from 0 up, within one boot.

    Attributes:
        camera: Name of the camera, 1 to 200 characters, folded (`catseye.contract.names`).
        boot: Name of one run of the counter, at most 200 characters, without strokes.
        sequence: Number of the frame within the boot.
    """

    camera: str
    boot: str
    sequence: int

    def __str__(self) -> str:
        return frame_id(*self)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes, ``camera/boot/sequence``; a camera may have strokes in its name, a boot may not.

        Raises:
            BadRecord: *text* is not such a name.
        """
        camera, _, rest = text.rpartition("/")[0].rpartition("/")
        sequence = text.rpartition("/")[2]
        if not camera or not rest or not (sequence.isascii() and sequence.isdecimal()):
            raise BadRecord(
                Reason.FIELD_OUT_OF_RANGE, f"{text!r} is no frame; it is camera/boot/sequence, for example cam-01/b7/42"
            )
        return cls(camera, rest, int(sequence))


class Sighting(NamedTuple):
    """What a publisher that follows objects knows of the one in a frame.

    Attributes:
        track: Name of the object; all its frames share it.
        box: Left, top, width and height in the camera's picture, as shares of it, 0 to 1.
        first_seen_ms: When it was first seen, the camera's clock, Unix milliseconds.
        last_seen_ms: When it was last seen.
        direction: Where it went in the picture: left, right, up or down; None where that is not known.
        line: Name of the counting line that it crossed; None where it crossed none.
    """

    track: str
    box: tuple[float, float, float, float]
    first_seen_ms: int
    last_seen_ms: int
    direction: str | None = None
    line: str | None = None


class Drafts:
    """Makes records of what a publisher says; numbers frames, each camera's from 0 up, no number twice.

    Args:
        boot: Name of this run of the counters. A publisher that cannot tell its last number takes a new name.
        camera: Camera of frames that name none.
        limits: What ingest accepts.
    """

    def __init__(self, boot: str, camera: str | None = None, limits: Limits = CONTRACT) -> None:
        self.boot = boot_of(text("boot", boot))
        self._camera = camera
        self._limits = limits
        # A counter hands out a number in one step of the interpreter, so that threads never share one.
        self._numbers: defaultdict[str, count[int]] = defaultdict(count)

    def frame(
        self,
        jpeg: Picture,
        captured_at_ms: Time | None = None,
        *,
        now_ms: int,
        camera: str | None = None,
        telemetry: Readings | None = None,
        explain: bool = False,
        kind: FrameKind = "object",
        sighting: Sighting | None = None,
    ) -> Frame:
        """The next frame of a camera; arguments as `catseye.client.Publisher.publish`.

        Raises:
            BadRecord: no ingest would accept it, as far as can be told without decoding the picture.
            TypeError: something is of a type that nothing can be made of.
        """
        frame = folded(
            Frame(
                camera=text("camera", camera if camera is not None else self._camera or ""),
                boot=self.boot,
                sequence=0,
                captured_at_ms=now_ms if captured_at_ms is None else time_ms("captured_at_ms", captured_at_ms),
                jpeg=jpeg_bytes(jpeg),
                telemetry=readings_of(telemetry),
                explain=bool(explain),
                kind=kind,
                track=sighting.track if sighting else None,
                box=[*sighting.box] if sighting else None,
                first_seen_ms=sighting.first_seen_ms if sighting else None,
                last_seen_ms=sighting.last_seen_ms if sighting else None,
                direction=sighting.direction if sighting else None,
                line=sighting.line if sighting else None,
            )
        )
        check_identity(frame.camera, frame.boot, frame.sequence)
        check_content(frame, now_ms, self._limits)
        return replace(frame, sequence=next(self._numbers[frame.camera]), telemetry=readings(frame.telemetry))


def label_of(
    frame: FrameId,
    label: str | None,
    labelled_at_ms: Time | None,
    *,
    now_ms: int,
    source: str,
    propensity: SupportsFloat,
) -> Label:
    """What *frame* showed; None takes back what was said before. Without *labelled_at_ms* that is so since now.

    Raises:
        BadRecord: no ingest would accept it.
        TypeError: something is of a type that nothing can be made of.
    """
    record = folded(
        Label(
            camera=text("camera", frame.camera),
            boot=text("boot", frame.boot),
            sequence=whole("sequence", frame.sequence),
            label=None if label is None else text("label, the name of a class or None,", label),
            labelled_at_ms=now_ms if labelled_at_ms is None else time_ms("labelled_at_ms", labelled_at_ms),
            source=text("source", source),
            propensity=share("propensity", propensity),
        )
    )
    check_identity(record.camera, record.boot, record.sequence)
    check_label(record, now_ms)
    return record
