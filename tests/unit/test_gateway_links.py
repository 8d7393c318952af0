"""The link in a message: a GET asks, a POST acknowledges, anybody else's link does nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from catseye import clock
from catseye.contract.errors import Unavailable
from catseye.contract.records import AlertCommand
from catseye.rights.links import PATH, Links
from services.gateway.links import link_routes
from services.gateway.settings import GatewaySettings
from tests.simulation.notifier import alert

HOUR_MS = 3_600_000


class Fleet:
    """What the gateway knows, and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.settings = GatewaySettings(data_dir=folder)
        self.written: list[AlertCommand] = []
        self.is_broker_away = False
        open_ = [
            alert(alert_id="a", camera="gate-<1>"),
            alert(alert_id="b", state="acknowledged", acknowledged_by="ada"),
            alert(alert_id="i9", incident_id=""),
        ]
        self.found = [msgspec.to_builtins(each) for each in open_]
        self.model = SimpleNamespace(alerts=self.alerts)
        self.outbox = SimpleNamespace(send=self.send)

    async def alerts(self, *, resolved: bool, most: int) -> list[Any]:
        return [] if resolved else self.found[:most]

    async def send(self, topic: str, command: AlertCommand) -> None:
        if self.is_broker_away:
            raise Unavailable("no broker answers")
        assert topic == "alert.commands"
        self.written.append(command)


@pytest.fixture
def fleet(tmp_path: Path, bare_environment: None) -> Fleet:
    return Fleet(tmp_path)


def client(fleet: Fleet) -> TestClient:
    return TestClient(Starlette(routes=link_routes(fleet)))  # type: ignore[arg-type]


def link(fleet: Fleet, incident_id: str = "i1", age_ms: int = 0) -> str:
    """As the notifier writes it."""
    return Links(fleet.settings.links_key_path, HOUR_MS).path(incident_id, "ops mail", clock.now_ms() - age_ms)


def test_a_scanner_that_follows_links_acknowledges_nothing(fleet: Fleet) -> None:
    """The page names what it is about, with nothing of it as markup, and has one button."""
    page = client(fleet).get(link(fleet))
    assert page.status_code == 200
    assert "gate-&lt;1&gt;" in page.text
    assert "acknowledged by ada" in page.text
    assert page.text.count("<form") == 1
    assert fleet.written == []


def test_the_button_acknowledges_what_nobody_has_seen(fleet: Fleet) -> None:
    """By a command that names the route; what was seen stays its finder's."""
    done = client(fleet).post(link(fleet))
    assert done.status_code == 200
    assert "Acknowledged" in done.text
    assert [(each.alert_id, each.action, each.by) for each in fleet.written] == [
        ("a", "acknowledge", "ops mail (link)")
    ]
    assert client(fleet).post(link(fleet, "i9")).status_code == 200
    assert fleet.written[-1].alert_id == "i9"


def test_a_link_that_is_none_or_too_old_is_refused(fleet: Fleet) -> None:
    """Nothing of any alert is shown, and nothing is written."""
    for wrong in (PATH + "A" * 60, link(fleet, age_ms=HOUR_MS), link(fleet)[:-2]):
        for ask in (client(fleet).get, client(fleet).post):
            answer = ask(wrong)
            assert answer.status_code == 404
            assert "gate" not in answer.text
    assert fleet.written == []


def test_an_incident_that_is_over_needs_nobody(fleet: Fleet) -> None:
    """The page says so, and the button does nothing."""
    assert "This incident is over" in client(fleet).get(link(fleet, "gone")).text
    assert client(fleet).post(link(fleet, "gone")).status_code == 200
    assert fleet.written == []


def test_without_a_broker_it_says_so(fleet: Fleet) -> None:
    """Nobody believes that it was acknowledged."""
    fleet.is_broker_away = True
    answer = client(fleet).post(link(fleet))
    assert (answer.status_code, "no broker answers" in answer.text) == (503, True)
    assert "Acknowledged" not in answer.text
