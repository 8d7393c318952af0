"""Stands in for a service in tests of the stack: says /ready, ends on SIGTERM with 0, or at once with the status given.

`python stand_in.py [EXIT_STATUS]`
"""

import http.server
import os
import signal
import sys


class Ready(http.server.BaseHTTPRequestHandler):
    """200 for everything."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Catseye-Pid", str(os.getpid()))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


if __name__ == "__main__":
    print("stand-in of", os.environ["CATSEYE_INSTANCE"], "at", os.environ["KAFKA_BOOTSTRAP_SERVERS"], flush=True)  # noqa: T201
    if sys.argv[1:]:
        sys.exit(int(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.server.HTTPServer(("127.0.0.1", int(os.environ["CATSEYE_HEALTH_PORT"])), Ready).serve_forever()
