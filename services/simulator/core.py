"""A road of cameras, drawn from a seed: which frame is taken when, and what is said of it later.

The load is an open loop: times are drawn beforehand and never wait for whoever takes the frames, so that a system
that falls behind is seen to fall behind. Arrivals of a camera are a Poisson process. All times are milliseconds since
the road began; whoever plays it adds a clock, pictures and a broker.

Each camera has streams of chance of its own (its character, its frames, its labels, what follows of labels), which keep
plans comparable: with another label delay or share of wrong labels the same frames come at the same times.
"""

import heapq
import math
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Literal, NamedTuple

LIGHT_LEVELS = 4  # steps of light up, and as many down; few, so that pictures can be kept for each
_RATE_SPREAD = 0.4  # a camera's rate lies this far around the mean before rates are made to add up
_CLASS_EVENNESS = 4.0  # shape of the Dirichlet distribution of class shares; higher is more even
_SUN_SPREAD_RAD = 0.3  # how far apart cameras see the same hour of the day
_COPY_WITHIN_MS = 200.0
_SHORTEST_CORRECTION_MS = 100.0  # between a wrong label and its correction, so that their clocks differ
_REPEAT_MEAN_MS = 2_000.0

Why = Literal["first", "wrong", "correction", "repeat"]


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
        change_at_ms: From then on the changed cameras show other pictures.
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
        changed: Whether it comes from the other pictures.
        corrupt: Whether it is damaged.
        copy: 1 when it was sent before.
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


class LabelDue(NamedTuple):
    """A label to send.

    Attributes:
        at_ms: When it is sent.
        camera: Name of the camera.
        sequence: Number of the frame that it is about.
        label: The class that it says.
        labelled_at_ms: When it was first said: earlier than `at_ms` only for a repeat.
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
        self.rate = character.uniform(1 - _RATE_SPREAD, 1 + _RATE_SPREAD)
        self.cumulative = list(accumulate(character.gammavariate(_CLASS_EVENNESS, 1) for _ in plan.classes))
        self.sun_rad = character.uniform(-_SUN_SPREAD_RAD, _SUN_SPREAD_RAD)
        self.glare = character.uniform(0.5, 1.0)
        self.shown = {label: character.randrange(10_000) for label in plan.classes}
        self.change_at_ms = plan.change_at_ms if number < plan.change_cameras else math.inf
        self.sequence = 0


class Road:
    """Gives what is due, in order of time. The same plan gives the same events, however often it is asked."""

    def __init__(self, plan: Plan) -> None:
        if len(plan.classes) < 2 or plan.cameras < 1:
            raise ValueError("a road needs at least two classes and one camera")
        if plan.count is None and math.isinf(plan.duration_ms):
            raise ValueError("a road needs an end: a duration or a count of frames")
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
        while self._events and self._events[0][0] <= now_ms:
            at_ms, _, item = heapq.heappop(self._events)
            if isinstance(item, LabelDue):
                found.append(self._said(item._replace(at_ms=at_ms)))
            elif isinstance(item, FrameDue):
                found.append(item._replace(at_ms=at_ms))
            elif item is None:
                self._end(at_ms)
            else:
                found.append(self._taken(item, at_ms))
        return found

    def _await_frame(self, camera: _Camera, after_ms: float) -> None:
        at_ms = after_ms + camera.frames.expovariate(camera.rate)
        if at_ms < self._plan.duration_ms:
            self._push(at_ms, camera)

    def _taken(self, camera: _Camera, at_ms: float) -> FrameDue:
        """A camera takes a frame: its next one, its copy and its label get their times."""
        plan, chance = self._plan, camera.frames
        label = chance.choices(plan.classes, cum_weights=camera.cumulative)[0]
        corrupt, copied = chance.random() < plan.corrupt_share, chance.random() < plan.copy_share
        copy_after_ms = chance.uniform(0, _COPY_WITHIN_MS)
        camera.shown[label] += 1
        frame = FrameDue(
            at_ms,
            at_ms,
            camera.name,
            camera.sequence,
            label,
            camera.shown[label],
            self._light(camera, at_ms) if plan.light else 0,
            at_ms >= camera.change_at_ms,
            corrupt,
            0,
        )
        camera.sequence += 1
        if copied and not corrupt:
            self._push(at_ms + copy_after_ms, frame._replace(copy=1))
        self._await_label(camera, frame)
        self._await_frame(camera, at_ms)
        self._frames += 1
        if self._frames == plan.count:
            self._end(at_ms)
        return frame

    def _light(self, camera: _Camera, at_ms: float) -> int:
        height = math.sin(2 * math.pi * at_ms / self._plan.day_ms + camera.sun_rad)
        return round(LIGHT_LEVELS * camera.glare * height)

    def _await_label(self, camera: _Camera, frame: FrameDue) -> None:
        plan, chance = self._plan, camera.labels
        labelled, wrong = chance.random() < plan.label_share, chance.random() < plan.wrong_share
        at_ms = frame.at_ms + chance.expovariate(1 / plan.label_delay_ms)
        mistaken = chance.randrange(len(plan.classes) - 1)
        if not labelled or frame.corrupt:
            return
        said = frame.label
        why: Why = "first"
        if wrong:
            said, why = [other for other in plan.classes if other != frame.label][mistaken], "wrong"
        self._push(at_ms, LabelDue(at_ms, camera.name, frame.sequence, said, at_ms, why, frame.label))

    def _said(self, label: LabelDue) -> LabelDue:
        """A label is said: what follows of it gets its time."""
        if label.why == "repeat":
            return label
        plan = self._plan
        label = label._replace(labelled_at_ms=label.at_ms)
        chance = self._cameras[label.camera].afterwards
        if chance.random() < plan.repeat_share:
            self._push(
                label.at_ms + self._hurried(chance.expovariate(1 / _REPEAT_MEAN_MS)), label._replace(why="repeat")
            )
        if label.why == "wrong":
            after_ms = _SHORTEST_CORRECTION_MS + chance.expovariate(1 / plan.label_delay_ms)
            self._push(label.at_ms + self._hurried(after_ms), label._replace(label=label.truth, why="correction"))
        return label

    def _hurried(self, after_ms: float) -> float:
        return after_ms if self._ended_at_ms is None else after_ms / self._plan.hurry

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
