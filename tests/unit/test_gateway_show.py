"""How times and names are written on pages."""

from urllib.parse import urljoin

import pytest

from catseye import clock
from services.gateway.show import moment, segment


@pytest.mark.parametrize(
    ("ahead_ms", "words"), [(-7_205_000, ">2\xa0h ago<"), (0, ">now<"), (7_205_000, ">in 2\xa0h<")]
)
def test_a_time_says_how_long_ago_or_how_far_ahead_it_is(ahead_ms: int, words: str) -> None:
    """A suppression ends in the future."""
    assert words in moment(clock.now_ms() + ahead_ms)


def test_a_name_stays_one_part_of_a_path() -> None:
    """Whatever is in it, a browser asks for what the link names."""
    name = "../../etc"
    assert urljoin("http://here/alerts", f"/cameras/{segment(name)}") == "http://here/cameras/..%2F..%2Fetc"
