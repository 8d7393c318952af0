"""What is set for a service is checked by commands and by `infra/stack up`, also where the service is not installed."""

import pytest

from catseye.cli import main
from catseye.cli.settings import TABLE
from infra.local.generate_settings import generated

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.mark.parametrize(
    ("installed", "variable", "value", "refused"),
    [
        (True, "CATSEYE_DRIFT_REFERENCE_SAMPLES", "1", "CATSEYE_DRIFT_REFERENCE_SAMPLES: Input should be greater"),
        (True, "CATSEYE_DRIFT_ACCURACY_FLOR", "0.5", "did you mean CATSEYE_DRIFT_ACCURACY_FLOOR?"),
        (False, "CATSEYE_DRIFT_ACCURACY_FLOR", "0.5", "did you mean CATSEYE_DRIFT_ACCURACY_FLOOR?"),
    ],
)
def test_a_setting_that_a_service_would_refuse_is_refused_by_commands(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    installed: bool,
    variable: str,
    value: str,
    refused: str,
) -> None:
    """Before they ask a broker; without the services' code, names are known and values are not."""
    if not installed:
        monkeypatch.setattr("catseye.cli.settings.find_spec", lambda name: None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        main(["cameras", "list"])
    assert ended.value.code == 2
    assert refused in capsys.readouterr().err


def test_the_settings_in_the_library_are_the_services() -> None:
    """`python -m infra.local.generate_settings` writes them."""
    assert TABLE.read_bytes() == generated()
