"""What a camera tells of itself: temperature and voltage, slow and noisy, from a source of chance that is handed in."""

import math
from typing import Protocol

_WANDER_S = 90.0  # time in which a temperature forgets where it was
_WANDER_C = 0.8
_SUN_C = 4.0  # how much warmer noon is than the mean of the day
_NOISE_C = 0.15
_SAG_V_PER_C = 0.004  # a warm supply gives less
_NOISE_V = 0.015


class Chance(Protocol):
    """What is needed of a random.Random."""

    def uniform(self, a: float, b: float, /) -> float: ...
    def gauss(self, mu: float, sigma: float, /) -> float: ...


class Device:
    """The box around a camera, drawn once.

    Args:
        chance: Of its character and its readings.
    """

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._usual_c = chance.uniform(28.0, 42.0)
        self._usual_v = chance.uniform(11.9, 12.4)
        self._wander_c = chance.gauss(0, _WANDER_C)
        self._read_at_ms = 0.0

    def read(self, at_ms: float, sun: float) -> dict[str, float]:
        """Readings at *at_ms*, not before those of the last call.

        Args:
            at_ms: Milliseconds since the road began.
            sun: Its height, -1 to 1.

        Returns:
            temperature in °C and voltage in V.
        """
        # An Ornstein-Uhlenbeck process: however often it is read, it wanders as far.
        kept = math.exp(-(at_ms - self._read_at_ms) / (_WANDER_S * 1_000))
        self._wander_c = kept * self._wander_c + self._chance.gauss(0, _WANDER_C * math.sqrt(1 - kept * kept))
        self._read_at_ms = at_ms
        warmer_c = _SUN_C * sun + self._wander_c
        return {
            "temperature": round(self._usual_c + warmer_c + self._chance.gauss(0, _NOISE_C), 2),
            "voltage": round(self._usual_v - _SAG_V_PER_C * warmer_c + self._chance.gauss(0, _NOISE_V), 3),
        }
