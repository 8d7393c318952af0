"""Pictures of a source for as long as somebody wants them: a live stream that ends or fails is opened anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

from catseye.backoff import Backoff
from catseye.video.faults import Because, VideoFault
from catseye.video.feed import Feed, Patience
from catseye.video.messages import Count
from catseye.video.picture import Picture

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_STEADY_S: Final = 30.0  # a stream that held so long begins with short pauses again


class Source:
    """A file, a device or a stream, and what was dropped of it.

    Args:
        name: Path or address.
        on_event: Gets one sentence for each thing that happened to a stream and ends nothing.
        patience: How long is waited for what.
        backoff: Pauses before a stream is opened anew.
        pictures_per_s: Pictures of a second that are wanted, at most; None for all.
    """

    def __init__(
        self,
        name: str,
        *,
        on_event: Callable[[str], None],
        patience: Patience | None = None,
        backoff: Backoff | None = None,
        pictures_per_s: float | None = None,
    ) -> None:
        self.name = name
        self.live = False
        self.openings = 0
        self._on_event = on_event
        self._patience = patience
        self._pictures_per_s = pictures_per_s
        self._backoff = backoff or Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._dropped = Count()
        self._feed: Feed | None = None

    @property
    def dropped(self) -> Count:
        """Pictures that were not handed on, of all openings."""
        now = self._feed.dropped if self._feed is not None else Count()
        before = self._dropped
        return Count(before.damaged + now.damaged, before.late + now.late, before.thinned + now.thinned)

    @property
    def pid(self) -> int | None:
        """Of the child that decodes now."""
        return self._feed.pid if self._feed is not None else None

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """One after the other, until *stop* is set or a file is at its end. Each holds until the next is asked for.

        `openings` counts up when a stream was opened anew: its times begin at 0 again.

        Raises:
            VideoFault: the source was never open, or is a file and cannot be read to its end.
        """
        while not stop.is_set():
            began_s = time.monotonic()
            try:
                yield from self._once(stop)
            except VideoFault as fault:
                if not self.live:
                    if fault.because is Because.END:
                        return
                    raise
                if time.monotonic() - began_s > _STEADY_S:
                    self._backoff.reset()
                pause_s = self._backoff.pause_s()
                self._on_event(f"{fault}; it is opened anew in {pause_s:.1f} s")
                stop.wait(pause_s)

    def _once(self, stop: threading.Event) -> Iterator[Picture]:
        shape: tuple[int, int] | None = None
        with closing(Feed(self.name, self._patience, pictures_per_s=self._pictures_per_s)) as feed:
            self._feed = feed
            try:
                for picture in feed.pictures(stop):
                    if shape is None:
                        self.live = feed.live
                        self.openings += 1
                    elif shape != (picture.width, picture.height):
                        self._on_event(
                            f"{self.name} changed its pictures from {shape[0]} x {shape[1]} to {picture.width} x "
                            f"{picture.height} pixels"
                        )
                    shape = picture.width, picture.height
                    yield picture
            finally:
                self._dropped, self._feed = self.dropped, None
