"""What lies at a place that no log can have."""

import asyncio

import pytest

from catseye.contract.codec import Codec
from services.gateway.pictures import Pictures
from services.gateway.problem import Problem
from tests.unit.gateway_fakes import SETTINGS


@pytest.mark.parametrize("place", [(SETTINGS.partitions, 0), (2**70, 0), (0, 2**63), (0, 176735284060788490240)])
def test_a_place_that_no_log_has_is_not_found(place: tuple[int, int]) -> None:
    """Without asking a broker: its client takes no such number."""
    with pytest.raises(Problem) as refused:
        asyncio.run(Pictures(SETTINGS, Codec()).frame(*place))
    assert refused.value.status == 404
