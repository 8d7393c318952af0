"""Dead letters sent once more: as they were, repaired, all of one reason; who did it stands on the record."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.dead_letters import KEPT_MAX_BYTES
from catseye.contract.records import Frame, Label, Prediction
from catseye.rights.scopes import Scope
from services.gateway import letters as module
from services.gateway.letters import BY, LETTER
from tests.unit.gateway_fakes import CAR, GROUP, HIS, OTHER, Door, drawn, frame, label, letter

HOSTILE = b"<script>alert(1)</script>\x00\xff" * 3
AHEAD = letter(0, HIS, frame(HIS))
LETTERS = [
    AHEAD,
    letter(1, OTHER, frame(OTHER)),
    letter(2, None, HOSTILE, reason="malformed"),
    letter(3, HIS, label(HIS), topic="t.labels", reason="field_out_of_range"),
    letter(4, HIS, b"x", topic="t.predictions"),
    letter(5, HIS, bytes(KEPT_MAX_BYTES - len(HIS))),
]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path, LETTERS)


def again(door: Door, number: int, body: Any = None, cameras: tuple[str, ...] = ()) -> Any:
    headers = door.token(Scope.OPERATE, cameras=cameras)
    return door.client.post(f"/v1/dead-letters/{LETTERS[number].dead_letter_id}", json=body, headers=headers)


def test_a_letter_goes_back_byte_for_byte_with_who_sent_it(door: Door) -> None:
    """Hostile bytes too: they are bytes. An empty body is as one without repair."""
    bodies: tuple[Any, ...] = (None, {})
    for body in bodies:
        assert again(door, 2, body).status_code == 202
    assert (
        door.outbox.rows
        == [("t.frames", b"?", HOSTILE, [(BY, b"ann"), (LETTER, LETTERS[2].dead_letter_id.encode())])] * 2
    )


def test_what_cannot_go_back_says_so(door: Door) -> None:
    """What only a service writes, and what is not kept whole."""
    for number in (4, 5):
        answer = again(door, number)
        assert (answer.status_code, answer.json()["reason"]) == (409, "cannot_be_sent_again")
    assert door.outbox.rows == []


def test_fields_are_shown_and_repaired(door: Door) -> None:
    """All but the picture; the record is keyed by the camera that it has then."""
    path = f"/v1/dead-letters/{AHEAD.dead_letter_id}"
    shown = door.client.get(path, headers=door.token(Scope.VIEW)).json()
    assert (shown["reason"], shown["fields"]["camera"], shown["fields"]["sequence"]) == ("captured_in_future", HIS, 7)
    assert "jpeg" not in shown["fields"]
    now_ms = clock.now_ms()
    assert again(door, 0, {"repair": {"captured_at_ms": now_ms, "camera": " gate-2 "}}).status_code == 202
    ((topic, key, value, headers),) = door.outbox.rows
    before = Codec().decode(AHEAD.value, Frame)
    assert (topic, key, dict(headers)[BY]) == ("t.frames", b"gate-2", b"ann")
    assert Codec().decode(value, Frame) == replace(before, captured_at_ms=now_ms, camera="gate-2")


def test_a_label_is_repaired_as_a_frame_is(door: Door) -> None:
    """To the topic of labels; null takes it back."""
    assert again(door, 3, {"repair": {"label": None, "labelled_at_ms": clock.now_ms()}}).status_code == 202
    ((topic, key, value, _),) = door.outbox.rows
    assert (topic, key, Codec().decode(value, Label).label) == ("t.labels", HIS.encode(), None)


@pytest.mark.parametrize(
    ("number", "repair", "status", "reason"),
    [
        (0, {"jpeg": "AAAA"}, 400, "field_out_of_range"),
        (0, {"sequence": "seven"}, 400, "field_out_of_range"),
        (0, {"sequence": -1}, 422, "field_out_of_range"),
        (0, {"captured_at_ms": 1}, 422, "captured_too_long_ago"),
        (0, {"captured_at_ms": 2**62}, 422, "captured_in_future"),
        (0, {"captured_at_ms": 2**70}, 422, "field_out_of_range"),
        (0, {"telemetry": {"x" * 500: 1.0}}, 422, "text_too_long"),
        (0, {"first_seen_ms": 2**70}, 422, "field_out_of_range"),
        (2, {"camera": "gate-1"}, 409, "cannot_be_repaired"),
        (3, {"label": "\u202ecar"}, 422, "field_out_of_range"),
    ],
)
def test_a_repair_that_would_be_refused_again_is_not_sent(
    door: Door, number: int, repair: Any, status: int, reason: str
) -> None:
    """With the reason that ingest would give."""
    repair = {"labelled_at_ms" if number == 3 else "captured_at_ms": clock.now_ms(), **repair}
    answer = again(door, number, {"repair": repair})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
    assert door.outbox.rows == []


def test_a_repair_gives_nobody_another_camera(door: Door) -> None:
    """A token of some cameras takes no letter of another's, and makes none of its own another's."""
    assert again(door, 1, {}, GROUP).status_code == 404
    answer = again(door, 0, {"repair": {"camera": OTHER, "captured_at_ms": clock.now_ms()}}, GROUP)
    assert (answer.status_code, answer.json()["reason"]) == (403, "no_right")
    assert door.outbox.rows == []


def test_all_of_one_reason_go_back_at_once(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they lie, however few fit into memory; what cannot go is counted."""
    headers = door.token(Scope.OPERATE)
    for most in (200, 1):
        monkeypatch.setattr(module, "TOGETHER_MOST", most)
        answer = door.client.post("/v1/dead-letters", json={"reason": "captured_in_future"}, headers=headers)
        assert (answer.status_code, answer.json()) == (202, {"sent": 2, "left": 2})
        assert [key for _, key, _, _ in door.outbox.rows] == [HIS.encode(), OTHER.encode()]
        door.outbox.rows.clear()
    body = {"reason": "captured_in_future", "topic": "t.labels"}
    assert door.client.post("/v1/dead-letters", json=body, headers=headers).json() == {"sent": 0, "left": 0}
    door.outbox.away = True
    answer = door.client.post("/v1/dead-letters", json={"reason": "captured_in_future"}, headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_hostile_names_and_bytes_are_text_on_every_page(tmp_path: Path) -> None:
    """A camera that is called as a script, and letters that say one: nothing of them is markup."""
    hostile = "<script>document.title='taken'</script>"
    door = Door(tmp_path, [letter(0, hostile, HOSTILE, detail=hostile, reason="malformed")])
    door.model.open = [replace(door.model.open[0], camera=hostile, cameras=[hostile], explanation=hostile)]
    for path in ("/", "/alerts", "/dead-letters", "/system", "/models", "/cameras/x%3Cscript%3E"):
        answer = door.client.get(path)
        assert "<script>document" not in answer.text
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_a_key_is_told_apart_while_its_prediction_is_known(door: Door) -> None:
    """Whatever its name, and however many came between: it is answered, and not sent again."""
    headers = door.token(Scope.PUBLISH) | {"Idempotency-Key": "order-71a"}

    def sent(path: str) -> Any:
        return door.client.post(path, params={"camera": HIS}, content=CAR, headers=headers)

    assert sent("/v1/predict").status_code == 202
    assert len(door.outbox.rows) == 1
    door.answers.predicted[HIS, "order-71a", 0] = drawn(Prediction, camera=HIS)
    assert (sent("/v1/predict").status_code, sent("/v1/frames").status_code) == (200, 202)
    assert len(door.outbox.rows) == 1
