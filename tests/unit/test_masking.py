"""Passwords stand in addresses of cameras, registries and stores. Nobody reads them off a screen, a log or an error."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from catseye.cli.settings import service_settings, settings
from catseye.contract.errors import BadModel, BadRecord, Misconfigured, Reason, Unavailable
from catseye.contract.masking import masked
from catseye.runtime import log
from catseye.runtime.restore import WorkerFailed
from catseye.settings import Settings, listed, load

SECRET = "Geheim4"
ADDRESS = f"https://admin:{SECRET}@host:8081/path"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ADDRESS, "https://***@host:8081/path"),
        (f"no answer from {ADDRESS}: refused", "no answer from https://***@host:8081/path: refused"),
        (f"rtsp://admin:a/{SECRET}@b@10.0.0.7/stream", "rtsp://***@10.0.0.7/stream"),
        (f"s3://{SECRET}@bucket/key", "s3://***@bucket/key"),
        (f"http://cam/snap.cgi?user=admin&pwd={SECRET}&channel=1", "http://cam/snap.cgi?user=***&pwd=***&channel=1"),
        (f"https://store/f?X-Amz-Signature={SECRET}#part", "https://store/f?X-Amz-Signature=***#part"),
        (f"http://cam/?access_key={SECRET}&x=1", "http://cam/?access_key=***&x=1"),
        (f"http://cam/?client_secret={SECRET}", "http://cam/?client_secret=***"),
        (f"http://cam/v.cgi?loginuse=admin&loginpas={SECRET}", "http://cam/v.cgi?loginuse=***&loginpas=***"),
        (f"http://cam/?userpwd={SECRET}_a=b&x=1", "http://cam/?userpwd=***&x=1"),
        (
            f"rtsp://cam/user=admin_password={SECRET}_channel=1_stream=0.sdp?real_stream",
            "rtsp://cam/user=***_password=***_channel=1_stream=0.sdp?real_stream",
        ),
        (f"rtsp://cam/user=admin&password={SECRET}&channel=1", "rtsp://cam/user=***&password=***&channel=1"),
        (f"'https://a:{SECRET}@b' and 'https://c:{SECRET}@d'", "'https://***@b' and 'https://***@d'"),
    ],
)
def test_an_address_keeps_all_but_its_secrets(text: str, shown: str) -> None:
    """What helps to find the host stays."""
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8081/path",
        "https://host/path@2x.jpg",
        "person@example.org",
        "127.0.0.1:9092,127.0.0.1:9093",
        "http://cam/snap.cgi?channel=1&keyframe=2",
        "http://cam/?compass=3&monkey=2&users=4",
        "speed=3",
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(text: str) -> None:
    """A mask in the wrong place hides what a person looks for."""
    assert masked(text) == text


@pytest.mark.parametrize(
    "fault",
    [
        Unavailable(f"no answer from {ADDRESS}"),
        Misconfigured(f"{ADDRESS} is not there"),
        BadModel(f"{ADDRESS} is none"),
        BadRecord(Reason.FIELD_OUT_OF_RANGE, f"{ADDRESS} is none"),
        WorkerFailed(f"no answer from {ADDRESS}"),
    ],
)
def test_no_fault_carries_a_secret(fault: Exception) -> None:
    """Whoever prints, logs or sends it on need not think of it."""
    assert SECRET not in f"{fault} {fault!r} {getattr(fault, 'detail', '')}"
    assert "https://***@host:8081/path" in str(fault)


def test_a_line_of_a_log_carries_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Faults of others too, and their traces."""
    logger = log.set_up("ingest", "0", "info")
    try:
        shutil.copyfile(ADDRESS, "nowhere")
    except OSError:
        logger.exception("failed", what=ADDRESS)
    line = capsys.readouterr().out
    assert SECRET not in line
    assert json.loads(line)["what"] == "https://***@host:8081/path"


KINDS: dict[str, type[Settings]] = {"": Settings, **dict(service_settings())}
TEXTS = [
    (service, variable, name)
    for service, kind in KINDS.items()
    for name, (variable, _, _) in zip(kind.model_fields, listed(kind), strict=True)
    if kind.model_fields[name].annotation is str and (service == "" or name not in Settings.model_fields)
]


@pytest.mark.parametrize(("service", "variable", "name"), TEXTS, ids=[variable for _, variable, _ in TEXTS])
def test_no_setting_shows_a_secret(
    service: str, variable: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`catseye settings`, for people and as JSON, and the settings as Python shows them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, ADDRESS)
    printed = [CliRunner().invoke(settings, words) for words in ([], ["--json", "-"])]
    for each in printed:
        shown = each.output if each.exception is None else str(each.exception)
        assert variable in shown
        assert SECRET not in shown
    if printed[0].exception is None:
        loaded = load(KINDS[service], service=service)
        assert getattr(loaded, name) == ADDRESS
        assert SECRET not in repr(loaded)
    else:
        assert isinstance(printed[0].exception, Misconfigured)  # no address is right there


@pytest.mark.parametrize("variable", ["CATSEYE_PARTITIONS", "KAFKA_SECURITY_PROTOCOL"])
def test_a_setting_that_is_refused_shows_no_secret(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An address in the wrong variable is named without its password."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, ADDRESS)
    with pytest.raises(Misconfigured, match=variable) as refused:
        load(Settings)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert SECRET not in str(refused.value)
