"""A busy port is another port, never an error, and never one that a client may be given."""

import socket

from infra.local import ports


def test_the_customary_port_is_taken_when_it_is_free() -> None:
    """A free preferred port is the answer."""
    free = ports.choose()
    assert ports.choose(free) == free


def test_a_busy_port_gives_another_one() -> None:
    """A port that somebody listens on is passed over."""
    with socket.create_server((ports.LOOPBACK, 0)) as busy:
        port = busy.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.choose(port) != port


def test_a_promised_port_is_not_promised_again() -> None:
    """Ports of servers that have not bound them yet count as busy."""
    first = ports.choose()
    second = ports.choose(first, taken={first})
    assert second not in {first, ports.choose(taken={first, second})}


def test_spare_ports_are_not_given_to_clients() -> None:
    """A client that keeps connecting to a server that is down must not get that server's own port."""
    assert ports.choose() in ports.SPARE
    assert ports.SPARE.stop <= 32_768
