"""Loopback ports: the customary one if it is free, else another. A busy port is not an error."""

import socket
from collections.abc import Collection

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether a server could listen on *port* of the loopback address now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(preferred: int = 0, *, taken: Collection[int] = ()) -> int:
    """Return *preferred* if it is free, else a free port that the system picks.

    Between this answer and the moment that a server binds the port another process may take it; the server then
    fails to start, says so in its log, and the next start chooses again.

    Args:
        preferred: Port 1-65535, or 0 for any.
        taken: Ports that are promised to servers that have not bound them yet.
    """
    if preferred and preferred not in taken and is_free(preferred):
        return preferred
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
