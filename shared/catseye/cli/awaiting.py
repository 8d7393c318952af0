"""What becomes of frames that were just published: their predictions, or why there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from catseye.client import FrameId, subscribe
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Unavailable
from catseye.contract.records import DeadLetter, Frame, Prediction

if TYPE_CHECKING:
    from catseye.settings import Settings

_POLL_S = 0.2


class Awaiting:
    """Reads predictions and refusals of one camera from now on, on a thread of its own. Use it in a with-statement.

    Args:
        settings: Of the environment.
        camera: Whose frames.
        on_prediction: Called with each prediction of the camera as it comes, on that thread. Where it raises
            `BrokenPipeError`, nothing is read any more.
    """

    def __init__(self, settings: Settings, camera: str, on_prediction: Callable[[Prediction], None]) -> None:
        self.predictions: dict[FrameId, Prediction] = {}
        self.refused: dict[FrameId, str] = {}
        self._on_prediction = on_prediction
        self._codec = Codec()
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._newest_s = time.monotonic()
        self._fault: Unavailable | BrokenPipeError | None = None
        self._sources: list[Any] = [
            subscribe(topic, camera=camera, from_="now", settings=settings, timeout_s=_POLL_S)
            for topic in ("predictions", "dead-letters")
        ]
        self._reader = threading.Thread(target=self._read, name="awaiting", daemon=True)

    def until_all(self, frames: set[FrameId], quiet_s: float, stop: threading.Event) -> set[FrameId]:
        """Return when each of *frames* has its end, nothing came for *quiet_s* seconds, or *stop* is set.

        Returns:
            Those without an end.

        Raises:
            Unavailable: the topics cannot be read any more.
            BrokenPipeError: nobody reads what *on_prediction* prints; the with-statement raises it too.
        """
        since_s = time.monotonic()
        with self._changed:
            while left := frames - self.predictions.keys() - self.refused.keys():
                if self._fault is not None:
                    raise self._fault
                if stop.is_set() or time.monotonic() - max(since_s, self._newest_s) > quiet_s:
                    return left
                self._changed.wait(_POLL_S)
        return set()

    def _read(self) -> None:
        predictions, letters = self._sources
        try:
            while not self._stop.is_set():
                self._take(next(predictions, None))
                self._take(next(letters, None))
        except (Unavailable, BrokenPipeError) as fault:
            with self._changed:
                self._fault = fault
                self._changed.notify()

    def _take(self, record: Prediction | DeadLetter | None) -> None:
        if record is None:
            return
        with self._changed:
            self._newest_s = time.monotonic()
            if isinstance(record, Prediction):
                self.predictions[FrameId(record.camera, record.boot, record.sequence)] = record
            elif (frame := self._frame(record)) is not None:
                self.refused[frame] = f"{record.reason}: {record.detail}"
            self._changed.notify()
        if isinstance(record, Prediction):
            self._on_prediction(record)

    def _frame(self, letter: DeadLetter) -> FrameId | None:
        """Which frame was refused; None of what is none, or is cut short."""
        try:
            frame = self._codec.decode(letter.value or b"", Frame)
        except BadRecord:
            return None
        return FrameId(frame.camera, frame.boot, frame.sequence)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._reader.join()
        for source in self._sources:
            source.close()
        if kind is None and isinstance(self._fault, BrokenPipeError):
            raise self._fault
