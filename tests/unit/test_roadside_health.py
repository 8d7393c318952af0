"""Metrics and health of `catseye roadside`."""

import socket
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from catseye.cli.roadside_health import READY_S, Figures, serve
from catseye.contract.errors import Misconfigured


def test_it_says_over_http_what_it_counts_and_whether_pictures_come() -> None:
    """What the ring dropped is there from the first moment on; ready ends when no picture comes for a minute."""
    counts, now, dropped = {"pictures": 0, "vehicles": 0}, [100.0], {"vehicle": 2}
    figures = Figures(lambda: counts, lambda: (7, dropped), lambda: now[0])
    port = serve(figures, "127.0.0.1", 0)

    def status(path: str) -> int:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return int(answer.status)
        except HTTPError as refused:
            return refused.code

    assert [status(path) for path in ("/live", "/ready", "/nothing")] == [200, 503, 404]
    counts |= {"pictures": 25, "vehicles": 3}
    assert status("/ready") == 200
    now[0] += READY_S
    assert [status("/live"), status("/ready")] == [200, 503]
    counts["pictures"] += 1
    assert status("/ready") == 200
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "catseye_roadside_pictures_total 26.0",
        "catseye_roadside_vehicles_total 3.0",
        "catseye_ready 1.0",
        "catseye_roadside_ring_frames 7.0",
        'catseye_roadside_ring_dropped_total{kind="vehicle"} 2.0',
        'catseye_roadside_ring_dropped_total{kind="view"} 0.0',
    ]


def test_a_port_that_somebody_has_is_a_sentence() -> None:
    """Which names the option; a dry run has no ring."""
    figures = Figures(lambda: {"pictures": 0}, None)
    assert [each.name for each in figures.collect()] == ["catseye_roadside_pictures", "catseye_ready"]
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Misconfigured, match="--health-port"):
        serve(figures, "127.0.0.1", taken.getsockname()[1])
