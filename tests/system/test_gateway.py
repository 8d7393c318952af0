"""The gateway on real services: a frame by HTTP, events, pages in Chromium, a person's commands on their topics."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page

from catseye.contract.codec import Codec
from catseye.contract.records import Alert
from catseye.kafka.producing import produce
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING_SHOWN
from tests.system.running import CROPS, ROOT, Running, running, wait_until
from tests.system.view_records import Road

pytestmark = pytest.mark.broker

MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
CAR = sorted((CROPS / "car").glob("*.jpg"))[0].read_bytes()


@pytest.fixture(scope="module")
def shown(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Services that predict, join and watch, with the pages."""
    folder = tmp_path_factory.mktemp("gateway")
    with running(
        broker.bootstrap_servers,
        folder,
        "gateway-test.",
        PASSING_SHOWN,
        model=MODEL.read_bytes(),
        variables={"CATSEYE_PARTITIONS": "2"},
    ) as found:
        yield found


@pytest.fixture(scope="module")
def address(shown: Running) -> str:
    plan = shown.stack.plan
    assert plan is not None
    assert plan.pages is not None
    return plan.pages.rstrip("/")


def asked(
    address: str, path: str, body: bytes | None = None, kind: str = "image/jpeg", **headers: str
) -> tuple[int, Any, Mapping[str, str]]:
    """Status, JSON and headers of an answer."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address + path, body, {"Content-Type": kind, **given})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read()), dict(answer.headers)
    except urllib.error.HTTPError as fault:
        return fault.code, json.loads(fault.read()), dict(fault.headers)


def predicted(address: str, camera: str, **headers: str) -> Any:
    """The prediction of a car; asked again until it comes in time, which a busy machine may not do at once."""
    found: list[Any] = []

    def tried() -> bool:
        status, answer, _ = asked(address, f"/v1/predict?camera={camera}", CAR, **headers)
        assert status in (200, 202), answer
        found.append(answer)
        return status == 200

    wait_until(tried, "a prediction")
    return found[-1]


def test_a_picture_is_answered_with_its_class(shown: Running, address: str) -> None:
    """And the same request again, by its key, with the same prediction: one frame is accepted."""
    first = predicted(address, "http", idempotency_key="pass-7:3")
    again = [predicted(address, "http", idempotency_key="pass-7:3") for _ in range(2)]
    assert (first["label"], first["boot"], first["sequence"]) == ("car", "pass-7", 3)
    assert [each["prediction_id"] for each in again] == [first["prediction_id"]] * 2
    assert len([each for each in shown.records("predictions") if each.camera == "http"]) == 1
    status, answer, _ = asked(address, "/v1/predictions/http/pass-7/3")
    assert (status, answer["label"]) == (200, "car")


def test_what_is_refused_is_answered_with_the_reason(shown: Running, address: str) -> None:
    """At the door, and by the dead letter; a route that is not there, and a body that is too long, are problems too."""
    status, problem, headers = asked(address, "/v1/predict?camera=gate-9", b"hello")
    assert (status, problem["reason"]) == (422, "not_a_jpeg")
    assert headers["content-type"] == "application/problem+json"
    broken = CAR[: len(CAR) // 2] + b"\xff\xd9"
    wait_until(lambda: asked(address, "/v1/predict?camera=gate-9", broken)[0] != 202, "a refusal in time")
    status, problem, _ = asked(address, "/v1/predict?camera=gate-9", broken)
    assert (status, problem["reason"]) == (422, "jpeg_truncated")
    assert asked(address, "/v1/nothing")[0] == 404
    assert asked(address, "/v1/cameras?most=x")[1]["reason"] == "field_out_of_range"
    assert asked(address, "/v1/frames?camera=a", bytes(20 * 2**20))[0] == 413
    for wrong in (b"{", b'{"frame": 3}', b'{"frame": "a/b/c", "label": "car"}', b"\xff"):
        status, problem, _ = asked(address, "/v1/labels", wrong, "application/json")
        assert status in (400, 422), problem


def test_a_label_by_http_becomes_an_outcome(shown: Running, address: str) -> None:
    """Of the frame that it names."""
    prediction = predicted(address, "labelled")
    body = json.dumps({"frame": prediction["frame"], "label": "truck"}).encode()
    assert asked(address, "/v1/labels", body, "application/json")[0] == 202
    wait_until(lambda: any(each.camera == "labelled" for each in shown.records("outcomes")), "the outcome")
    (outcome,) = [each for each in shown.records("outcomes") if each.camera == "labelled"]
    assert (outcome.label, outcome.predicted, outcome.correct) == ("truck", "car", False)


def test_what_the_page_says_to_begin_with_is_so(shown: Running, address: str, browser: Browser) -> None:
    """The command of the page, run as it stands there, answers with a class."""
    page = browser.new_page()
    page.goto(address + "/http")
    command = page.locator("pre").inner_text()
    page.close()

    def answered() -> bool:
        found = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=True)
        return bool(json.loads(found.stdout).get("label") == "car")

    wait_until(answered, "the class")


def test_a_new_frame_shows_without_loading_the_page(shown: Running, address: str, browser: Browser) -> None:
    """On its tile, and a camera that was not there becomes one."""
    page = browser.new_page()
    predicted(address, "live-1")
    page.goto(address)
    page.wait_for_selector("#link.live")
    page.evaluate("window.stayed = true")
    tile = page.locator('[data-camera="live-1"] img')
    before = tile.get_attribute("src")
    predicted(address, "live-1")
    changed = "before => !document.querySelector('[data-camera=live-1] img').src.endsWith(before)"
    page.wait_for_function(changed, arg=before)
    predicted(address, "live-2")
    page.wait_for_selector('[data-camera="live-2"]')
    assert page.evaluate("window.stayed")
    page.close()


def alert_on(shown: Running, number: int) -> Alert:
    """An alert that is open, written as incidents would."""
    drawn = dict(Road(number, CAR).records(400))
    alert = replace(drawn["alerts"], alert_id=f"{number:032x}", state="opened", explanation="<b>Darker</b> than usual.")
    assert isinstance(alert, Alert)
    produce(shown.settings, Codec(), "alerts", alert)
    return alert


def pressed(page: Page, text: str) -> None:
    """Reach a button by the keyboard alone, and press it."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            page.keyboard.press("Enter")
            return
    pytest.fail(f"no button {text} can be reached by Tab")


def test_a_person_acknowledges_and_suppresses_by_keyboard_and_mouse(
    shown: Running, address: str, browser: Browser
) -> None:
    """Each is a command on the topic, with the person's name and the revision that was looked at."""
    page = browser.new_page()
    page.goto(address + "/alerts")
    page.wait_for_selector("#link.live")
    alert = alert_on(shown, 7)
    page.wait_for_selector(f"#alert-{alert.alert_id}")
    assert page.locator(f"#alert-{alert.alert_id} b", has_text="Darker").count() == 0
    pressed(page, "Acknowledge")
    page.locator("#notice", has_text="Sent").wait_for()
    row = page.locator(f"#alert-{alert.alert_id}")
    row.locator("summary", has_text="Suppress").click()
    row.locator("[name=reason]").fill("road works")
    row.locator("[name=for_s]").select_option("3600")
    row.locator("button", has_text="Suppress").click()
    wait_until(lambda: len(shown.records("alert.commands")) == 2, "both commands")
    acknowledged, suppressed = sorted(shown.records("alert.commands"), key=lambda command: command.at_ms)
    assert (acknowledged.action, acknowledged.alert_id, acknowledged.by) == ("acknowledge", alert.alert_id, "local")
    assert (suppressed.action, suppressed.reason) == ("suppress", "road works")
    assert suppressed.until_ms is not None
    assert {acknowledged.revision, suppressed.revision} == {alert.revision}
    page.close()


def test_a_model_is_rolled_back_only_after_it_was_asked(shown: Running, address: str, browser: Browser) -> None:
    """And what cannot be done is said where the person is."""
    page = browser.new_page()
    page.goto(address + "/models")
    page.wait_for_selector("text=is champion")
    page.locator("td button", has_text="Roll back").click()
    page.locator("dialog button", has_text="Cancel").click()
    assert shown.records("model.commands") == []
    page.locator("td button", has_text="Roll back").click()
    page.locator("dialog button", has_text="Roll back").click()
    page.locator("#notice:not(:empty)").wait_for()
    assert not page.locator("#notice").inner_text().startswith("Sent")
    page.close()


def test_events_go_on_where_they_were_left(address: str) -> None:
    """A reader that comes back by its last id gets what came since, or one resync."""
    predicted(address, "events")
    first = events(address, "changes")
    predicted(address, "events")
    behind = events(address, "changes", last_event_id=first["id"])
    assert tuple(map(int, behind["id"].split("-"))) > tuple(map(int, first["id"].split("-")))
    assert "events" in json.loads(behind["data"])["cameras"]
    assert events(address, "resync", last_event_id="1-0")["data"] == "{}"


def events(address: str, name: str, **headers: str) -> dict[str, str]:
    """The first event of a name; a frame goes in meanwhile, so that there is one."""
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(address + "/v1/events", headers=given), timeout=60) as stream:
        if not headers:
            predicted(address, "events")
        found: dict[str, str] = {}
        for line in stream:
            text = line.decode().rstrip("\n")
            if not text:
                if found.get("event") == name:
                    return found
                found = {}
            elif not text.startswith(":"):
                key, _, value = text.partition(": ")
                found[key] = value
    raise AssertionError("the stream ended")


def test_redis_away_costs_pages_and_nothing_else(shown: Running, address: str, browser: Browser) -> None:
    """Predictions go on; the page says what is the matter, and is there again by itself."""
    from infra.local.redis import RedisServer

    plan = shown.stack.plan
    assert plan is not None
    port = int(str(plan.redis_url).rpartition(":")[2].partition("/")[0])
    server = RedisServer(Path(shown.stack.data_dir) / "redis", preferred_port=port)
    server.stop()
    page = browser.new_page()
    page.goto(address)
    assert "Redis does not answer" in page.locator("main").inner_text()
    assert predicted(address, "blind")["label"] == "car"
    server.start()
    page.wait_for_selector('[data-camera="blind"]', timeout=60_000)
    page.close()
