"""What a batch of records does to the read model, collected before it is written: commands of Redis, each once a key.

Everything here is either the newest value, by the order of one partition, or a count: in whatever batches and in
whatever order of topics the records came, the same is there in the end.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from catseye.view.plots import RESOLUTIONS, Resolution

Word = str | bytes | int
Command = list[Word]

CAP = "cap"
"""No command of Redis: the script of `catseye.view.store` does it."""
_FIELDS_MOST = 1_000  # of one command: Lua hands over some thousand words at most


class Writes:
    """Commands of one batch.

    Args:
        expiring: Keys that have their lifetime already; grows.
    """

    def __init__(self, expiring: set[str]) -> None:
        self._expiring = expiring
        self._fields: defaultdict[str, dict[str, Word]] = defaultdict(dict)
        self._first: defaultdict[str, dict[str, Word]] = defaultdict(dict)
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._ranges: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
        self._slots: defaultdict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        self._scores: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._lifetimes: dict[str, int] = {}
        self._lengths: dict[str, int] = {}
        self._caps: dict[str, Command] = {}
        self._others: list[Command] = []

    def fields(self, key: str, values: Mapping[str, Word]) -> None:
        """Set fields of a hash."""
        self._fields[key].update(values)

    def first(self, key: str, field: str, value: Word) -> None:
        """Set a field of a hash unless it is there."""
        self._first[key].setdefault(field, value)

    def count(self, key: str, field: str, more: int = 1) -> None:
        """Add to a field of a hash."""
        self._counts[key][field] += more

    def score(self, key: str, member: str, score: int) -> None:
        """Put a member into a sorted set."""
        self._scores[key][member] = score

    def newest(self, key: str, value: bytes, lifetime_s: int) -> None:
        """Set a string that goes after *lifetime_s*."""
        self._others.append(["SET", key, value, "EX", lifetime_s])

    def cap(self, ranking: str, records: str, most: int) -> None:
        """Leave the *most* highest members of a sorted set, and their fields of a hash."""
        self._caps[ranking] = [CAP, ranking, records, most]

    def other(self, *command: Word) -> None:
        """Any other command; these run in order, before the ones that are collected."""
        self._others.append(list(command))

    def slot(self, key: str, resolution: Resolution, chunk: int, slot: int, packed: bytes) -> None:
        """Set one slot of a chunk."""
        self._ranges[key][slot * len(packed)] = packed
        self._lives(key, resolution, chunk, len(packed))

    def slot_count(self, key: str, resolution: Resolution, chunk: int, slot: int, bits: int, more: int = 1) -> None:
        """Count so many more in a slot of a chunk."""
        self._slots[key, bits][slot] += more
        self._lives(key, resolution, chunk, bits // 8)

    def _lives(self, key: str, resolution: Resolution, chunk: int, width: int) -> None:
        """A chunk begins with all its slots: one that grows slot by slot gets twice the memory from Redis."""
        if key not in self._expiring:
            self._lifetimes[key] = resolution.expires_s(chunk)
            self._lengths[key] = resolution.slots * width

    def commands(self) -> list[Command]:
        """All of them."""
        return [*self._others, *self._collected()]

    def _collected(self) -> Iterable[Command]:
        for key, fields in self._fields.items():
            words: list[Word] = [word for pair in fields.items() for word in pair]
            for start in range(0, len(words), 2 * _FIELDS_MOST):
                yield ["HSET", key, *words[start : start + 2 * _FIELDS_MOST]]
        for key, fields in self._first.items():
            for field, value in fields.items():
                yield ["HSETNX", key, field, value]
        for key, counts in self._counts.items():
            for field, more in counts.items():
                yield ["HINCRBY", key, field, more]
        for key, scores in self._scores.items():
            for member, score in scores.items():
                yield ["ZADD", key, score, member]
        for key, length in self._lengths.items():
            yield ["SET", key, bytes(length), "NX"]
        for key, ranges in self._ranges.items():
            for offset, packed in ranges.items():
                yield ["SETRANGE", key, offset, packed]
        yield from self._counted_slots()
        for key, at_s in self._lifetimes.items():
            yield ["EXPIREAT", key, at_s]
        yield from self._caps.values()

    def _counted_slots(self) -> Iterable[Command]:
        for (key, bits), slots in self._slots.items():
            words: list[Word] = [
                word for slot, more in slots.items() for word in ("INCRBY", f"u{bits}", f"#{slot}", more)
            ]
            for start in range(0, len(words), 4 * _FIELDS_MOST):
                yield ["BITFIELD", key, "OVERFLOW", "SAT", *words[start : start + 4 * _FIELDS_MOST]]

    def written(self) -> None:
        """The commands are done: lifetimes need not be set again."""
        self._expiring.update(self._lifetimes)


def places(at_ms: int) -> Iterable[tuple[Resolution, int, int]]:
    """Where a time lies in each resolution: resolution, chunk, slot."""
    for resolution in RESOLUTIONS:
        yield resolution, *resolution.place(at_ms)
