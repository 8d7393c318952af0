"""Values of state topics: numbered, read in every format there was, and refused where the format is from the future."""

from collections.abc import Callable

import pytest

from catseye.contract.errors import Misconfigured
from catseye.runtime.state_format import HIGHEST, Format, Unnumbered, same_body


def counted(newest: int = 2) -> Format[int]:
    """A count: once digits without a number, then digits, then two bytes."""
    readers: dict[int, Callable[[bytes], int]] = {1: int, 2: lambda body: int.from_bytes(body, "big")}
    return Format(
        "ingest",
        "a count",
        write=lambda known: known.to_bytes(2, "big") if newest == 2 else str(known).encode(),
        readers={number: readers[number] for number in range(1, newest + 1)},
        unnumbered=Unnumbered(lambda value: value[:1].isdigit(), int),
    )


def test_what_is_written_is_of_the_newest_format() -> None:
    """And is read again."""
    assert counted().write(258) == b"\2\1\2"
    assert counted().read(b"\2\1\2") == 258
    assert counted(newest=1).write(7) == b"\x017"


def test_each_format_that_ever_was_is_read() -> None:
    """Those without a number too."""
    for value in (b"7", b"\x017", b"\2\0\7"):
        counted().check(value)
        assert counted().read(value) == 7


def test_a_format_from_the_future_is_refused() -> None:
    """In a sentence that says whose state it is, what was found, what is read here and what to do."""
    for refused in (counted(newest=1).read, counted(newest=1).check):
        with pytest.raises(Misconfigured) as fault:
            refused(b"\2\0\7")
    assert str(fault.value) == (
        "ingest.state: a count is in format 2, and this version of Catseye reads formats up to 1. A newer version "
        "wrote it: start that version again, and it goes on where it stopped; nothing was changed"
    )


@pytest.mark.parametrize(("value", "begins"), [(b"", "nothing"), (b"\0\1", "00"), (b"\x20", "20"), (b"\xff", "ff")])
def test_what_nobody_wrote_is_refused(value: bytes, begins: str) -> None:
    """Rather than taken for something."""
    with pytest.raises(Misconfigured, match=rf"^ingest\.state: a count begins with {begins}: no version"):
        counted().read(value)
    with pytest.raises(Misconfigured, match="no version"):
        counted().check(value)


@pytest.mark.parametrize("numbers", [[], [0, 1], [2], [1, 3], range(1, HIGHEST + 2)])
def test_formats_are_numbered_without_a_gap(numbers: list[int]) -> None:
    """A reader that was forgotten is seen at once."""
    with pytest.raises(ValueError, match="are numbered 1, 2, …"):
        Format("ingest", "a count", write=bytes, readers=dict.fromkeys(numbers, len))


def test_a_body_that_stayed_the_same_only_gets_its_number() -> None:
    """For values that fit as they were."""
    texts = same_body("rollout", "a text", lambda value: value[:1] >= b"a")
    assert (texts.write(b"abc"), texts.read(b"\1abc"), texts.read(b"abc")) == (b"\1abc", b"abc", b"abc")
