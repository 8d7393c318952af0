"""How far two people agree beyond chance, and what each of them holds meanwhile."""

import pytest

from catseye.view.keys import Keys
from services.gateway.agreement import kappa


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("car", "car")] * 3 + [("bus", "bus")] * 2, 1.0),
        ([("car", "bus"), ("bus", "car")], -1.0),
        ([("car", "car"), ("car", "bus"), ("bus", "car"), ("bus", "bus")], 0.0),
        ([("car", "car")] * 4, 1.0),
    ],
)
def test_agreement_is_what_chance_does_not_explain(pairs: list[tuple[str, str]], expected: float) -> None:
    """All alike is 1, also where only one class was ever said; as often as by chance 0; never alike below."""
    assert kappa(pairs) == pytest.approx(expected)


def test_cohens_own_way_of_counting() -> None:
    """Twenty and fifteen of fifty alike, five and ten not: 0.4."""
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert kappa(pairs) == pytest.approx(0.4)


def test_nobody_agrees_on_nothing() -> None:
    """Without a frame that two have answered there is no number."""
    assert kappa([]) is None


def test_a_first_and_a_second_opinion_have_leases_of_their_own() -> None:
    """The first stays until view has seen the answer."""
    keys = Keys("t.")
    assert keys.lease("a/b/1") != keys.lease("a/b/1", second=True)
    assert not keys.lease("a/b/1").startswith(keys.root)
