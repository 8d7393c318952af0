"""Where pages and requests come in."""

import errno
import socket
from typing import Final

from catseye.contract.errors import Misconfigured, Unavailable

_BACKLOG: Final = 2_048
"""Connections that wait to be taken, as uvicorn has it."""


def listening(host: str, port: int) -> socket.socket:
    """The socket of an address; uvicorn, which could open it too, ends the process without a word where it cannot.

    Args:
        host: Address or name of this machine.
        port: 0 takes a free one.

    Raises:
        Unavailable: another program has the port.
        Misconfigured: this machine has no such address, or the port is not for everybody.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            raise Unavailable(
                f"port {port} of {host} is taken by another program: end that, or set CATSEYE_GATEWAY_PORT"
            ) from fault
        raise Misconfigured(
            f"CATSEYE_GATEWAY_HOST {host} and CATSEYE_GATEWAY_PORT {port} cannot be listened on: {fault.strerror}"
        ) from fault
