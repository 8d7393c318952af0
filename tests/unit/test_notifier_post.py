"""Between the core and the senders, and the links that they write."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from catseye.contract.errors import Misconfigured
from catseye.rights.links import PATH, Links
from catseye.runtime.heartbeats import Problems
from services.notifier import sending
from services.notifier.known import Attempt, Result
from services.notifier.post import Post
from services.notifier.route_file import RouteFile
from services.notifier.routes import config_of
from services.notifier.sending import CurrentSender
from services.notifier.settings import NotifierSettings
from tests.simulation.notifier import NOON_MS
from tests.unit.test_notifier_senders import WebServer, around, attempt, web

__all__ = ["web"]

ROUTES = {
    "routes": [{"name": "it", "to": "slack", "token": "xoxb-secret", "conversation": "C"}],
}


class Held:
    """A sender that answers when it is let."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.done = threading.Event()

    def send(self, sent: Attempt) -> Result:
        self.may.wait()
        return Result(sent.key, "failed", "no xoxb-secret here")


def test_a_result_is_there_until_it_is_on_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what is secret; an attempt is known from its commit to that."""
    logged: list[Any] = []
    sender, done = Held(), threading.Event()

    def log(*what: Any, **more: Any) -> None:
        logged.append((what, more))
        done.set()

    (route,) = config_of(ROUTES).routes
    monkeypatch.setattr(sending, "sender_of", lambda *_: sender)
    post = Post({"it": CurrentSender(lambda: route, around())}, Problems(), log)
    sent = attempt()
    assert not post.knows(sent.key)
    post.committed([sent], [], {})
    assert post.knows(sent.key)
    assert post.results() == []
    sender.may.set()
    assert done.wait(60)
    assert [result.detail for result in post.results()] == ["no *** here"]
    assert post.knows(sent.key)
    post.committed([], [sent.key], {})
    assert (post.results(), post.knows(sent.key)) == ([], False)
    assert logged[0][1] == {"route": "it", "outcome": "failed", "what": "no *** here"}


def test_a_secret_that_is_replaced_counts_from_the_next_message_on(tmp_path: Path, web: WebServer) -> None:
    """Nobody restarts the notifier for it. While its file is gone, or empty, messages go on with the one before."""
    secret = tmp_path / "room.key"
    secret.write_text("syt_before\n")
    (tmp_path / "notify.yaml").write_text(
        f"routes: [{{name: it, to: matrix, server: '{web.url}', token: 'file:room.key', room: '!a:b'}}]"
    )
    sender = CurrentSender(partial(RouteFile(NotifierSettings(data_dir=tmp_path)).route, "it"), around())
    web.answer = (403, {}, b'{"errcode": "M_FORBIDDEN", "error": "not syt_after"}')
    for now in ("syt_before", "syt_after", "", None):
        secret.unlink() if now is None else secret.write_text(now)
        detail = sender.send(attempt()).detail
    given = [request.headers["authorization"].removeprefix("Bearer ") for request in web.asked]
    assert given == ["syt_before", "syt_after", "syt_after", "syt_after"]
    assert detail == "Matrix answered M_FORBIDDEN: not ***"


def test_a_route_that_fails_is_a_problem_of_the_service_until_it_works() -> None:
    """So incidents makes an alert of it, and pages show it."""
    problems = Problems()
    post = Post({}, problems, lambda *_, **__: None)
    post.committed([], [], {"mail": "421 busy"})
    assert [(each.kind, each.subject, each.detail) for each in problems.found()] == [
        ("route_failing", "mail", "421 busy")
    ]
    post.committed([], [], {"mail": "connection refused"})
    assert [each.detail for each in problems.found()] == ["connection refused"]
    post.committed([], [], {})
    assert problems.found() == []


def test_a_link_says_whom_it_was_sent_to_until_it_expires(tmp_path: Path) -> None:
    """Both ends read one key, which the first makes; the same message has the same link each time."""
    writes, reads = (Links(tmp_path / "a" / "links.key", 1_000) for _ in range(2))
    path = writes.path("i1", "ops mail", NOON_MS)
    assert path == writes.path("i1", "ops mail", NOON_MS)
    text = path.removeprefix(PATH)
    link = reads.read(text, NOON_MS + 999)
    assert link is not None
    assert (link.incident_id, link.route) == ("i1", "ops mail")
    assert reads.read(text, NOON_MS + 1_000) is None
    assert (tmp_path / "a" / "links.key").stat().st_mode & 0o077 == 0
    assert [each.name for each in (tmp_path / "a").iterdir()] == ["links.key"]


@pytest.mark.parametrize("text", ["", "A", "!!", "é", "AAAA" * 9, "A" * 2_000])
def test_a_link_that_nobody_wrote_is_none(tmp_path: Path, text: str) -> None:
    """Whatever stands in it."""
    assert Links(tmp_path / "links.key", 1_000).read(text, NOON_MS) is None


def test_a_link_of_which_a_bit_is_another_is_none(tmp_path: Path) -> None:
    """Also where another key wrote it."""
    links = Links(tmp_path / "links.key", 1_000)
    text = links.path("i1", "ops", NOON_MS).removeprefix(PATH)
    changed = [text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(len(text) - 1)]
    assert [each for each in changed if links.read(each, NOON_MS) is not None] == []
    other = Links(tmp_path / "other.key", 1_000).path("i1", "ops", NOON_MS).removeprefix(PATH)
    assert links.read(other, NOON_MS) is None


def test_a_key_that_is_none_is_named(tmp_path: Path) -> None:
    """With what to do, and that helps."""
    file = tmp_path / "links.key"
    file.write_bytes(b"short")
    links = Links(file, 1_000)
    with pytest.raises(Misconfigured, match="delete it, and another one is made"):
        links.path("i1", "ops", NOON_MS)
    file.unlink()
    assert links.path("i1", "ops", NOON_MS)
    with pytest.raises(Misconfigured, match="cannot be read"):
        Links(tmp_path / "links.key" / "x", 1_000).path("i1", "ops", NOON_MS)
