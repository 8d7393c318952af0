"""What a subscriber gets of a topic: which partitions, which records, and what becomes of unreadable ones. Pure."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.identity import partition_of
from catseye.contract.names import camera_of
from catseye.contract.records import Place, Record
from catseye.contract.topics import BY_NAME, TOPICS, full_name

From = Literal["now", "beginning"]


class Unreadable(NamedTuple):
    """A record that is not what its topic carries.

    Attributes:
        place: Where it lies.
        reason: Stable code.
        detail: What was found.
        value: Its bytes.
    """

    place: Place
    reason: Reason
    detail: str
    value: bytes | None


class Reading:
    """One subscriber's view of one topic.

    Args:
        topic: Name without the prefix, for example ``predictions``.
        prefix: Of topic names.
        camera: Only this camera's records; None for all.
        on_unreadable: Gets what cannot be read; the subscription goes on.

    Raises:
        BadRecord: no camera has that name.
        Misconfigured: there is nothing to subscribe to under that name.
    """

    def __init__(
        self, topic: str, prefix: str, camera: str | None, on_unreadable: Callable[[Unreadable], None]
    ) -> None:
        if topic not in BY_NAME or BY_NAME[topic].record is None:
            names = ", ".join(each.name for each in TOPICS if each.record is not None)
            raise Misconfigured(f"{topic} is not a topic to subscribe to; these are: {names}")
        self._topic = BY_NAME[topic]
        self._camera = None if camera is None else camera_of(camera)
        self._on_unreadable = on_unreadable
        self.name = full_name(topic, prefix)

    def partitions(self, number: int, spread: int | None = None) -> list[int]:
        """Which of *number* partitions can hold what is wanted: one, where a camera lives on one.

        Cameras are spread over *spread* of them; where those are not all, somebody gave the topic more, or our setting
        is not the fleet's, and nobody here can tell which.
        """
        everywhere = self._topic.public or not self._topic.by_camera or self._topic.key != ("camera",)
        if self._camera is None or everywhere or spread not in (None, number):
            return list(range(number))
        return [partition_of(self._camera, number)]

    def record(self, codec: Codec, partition: int, offset: int, value: bytes | None) -> Any:
        """The record, or None when it is not wanted or cannot be read."""
        assert self._topic.record is not None
        try:
            record = codec.decode(value, self._topic.record)
        except BadRecord as fault:
            place = Place(topic=self.name, partition=partition, offset=offset)
            self._on_unreadable(Unreadable(place, fault.reason, fault.detail, value))
            return None
        return record if self._camera is None or self._camera in _cameras(record) else None


def _cameras(record: Record) -> list[str]:
    return [getattr(record, "camera", None) or "", *getattr(record, "cameras", [])]
