"""Reports of all cameras in, alerts out. Law: each cause on a camera has at most one open alert; the same reports give
the same alerts with the same ids, however often and in however many batches they come.

Time is event time, that of the newest report. Whatever falls due is done as of its own moment, before the report that
comes after it. While no report comes, the time that passes here is added.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from catseye.contract.alert_kinds import ACCURACY_FLOOR, cause_of, unknown
from catseye.contract.codec import Codec
from catseye.contract.dead_letters import dead_letter, source_of
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import digest
from catseye.contract.message import Message
from catseye.contract.records import Alarm, Alert, CameraReport, ModelEvent
from catseye.contract.suppression import UNTIL_RESOLVED, suppressed_until_ms, without_suppression
from catseye.contract.topics import full_name
from catseye.runtime.stream import Output, Tally
from services.incidents import NAME
from services.incidents.book import FLEET, Book, Lane, Quiet, Watched
from services.incidents.explain import resolved
from services.incidents.life import Rules, look
from services.incidents.rolled_back import alerts_of

ONE_SIDED_95: Final = 1.6449
"""95 % of a normal distribution lie under its mean and so many standard deviations."""
FLEET_EVERY_MS: Final = 1_000


class IncidentsCore(Tally):
    """Reports and people's words in, alerts out.

    Args:
        codec: Reads and writes records.
        prefix: Of topic names.
        rules: What an operator can turn.
    """

    def __init__(self, codec: Codec, prefix: str, rules: Rules) -> None:
        super().__init__()
        self._codec = codec
        self._rules = rules
        self._reports = full_name("drift.reports", prefix)
        self._alerts = full_name("alerts", prefix)
        self._models = full_name("models", prefix)
        self._dead_letters = full_name("dead-letters", prefix)
        self._quiet_since: tuple[int, int] = (0, 0)  # newest report's event time, and our clock when it was first seen

    def new_state(self) -> Book:
        return Book()

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, Book], now_ms: int) -> list[Output]:
        outputs: list[Output] = []
        for message in batch:
            book = states[message.partition()]
            try:
                if message.topic() == self._reports:
                    said = self.on_report(self._codec.decode(message.value(), CameraReport), book)
                elif message.topic() == self._models:
                    said = alerts_of(self._codec.decode(message.value(), ModelEvent))
                else:
                    said = self.on_alert(self._codec.decode(message.value(), Alert), book)
            except BadRecord as fault:
                self.events[f"dead_{fault.reason}"] += 1
                letter = self._codec.encode(dead_letter(NAME, message, fault, now_ms))
                outputs.append(Output(self._dead_letters, message.partition(), source_of(message), letter))
            else:
                outputs += [self._output(alert, message.partition()) for alert in said]
        return outputs

    def on_time(self, states: Mapping[int, Book], now_ms: int) -> list[Output]:
        """Do what has fallen due while no report came."""
        outputs: list[Output] = []
        for partition, book in states.items():
            if self._quiet_since[0] != book.newest_ms:
                self._quiet_since = (book.newest_ms, now_ms)
            idle_ms = max(0, now_ms - self._quiet_since[1])
            outputs += [self._output(alert, partition) for alert in self._until(book, book.newest_ms + idle_ms)]
        return outputs

    def on_report(self, report: CameraReport, book: Book) -> list[Alert]:
        """Take what is wrong with one camera now.

        Raises:
            BadRecord: one of its alarms is of a kind that is not known here.
        """
        before = book.camera(report.camera)
        if report.at_ms < before.at_ms or _noted(before, report, before.lag_ms) == before:
            self.events["report_repeated"] += 1
            return []
        if kinds := unknown(alarm.kind for alarm in report.alarms):
            raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"no row of alert_kinds says what {', '.join(kinds)} is")
        self.events["report"] += 1
        said = self._until(book, report.at_ms)
        at_ms = book.clock_ms
        # What fell due may have changed this camera too.
        book.put_camera(report.camera, _noted(book.camera(report.camera), report, at_ms - report.at_ms))
        said += look(self._rules, book, report.camera, at_ms)
        return said + self._fleet(book, report, at_ms)

    def on_alert(self, said: Alert, book: Book) -> list[Alert]:
        """Take what a person says of an alert; our own records come back here too, and say nothing new."""
        if said.by == NAME or said.state not in ("suppressed", "acknowledged"):
            return []
        camera, lane_name = said.camera or FLEET, cause_of(said.kind)
        watched = book.camera(camera)
        lane = watched.lanes.get(lane_name)
        alert = lane.alert if lane is not None else None
        until_ms = suppressed_until_ms(said.explanation) if said.state == "suppressed" else 0
        is_over = alert is None or alert.alert_id != said.alert_id
        # What was heard of an alert while it was open is no repeat once it is over: then its end is to be said again.
        stamp = f"{said.alert_id}/{said.revision}/{said.by}/{said.state}/{until_ms}/{is_over}"
        if watched.heard == stamp:
            self.events["word_repeated"] += 1
            return []
        self.events[said.state] += 1
        watched = replace(watched, heard=stamp, quiet=_quieted(watched, said, until_ms))
        if lane is None or alert is None or is_over:
            return _of_what_is_over(said, book, camera, watched)
        # Whoever said it may not have seen our last record: what we know stays, and is said again where they differ.
        collided = said.revision <= alert.revision
        known = replace(
            alert,
            state=said.state,
            revision=alert.revision + 1 if collided else said.revision,
            updated_at_ms=max(alert.updated_at_ms, said.updated_at_ms, book.clock_ms),
            explanation=said.explanation,
            by=NAME,
        )
        changed = _told(lane, known, until_ms)
        book.put_camera(camera, replace(watched, lanes=watched.lanes | {lane_name: changed}))
        return [*([known] if collided else []), *look(self._rules, book, camera, book.clock_ms)]

    def _until(self, book: Book, to_ms: int) -> list[Alert]:
        """Do what falls due until *to_ms*, each as of its own moment."""
        said: list[Alert] = []
        while (due := book.next_due(to_ms)) is not None:
            due_ms, camera = due
            book.clock_ms = max(book.clock_ms, due_ms)
            said += look(self._rules, book, camera, book.clock_ms)
        book.clock_ms = max(book.clock_ms, to_ms)
        return said

    def _fleet(self, book: Book, report: CameraReport, at_ms: int) -> list[Alert]:
        """Judge the accuracy of all cameras together, once a second of event time."""
        fleet = book.camera(FLEET)
        if at_ms < fleet.at_ms + FLEET_EVERY_MS:
            return []
        cameras = book.cameras().values()
        labels = sum(watched.recent_labels for watched in cameras)
        right = max(0.0, labels - sum(watched.recent_errors for watched in cameras))
        floor = self._rules.accuracy_floor
        fleet = replace(
            fleet,
            at_ms=at_ms,
            model=report.model,
            version=report.version,
            version_since_ms=report.version_since_ms,
        )
        if labels >= self._rules.floor_labels:  # with fewer, what was so before holds
            was_under = bool(fleet.alarms)
            # It takes certainty to raise it, and no more than the number itself to let it go.
            is_under = right / labels < floor if was_under else upper_bound(right, labels) < floor
            episodes = fleet.episodes + (is_under and not was_under)
            alarms = (_fleet_alarm(fleet, right, labels, floor, episodes, at_ms),) if is_under else ()
            fleet = replace(fleet, alarms=alarms, episodes=episodes)
        book.put_camera(FLEET, fleet)
        return look(self._rules, book, FLEET, at_ms)

    def _output(self, alert: Alert, partition: int) -> Output:
        self.events[f"alert_{alert.state}"] += 1
        return Output(self._alerts, partition, alert.alert_id.encode(), self._codec.encode(alert))


def upper_bound(right: float, labels: float) -> float:
    """Upper end of the one-sided 95 % interval of a share (Wilson, "Probable inference", JASA 1927).

    Args:
        right: Successes, 0 to *labels*.
        labels: Trials, over 0.
    """
    share, z = right / labels, ONE_SIDED_95
    spread = z * math.sqrt(share * (1 - share) / labels + (z / (2 * labels)) ** 2)
    return (share + z * z / (2 * labels) + spread) / (1 + z * z / labels)


def _noted(watched: Watched, report: CameraReport, lag_ms: int) -> Watched:
    """What is known of a camera once it has said *report*."""
    changed = bool(watched.version) and (report.model, report.version) != (watched.model, watched.version)
    return replace(
        watched,
        at_ms=report.at_ms,
        lag_ms=lag_ms,
        alarms=tuple(report.alarms),
        model=report.model,
        version=report.version,
        version_since_ms=report.version_since_ms,
        version_before=f"{watched.model} {watched.version}" if changed else watched.version_before,
        recent_labels=report.recent_labels,
        recent_errors=report.recent_errors,
        worst_loss=report.worst_loss,
    )


def _quieted(watched: Watched, said: Alert, until_ms: int) -> dict[str, Quiet]:
    """Kinds that are to be quiet, with what was just said: acknowledging one lets its alerts be heard again."""
    others = {kind: quiet for kind, quiet in watched.quiet.items() if kind != said.kind}
    if 0 < until_ms < UNTIL_RESOLVED:
        others[said.kind] = Quiet(until_ms=until_ms, by=said.by)
    return others


def _of_what_is_over(said: Alert, book: Book, camera: str, watched: Watched) -> list[Alert]:
    """Note what a person says of an alert that is not open: it may still hold for the next one.

    Whoever said it may not have seen the end. Their record is then the newest of an alert of ours, and would stand for
    ever: the end is said again.
    """
    revision = watched.revisions.get(said.alert_id)
    if revision is None:  # not ours, or forgotten
        book.put_camera(camera, watched)
        return []
    ended_ms = watched.ended_ms.get(said.alert_id, book.clock_ms)
    over = replace(
        said,
        state="resolved",
        revision=max(revision, said.revision) + 1,
        updated_at_ms=max(said.updated_at_ms, book.clock_ms),
        resolved_at_ms=ended_ms,
        explanation=resolved(without_suppression(said.explanation), said.opened_at_ms, ended_ms),
        by=NAME,
    )
    book.put_camera(camera, replace(watched, revisions=watched.revisions | {over.alert_id: over.revision}))
    return [over]


def _told(lane: Lane, known: Alert, until_ms: int) -> Lane:
    """A lane of which a person has said something."""
    seen = not until_ms
    return replace(lane, alert=known, held_until_ms=until_ms, acknowledged=seen, shown=lane.shown or seen)


def _fleet_alarm(fleet: Watched, right: float, labels: float, floor: float, episode: int, at_ms: int) -> Alarm:
    since_ms = fleet.alarms[0].since_ms if fleet.alarms else at_ms
    return Alarm(
        kind=ACCURACY_FLOOR,
        cause=digest("fleet", ACCURACY_FLOOR, episode),
        signal="accuracy",
        phase="all",
        detector="wilson",
        estimate=right / labels,
        reference=floor,
        evidence=upper_bound(right, labels),
        threshold=floor,
        since_ms=since_ms,
        raised_at_ms=since_ms,
    )
