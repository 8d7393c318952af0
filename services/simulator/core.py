"""A road of cameras, drawn from a seed: which frame is taken when, and how it is labelled later.

The load is an open loop: times are drawn beforehand and never wait for whoever takes the frames, so that a system
that falls behind is seen to fall behind. Arrivals of a camera are a Poisson process. All times are milliseconds since
the road began; whoever plays it adds a clock, pictures and a broker.

Each camera has streams of chance of its own (its character, its frames, its labels, what follows of labels, its device,
what happens to it, what happens to its labels), which keep plans comparable: with another label delay or share of wrong
labels the same frames come at the same times. Whatever happens to some cameras, the others and the time before stay as
they were, and so do all times of frames.
"""

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Literal, NamedTuple

from services.simulator.changes import (
    OTHER_FRAMES,
    Black,
    Change,
    ClassMix,
    ClockJump,
    Effect,
    Frozen,
    LabelsStop,
    NewKind,
    Silent,
    Weather,
    WrongLabels,
    progress,
    rarest_frequent,
)
from services.simulator.device import Device
from services.simulator.weather import LASTING

LIGHT_LEVELS = 4  # steps of light up, and as many down; few, so that pictures can be kept for each
_RATE_SPREAD = 0.4  # a camera's rate lies this far around the mean before rates are made to add up
_CLASS_EVENNESS = 4.0  # shape of the Dirichlet distribution of class shares; higher is more even
_SUN_SPREAD_RAD = 0.3  # how far apart cameras see the same hour of the day
_COPY_WITHIN_MS = 200.0
_SHORTEST_CORRECTION_MS = 100.0  # between a wrong label and its correction, so that their clocks differ
_REPEAT_MEAN_MS = 2_000.0
_VARIANTS = 8  # of weather that falls anew on each frame; few, so that pictures can be kept for each
_LASTING_VARIANTS = 2**31

Why = Literal["first", "wrong", "correction", "repeat", "uncorrected"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the road is like.

    Attributes:
        classes: Names of the classes, at least two.
        seed: Of all chance.
        cameras: How many there are, 1 or more.
        fps: Frames per second of a camera, the mean over all cameras, over 0.
        duration_ms: No frame is taken later; may be infinite when `count` is not.
        count: No more frames are taken than this many, copies not counted; None sets no limit.
        light: Whether the day makes pictures brighter and darker.
        day_ms: Length of a day of light, over 0.
        copy_share: Share of frames that are sent twice, 0 to 1.
        corrupt_share: Share of frames whose picture is damaged, 0 to 1; they are neither copied nor labelled.
        label_share: Share of frames that get a label, 0 to 1.
        label_delay_ms: Mean of the exponential delay from frame to label, and from a wrong label to its correction,
            over 0.
        wrong_share: Share of labels that are wrong at first, 0 to 1; each is corrected later.
        repeat_share: Share of labels that are sent twice, 0 to 1.
        hurry: How many times faster what is still due comes once the last frame was taken, 1 or more.
        change: What happens to the changed cameras.
        change_at_ms: From when on.
        change_cameras: How many cameras change, the first ones of the road.
    """

    classes: tuple[str, ...]
    seed: int
    cameras: int
    fps: float
    duration_ms: float
    count: int | None = None
    light: bool = True
    day_ms: float = 600_000.0
    copy_share: float = 0.001
    corrupt_share: float = 0.0
    label_share: float = 0.9
    label_delay_ms: float = 10_000.0
    wrong_share: float = 0.01
    repeat_share: float = 0.01
    hurry: float = 10.0
    change: Change = OTHER_FRAMES
    change_at_ms: float = math.inf
    change_cameras: int = 0


class FrameDue(NamedTuple):
    """A frame to send.

    Attributes:
        at_ms: When it is sent.
        taken_at_ms: When it was taken: earlier only for a copy.
        camera: Name of the camera.
        sequence: Number of the frame, from 0 up.
        label: The class that it shows.
        nth: How many-eth picture of that class the camera shows, from a start of its own.
        light: Step of light, -`LIGHT_LEVELS` to `LIGHT_LEVELS`.
        changed: Whether what happens on this road has begun for its camera.
        corrupt: Whether it is damaged.
        copy: 1 when it was sent before.
        source: The class whose picture it is made of: other than `label` only for a new kind.
        effect: What is done to the picture.
        clock_off_ms: How wrong the camera's clock is; negative is behind.
        telemetry: Readings of the device by name, in °C and V.
    """

    at_ms: float
    taken_at_ms: float
    camera: str
    sequence: int
    label: str
    nth: int
    light: int
    changed: bool
    corrupt: bool
    copy: int
    source: str
    effect: Effect | None
    clock_off_ms: int
    telemetry: Mapping[str, float]


class LabelDue(NamedTuple):
    """A label to send.

    Attributes:
        at_ms: When it is sent.
        camera: Name of the camera.
        sequence: Number of the frame that it is about.
        label: The class that it says.
        labelled_at_ms: When it was first given: earlier than `at_ms` only for a repeat.
        why: Which of the frame's labels it is.
        truth: The class that the frame shows.
    """

    at_ms: float
    camera: str
    sequence: int
    label: str
    labelled_at_ms: float
    why: Why
    truth: str


Due = FrameDue | LabelDue


class _Camera:
    """One camera: its character, drawn once, and its streams of chance."""

    def __init__(self, number: int, plan: Plan) -> None:
        self.name = f"cam-{number + 1:02d}"
        character = Random(f"{plan.seed}/{self.name}/character")
        self.frames = Random(f"{plan.seed}/{self.name}/frames")
        self.labels = Random(f"{plan.seed}/{self.name}/labels")
        self.afterwards = Random(f"{plan.seed}/{self.name}/afterwards")
        self.fate = Random(f"{plan.seed}/{self.name}/fate")
        self.label_fate = Random(f"{plan.seed}/{self.name}/label fate")
        self.device = Device(Random(f"{plan.seed}/{self.name}/device"))
        self.rate = character.uniform(1 - _RATE_SPREAD, 1 + _RATE_SPREAD)
        weights = [character.gammavariate(_CLASS_EVENNESS, 1) for _ in plan.classes]
        self.cumulative = list(accumulate(weights))
        self.sun_rad = character.uniform(-_SUN_SPREAD_RAD, _SUN_SPREAD_RAD)
        self.glare = character.uniform(0.5, 1.0)
        self.shown = {label: character.randrange(10_000) for label in plan.classes}
        self.change_at_ms = plan.change_at_ms if number < plan.change_cameras else math.inf
        if isinstance(plan.change, ClassMix):
            self.changed_cumulative = list(accumulate(rarest_frequent(weights, plan.change.share)))
        self.lasting_variant = self.fate.randrange(_LASTING_VARIANTS)
        self.latest: FrameDue | None = None
        self.sequence = 0


class Road:
    """Gives what is due, in order of time. The same plan gives the same events, however often it is asked."""

    def __init__(self, plan: Plan) -> None:
        if len(plan.classes) < 2 or plan.cameras < 1:
            raise ValueError("a road needs at least two classes and one camera")
        if plan.count is None and math.isinf(plan.duration_ms):
            raise ValueError("a road needs an end: a duration or a count of frames")
        if isinstance(plan.change, NewKind):
            if plan.change.label in plan.classes:
                raise ValueError(f"{plan.change.label} is no new kind: it is one of the classes of the road")
            if plan.change.made_of and plan.change.made_of not in plan.classes:
                raise ValueError(
                    f"{plan.change.label} cannot be made of {plan.change.made_of}: no such class on the road"
                )
        self._plan = plan
        # What waits for its time: a camera for its next frame, a copy or a label for being sent, None for the end.
        self._events: list[tuple[float, int, _Camera | Due | None]] = []
        self._numbered = 0
        self._frames = 0
        self._ended_at_ms: float | None = None
        self._cameras = {camera.name: camera for camera in (_Camera(number, plan) for number in range(plan.cameras))}
        frames_per_ms = plan.fps * plan.cameras / sum(camera.rate for camera in self._cameras.values()) / 1_000
        for camera in self._cameras.values():
            camera.rate *= frames_per_ms
            self._await_frame(camera, 0.0)
        if not math.isinf(plan.duration_ms):
            self._push(plan.duration_ms, None)

    @property
    def changed_cameras(self) -> tuple[str, ...]:
        """Names of the cameras that change."""
        return tuple(camera.name for camera in self._cameras.values() if not math.isinf(camera.change_at_ms))

    @property
    def change_at_ms(self) -> float | None:
        """When they do; None when none does."""
        return self._plan.change_at_ms if self.changed_cameras else None

    @property
    def ended_at_ms(self) -> float | None:
        """When the last frame had been taken; None before."""
        return self._ended_at_ms

    @property
    def next_ms(self) -> float | None:
        """When something is due next; None when nothing will be any more."""
        return self._events[0][0] if self._events else None

    @property
    def labels_due(self) -> int:
        """Labels that wait for their time once the last frame was taken; corrections to come are not counted."""
        return sum(isinstance(item, LabelDue) for _, _, item in self._events)

    def due(self, now_ms: float) -> list[Due]:
        """What is due up to *now_ms* and was not given before, oldest first."""
        found: list[Due] = []
        happened: Due | None
        while self._events and self._events[0][0] <= now_ms:
            at_ms, _, item = heapq.heappop(self._events)
            if isinstance(item, LabelDue):
                happened = self._emitted(item._replace(at_ms=at_ms))
            elif isinstance(item, FrameDue):
                happened = item._replace(at_ms=at_ms)
            elif item is None:
                happened = None
                self._end(at_ms)
            else:
                happened = self._taken(item, at_ms)
            if happened is not None:
                found.append(happened)
        return found

    def _await_frame(self, camera: _Camera, after_ms: float) -> None:
        at_ms = after_ms + camera.frames.expovariate(camera.rate)
        if at_ms < self._plan.duration_ms:
            self._push(at_ms, camera)

    def _taken(self, camera: _Camera, at_ms: float) -> FrameDue | None:
        """A camera takes a frame: its next one, its copy and its label get their times. A silent one takes none, though
        its chances pass as if it did, and it counts, so that the other cameras' road ends where it would have."""
        plan, chance = self._plan, camera.frames
        changed = at_ms >= camera.change_at_ms
        label = chance.choices(plan.classes, cum_weights=self._class_shares(camera, at_ms))[0]
        corrupt, copied = chance.random() < plan.corrupt_share, chance.random() < plan.copy_share
        copy_after_ms = chance.uniform(0, _COPY_WITHIN_MS)
        self._await_frame(camera, at_ms)
        self._frames += 1
        camera.shown[label] += 1
        frame: FrameDue | None = None
        if not (changed and isinstance(plan.change, Silent)):
            frame = FrameDue(
                at_ms,
                at_ms,
                camera.name,
                camera.sequence,
                label,
                camera.shown[label],
                self._light(camera, at_ms) if plan.light else 0,
                changed,
                corrupt,
                0,
                label,
                None,
                0,
                camera.device.read(at_ms, self._sun(camera, at_ms)),
            )
            if changed:
                frame = self._changed(camera, frame)
            camera.latest = frame
            camera.sequence += 1
            if copied and not corrupt:
                self._push(at_ms + copy_after_ms, frame._replace(copy=1))
            self._await_label(camera, frame)
        if self._frames == plan.count:
            self._end(at_ms)
        return frame

    def _progress(self, camera: _Camera, at_ms: float) -> float:
        return progress(self._plan.change, at_ms - camera.change_at_ms)

    def _class_shares(self, camera: _Camera, at_ms: float) -> list[float]:
        """Cumulative."""
        grown = self._progress(camera, at_ms)
        if not grown or not isinstance(self._plan.change, ClassMix):
            return camera.cumulative
        pairs = zip(camera.cumulative, camera.changed_cumulative, strict=True)
        return [before + grown * (after - before) for before, after in pairs]

    def _changed(self, camera: _Camera, frame: FrameDue) -> FrameDue:
        """What becomes of a frame that would have been taken."""
        grown = self._progress(camera, frame.taken_at_ms)
        lot, variant = camera.fate.random(), camera.fate.randrange(_VARIANTS)
        match self._plan.change:
            case Weather(kind=kind, severity=severity):
                step = min(severity, max(1, math.ceil(severity * grown)))
                return frame._replace(effect=Effect(kind, step, camera.lasting_variant if kind in LASTING else variant))
            case Frozen():
                seen = camera.latest or frame
                return frame._replace(label=seen.label, source=seen.source, nth=seen.nth, light=seen.light)
            case Black():
                return frame._replace(effect=Effect("black"))
            case ClockJump(jump_s=jump_s):
                return frame._replace(clock_off_ms=round(jump_s * 1_000))
            case NewKind(label=label, share=share, made_of=made_of) if lot < share * grown:
                return frame._replace(
                    label=label, source=made_of or self._plan.classes[-1], effect=Effect("joined", variant=variant)
                )
        return frame

    def _sun(self, camera: _Camera, at_ms: float) -> float:
        """Its height, -1 to 1."""
        return math.sin(2 * math.pi * at_ms / self._plan.day_ms + camera.sun_rad)

    def _light(self, camera: _Camera, at_ms: float) -> int:
        return round(LIGHT_LEVELS * camera.glare * self._sun(camera, at_ms))

    def _await_label(self, camera: _Camera, frame: FrameDue) -> None:
        plan, chance = self._plan, camera.labels
        labelled, wrong = chance.random() < plan.label_share, chance.random() < plan.wrong_share
        at_ms = frame.at_ms + chance.expovariate(1 / plan.label_delay_ms)
        mistaken = chance.randrange(len(plan.classes) - 1)
        if not labelled or frame.corrupt:
            return
        name = frame.label
        why: Why = "first"
        if wrong:
            name, why = [other for other in plan.classes if other != frame.label][mistaken], "wrong"
        self._push(at_ms, LabelDue(at_ms, camera.name, frame.sequence, name, at_ms, why, frame.label))

    def _emitted(self, label: LabelDue) -> LabelDue | None:
        """A label that is due, unless nobody labels any more; its repeat and its correction are scheduled."""
        plan, camera = self._plan, self._cameras[label.camera]
        if isinstance(plan.change, LabelsStop) and label.at_ms >= camera.change_at_ms:
            return None
        if label.why == "repeat":
            return label
        label = self._mistaken(camera, label._replace(labelled_at_ms=label.at_ms))
        chance = camera.afterwards
        if chance.random() < plan.repeat_share:
            self._schedule_label(label, chance.expovariate(1 / _REPEAT_MEAN_MS), label.label, "repeat")
        if label.why == "wrong":
            after_ms = _SHORTEST_CORRECTION_MS + chance.expovariate(1 / plan.label_delay_ms)
            self._schedule_label(label, after_ms, label.truth, "correction")
        return label

    def _mistaken(self, camera: _Camera, label: LabelDue) -> LabelDue:
        """What becomes of a first label where labels are wrong."""
        lot, change = camera.label_fate.random(), self._plan.change
        if label.why == "correction" or not isinstance(change, WrongLabels):
            return label
        if lot >= change.share * self._progress(camera, label.at_ms):
            return label
        others = [other for other in self._plan.classes if other != label.truth]
        return label._replace(label=camera.label_fate.choice(others), why="uncorrected")

    def _schedule_label(self, label: LabelDue, after_ms: float, name: str, why: Why) -> None:
        at_ms = label.at_ms + (after_ms if self._ended_at_ms is None else after_ms / self._plan.hurry)
        self._push(at_ms, label._replace(at_ms=at_ms, label=name, why=why))

    def _end(self, at_ms: float) -> None:
        """No frame is taken any more; what is still due comes faster."""
        self._ended_at_ms = at_ms
        due = [event for event in self._events if isinstance(event[2], FrameDue | LabelDue)]
        self._events = [(at_ms + (due_ms - at_ms) / self._plan.hurry, number, item) for due_ms, number, item in due]
        heapq.heapify(self._events)

    def _push(self, at_ms: float, item: _Camera | Due | None) -> None:
        # The number keeps the order of what falls on one time and spares the heap from comparing items.
        self._numbered += 1
        heapq.heappush(self._events, (at_ms, self._numbered, item))
