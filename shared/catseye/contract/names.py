"""What a name of a camera, a boot, a label, its source or a reading may be, for who publishes and for who accepts."""

import re
from typing import Final

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.limits import NAME_MAX

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # C0, delete and C1 of Unicode: they garble terminals, logs, keys


def check_text(name: str, text: str) -> None:
    """Raises `BadRecord` when *text*, which is called *name*, is too long or cannot be shown."""
    if len(text) > NAME_MAX:
        raise BadRecord(Reason.TEXT_TOO_LONG, f"{name} has {len(text)} characters; at most {NAME_MAX} are kept")
    if control := _CONTROL.search(text):
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"{name} has the control character U+{ord(control[0]):04X} at {control.start()}; every printable one is "
            "allowed",
        )


def check_camera(camera: str) -> None:
    """Raises `BadRecord` when *camera* is empty, too long or cannot be shown."""
    if not camera.strip():
        raise BadRecord(Reason.CAMERA_EMPTY, "camera is empty; every frame and label names its camera")
    check_text("camera", camera)
