"""`catseye.settings`: what an operator writes is what the process has, or the process says what is wrong."""

from pathlib import Path

import pytest

from catseye.contract.errors import Misconfigured
from catseye.settings import SERVICES, Settings, listed, load
from services.ground_truth.settings import GroundTruthSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from services.vehicles.settings import VehiclesSettings
from services.view.settings import ViewSettings

pytestmark = pytest.mark.usefixtures("bare_environment")
OF_SERVICES: list[tuple[str, type[Settings]]] = [
    ("ingest", IngestSettings),
    ("inference", InferenceSettings),
    ("ground_truth", GroundTruthSettings),
    ("vehicles", VehiclesSettings),
    ("view", ViewSettings),
]
KINDS: list[type[Settings]] = [Settings, *[kind for _, kind in OF_SERVICES]]


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own names with the prefix, Kafka's customary ones without."""
    monkeypatch.setenv("CATSEYE_PARTITIONS", "12")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9093")
    settings = load(Settings)
    assert (settings.partitions, settings.kafka_bootstrap_servers) == (12, "kafka:9093")


def test_a_file_fills_the_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` in the working folder; the environment goes before it."""
    Path(".env").write_text("CATSEYE_PARTITIONS=3\nCATSEYE_INSTANCE=left\n")
    monkeypatch.setenv("CATSEYE_PARTITIONS", "4")
    settings = load(Settings)
    assert (settings.partitions, settings.instance) == (4, "left")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CATSEYE_PARTITIONS", "0"),
        ("CATSEYE_PARTITIONS", "six"),
        ("CATSEYE_LABEL_HORIZON_H", "0"),
        ("CATSEYE_DELIVERY", "twice"),
        ("CATSEYE_INSTANCE", ""),
        ("CATSEYE_HEALTH_PORT", "65536"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ],
)
def test_a_value_out_of_range_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The sentence starts with the variable, as the operator wrote it, and ends with its value."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured, match=rf"^{variable}: .*; it is '{value}'$"):
        load(Settings)


def test_a_name_that_is_nearly_right_is_reported_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that nobody reads is not passed over in silence."""
    monkeypatch.setenv("CATSEYE_PARTITION", "12")
    with pytest.raises(Misconfigured, match=r"^CATSEYE_PARTITION is not a setting; did you mean CATSEYE_PARTITIONS\?$"):
        load(Settings)


def test_a_name_like_no_other_is_named() -> None:
    """Also when it stands in `.env`; that all names begin alike makes none of them near."""
    Path(".env").write_text("CATSEYE_FOO=1\n")
    with pytest.raises(Misconfigured, match=r"^CATSEYE_FOO is not a setting; `catseye settings` lists all$"):
        load(Settings)
    Path(".env").write_text("CATSEYE_QQQQQQQQQQQQ=1\n")
    with pytest.raises(Misconfigured, match=r"^CATSEYE_QQQQQQQQQQQQ is not a setting; `catseye settings` lists all$"):
        load(Settings)


def test_settings_of_other_services_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One `.env` serves the fleet: each process minds its own settings and the common ones."""
    monkeypatch.setenv("CATSEYE_INGEST_FRAME_MAX_BYTES", "5000")
    assert load(InferenceSettings, service="inference") == InferenceSettings()
    assert load(IngestSettings, service="ingest").ingest_frame_max_bytes == 5_000
    monkeypatch.setenv("CATSEYE_INGEST_FRAME_BYTES", "5000")
    with pytest.raises(Misconfigured, match="did you mean CATSEYE_INGEST_FRAME_MAX_BYTES"):
        load(IngestSettings, service="ingest")


def test_a_password_is_never_shown() -> None:
    """Neither in the settings' own text nor among the defaults."""
    assert "hunter2" not in repr(Settings(kafka_sasl_password="hunter2"))


@pytest.mark.parametrize(("service", "kind"), OF_SERVICES)
def test_settings_of_a_service_carry_its_name(service: str, kind: type[Settings]) -> None:
    """So that the others can tell them from a slip of the pen."""
    own = kind.model_fields.keys() - Settings.model_fields.keys()
    assert service in SERVICES
    assert [name for name in own if not name.startswith(f"{service}_")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_listed_with_its_meaning(kind: type[Settings]) -> None:
    """Variable, default and a sentence for each."""
    rows = listed(kind)
    assert len(rows) == len(kind.model_fields)
    assert [variable for variable, _, meaning in rows if not meaning] == []
    assert {"KAFKA_BOOTSTRAP_SERVERS", "CATSEYE_PARTITIONS"} <= {variable for variable, _, _ in rows}


def test_times_and_sizes_say_their_unit() -> None:
    """A number of bytes, milliseconds or hours has it at the end of its name."""
    units = {"bytes": "bytes", "milliseconds": "ms", "seconds": "s", "hours": "h"}
    for _, kind in OF_SERVICES:
        for variable, _, meaning in listed(kind):
            unit = units.get(meaning.rsplit(", ", 1)[-1])
            assert unit is None or variable.endswith(f"_{unit.upper()}"), variable
