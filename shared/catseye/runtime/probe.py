"""What a worker tells of itself while it runs."""

from collections import Counter
from typing import Protocol


class Probe(Protocol):
    """Observes the worker; metrics and health are made of it."""

    def beat(self) -> None: ...
    def assigned(self, partitions: int, *, ready: bool) -> None: ...
    def connected(self, *, connected: bool) -> None: ...
    def committed(self, records: int, events: Counter[str], work_s: float, commit_s: float) -> None: ...
    def aborted(self, cause: str) -> None: ...


class NullProbe:
    """A probe that records nothing."""

    def beat(self) -> None:
        pass

    def assigned(self, partitions: int, *, ready: bool) -> None:
        pass

    def connected(self, *, connected: bool) -> None:
        pass

    def committed(self, records: int, events: Counter[str], work_s: float, commit_s: float) -> None:
        pass

    def aborted(self, cause: str) -> None:
        pass
