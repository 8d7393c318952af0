"""What a publisher says, checked and numbered before it goes anywhere. Pure."""

from collections import defaultdict
from itertools import count
from typing import NamedTuple, Self

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import frame_id
from catseye.contract.limits import LABEL_AHEAD_MAX_MS, PUBLIC_MAX_BYTES
from catseye.contract.names import check_camera, check_text
from catseye.contract.records import Frame, Label

_JPEG_MAX_BYTES = PUBLIC_MAX_BYTES - 64 * 1024  # leaves room for names and telemetry
_START_OF_IMAGE = b"\xff\xd8"


class FrameId(NamedTuple):
    """Names one frame: the publisher counts frames of a camera from 0 up, within one boot.

    Attributes:
        camera: Name of the camera, 1 to 200 characters.
        boot: Name of one run of the counter, at most 200 characters.
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


class Drafts:
    """Makes records of what a publisher says; numbers frames, each camera's from 0 up, no number twice.

    Args:
        boot: Name of this run of the counters. A publisher that cannot tell its last number takes a new name.
        camera: Camera of frames that name none.
    """

    def __init__(self, boot: str, camera: str | None = None) -> None:
        check_text("boot", boot)
        self.boot = boot
        self._camera = camera
        # A counter hands out a number in one step of the interpreter, so that threads never share one.
        self._numbers: defaultdict[str, count[int]] = defaultdict(count)

    def frame(
        self,
        jpeg: bytes,
        captured_at_ms: int,
        *,
        camera: str | None = None,
        telemetry: dict[str, float] | None = None,
        explain: bool = False,
    ) -> Frame:
        """The next frame of a camera.

        Raises:
            BadRecord: no ingest would accept it: no camera, no JPEG, or too long.
        """
        name = camera if camera is not None else self._camera or ""
        check_camera(name)
        if not jpeg:
            raise BadRecord(Reason.JPEG_EMPTY, "the frame has no bytes")
        if jpeg[:2] != _START_OF_IMAGE:
            raise BadRecord(Reason.NOT_A_JPEG, f"a JPEG starts with ffd8; these bytes start with {jpeg[:2].hex()}")
        if len(jpeg) > _JPEG_MAX_BYTES:
            raise BadRecord(Reason.JPEG_TOO_LARGE, f"the JPEG has {len(jpeg)} bytes; at most {_JPEG_MAX_BYTES} fit")
        return Frame(
            camera=name,
            boot=self.boot,
            sequence=next(self._numbers[name]),
            captured_at_ms=captured_at_ms,
            jpeg=jpeg,
            telemetry=telemetry or {},
            explain=explain,
        )


def label_of(
    frame: FrameId, label: str | None, labelled_at_ms: int, *, now_ms: int, source: str, propensity: float
) -> Label:
    """What *frame* showed; None takes back what was said before.

    Raises:
        BadRecord: no ingest would accept it, or it is of the future, so that no later label could correct it.
    """
    check_camera(frame.camera)
    check_text("boot", frame.boot)
    check_text("source", source)
    if frame.sequence < 0:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"sequence is {frame.sequence}; it counts from 0 up")
    if label is not None and not label.strip():
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, "label is empty; None withdraws a label")
    check_text("label", label or "")
    if not 0 < propensity <= 1:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"propensity is {propensity}; it is a chance over 0 up to 1")
    ahead_ms = labelled_at_ms - now_ms
    if ahead_ms > LABEL_AHEAD_MAX_MS:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"labelled_at_ms is {labelled_at_ms}, {ahead_ms} ms after now: at most {LABEL_AHEAD_MAX_MS} ms are taken, "
            "since of two labels the later one holds, so that this one could not be corrected; it counts Unix "
            "milliseconds",
        )
    return Label(
        camera=frame.camera,
        boot=frame.boot,
        sequence=frame.sequence,
        label=label,
        labelled_at_ms=labelled_at_ms,
        source=source,
        propensity=propensity,
    )
