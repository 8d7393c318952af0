"""What is known of a camera that follows vehicles, or sends views, beside its rows: of others it is nothing.

One value a camera on the state topic. It is read and written whole: views come every few seconds, vehicles not often.
"""

from typing import Any, Final

import msgspec

from catseye.contract.identity import digest
from catseye.runtime.state_format import Format

TRACKS: Final = 8
"""Vehicles that are remembered: pictures of one come together, its labels nearly so."""
PHASES: Final = 2
GAPS: Final = 5
GRACE_MS: Final = 15_000
FEWEST: Final = 5
"""Views before their absence means anything."""
_GAP_FADES: Final = 0.999


class Moved(msgspec.Struct, array_like=True, frozen=True):
    """That a camera has moved: cause of the alarm, since when, and when that was seen."""

    cause: bytes
    since_ms: int
    raised_at_ms: int


class Followed(msgspec.Struct, array_like=True):
    """One camera.

    Attributes:
        tracks: Vehicles that were samples of late, the newest first.
        label_tracks: Those whose labels were.
        views: How many came.
        view_ms: When the last one came.
        gap_max_ms: Longest time between two of them, fading.
        content: Of the last one: two that are the same to the bit share it.
        learned: Views of each phase, as far as they are counted.
        focus, contrast: What is usual in each phase.
        bits: Share of views that have each bit of the hash, float32 [phase, 64], packed.
        run: Views in a row that speak against what is raised or not, a rule each.
        from_ms: Since when.
        moved: None while the camera has not moved.
    """

    tracks: list[int] = []
    label_tracks: list[int] = []
    views: int = 0
    view_ms: int = 0
    gap_max_ms: float = 0.0
    content: int = 0
    learned: list[int] = msgspec.field(default_factory=lambda: [0] * PHASES)
    focus: list[float] = msgspec.field(default_factory=lambda: [0.0] * PHASES)
    contrast: list[float] = msgspec.field(default_factory=lambda: [0.0] * PHASES)
    bits: bytes = bytes(4 * 64 * PHASES)
    run: list[int] = []
    from_ms: list[int] = []
    moved: Moved | None = None

    @property
    def quiet_until_ms(self) -> int:
        """Until when no view need come; for ever while too few have come."""
        return self.view_ms + int(GAPS * self.gap_max_ms) + GRACE_MS if self.views >= FEWEST else 2**62

    def judges(self, at_ms: int) -> bool:
        """Whether views, and not crops, say what is wrong with the camera. Where objects come and no view has for long,
        the camera sends none any more."""
        if self.views and at_ms > self.quiet_until_ms:
            self.views, self.view_ms, self.gap_max_ms = 0, 0, 0.0
        return self.views > 0

    def view_came(self, at_ms: int) -> None:
        """Count a view."""
        if self.views:
            self.gap_max_ms = max(self.gap_max_ms * _GAP_FADES, float(at_ms - self.view_ms))
        self.view_ms = max(self.view_ms, at_ms)
        self.views += 1

    def is_new(self, boot: str, track: str | None, *, of_label: bool = False) -> bool:
        """Whether this picture, or label, is the first one of a vehicle, which is remembered: the others are no
        samples of their own. True where nobody follows vehicles."""
        if track is None:
            return True
        number = int(digest("track", boot, track)[:15], 16)
        known = self.label_tracks if of_label else self.tracks
        if number in known:
            return False
        known.insert(0, number)
        del known[TRACKS:]
        return True


def _read(body: bytes) -> Followed:
    return msgspec.msgpack.decode(body, type=Followed)


FORMAT: Final[Format[Followed]] = Format(
    "drift", "what is known of vehicles and views", write=msgspec.msgpack.encode, readers={1: _read}
)


class FollowedCameras:
    """Cameras of a partition that follow vehicles or send views, with one step back."""

    def __init__(self) -> None:
        self._known: dict[str, Followed] = {}
        self._before: dict[str, bytes | None] = {}

    def __iter__(self) -> Any:
        return iter(self._known.items())

    def get(self, camera: str) -> Followed | None:
        """What is known, to be read."""
        return self._known.get(camera)

    def of(self, camera: str) -> Followed:
        """What is known, about to change."""
        found = self._known.get(camera)
        if camera not in self._before:
            self._before[camera] = None if found is None else FORMAT.write(found)
        if found is None:
            found = self._known[camera] = Followed()
        return found

    def restore(self, camera: str, value: bytes | None) -> None:
        """Take what stands on the log."""
        if value is None:
            self._known.pop(camera, None)
        else:
            self._known[camera] = FORMAT.read(value)

    def changes(self) -> list[tuple[str, bytes]]:
        """Cameras that changed, with what is known now."""
        written = [(camera, FORMAT.write(self._known[camera])) for camera in self._before]
        return [(camera, value) for camera, value in written if value != self._before[camera]]

    def commit(self) -> None:
        """The changes are on the log."""
        self._before.clear()

    def rollback(self) -> None:
        """They are not."""
        for camera, before in self._before.items():
            self.restore(camera, before)
        self._before.clear()
