"""What tests of the pages share."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, one a module: while it runs no test can begin an event loop of its own."""
    from infra.local.chromium import chromium

    with chromium() as found:
        yield found
