"""A checker that never fails proves nothing: two builds with a known defect, which it must report as what they do,
each beside a build that goes through the same without the defect and must pass."""

import sys
from pathlib import Path

import pytest

from infra.local.checker import Report
from infra.local.services import Service
from tests.chaos.broken import IN_TRANSACTION
from tests.chaos.fleet import Fleet

FRAMES = 1_500
PATIENCE_S = 300
LOST_S = 12
"""A build that loses has nothing more to wait for."""
VARIABLES = {"CATSEYE_PARTITIONS": "4", "CATSEYE_TRANSACTION_MAX_RECORDS": "20"}


def services(broken: str, build: str, folder: Path) -> list[Service]:
    argv = (sys.executable, "-m", "tests.chaos.broken", broken, build, str(folder))
    return [Service(name, 8_300, argv if name == broken else ()) for name in ("ingest", "inference")]


def publish(fleet: Fleet) -> None:
    fleet.publish(
        *("--tiny", "--count", str(FRAMES), "--cameras", "12", "--fps", "20", "--label-share", "0", "--light", "0")
    )


@pytest.mark.broker
@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("build", ["aborting", "without-seek"])
def test_a_build_without_the_seek_loses(build: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an abort the whole build reads its batch again and loses nothing; the one that does not is found out."""
    with Fleet(
        tmp_path, monkeypatch, workers=1, services=services("ingest", build, tmp_path), variables=VARIABLES
    ) as fleet:
        publish(fleet)
        fleet.drain(PATIENCE_S if build == "aborting" else LOST_S)
        _, _, report = fleet.verdict()
    assert report.frames_in >= FRAMES
    if build == "aborting":
        assert report.findings == []
    else:
        assert report.lost > 0
        assert "frame without prediction or dead letter" in {finding.what for finding in report.findings}
        assert report.repeated == 0


@pytest.mark.broker
@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("build", ["slow", "without-metadata"])
def test_a_build_without_the_groups_metadata_repeats(
    build: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that sleeps in an open transaction till its partitions are another's is refused when it wakes; the one
    that does not say who it is in the group commits what the other has done already, and is found out."""
    report = woken_in_transaction(build, tmp_path, monkeypatch)
    if build == "slow":
        assert report.findings == []
    else:
        assert report.repeated > 0
        assert "prediction_id twice" in {finding.what for finding in report.findings}
        assert report.lost == 0


def woken_in_transaction(build: str, folder: Path, environment: pytest.MonkeyPatch) -> Report:
    """Stop one of two workers in its transaction, let the other take over, wake it, and check."""
    variables = VARIABLES | {"CATSEYE_TRANSACTION_TIMEOUT_MS": "60000"}
    with Fleet(
        folder, environment, workers=2, services=services("inference", build, folder), variables=variables
    ) as fleet:
        publish(fleet)
        marker = folder / f"{IN_TRANSACTION}-0"
        fleet.check_until(marker.exists, PATIENCE_S, "worker 0 in its slow transaction")
        sleeper, _ = fleet.stack.processes("inference")
        sleeper.pause()
        # The open transaction hides from the reader what the other worker does meanwhile; its commits tell.
        fleet.check_until(lambda: not fleet.is_publishing, PATIENCE_S, "the end of publishing")
        fleet.wait_until_read("inference", "frames.accepted", PATIENCE_S)
        sleeper.resume()
        fleet.drain(PATIENCE_S)
        _, _, report = fleet.verdict()
    return report
