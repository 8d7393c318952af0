"""How far people agree beyond chance."""

from collections import Counter
from collections.abc import Sequence


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two answers to each frame: 1 for all alike, 0 for no more than chance; None for no pair.

    Cohen, "A coefficient of agreement for nominal scales" (1960). Who was first and who second is two raters.
    """
    if not pairs:
        return None
    count = len(pairs)
    agreed = sum(one == other for one, other in pairs) / count
    first, second = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    by_chance = sum(first[label] * second[label] for label in first) / count**2
    return 1.0 if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
