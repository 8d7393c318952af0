"""Stands in for a service in tests of the stack: says /ready, ends on SIGTERM with 0, or at once with the status given.

`python stand_in.py [EXIT_STATUS]`; `CATSEYE_TOPIC_PREFIX` of `slow` lets it take its time, and a file `refuse` in
`CATSEYE_DATA_DIR` makes it misconfigured: it says what the file holds and exits with 2.
"""

import http.server
import os
import signal
import sys
import time
from pathlib import Path


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
    refuse = Path(os.environ["CATSEYE_DATA_DIR"], "refuse")
    if refuse.exists():
        print(refuse.read_text(), flush=True)  # noqa: T201
        sys.exit(2)
    if os.environ.get("CATSEYE_TOPIC_PREFIX") == "slow":
        time.sleep(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.server.HTTPServer(("127.0.0.1", int(os.environ["CATSEYE_HEALTH_PORT"])), Ready).serve_forever()
