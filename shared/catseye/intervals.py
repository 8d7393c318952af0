"""How far a share that was counted may be from the true one. Pure."""

from math import sqrt

Z_95 = 1.959964
"""Standard deviations to each side of an interval of 95 %."""


def wilson(right: float, of: float, z: float = Z_95) -> tuple[float, float]:
    """Interval of a share after Wilson, 1927, *z* standard deviations to each side; 0 to 1 without trials."""
    if not of:
        return 0.0, 1.0
    found, z2 = right / of, z * z
    centre = found + z2 / (2 * of)
    half = z * sqrt(found * (1 - found) / of + z2 / (4 * of * of))
    return max(0.0, (centre - half) / (1 + z2 / of)), min(1.0, (centre + half) / (1 + z2 / of))
