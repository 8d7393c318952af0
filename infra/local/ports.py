"""Loopback ports: the customary one if it is free, else another. A busy port is not an error."""

import itertools
import random
import socket
from collections.abc import Collection

LOOPBACK = "127.0.0.1"
SPARE = range(20_000, 30_000)
"""Below the ports that systems give to outgoing connections (32768 and up on Linux). Above, a client that tries again
and again to reach a server that is down may be given that server's port, connect to itself and keep the server out."""


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


def listens(server: str, timeout_s: float = 2.0) -> bool:
    """Tell whether somebody accepts connections at *server*, `host:port`."""
    host, _colon, port = server.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
    except (OSError, ValueError):
        return False
    return True


def choose(preferred: int = 0, *, taken: Collection[int] = ()) -> int:
    """Return *preferred* if it is free, else a free port of `SPARE`.

    Between this answer and the moment that a server binds the port another process may take it; the server then
    fails to start, says so in its log, and the next start chooses again.

    Args:
        preferred: Port 1-65535, or 0 for any.
        taken: Ports that are promised to servers that have not bound them yet.

    Raises:
        OSError: No port of `SPARE` is free.
    """
    # Those that choose at the same time begin at different places, and at others when they choose again.
    begin = random.randrange(len(SPARE))
    spare = itertools.chain(SPARE[begin:], SPARE[:begin])
    for port in itertools.chain([preferred] if preferred else [], spare):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no port of {LOOPBACK} between {SPARE.start} and {SPARE.stop - 1} is free")
