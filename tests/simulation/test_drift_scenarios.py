"""Every shipped scenario leads to the right alert on the right cameras, and a road on which nothing happens to none.

Roads are played in virtual time with the settings that infra/demo gives drift. Light stands still, as it does there,
unless a test says otherwise: what is learned in a quarter of a minute cannot hold its next step. Devices are silent
where something happens, since no scenario is about them, and speak where nothing does.
"""

from collections import Counter

import pytest

from catseye.contract.records import Alert
from infra.local.demo_road import DAY_S
from services.drift.rules import Rules
from services.simulator.core import Plan
from services.simulator.pictures import Pictures
from services.simulator.scenario import SCENARIOS, load_scenario, planned
from tests.simulation.virtual_road import Lens, Played, VirtualRoad, example_lens, example_pictures

pytestmark = pytest.mark.slow

SEED = 1
FPS = 10.0
CAMERAS = 2
CHANGE_AT_S = 30.0
DURATION_S = 90.0
STILL_MS = DAY_S * 1_000
DEMO = Rules(reference_samples=162, reference_span_ms=0)
"""infra/demo: 60 % of the labels that come before the change, whatever time that takes."""


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """The example's crops, kept between tests as they are made."""
    return example_pictures(SEED)


@pytest.fixture(scope="module")
def lens() -> Lens:
    """The example's model; no picture is looked at twice."""
    return example_lens()


def quiet_plan(pictures: Pictures, *, cameras: int, fps: float, duration_s: float, day_ms: float) -> Plan:
    """A road on which nothing happens."""
    return Plan(
        classes=pictures.classes,
        seed=SEED,
        cameras=cameras,
        fps=fps,
        duration_ms=duration_s * 1_000,
        day_ms=day_ms,
    )


def notified(alerts: list[Alert]) -> list[str]:
    """What a failed test prints."""
    return [f"{alert.camera} {alert.state} {alert.kind} ({alert.signal}): {alert.explanation}" for alert in alerts]


def check_one_lifecycle_each(played: Played) -> None:
    """No camera has two alerts of one kind: what lasts is opened once."""
    assert [place for place, count in Counter(played.opened()).items() if count > 1] == []


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "none"])
def test_a_scenario_is_seen_where_it_happens_and_nothing_else_is(name: str, pictures: Pictures, lens: Lens) -> None:
    """A right alert on each changed camera, only right or allowed ones there, none elsewhere, each opened once."""
    scenario = load_scenario(name)
    quiet = quiet_plan(pictures, cameras=CAMERAS, fps=FPS, duration_s=DURATION_S, day_ms=STILL_MS)
    plan = planned(quiet, scenario, at_s=CHANGE_AT_S)
    worse_from_ms = CHANGE_AT_S * 1_000 if scenario.model == "worse" else None
    played = VirtualRoad(lens, DEMO, worse_from_ms=worse_from_ms, telemetry=False).play(plan, pictures)
    changed = [f"cam-{number + 1:02d}" for number in range(plan.change_cameras)]

    def verdict(alert: Alert) -> str:
        return scenario.verdict(alert.kind, changed=alert.camera is None or alert.camera in changed)

    assert notified([alert for alert in played.alerts if verdict(alert) == "wrong"]) == []
    right = {alert.camera for alert in played.alerts if verdict(alert) == "right"}
    assert sorted(camera for camera in right if camera) == changed
    check_one_lifecycle_each(played)


@pytest.mark.parametrize("telemetry", [False, True], ids=["pictures", "pictures and devices"])
def test_nothing_happens_for_as_long_as_the_demo_lasts(telemetry: bool, pictures: Pictures, lens: Lens) -> None:
    """Six cameras at 20 frames/s, learned within a quarter of a minute: no alert of any kind."""
    plan = quiet_plan(pictures, cameras=6, fps=FPS, duration_s=DURATION_S, day_ms=STILL_MS)
    played = VirtualRoad(lens, DEMO, telemetry=telemetry).play(plan, pictures)
    assert notified(played.alerts) == []
    assert {report.learning_left for report in played.reports[-6:]} == {0}


@pytest.mark.timeout(3_600)
def test_nothing_happens_through_days_of_light_and_nothing_is_reported(
    pictures: Pictures, lens: Lens, request: pytest.FixtureRequest
) -> None:
    """Six cameras, a day of ten minutes of which all is learned, at 4 frames/s: 15 minutes, or an hour with
    ``--drift-hour``."""
    minutes = 60 if request.config.getoption("--drift-hour") else 15
    plan = quiet_plan(pictures, cameras=6, fps=4, duration_s=minutes * 60, day_ms=600_000)
    rules = Rules(reference_samples=1_000, reference_span_ms=600_000, telemetry_span_ms=600_000)
    played = VirtualRoad(lens, rules, telemetry=True).play(plan, pictures)
    assert notified(played.alerts) == []
    assert {report.learning_left for report in played.reports[-6:]} == {0}
