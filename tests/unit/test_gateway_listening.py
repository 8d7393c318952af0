"""A port that cannot be had is a sentence that names what to do."""

import pytest

from catseye.contract.errors import Misconfigured, Unavailable
from services.gateway.listening import listening


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_another_program_has_is_said(host: str) -> None:
    """It may be free later: whoever supervises tries again."""
    with listening(host, 0) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} of {host} is taken.*set CATSEYE_GATEWAY_PORT"):
            listening(host, port)
    listening(host, port).close()


def test_an_address_of_another_machine_is_said() -> None:
    """That is for a person to put right."""
    with pytest.raises(Misconfigured, match=r"CATSEYE_GATEWAY_HOST 192\.0\.2\.1 .* cannot be listened on"):
        listening("192.0.2.1", 0)
