"""No request of any shape is answered with 5xx: every route, with paths, queries, headers and bodies that are drawn.

The servers behind are in memory, so that a 5xx is a fault of the gateway. `infra/bench fuzz` has schemathesis do the
same from the OpenAPI, for longer, to a gateway on real servers.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catseye.rights.scopes import Scope
from services.gateway.routes import ROUTES, Route
from tests.unit.gateway_fakes import CAMERAS, CAR, Door, frame, label, letter

LETTERS = [
    *(letter(number, camera, frame(camera)) for number, camera in enumerate(CAMERAS)),
    letter(2, None, b"<script>\xff"),
    letter(3, CAMERAS[0], label(CAMERAS[0]), topic="t.labels"),
]
KNOWN = [*CAMERAS, "alert-gate-1", "roads", "accuracy", "gate-1/b/1", *(each.dead_letter_id for each in LETTERS)]
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NAMES = st.sampled_from(KNOWN) | TEXT
NUMBERS = st.integers(-(2**65), 2**65) | st.sampled_from([0, 1, 3, 2**31, 2**63])
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | NAMES
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
ONES_OWN = {"captured_at_ms", "labelled_at_ms", "sequence", "camera", "label", "telemetry", "first_seen_ms", "box"}


def bodies(kind: type[msgspec.Struct]) -> st.SearchStrategy[bytes]:
    """Bodies that are nearly right, JSON of any kind, and bytes."""
    words = st.sampled_from(["acknowledge", "suppress", "roll_back", "audit", "skipped", "captured_in_future"])
    repair = st.fixed_dictionaries({"repair": st.dictionaries(st.sampled_from(sorted(ONES_OWN)), JSON, max_size=3)})
    near = st.fixed_dictionaries({}, optional=dict.fromkeys(kind.__struct_fields__, words | JSON))
    return (repair | near | JSON).map(msgspec.json.encode) | st.binary(max_size=60)


def queries(route: Route) -> st.SearchStrategy[dict[str, str]]:
    """What the route knows and what it does not."""
    values = NAMES | NUMBERS.map(str)
    return st.fixed_dictionaries({}, optional=dict.fromkeys([*route.query, "strange"], values))


def pictures() -> st.SearchStrategy[bytes]:
    """The picture of a car, or some of its bytes and others."""
    return st.just(CAR) | st.tuples(st.integers(0, len(CAR)), st.binary(max_size=60)).map(
        lambda cut: CAR[: cut[0]] + cut[1]
    )


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Door:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    return Door(folder, LETTERS)


@pytest.fixture(scope="module")
def headers(door: Door) -> dict[str, str]:
    return door.token(Scope.ADMIN)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_request_is_a_fault_of_the_gateway(door: Door, headers: dict[str, str], route: Route, data: Any) -> None:
    """An exception would come out here; 503 is for servers that are away, and none is."""

    def part(found: re.Match[str]) -> str:
        if found[2] == "int":
            return str(data.draw(st.integers(0, 2**70)))
        return quote(data.draw(NAMES), safe="/" if found[2] == "path" else "")

    path = re.sub(r"{(\w+)(?::(\w+))?}", part, route.path)
    given_headers = dict(headers)
    if route.headers:
        key = data.draw(st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
        given_headers |= {"Idempotency-Key": key.strip()} if key is not None else {}
    content = None
    if route.takes is not None:
        kind = data.draw(st.sampled_from(["application/json", *route.media, "text/plain", ""]))
        given_headers["Content-Type"] = kind
        content = data.draw(pictures() if kind.startswith("image") else bodies(route.takes))
    answer = door.client.request(
        route.method, path, params=data.draw(queries(route)), content=content, headers=given_headers
    )
    assert answer.status_code < 500, answer.text
