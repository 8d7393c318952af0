"""Metrics and health of `catseye roadside`, over HTTP as of every service: /live, /ready, /metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from catseye.contract.errors import Misconfigured
from catseye.runtime import health_server
from catseye.runtime.health_server import StartResponse

READY_S: Final = 60.0
"""A camera is ready while its last picture is no older; a stream that is cut is opened anew in half of that."""


class Figures(Collector):
    """What is counted, asked for when somebody reads it.

    Args:
        counts: Names, without the beginning and the end of every metric's, and what they count until now.
        ring: Frames that wait, and bundles that were dropped by what they were; None for a dry run.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        counts: Callable[[], dict[str, int]],
        ring: Callable[[], tuple[int, dict[str, int]]] | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counts = counts
        self._ring = ring
        self._monotonic = monotonic
        self._seen = -1
        self._seen_s = monotonic()

    @property
    def ready(self) -> bool:
        """Whether pictures come."""
        pictures = self._counts()["pictures"]
        if pictures != self._seen:
            self._seen, self._seen_s = pictures, self._monotonic()
        return pictures > 0 and self._monotonic() - self._seen_s < READY_S

    def collect(self) -> Iterator[Metric]:
        """As Prometheus reads it."""
        for name, count in self._counts().items():
            yield CounterMetricFamily(f"catseye_roadside_{name}", f"{name.capitalize()} until now.", value=count)
        yield GaugeMetricFamily("catseye_ready", "1 when pictures come.", value=int(self.ready))
        if self._ring is not None:
            waiting, dropped = self._ring()
            yield GaugeMetricFamily("catseye_roadside_ring_frames", "Frames on disk that Kafka has not.", value=waiting)
            family = CounterMetricFamily("catseye_roadside_ring_dropped", "Dropped for room, by kind.", labels=["kind"])
            for kind in sorted({"vehicle", "view"} | dropped.keys()):
                family.add_metric([kind], dropped.get(kind, 0))
            yield family


def serve(figures: Figures, host: str, port: int) -> int:
    """Answer from a thread of its own.

    Returns:
        The port, which is chosen when *port* is 0.

    Raises:
        Misconfigured: the port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(figures)

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return health_server.answer(environ, start_response, registry, live=True, ready=figures.ready)

    try:
        return health_server.serve(application, host, port)
    except OSError as fault:
        raise Misconfigured(f"--health-port {port} of {host} cannot be had: {fault.strerror}") from fault
