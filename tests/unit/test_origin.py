"""The public place of a record goes round with its copy, and what is no such header is passed over."""

from catseye.contract.origin import ORIGIN, as_published, origin_of
from tests.simulation.partitions import FakeMessage

PUBLISHED = FakeMessage("frames", b"body", at=7, place=2, name=b"anything", written=(1, 99))


def test_a_copy_says_where_its_record_was_published() -> None:
    """Topic, partition, offset, key and time are the record's; a header of somebody else stands beside it."""
    copy = FakeMessage("frames.rekeyed", b"body", at=1, place=0, heads=[("trace", b"x"), *origin_of(PUBLISHED)])
    found = as_published(copy)
    assert (found.topic(), found.partition(), found.offset(), found.key(), found.timestamp(), found.value()) == (
        "frames",
        2,
        7,
        b"anything",
        (1, 99),
        b"body",
    )
    assert found.headers() is None


def test_what_no_header_says_is_as_it_came() -> None:
    """A copy that an earlier version wrote, and one whose header is another's."""
    for heads in (None, [("trace", b"x")], [(ORIGIN, None)]):
        copy = FakeMessage("frames.rekeyed", b"body", heads=heads)  # type: ignore[arg-type]
        assert as_published(copy) is copy
