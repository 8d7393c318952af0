"""Live events: what a page is told after it was slow, away, or limited to some cameras."""

import json
from typing import Any

from catseye.rights.scopes import Principal, Scope
from services.gateway.live import Listener

ANN = Principal("ann", frozenset({Scope.VIEW}))
GATES = Principal("gates", frozenset({Scope.VIEW}), ("gate-*",))


def next_event(listener: Listener) -> tuple[str, str, Any]:
    """Id, name and content of the event that comes next."""
    lines = listener.event().decode().splitlines()
    return lines[0].removeprefix("id: "), lines[1].removeprefix("event: "), json.loads(lines[2].removeprefix("data: "))


def test_changes_of_a_camera_merge_while_nobody_reads() -> None:
    """However many there were, the newest value of each field goes out, once, under the newest id."""
    listener = Listener(ANN)
    for number in range(1_000):
        listener.take(f"{number}-0", {"cameras": {"gate-1": {"label": "car", "received_at_ms": number}}})
    listener.take("1000-0", {"cameras": {"gate-1": {"accuracy": "0.9"}, "gate-2": {"label": "bus"}}, "alerts": ["a"]})
    listener.take("1001-0", {"alerts": ["a", "b"], "models": True})
    assert next_event(listener) == (
        "1001-0",
        "changes",
        {
            "cameras": {
                "gate-1": {"label": "car", "received_at_ms": 999, "accuracy": "0.9"},
                "gate-2": {"label": "bus"},
            },
            "alerts": ["a", "b"],
            "models": True,
        },
    )
    assert not listener.news.is_set()
    assert next_event(listener)[2] == {"cameras": {}, "alerts": []}


def test_what_was_missed_is_one_resync() -> None:
    """Also where the read model was built anew; changes from before it are not sent behind it."""
    listener = Listener(ANN)
    listener.take("1-0", {"cameras": {"gate-1": {"label": "car"}}})
    listener.missed()
    assert next_event(listener) == ("1-0", "resync", {})
    listener.take("2-0", {"whole": True})
    assert listener.news.is_set()
    assert next_event(listener)[1] == "resync"
    listener.take("3-0", {"cameras": {"gate-1": {"label": "bus"}}})
    assert next_event(listener)[1] == "changes"


def test_a_page_is_told_of_its_cameras_only() -> None:
    """Nor of the fleet's alerts, where the token is for some cameras; what is not its own wakes nobody."""
    listener = Listener(GATES)
    listener.take("1-0", {"cameras": {"south": {"label": "car"}}, "alerts": ["a"], "models": True})
    assert not listener.news.is_set()
    listener.take("2-0", {"cameras": {"gate-7": {"label": "car"}, "south": {"label": "bus"}}})
    assert next_event(listener)[2] == {"cameras": {"gate-7": {"label": "car"}}, "alerts": []}


def test_a_reader_that_comes_back_is_told_in_the_order_of_the_stream() -> None:
    """What it missed first, then what came while that was looked for, each once; the newest holds."""
    listener = Listener(ANN)
    listener.last_id = "1-0"
    listener.hold()
    listener.take("3-0", {"cameras": {"gate-1": {"label": "bus"}}})
    listener.take("4-0", {"cameras": {"gate-2": {"label": "van"}}})
    assert not listener.news.is_set()
    listener.release(
        [(f"{number}-0", {"cameras": {"gate-1": {"label": label}}}) for number, label in ((2, "car"), (3, "bus"))]
    )
    assert next_event(listener) == (
        "4-0",
        "changes",
        {"cameras": {"gate-1": {"label": "bus"}, "gate-2": {"label": "van"}}, "alerts": []},
    )
    listener.take("5-0", {"cameras": {"gate-1": {"label": "car"}}})
    assert next_event(listener)[0] == "5-0"
