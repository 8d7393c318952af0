"""Senders against real servers on this machine: what they send, and what they make of answers."""

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from msgspec.structs import replace

from catseye.contract.records import Place
from services.notifier.content import Content, content_of
from services.notifier.facts import fact_of_alert, fact_of_step, incident_of
from services.notifier.known import Attempt, Result
from services.notifier.routes import config_of
from services.notifier.senders.parcel import Surroundings
from services.notifier.senders.webhook import signature
from services.notifier.sending import sender_of
from tests.simulation.notifier import NOON_MS, alert, step

PLACE = Place(topic="catseye.frames.accepted", partition=0, offset=7)
JPEG = b"\xff\xd8picture\xff\xd9"


def content(**fields: Any) -> Content:
    return content_of(incident_of([fact_of_alert(alert(**fields))]), 0, NOON_MS)


def attempt(*contents: Content, **fields: Any) -> Attempt:
    known: dict[str, Any] = {
        "notification_id": "n" * 32,
        "route": "it",
        "action": "message",
        "contents": contents or (content(),),
        "shown": (),
        "due_ms": NOON_MS,
        "first_at_ms": NOON_MS,
        "at_ms": NOON_MS,
    }
    return Attempt(**{**known, **fields})


def around(pages: str = "https://c.example", timeout_s: float = 10) -> Surroundings:
    return Surroundings(pages, lambda *named: f"/acknowledge/{'-'.join(map(str, named))}", lambda _: JPEG, timeout_s)


def send(route: dict[str, Any], sent: Attempt, surroundings: Surroundings | None = None) -> Result:
    (known,) = config_of({"routes": [{"name": "it", **route}]}).routes
    return sender_of(known, surroundings or around()).send(sent)


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class WebServer:
    """A server that answers as it is told.

    Attributes:
        url: Where it is.
        asked: What it was asked, in order.
        answer: Status, headers and body of the next answers.
        before: Called before each answer.
    """

    url: str
    asked: list[Asked] = field(default_factory=list)
    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
    before: Callable[[], object] = lambda: None


@pytest.fixture
def web() -> Iterator[WebServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            known.asked.append(Asked(self.command, self.path, headers, body))
            known.before()
            status, more, text = known.answer
            self.send_response(status)
            for name, value in {"content-length": str(len(text)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known = WebServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_signed_and_has_its_key(web: WebServer) -> None:
    """As Standard Webhooks has it: whoever has the secret can check the bytes; the same words are the same bytes."""
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef").decode()
    sent = attempt()
    results = [send({"to": "webhook", "url": f"{web.url}/hook", "secret": secret}, sent) for _ in range(2)]
    first, second = web.asked
    signed = f"{first.headers['webhook-id']}.{first.headers['webhook-timestamp']}.".encode() + first.body
    expected = base64.b64encode(hmac.new(b"0123456789abcdef", signed, hashlib.sha256).digest()).decode()
    assert first.headers["webhook-signature"] == f"v1,{expected}"
    assert first.headers["webhook-id"] == sent.notification_id
    assert first.body == second.body
    assert {(result.outcome, result.ref) for result in results} == {("delivered", sent.notification_id)}
    sent = json.loads(first.body)
    assert sent["incidents"][0]["page"] == "https://c.example/cameras/gate-7"
    assert sent["incidents"][0]["acknowledge"].startswith("https://c.example/acknowledge/i1-it-")


def test_a_signature_is_that_of_the_standard() -> None:
    """Its own example, https://github.com/standard-webhooks/standard-webhooks; other secrets are taken as they are."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature("whsec_?", "m", 1, b"") == signature("whsec_?", "m", 1, b"") != signature("x", "m", 1, b"")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (302, "failed"),
        (307, "failed"),
        (400, "refused"),
        (401, "failed"),
        (404, "failed"),
        (422, "refused"),
        (429, "failed"),
        (500, "failed"),
        (503, "failed"),
        (599, "failed"),
    ],
)
def test_what_an_answer_means(web: WebServer, status: int, outcome: str) -> None:
    """And a redirect is not followed: nobody is led to where notify.yaml does not point."""
    web.answer = (status, {"location": f"{web.url}/elsewhere", "content-length": "0"}, b"")
    result = send({"to": "webhook", "url": web.url}, attempt())
    assert result.outcome == outcome
    assert len(web.asked) == 1
    assert str(status) in result.detail


@pytest.mark.parametrize(("asked", "ms"), [("7", 7_000), ("soon", 0), ("٧", 0), ("", 0)])
def test_a_server_may_say_when_to_come_again(web: WebServer, asked: str, ms: int) -> None:
    """In seconds; anything else is not understood, which is no fault."""
    web.answer = (503, {"retry-after": asked.encode().decode("latin-1")}, b"")
    assert send({"to": "webhook", "url": web.url}, attempt()).retry_after_ms == ms


def test_an_answer_that_comes_too_late_may_have_been_one(web: WebServer) -> None:
    """The server had the message, and nobody heard of it: it is sent again by the same key."""
    may_answer = threading.Event()
    web.before = may_answer.wait
    result = send({"to": "webhook", "url": web.url}, attempt(), around(timeout_s=0.3))
    may_answer.set()
    assert (result.outcome, result.detail) == ("uncertain", "no answer within 0.3 s")
    assert len(web.asked) == 1


def test_a_server_that_is_not_there_surely_has_nothing() -> None:
    """Nobody listens, or the name is not known."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://nobody.invalid"):
        assert send({"to": "webhook", "url": url}, attempt()).outcome == "failed"


def test_a_connection_that_breaks_may_have_brought_it() -> None:
    """The server took bytes and closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close() -> None:
            connection, _ = server.accept()
            connection.recv(65_536)
            connection.close()

        thread = threading.Thread(target=close)
        thread.start()
        result = send({"to": "webhook", "url": f"http://127.0.0.1:{server.getsockname()[1]}"}, attempt())
        thread.join()
    assert result.outcome == "uncertain"


def test_an_answer_without_end_ends(web: WebServer) -> None:
    """It is read no further than an answer may be long, and what it says is not looked into."""
    for length in (50_000, 10_000_000):
        web.answer = (200, {}, b"[" * length)
        assert send({"to": "webhook", "url": web.url}, attempt()).outcome == "delivered"


def slack(web: WebServer) -> dict[str, Any]:
    return {"to": "slack", "token": "xoxb-1", "conversation": "C1", "server": web.url}


def test_slack_posts_and_edits(web: WebServer) -> None:
    """What cameras are called is no mention."""
    web.answer = (200, {}, b'{"ok": true, "ts": "17.1"}')
    first = send(slack(web), attempt(content(explanation="<!channel> & all")))
    assert (first.outcome, first.ref) == ("delivered", "17.1")
    edit = send(slack(web), attempt(action="edit", ref=first.ref, first_id="n"))
    posted, edited = [json.loads(each.body) for each in web.asked]
    assert [each.path for each in web.asked] == ["/chat.postMessage", "/chat.update"]
    assert "&lt;!channel&gt; &amp; all" in posted["text"]
    assert (edited["ts"], edit.ref) == ("17.1", "17.1")
    assert web.asked[0].headers["authorization"] == "Bearer xoxb-1"


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b'{"ok": false, "error": "invalid_auth"}', "failed"),
        (b'{"error": "msg_too_long"}', "refused"),
        (b"hi", "failed"),
    ],
)
def test_slack_says_no_with_200(web: WebServer, reply: bytes, outcome: str) -> None:
    """Also a page of somebody else's is no yes."""
    web.answer = (200, {}, reply)
    assert send(slack(web), attempt()).outcome == outcome


def telegram(web: WebServer) -> dict[str, Any]:
    return {"to": "telegram", "token": "1:AA", "chat": "@road", "server": web.url}


def test_telegram_posts_and_edits(web: WebServer) -> None:
    """By the number of the message."""
    web.answer = (200, {}, b'{"ok": true, "result": {"message_id": 5}}')
    first = send(telegram(web), attempt())
    send(telegram(web), attempt(action="edit", ref=first.ref, first_id="n"))
    assert (first.outcome, first.ref) == ("delivered", "5")
    assert [each.path for each in web.asked] == ["/bot1:AA/sendMessage", "/bot1:AA/editMessageText"]
    assert json.loads(web.asked[1].body)["message_id"] == 5


@pytest.mark.parametrize(
    ("status", "reply", "outcome", "wait_ms"),
    [
        (400, {"description": "Bad Request: message is not modified"}, "delivered", 0),
        (400, {"description": "Bad Request: chat not found"}, "failed", 0),
        (400, {"description": "Bad Request: message to edit not found"}, "refused", 0),
        (429, {"description": "Too Many Requests", "parameters": {"retry_after": 35}}, "failed", 35_000),
        (200, {}, "failed", 0),
    ],
)
def test_what_telegram_says(web: WebServer, status: int, reply: dict[str, Any], outcome: str, wait_ms: int) -> None:
    """400 is many things there."""
    web.answer = (status, {}, json.dumps({"ok": False, **reply}).encode())
    result = send(telegram(web), attempt())
    assert (result.outcome, result.retry_after_ms) == (outcome, wait_ms)


def test_matrix_replaces_by_an_event_with_a_key(web: WebServer) -> None:
    """The transaction id is the notification's; text of strangers is no markup."""
    route = {"to": "matrix", "server": web.url, "token": "syt", "room": "!r:example.org"}
    web.answer = (200, {}, b'{"event_id": "$e"}')
    first = send(route, attempt(content(explanation="<b>")))
    send(route, attempt(action="edit", ref=first.ref, first_id="n"))
    posted, edited = web.asked
    assert first.ref == "$e"
    assert posted.path == f"/_matrix/client/v3/rooms/%21r%3Aexample.org/send/m.room.message/{'n' * 32}"
    assert "&lt;b&gt;" in json.loads(posted.body)["formatted_body"]
    assert json.loads(edited.body)["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$e"}
    web.answer = (429, {}, b'{"errcode": "M_LIMIT_EXCEEDED", "error": "slow", "retry_after_ms": 1500}')
    limited = send(route, attempt())
    assert (limited.outcome, limited.retry_after_ms) == ("failed", 1_500)
    assert limited.detail == "Matrix answered M_LIMIT_EXCEEDED: slow"


def test_alertmanager_gets_the_same_alert_again(web: WebServer) -> None:
    """By its labels; one that is over ends."""
    route = {"to": "alertmanager", "url": web.url}
    over = replace(content(), state="resolved", severity="warning")
    for sent in (attempt(), attempt(over)):
        assert send(route, sent).outcome == "delivered"
    first, last = [json.loads(each.body)[0] for each in web.asked]
    assert first["labels"] == last["labels"]
    assert first["startsAt"] == "2026-11-27T12:00:00.000+00:00" == last["endsAt"] < first["endsAt"]


@pytest.mark.filterwarnings("ignore:.*imghdr.*:DeprecationWarning")
def test_apprise_is_asked_for_its_status(web: WebServer) -> None:
    """Its result is equal to neither True nor False."""
    route = {"to": "apprise", "url": web.url.replace("http", "json")}
    assert send(route, attempt()).outcome == "delivered"
    web.answer = (500, {}, b"")
    assert send(route, attempt()).outcome == "failed"
    may_answer = threading.Event()
    web.before = may_answer.wait
    late = send(route, attempt(), around(timeout_s=0.3))
    may_answer.set()
    assert late.outcome == "uncertain"


class Inbox:
    """What aiosmtpd hands on.

    Attributes:
        mails: As they came.
        answer: To the message.
        to_recipient: To each recipient, by address.
    """

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"
        self.to_recipient: dict[str, str] = {}

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
        reply = self.to_recipient.get(address, "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.answer


@pytest.fixture
def smtp() -> Iterator[tuple[Inbox, dict[str, Any]]]:
    inbox = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield inbox, mail(port)
    controller.stop()


def mail(port: int, **fields: Any) -> dict[str, Any]:
    route = {"server": f"smtp://127.0.0.1:{port}", "from": "c@example.org", "recipients": ["a@x.org", "b@x.org"]}
    return {"to": "mail", **route, **fields}


def test_a_mail_has_words_links_and_pictures(smtp: tuple[Inbox, dict[str, Any]]) -> None:
    """In plain text and as HTML, one from before and one from after."""
    inbox, route = smtp
    sent = attempt(content(examples_before=[PLACE, PLACE], examples_after=[PLACE], explanation="Black <since> noon."))
    assert send(route, sent).outcome == "delivered"
    (found,) = inbox.mails
    assert found["subject"] == "[Catseye] critical: camera black, gate-7 (open)"
    assert found["to"] == "a@x.org, b@x.org"
    text = found.get_body(("plain",)).get_content()
    assert "Black <since> noon." in text
    assert "Acknowledge: https://c.example/acknowledge/i1-it-" in text
    html = found.get_body(("html",)).get_content()
    assert "Black &lt;since&gt; noon." in html
    pictures = [part for part in found.walk() if part.get_content_type() == "image/jpeg"]
    assert [part["content-id"] for part in pictures] == ["<before>", "<after>"]
    assert {part.get_content() for part in pictures} == {JPEG}
    assert all(f"cid:{name}" in html for name in ("before", "after"))


def test_a_second_mail_of_an_incident_is_a_reply(smtp: tuple[Inbox, dict[str, Any]]) -> None:
    """Each attempt of one mail has one Message-ID."""
    inbox, route = smtp
    first = attempt()
    send(route, first)
    send(route, attempt(action="edit", notification_id="m" * 32, first_id=first.notification_id))
    send(route, first)
    one, reply, again = inbox.mails
    assert reply["references"] == one["message-id"] == again["message-id"] != reply["message-id"]
    assert reply["subject"].startswith("Re: ")


def test_a_digest_by_mail_lists_incidents(smtp: tuple[Inbox, dict[str, Any]]) -> None:
    """Some of them, and how many more."""
    inbox, route = smtp
    news = fact_of_step(step())
    assert news is not None
    contents = [content(camera=f"gate-{number}") for number in range(24)] + [
        content_of(incident_of([news]), 0, NOON_MS)
    ]
    send(route, attempt(*contents, action="digest"), around(pages=""))
    (found,) = inbox.mails
    text = found.get_body(("plain",)).get_content()
    assert text.count("\n- ") == 19
    assert "and 5 more" in text
    assert found["subject"] == "[Catseye] critical: 25 incidents"


@pytest.mark.parametrize(("answer", "outcome"), [("451 later", "failed"), ("554 never", "refused")])
def test_what_a_mail_server_answers(smtp: tuple[Inbox, dict[str, Any]], answer: str, outcome: str) -> None:
    """4xx passes, 5xx does not."""
    inbox, route = smtp
    inbox.answer = answer
    result = send(route, attempt())
    assert (result.outcome, result.detail) == (outcome, answer)


def test_recipients_that_are_not_taken_are_named(smtp: tuple[Inbox, dict[str, Any]]) -> None:
    """One of two is a delivery; none is not."""
    inbox, route = smtp
    inbox.to_recipient["b@x.org"] = "550 nobody"
    some = send(route, attempt())
    assert (some.outcome, some.detail) == ("delivered", "not taken for b@x.org")
    inbox.to_recipient["a@x.org"] = "550 nobody"
    none = send(route, attempt())
    assert (none.outcome, none.detail) == ("refused", "no recipient is taken: 550 nobody")


def test_a_mail_server_that_is_not_there_or_wants_a_password(smtp: tuple[Inbox, dict[str, Any]]) -> None:
    """Both are faults of the route: somebody mends them, and the message goes out then."""
    _, route = smtp
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert send(mail(port), attempt()).outcome == "failed"
    with_password = route["server"].replace("//", "//me:pass@")
    assert send({**route, "server": with_password}, attempt()).outcome == "failed"
    assert send({**route, "server": route["server"].replace("smtp:", "smtps:")}, attempt()).outcome == "failed"


def test_a_password_is_not_sent_without_tls(
    monkeypatch: pytest.MonkeyPatch, smtp: tuple[Inbox, dict[str, Any]]
) -> None:
    """To another machine than this one."""
    from services.notifier.senders import mail as module

    monkeypatch.setattr(module, "_LOOPBACK", ())
    result = send({**smtp[1], "server": smtp[1]["server"].replace("//", "//me:pass@")}, attempt())
    assert result.outcome == "failed"
    assert "offers no TLS" in result.detail


def test_a_mail_server_that_falls_silent_may_have_it() -> None:
    """It took the message and closed without a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answers() -> None:
            connection, _ = server.accept()
            connection.sendall(b"220 hi\r\n")
            for reply in (b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n"):
                connection.recv(4_096)
                connection.sendall(reply)
            connection.recv(65_536)
            connection.close()

        thread = threading.Thread(target=answers)
        thread.start()
        result = send(mail(server.getsockname()[1]), attempt())
        thread.join()
    assert result.outcome == "uncertain"
