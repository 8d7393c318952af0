"""Every route × scope × group, asked over HTTP of the application itself: a refusal is a test of its own."""

import re
from pathlib import Path
from typing import Any

import pytest

from catseye.contract.records import Prediction
from catseye.rights.scopes import Scope
from services.gateway.routes import ROUTES, Route
from tests.unit.gateway_fakes import CAMERAS, CAR, GROUP, HIS, OTHER, Door, drawn, frame, letter

WHOLE_FLEET = {("POST", "/v1/models/{model}"), ("POST", "/v1/trainings")}
"""What concerns all cameras at once is done by nobody who has some."""
LETTERS = [letter(number, camera, frame(camera)) for number, camera in enumerate(CAMERAS)]
NAMES = [f"{route.method} {route.path}" for route in ROUTES]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path, LETTERS)


def called(door: Door, route: Route, camera: str, headers: dict[str, str]) -> Any:
    """The answer to a request that concerns *camera*."""
    place = CAMERAS.index(camera)
    given = {
        "camera": camera,
        "frame": f"{camera}/b/1",
        "series": "accuracy",
        "partition": "0",
        "offset": str(place),
        "alert_id": f"alert-{camera}",
        "model": "roads",
        "dead_letter_id": LETTERS[place].dead_letter_id,
    }
    path = re.sub(r"{(\w+)(?::\w+)?}", lambda found: given[found[1]], route.path)
    bodies: dict[str, Any] = {
        "/v1/labels": {"frame": f"{camera}/b/1", "label": "car"},
        "/v1/labels/offers": {"most": 5},
        "/v1/labels/answers": {"answer_id": "1", "frame": f"{camera}/b/1", "drawer": "audit", "answer": "skipped"},
        "/v1/alerts/{alert_id}": {"action": "acknowledge"},
        "/v1/models/{model}": {"action": "roll_back"},
        "/v1/trainings": {"model": "roads"},
        "/v1/dead-letters": {"reason": "captured_in_future"},
        "/v1/dead-letters/{dead_letter_id}": {},
    }
    if route.path in ("/v1/frames", "/v1/predict"):
        return door.client.post(path, params={"camera": camera}, content=CAR, headers=headers)
    return door.client.request(route.method, path, json=bodies.get(route.path), headers=headers)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_the_application_asks_for_the_scope_before_all_else(door: Door, route: Route, scope: Scope) -> None:
    """Who has another one is refused, and nothing is written; who has it is not."""
    answer = called(door, route, HIS, door.token(scope))
    if scope in (route.scope, Scope.ADMIN):
        assert answer.status_code not in (401, 403), answer.text
        assert answer.status_code < 500
    else:
        assert (answer.status_code, answer.json()["reason"]) == (403, "no_right")
        assert door.outbox.rows == []


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_nobody_comes_in_by_a_route_without_a_token(door: Door, route: Route) -> None:
    """Once there is one."""
    door.token(Scope.ADMIN)
    assert called(door, route, HIS, {}).status_code == 401
    assert door.outbox.rows == []


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_a_token_of_some_cameras_does_nothing_with_another(door: Door, route: Route) -> None:
    """By no route: it is refused, or what is answered does not know the other camera; nothing of it is written."""
    answer = called(door, route, OTHER, door.token(Scope.ADMIN, cameras=GROUP))
    if (route.method, route.path) in WHOLE_FLEET:
        assert (answer.status_code, answer.json()["reason"]) == (403, "no_right")
    elif answer.status_code == 202:  # what it did, it did to its own
        assert route.path == "/v1/dead-letters"
        assert answer.json() == {"sent": 1, "left": 0}
    elif answer.status_code == 200:
        assert "{" not in route.path
        assert OTHER not in answer.text
    else:
        assert answer.status_code in (403, 404)
    assert [key for _, key, _, _ in door.outbox.rows if key == OTHER.encode()] == []


@pytest.mark.parametrize(
    "route",
    [each for each in ROUTES if (each.method, each.path) not in WHOLE_FLEET],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_a_token_of_some_cameras_does_all_with_those(door: Door, route: Route) -> None:
    """Negative control: the same requests about its own camera are not refused."""
    door.answers.predicted[HIS, "b", 1] = drawn(Prediction, camera=HIS)
    answer = called(door, route, HIS, door.token(Scope.ADMIN, cameras=GROUP))
    assert answer.status_code in (200, 202), answer.text


def test_lists_are_of_ones_own_cameras(door: Door) -> None:
    """Alerts of a group only where each of its cameras is; letters, and how many there were of a reason, likewise."""
    his, all_ = door.token(Scope.VIEW, cameras=GROUP), door.token(Scope.VIEW, name="all")

    def got(path: str, headers: dict[str, str]) -> Any:
        return door.client.get(path, headers=headers).json()

    def ids(headers: dict[str, str]) -> list[str]:
        return [alert["alert_id"] for alert in got("/v1/alerts", headers)["alerts"]]

    assert ids(his) == ["alert-gate-1", "alert-gates"]
    assert ids(all_) == ["alert-gate-1", "alert-south", "alert-both", "alert-gates", "alert-fleet"]
    assert door.client.get("/v1/alerts/alert-both", headers=his).status_code == 404
    assert door.client.get("/v1/alerts/alert-gates", headers=his).status_code == 200
    assert [each["camera"] for each in got("/v1/cameras", his)["cameras"]] == [HIS]
    letters = got("/v1/dead-letters", his)
    assert [each["camera"] for each in letters["dead_letters"]] == [HIS]
    assert letters["reasons"] == {"t.frames/captured_in_future": 1}
    assert got("/v1/dead-letters", all_)["reasons"] == {"t.frames/captured_in_future": 17}


@pytest.mark.parametrize("path", ["/", f"/cameras/{HIS}", "/alerts", "/dead-letters", "/models", "/system"])
def test_pages_show_ones_own_cameras_only(door: Door, path: str) -> None:
    """None names another: not in a list, not in an alert of a group, not in a count."""
    answer = door.client.get(path, headers=door.token(Scope.VIEW, cameras=GROUP))
    assert answer.status_code == 200
    assert OTHER not in answer.text
    assert "alert-both" not in answer.text
    assert door.client.get(f"/cameras/{OTHER}", headers=door.token(Scope.VIEW, cameras=GROUP)).status_code == 404


def test_the_system_page_says_what_waits_for_a_service(door: Door) -> None:
    """How many records of which topic, and for how long; topics of which none waits are left out."""
    page = door.client.get("/system").text
    assert '<th scope="row">ground truth 0</th>' in page
    assert "1,234 of predictions, 61&nbsp;s</td>" in page
    (process,) = door.client.get("/v1/system").json()["processes"]
    assert process["backlogs"][0] == {"topic": "predictions", "records": 1_234, "oldest_ms": 61_000}
