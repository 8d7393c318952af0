"""Drift and incidents in this process, by the clock of the records: the alerts that predictions would have raised."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from catseye.contract.codec import Codec
from catseye.contract.message import Message
from catseye.contract.records import Alert
from catseye.contract.topics import full_name
from catseye.runtime.progress import ALL_WORKED
from catseye.runtime.router import Router
from catseye.runtime.stream import Output
from services.drift import NAME as DRIFT
from services.drift import READS as DRIFT_READS
from services.drift import WRITES as DRIFT_WRITES
from services.drift.cameras import Cameras
from services.drift.core import DriftCore
from services.drift.report import report
from services.drift.rules import Rules as DriftRules
from services.incidents import BATCHES, NAME, WRITES
from services.incidents.core import IncidentsCore
from services.incidents.incidents_state import IncidentsState
from services.incidents.rules import Rules as IncidentsRules

BATCH_MS: Final = 500
"""Time of the records that one batch spans, as a drift worker takes them that keeps up."""
TICK_MS: Final = 5_000
"""How often it is asked what did not come. Workers ask every second; a silence is reported up to so much later here."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as it would stand on a topic; satisfies `catseye.runtime.stream.Message`."""

    topic_: str
    partition_: int
    offset_: int
    value_: bytes | None

    def topic(self) -> str:
        return self.topic_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self.value_

    def timestamp(self) -> tuple[int, int]:
        return (0, 0)

    def headers(self) -> None:
        return None


class Watch:
    """Takes predictions, outcomes and refused frames as they came; remembers alerts.

    Args:
        codec: Reads and writes records.
        prefix: Of topic names.
        drift: Rules of drift.
        incidents: Rules of incidents.
        partitions: Of the topics that cameras are the key of.
    """

    def __init__(
        self, codec: Codec, prefix: str, drift: DriftRules, incidents: IncidentsRules, partitions: Iterable[int]
    ) -> None:
        self._codec = codec
        self._rules = drift
        core = DriftCore(drift, prefix)
        core.on_progress(ALL_WORKED, ALL_WORKED)
        self._drift: Router[Cameras] = Router(
            core, DRIFT, DRIFT_READS, DRIFT_WRITES, codec, prefix, max(drift.partitions, 1)
        )
        self._cameras = {partition: core.new_state() for partition in partitions}
        self._incidents: Router[IncidentsState] = Router(
            IncidentsCore(incidents), NAME, BATCHES, WRITES, codec, prefix, 1
        )
        self._states = {0: IncidentsState()}
        self._reports = full_name("drift.reports", prefix)
        self._alerts_topic = full_name("alerts", prefix)
        self._batch: list[Message] = []
        self._began_ms = self._ticked_ms = 0
        self._alerts: dict[str, Alert] = {}

    def take(self, at_ms: int, message: Message) -> None:
        """Take a record that came at *at_ms*, which never goes back."""
        self.until(at_ms)
        if not self._batch:
            self._began_ms = at_ms
        self._batch.append(message)

    def until(self, at_ms: int) -> None:
        """Time has gone on to *at_ms*."""
        if self._batch and at_ms >= self._began_ms + BATCH_MS:
            self._flush()
        if not self._ticked_ms:
            self._ticked_ms = at_ms
        while self._ticked_ms + TICK_MS <= at_ms:
            self._ticked_ms += TICK_MS
            self._tick(self._ticked_ms)

    def finish(self, at_ms: int) -> list[Alert]:
        """The newest record of each alert by *at_ms*, in the order in which they opened."""
        self.until(at_ms)
        self._flush()
        self._tick(at_ms)
        return sorted(self._alerts.values(), key=lambda alert: (alert.opened_at_ms, alert.alert_id))

    def learning(self) -> dict[str, int]:
        """Cameras that drift cannot claim anything of yet, to the samples that it still needs."""
        reports = (
            report(*cameras.home(camera), self._rules, cameras.shared.newest_ms, ("", partition))
            for partition, cameras in self._cameras.items()
            for camera in cameras
        )
        return {each.camera: each.learning_left for each in reports if each.learning_left}

    def _flush(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, []
            self._hand_on(self._drift.on_batch(batch, self._cameras, self._began_ms), self._began_ms)

    def _tick(self, at_ms: int) -> None:
        self._hand_on(self._drift.on_time(self._cameras, at_ms), at_ms)
        self._note(self._incidents.on_time(self._states, at_ms))

    def _hand_on(self, outputs: Sequence[Output], at_ms: int) -> None:
        """Hand the reports among *outputs* to incidents."""
        for cameras in self._cameras.values():
            cameras.commit()
        reports = [Kept(output.topic, 0, 0, output.value) for output in outputs if output.topic == self._reports]
        if reports:
            self._note(self._incidents.on_batch(reports, self._states, at_ms))

    def _note(self, outputs: Sequence[Output]) -> None:
        self._states[0].commit()
        for output in outputs:
            if output.topic == self._alerts_topic:
                alert = self._codec.decode(output.value, Alert)
                self._alerts[alert.alert_id] = alert
