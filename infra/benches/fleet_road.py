"""A road and its cameras in virtual time: what a fleet sees while nothing changes, and what is done to single cameras.

No two cameras are alike: light, contrast, sharpness, view, mix of classes, share of errors, rate of frames, share and
delay of labels are each camera's own. Light and picture quality wander (AR(1), correlation time 5 to 60 minutes), days
and nights come and go, showers pass, vehicles of a class come in runs. All of that repeats: a camera's third week is
drawn as its first one was. Confidence is calibrated: of answers given with confidence c a share c is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift.layout import FOCUS, PICTURE, RANKED, layout_of
from services.drift.outcomes import Outcomes
from services.drift.sample import Floats, Frames, Ints
from services.drift.signals import FEATURES

CLASSES: Final = ("bus", "car", "motorcycle", "pedestrian", "truck", "van")
LAYOUT: Final = layout_of(len(CLASSES))
START_MS: Final = 1_700_000_000_000
DAY_MIN: Final = 24 * 60
TICK_MS: Final = 60_000
SLOWEST: Final = 4
"""Ticks between two frames of the slowest cameras; of the fastest it is one."""
_LABELS_A_DAY: Final = (300, 500)
_LONGEST_DELAY_MIN: Final = 8 * 60
_CAMERAS_A_SITE: Final = 50  # they have the same weather
_SHOWER_MIN, _BETWEEN_MIN, _SETTLES_MIN = 40.0, 240.0, 10.0
_TWILIGHT_MIN: Final = 45.0
_NIGHT: Final = 0.18
_SHARPNESS_OF_CONFIDENCE: Final = 6.0
_LEAST_CONFIDENCE: Final = 0.45  # with it the predicted class is always the likeliest
_SLOW: Final = 4  # numbers of a camera that wander: light, contrast, quality, temperature

Mask = NDArray[np.bool_]


@dataclass
class Effects:
    """What is done to each camera, [n] each; as made here, nothing.

    Attributes:
        light: Factor of every pixel, hence of contrast too.
        contrast: Factor.
        focus: Added to the log of sharpness.
        errors: Share of the right answers that become wrong because what looks as before is something else now.
        doubt: How much of the confidence over the least one is lost, 0 to 1.
        features: Added to each feature along a direction of the camera's own, in standard deviations.
        picture: 0 as the road is, 1 black, 2 white, 3 covered.
        frozen, silent, dead, unlabelled: Whether frames repeat, do not come, are refused; whether labels stay away.
        clock_ms: Added to the camera's clock.
        lamp: Brightness at night at least.
        errors_at_night: As *errors*, where it is dark.
    """

    cameras: int
    light: Floats = field(init=False)
    contrast: Floats = field(init=False)
    focus: Floats = field(init=False)
    errors: Floats = field(init=False)
    errors_at_night: Floats = field(init=False)
    doubt: Floats = field(init=False)
    features: Floats = field(init=False)
    lamp: Floats = field(init=False)
    picture: Ints = field(init=False)
    clock_ms: Ints = field(init=False)
    frozen: Mask = field(init=False)
    silent: Mask = field(init=False)
    dead: Mask = field(init=False)
    unlabelled: Mask = field(init=False)

    def __post_init__(self) -> None:
        for name in ("light", "contrast"):
            setattr(self, name, np.ones(self.cameras, np.float32))
        for name in ("focus", "errors", "errors_at_night", "doubt", "features", "lamp"):
            setattr(self, name, np.zeros(self.cameras, np.float32))
        for name in ("picture", "clock_ms"):
            setattr(self, name, np.zeros(self.cameras, np.int64))
        for name in ("frozen", "silent", "dead", "unlabelled"):
            setattr(self, name, np.zeros(self.cameras, bool))


class Road:
    """Draws frames and labels of all cameras, tick by tick.

    Args:
        rng: Source of all chance.
        cameras: How many.
        tick_ms: A camera has at most one frame in a tick, the fastest one in each.
    """

    def __init__(self, rng: np.random.Generator, cameras: int, tick_ms: int = TICK_MS) -> None:
        self._rng = rng
        self._tick_ms = tick_ms
        n = cameras
        self.effects = Effects(n)
        self.every = 1 + np.arange(n) % SLOWEST
        self.tick = 0
        self._offset = rng.integers(0, SLOWEST, n)
        self._sunrise = rng.uniform(5.5, 7, n) * 60
        self._day = rng.uniform(10.5, 14, n) * 60
        self._light = np.stack([rng.uniform(0.075, 0.13, n), rng.uniform(0.30, 0.60, n)])  # by night, by day
        self._contrast = np.stack([rng.uniform(0.08, 0.15, n), rng.uniform(0.12, 0.25, n)])
        self._focus = rng.uniform(0, 2, n)
        self._restless = rng.uniform(0.08, 0.2, n)
        minutes = np.exp(rng.uniform(np.log(5), np.log(60), (_SLOW, n)))
        self._keep = np.exp(-tick_ms / 60_000 / minutes).astype(np.float32)
        self._slow = rng.standard_normal((_SLOW, n), np.float32)
        shares = rng.dirichlet(np.full(len(CLASSES), 2.0), n) * 0.9 + 0.1 / len(CLASSES)
        by_night = shares * np.exp(0.5 * rng.standard_normal((n, len(CLASSES))))
        self.shares = np.stack([by_night / by_night.sum(axis=1, keepdims=True), shares])
        self._run = rng.uniform(0, 0.6, n)
        self._true = rng.integers(0, len(CLASSES), n)
        by_day = rng.uniform(0.02, 0.10, n)
        self.errors = np.stack([np.minimum(by_day * rng.uniform(1, 2, n), 0.10), by_day])
        self.bits = rng.random((n, 64)) < 0.5
        self._flips = rng.uniform(0.02, 0.3, (n, 64)).astype(np.float32)
        self._night_bits = rng.random((n, 64)) < 0.15
        self._centres = rng.normal(0, 1, (len(CLASSES), FEATURES)) + rng.normal(0, 0.3, (n, 1, FEATURES))
        self._night_features = rng.normal(0, 0.4, (n, FEATURES))
        self._directions = rng.normal(0, 1, (n, FEATURES))
        self._sites = -(-n // _CAMERAS_A_SITE)
        self._site = np.arange(n) // _CAMERAS_A_SITE
        self._wet = np.zeros(self._sites, bool)
        self._shower = np.zeros(self._sites)
        frames_a_day = DAY_MIN / self.every * (60_000 / tick_ms)
        self._labelled = np.minimum(rng.uniform(*_LABELS_A_DAY, n) / frames_a_day, 1)
        self._delay = (rng.uniform(60, _LONGEST_DELAY_MIN, n) * (60_000 / tick_ms)).astype(np.int64)
        self._waiting = np.zeros((_LONGEST_DELAY_MIN * 60_000 // tick_ms + 1, n), _LABEL)
        self._frozen_content = rng.integers(1, 2**60, n)

    @property
    def now_ms(self) -> int:
        """Event time at which the next tick begins."""
        return START_MS + self.tick * self._tick_ms

    def frames(self) -> tuple[Frames, Ints]:
        """Go on by a tick; returns its frames and the rows of cameras whose frame was refused."""
        rng, does, at_min = self._rng, self.effects, self.tick * self._tick_ms / 60_000
        self._go_on()
        due = (self.tick + self._offset) % self.every == 0
        rows = np.flatnonzero(due & ~does.silent & ~does.dead)
        refused = np.flatnonzero(due & does.dead)
        n = len(rows)
        noise = rng.standard_normal((n, 5 + FEATURES), np.float32)
        slow = self._slow[:, rows]
        wet = self._shower[self._site[rows]]
        ranked, level = self._picture(rows, at_min, slow, wet, noise[:, :5])
        light = ranked[:, 0]
        night = (level < 0.5).astype(np.int64)
        correct, changed, confidence = self._answers(rows, level, slow[2], wet, light)
        seen_as = self._vehicles(rows, 1 - night)
        answer = self._some_class(rows, 1 - night)
        other = np.where(answer == seen_as, (seen_as + 1) % len(CLASSES), answer)
        bucket = np.where(correct, seen_as, other)
        true = np.where(correct & changed, (seen_as + 1) % len(CLASSES), seen_as)
        features = self._centres[rows, seen_as] + self._night_features[rows] * (1 - level)[:, None] + 0.6 * noise[:, 5:]
        features += (0.3 * slow[2] + does.features[rows])[:, None] * self._directions[rows]
        flipped = rng.random((n, 64), np.float32) < self._flips[rows]
        bits = self.bits[rows] ^ flipped ^ (self._night_bits[rows] & (level < 0.5)[:, None])
        at_ms = self.now_ms + rng.integers(0, self._tick_ms, n)
        content = np.where(does.frozen[rows], self._frozen_content[rows], rng.integers(1, 2**60, n))
        frames = Frames(
            rows=rows,
            at_ms=at_ms,
            captured_ms=at_ms - 200 + does.clock_ms[rows],
            latency_ms=np.full(n, 100, np.float32),
            ranked=ranked,
            bits=bits.astype(np.float32),
            features=features.astype(np.float32),
            bucket=bucket,
            outputs=_probabilities(bucket, confidence, seen_as, other),
            confidence=confidence,
            content=content,
            offset=np.full(n, self.tick + 1, np.int64),
            cause=np.frombuffer(rng.bytes(16 * n), "V16"),
            passed=np.zeros(n, np.int64),
            again=np.zeros(n, bool),
            by_views=np.zeros(n, bool),
        )
        self._label(frames, true, light)
        self.tick += 1
        return frames, refused

    def labels(self) -> Outcomes:
        """Labels that come in the tick of the last frames."""
        cameras = np.arange(len(self.every))
        slot = (self.tick - 1 - self._delay) % len(self._waiting)
        due = self._waiting["there"][slot, cameras] & ~self.effects.unlabelled
        rows = np.flatnonzero(due)
        came = self._waiting[slot[rows], rows]
        self._waiting["there"][slot, cameras] = False
        at_ms = self.now_ms - self._rng.integers(1, self._tick_ms, len(rows))
        return Outcomes(
            rows=rows,
            at_ms=at_ms,
            received_ms=came["at_ms"],
            phase=came["phase"].astype(np.int64),
            bucket=came["true"].astype(np.int64),
            loss=came["loss"].astype(np.float32),
            propensity=np.ones(len(rows), np.float32),
            confidence=came["confidence"],
            cause=came["cause"],
        )

    def _go_on(self) -> None:
        """Let what is slow wander, and the weather of each site come and go."""
        rng = self._rng
        self._slow *= self._keep
        self._slow += np.sqrt(1 - self._keep**2) * rng.standard_normal(self._slow.shape, np.float32)
        mean_min = np.where(self._wet, _SHOWER_MIN, _BETWEEN_MIN)
        minutes = self._tick_ms / 60_000
        self._wet ^= rng.random(self._sites) < minutes / mean_min
        self._shower += (self._wet - self._shower) * min(minutes / _SETTLES_MIN, 1)

    def _picture(self, rows: Ints, at_min: float, slow: Floats, wet: Any, noise: Floats) -> tuple[Floats, Any]:
        """Ranked signals, [n, RANKED], and how much it is day, [n], 0 to 1."""
        does = self.effects
        since = (at_min - self._sunrise[rows]) % DAY_MIN
        length = self._day[rows]
        level = np.clip(np.minimum(since / _TWILIGHT_MIN, (length - since) / _TWILIGHT_MIN), 0, 1)
        noon = 0.85 + 0.3 * np.sin(np.pi * np.clip(since / length, 0, 1))
        night, day = self._light[:, rows]
        light = (np.maximum(night, does.lamp[rows]) * (1 - level) + day * noon * level) * (1 - 0.15 * wet)
        light = light * np.exp(self._restless[rows] * slow[0] + 0.03 * noise[:, 0]) * does.light[rows]
        night, day = self._contrast[:, rows]
        contrast = (night + (day - night) * level) * (1 - 0.25 * wet) * does.contrast[rows] * does.light[rows]
        contrast = contrast * np.exp(0.1 * slow[1] + 0.05 * noise[:, 1])
        focus = self._focus[rows] + 0.3 * level + 0.2 * slow[2] + 0.15 * noise[:, 2] - 0.3 * wet + does.focus[rows]
        light, contrast = np.clip(light, 0.055, 0.93), np.clip(contrast, 0.04, 0.45)
        for picture, (its_light, its_contrast) in enumerate(((0.01, 0.005), (0.99, 0.005), (0.3, 0.01)), 1):
            shown = does.picture[rows] == picture
            light, contrast = np.where(shown, its_light, light), np.where(shown, its_contrast, contrast)
        ranked = np.full((len(rows), RANKED), np.nan, np.float32)
        ranked[:, 0], ranked[:, 1] = light, contrast
        ranked[:, 2] = np.exp(focus + 2 * np.log(contrast))
        ranked[:, FOCUS] = focus
        ranked[:, 4] = np.clip(0.5 - light + 0.03 * noise[:, 3], 0, 1)
        ranked[:, 5] = np.clip(light - 0.3 + 0.03 * noise[:, 3], 0, 1)
        warm = 15 + 8 * np.sin(2 * np.pi * (at_min / DAY_MIN - 0.375)) + slow[3] + 0.1 * noise[:, 4]
        ranked[:, len(PICTURE)] = np.where(rows % 2 == 0, warm, np.nan)
        return ranked, level

    def _answers(self, rows: Ints, level: Any, quality: Floats, wet: Any, light: Floats) -> tuple[Mask, Mask, Floats]:
        """Which answers are right, which of these no longer are, and how sure each is."""
        does, rng = self.effects, self._rng
        night, day = self.errors[:, rows]
        errors = (night + (day - night) * level) * np.exp(0.3 * quality - 0.045) * (1 + 0.5 * wet)
        errors = np.clip(errors, 0.005, 0.5)
        sure = rng.beta(_SHARPNESS_OF_CONFIDENCE * (1 - errors), _SHARPNESS_OF_CONFIDENCE * errors)
        confidence = np.clip(sure, _LEAST_CONFIDENCE, 0.9999)
        correct = rng.random(len(rows)) < confidence
        more = does.errors[rows] + does.errors_at_night[rows] * (light < _NIGHT)
        changed = rng.random(len(rows)) < more
        confidence = confidence - does.doubt[rows] * (confidence - _LEAST_CONFIDENCE)
        return correct, changed, confidence.astype(np.float32)

    def _vehicles(self, rows: Ints, phase: Ints) -> Ints:
        """True classes: often that of the frame before."""
        new = self._rng.random(len(rows)) >= self._run[rows]
        self._true[rows] = np.where(new, self._some_class(rows, phase), self._true[rows])
        return self._true[rows]

    def _some_class(self, rows: Ints, phase: Ints) -> Ints:
        up_to = self.shares[phase, rows].cumsum(axis=1)
        drawn: Ints = (self._rng.random((len(rows), 1)) > up_to[:, :-1]).sum(axis=1)
        return drawn

    def _label(self, seen: Frames, true: Ints, light: Floats) -> None:
        """Choose frames to be labelled; their labels wait for as long as the camera's labels do."""
        chosen = self._rng.random(len(seen.rows)) < self._labelled[seen.rows]
        slot = self._waiting[self.tick % len(self._waiting)]
        slot["there"] = False
        rows = seen.rows[chosen]
        slot["there"][rows] = True
        slot["at_ms"][rows] = seen.at_ms[chosen]
        slot["phase"][rows] = light[chosen] >= _NIGHT
        slot["true"][rows] = true[chosen]
        slot["loss"][rows] = (seen.bucket != true)[chosen]
        slot["confidence"][rows] = seen.confidence[chosen]
        slot["cause"][rows] = seen.cause[chosen]


_LABEL: Final = np.dtype(
    [
        ("there", "?"),
        ("at_ms", "i8"),
        ("phase", "u1"),
        ("true", "u1"),
        ("loss", "u1"),
        ("confidence", "f4"),
        ("cause", "V16"),
    ]
)


def _probabilities(bucket: Ints, confidence: Floats, seen_as: Ints, other: Ints) -> Floats:
    """What the model says in numbers, [n, outputs]: most of what is left goes to one other class."""
    count, width = len(bucket), len(CLASSES)
    second = np.where(bucket == seen_as, other, seen_as)
    left = 1 - confidence
    odds = np.repeat((0.3 * left / (width - 2))[:, None], width, axis=1).astype(np.float32)
    odds[np.arange(count), second] = 0.7 * left
    odds[np.arange(count), bucket] = confidence
    answer = np.full((count, LAYOUT.outputs), np.nan, np.float32)
    answer[:, LAYOUT.shares][:, :width] = odds
    answer[:, LAYOUT.entropy] = -(odds * np.log(odds + 1e-6)).sum(axis=1) / np.log(width)
    answer[:, LAYOUT.margin] = confidence - 0.7 * left
    return answer
