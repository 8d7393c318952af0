"""Answers over HTTP whether a process lives and is ready, and with its metrics: /live, /ready, /metrics."""

import os
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def answer(
    environ: dict[str, Any], start_response: StartResponse, registry: CollectorRegistry, *, live: bool, ready: bool
) -> Iterable[bytes]:
    """WSGI: metrics of *registry*; else 200 when true, 503 when not."""
    path = environ["PATH_INFO"]
    if path == "/metrics":
        metrics: Iterable[bytes] = make_wsgi_app(registry)(environ, start_response)
        return metrics
    verdict = {"/live": live, "/ready": ready}.get(path)
    status = {None: "404 Not Found", True: "200 OK", False: "503 Service Unavailable"}[verdict]
    # Who answers: on a port that changed hands a neighbour may.
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Catseye-Pid", str(os.getpid()))]
    start_response(status, headers)
    return [f"{status}\n".encode()]


def serve(application: Callable[[dict[str, Any], StartResponse], Iterable[bytes]], host: str, port: int) -> int:
    """Answer from a thread of its own.

    Returns:
        The port, which is chosen when *port* is 0.

    Raises:
        OSError: the port cannot be had.
    """
    server = make_server(host, port, application, _Server, _Quiet)
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return int(server.server_port)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass
