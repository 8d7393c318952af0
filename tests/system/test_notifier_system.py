"""The notifier on a real broker, with a real mail server and a web server: one message each, through kill -9."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from catseye.clock import now_ms
from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import AcceptedFrame, Alert, Place
from catseye.kafka.producing import produce
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from services.notifier.policy import HOUR_MS
from tests.simulation.notifier import alert, step
from tests.system.running import Running, catseye, running, wait_until
from tests.system.view_records import Road
from tests.unit.test_notifier_senders import JPEG, Inbox, WebServer, web

__all__ = ["web"]

pytestmark = pytest.mark.broker
CODEC = Codec()


@pytest.fixture
def inbox(tmp_path: Path, web: WebServer) -> Iterator[Inbox]:
    """A mail server; the routes lead to it and to *web*."""
    found = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    routes = f"""
pages: http://pages.example
routes:
  - {{name: hook, to: webhook, url: '{web.url}/x', secret: 'file:secret'}}
  - {{name: mail, to: mail, server: 'smtp://127.0.0.1:{port}', from: c@example.org, recipients: [a@example.org]}}
"""
    (tmp_path / "notify.yaml").write_text(routes)
    (tmp_path / "secret").write_text("s3cret-of-the-hook\n")
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    yield found
    controller.stop()


def publish(it: Running, *alerts: Alert) -> None:
    """As incidents does."""
    produce(it.settings, CODEC, "alerts", *alerts)


def test_people_are_told_once_though_it_is_killed(
    broker: KafkaCluster,
    prefix: str,
    tmp_path: Path,
    web: WebServer,
    inbox: Inbox,
) -> None:
    """Each incident is one message a route, also one that came while nobody was there; what was said is on a topic.

    A model's step of more than a day ago is nobody's news.
    """
    with running(broker.bootstrap_servers, tmp_path, prefix, [Service("notifier", 0)]) as it:
        frame = next(record for _, record in Road(1, JPEG).records(50) if isinstance(record, AcceptedFrame))
        produce(it.settings, CODEC, "frames.accepted", frame)
        home = partition_of(frame.camera, it.settings.partitions)
        place = Place(topic=f"{prefix}frames.accepted", partition=home, offset=0)
        gone = Place(topic=f"{prefix}frames.accepted", partition=home, offset=99)
        publish(it, alert(examples_before=[gone], examples_after=[place]))
        wait_until(lambda: len(web.asked) == 1 and len(inbox.mails) == 1, "both are told")
        wait_until(lambda: len(it.records("notifications")) == 2, "and that is on the topic")
        pictures = [part for part in inbox.mails[0].walk() if part.get_content_type() == "image/jpeg"]
        assert [part.get_content() for part in pictures] == [JPEG]
        os.kill(it.process("notifier").pid, signal.SIGKILL)
        publish(it, alert(alert_id="b", incident_id="j", camera="gate-8"))
        produce(it.settings, CODEC, "models", step(version="1", at_ms=now_ms() - 25 * HOUR_MS), step(at_ms=now_ms()))
        wait_until(lambda: len(it.records("notifications")) == 6, "the next ones are told")
        titles = [json.loads(each.body)["title"] for each in web.asked]
        assert sorted(titles) == [
            "critical: camera black, gate-7 (open)",
            "critical: camera black, gate-8 (open)",
            "model vehicles 2 champion",
        ]
        assert sorted(each["subject"] for each in inbox.mails) == [f"[Catseye] {title}" for title in sorted(titles)]
        assert {each.result for each in it.records("notifications")} == {"delivered"}
        assert "s3cret" not in (tmp_path / "logs" / "notifier-0.log").read_text()


def test_commands_check_try_and_list_routes(
    broker: KafkaCluster,
    prefix: str,
    tmp_path: Path,
    web: WebServer,
    inbox: Inbox,
) -> None:
    """A wrong file is named with its place and exit status 2; an example is marked; a route says what it did last."""
    with running(broker.bootstrap_servers, tmp_path, prefix, []):
        assert catseye("notify", "check")[:2] == (0, f"{tmp_path / 'notify.yaml'} is right: 2 routes\n")
        status, out, _ = catseye("notify", "test", "hook")
        assert (status, out) == (0, "hook: delivered (the server answered 200 OK)\n")
        assert json.loads(web.asked[0].body)["incidents"][0]["state"] == "example"
        assert catseye("notify", "test", "mail")[0] == 0
        assert inbox.mails[0]["subject"].startswith("[Catseye] example:")
        web.answer = (500, {}, b"")
        status, out, _ = catseye("notify", "test", "hook")
        assert (status, out) == (1, "hook: failed (the server answered 500 Internal Server Error)\n")
        status, out, _ = catseye("notify", "list", "--json", "-")
        listed: dict[str, Any] = {each["name"]: each for each in json.loads(out)["routes"]}
        assert (status, listed["hook"]["where"], listed["hook"]["last"]) == (0, web.url, None)
        (tmp_path / "notify.yaml").write_text("routes: [{name: x, to: pigeon}]")
        status, _, fault = catseye("notify", "check")
        assert status == 2
        assert "Invalid value 'pigeon' - at `$.routes[0].to`" in fault
