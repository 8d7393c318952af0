"""Format numbers on values of state topics, so that an upgrade loses nothing and a downgrade is refused.

A value is one byte, the number of its format, 1 to 31, and a body. Each kind of value has one reader a format; values
from before there were numbers are recognised by their form. The greatest number is the one that is written.
"""

from collections.abc import Callable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from catseye.contract.errors import Misconfigured

V = TypeVar("V")
HIGHEST: Final = 31
"""Numbers end here, so that a first byte above it is none."""


class Unnumbered(NamedTuple, Generic[V]):
    """How values without a number are recognised and read.

    Attributes:
        is_one: Whether a value is one of them; must be false for whatever has a number.
        read: Makes of the whole value what is known.
    """

    is_one: Callable[[bytes], bool]
    read: Callable[[bytes], V]


class Format(Generic[V]):
    """Formats of one kind of value.

    Args:
        service: Whose state it is.
        what: The kind of value, as a person calls it.
        write: Makes the body of the newest format.
        readers: By number: makes of a body what is known, as the newest version of the code has it.
        unnumbered: Of values without a number, where there were any.
    """

    def __init__(
        self,
        service: str,
        what: str,
        *,
        write: Callable[[V], bytes],
        readers: Mapping[int, Callable[[bytes], V]],
        unnumbered: Unnumbered[V] | None = None,
    ) -> None:
        if not readers or sorted(readers) != [*range(1, len(readers) + 1)] or len(readers) > HIGHEST:
            raise ValueError(f"formats of {what} are numbered 1, 2, … to {HIGHEST} at most, not {sorted(readers)}")
        self.newest = max(readers)
        self._service = service
        self._what = what
        self._number = bytes((self.newest,))
        self._write = write
        self._readers = dict(readers)
        self._unnumbered = unnumbered

    def write(self, known: V) -> bytes:
        """What is known as a value of the newest format."""
        return self._number + self._write(known)

    def read(self, value: bytes) -> V:
        """Content of a value of any format.

        Raises:
            Misconfigured: it is of a format that this version does not read.
        """
        if self._unnumbered is not None and self._unnumbered.is_one(value):
            return self._unnumbered.read(value)
        reader = self._readers.get(value[0] if value else 0)
        if reader is None:
            raise self._unreadable(value)
        return reader(value[1:])

    def check(self, value: bytes) -> None:
        """See that a value will be read, without reading it; raises as `read`."""
        is_read = value[:1] and value[0] in self._readers
        if not is_read and not (self._unnumbered is not None and self._unnumbered.is_one(value)):
            raise self._unreadable(value)

    def _unreadable(self, value: bytes) -> Misconfigured:
        found = f"{self._service}.state: {self._what} "
        if value and self.newest < value[0] <= HIGHEST:
            return Misconfigured(
                f"{found}is in format {value[0]}, and this version of Catseye reads formats up to {self.newest}. A "
                "newer version wrote it: start that version again, and it goes on where it stopped; nothing was changed"
            )
        return Misconfigured(f"{found}begins with {value[:1].hex() or 'nothing'}: no version of Catseye wrote that")


def same_body(service: str, what: str, is_unnumbered: Callable[[bytes], bool]) -> Format[bytes]:
    """Format 1 of values whose bodies are what values were before they had numbers.

    Args:
        service: Whose state it is.
        what: The kind of value.
        is_unnumbered: Whether a value has no number.
    """
    return Format(service, what, write=_same, readers={1: _same}, unnumbered=Unnumbered(is_unnumbered, _same))


def _same(body: bytes) -> bytes:
    return body
