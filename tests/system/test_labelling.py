"""People label frames: by HTTP and in Chromium, two at once, through a killed gateway; with the topics as the truth."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from msgspec.structs import replace
from playwright.sync_api import Browser, Page

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.identity import frame_id, partition_of
from catseye.contract.records import AcceptedFrame, Label, LabelAnswer, Prediction
from catseye.contract.topics import full_name
from catseye.kafka.producing import produce_rows
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING_SHOWN
from services.view.queue import SECOND_OPINIONS, dice
from tests.system.running import CROPS, Running, catseye, running, wait_until
from tests.system.view_records import BEGIN_MS, Road

pytestmark = pytest.mark.broker

CODEC = Codec()
CAR = sorted((CROPS / "car").glob("*.jpg"))[0].read_bytes()
CHANCE = 0.8
FRAMES = 150
CLASSES = ("bus", "car", "lorry")
VARIABLES = {
    "CATSEYE_PARTITIONS": "2",
    "CATSEYE_VIEW_QUEUE_RATES": json.dumps({"*": {"audit": CHANCE, "unsure": 0, "evidence": 0}}),
}


@pytest.fixture(scope="module")
def shown(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """View and gateway; frames and predictions are the test's."""
    services = [each for each in PASSING_SHOWN if each.name in ("view", "gateway")]
    folder = tmp_path_factory.mktemp("labelling")
    with running(broker.bootstrap_servers, folder, "labelling-test.", services, variables=VARIABLES) as found:
        yield found


@pytest.fixture(scope="module")
def address(shown: Running) -> str:
    plan = shown.stack.plan
    assert plan is not None
    assert plan.pages is not None
    return plan.pages.rstrip("/")


@pytest.fixture(scope="module")
def tokens(shown: Running) -> dict[str, str]:
    """Two people who may label."""
    found = {}
    for name in ("ada", "grace"):
        status, said, problem = catseye("tokens", "create", name, "--scope", "label", "--scope", "view")
        assert status == 0, problem
        found[name] = next(word for word in said.split() if len(word) > 30)
    return found


def drive_by(it: Running, camera: str, count: int, hashes: Iterator[int]) -> None:
    """*count* frames of a camera that were accepted and predicted."""
    pattern = Road(1, CAR, BEGIN_MS)
    drawn = {type(record): record for _, record in pattern.records(300)}
    frames, predictions = [], []
    partition = partition_of(camera, 2)
    topic, predicted = (full_name(name, it.settings.topic_prefix) for name in ("frames.accepted", "predictions"))
    before = len([each for each in it.records("frames.accepted") if partition_of(each.camera, 2) == partition])
    for sequence in range(count):
        now_ms, bits = clock.now_ms(), next(hashes)
        shared = {
            "camera": camera,
            "boot": "b",
            "sequence": sequence,
            "received_at_ms": now_ms,
            "captured_at_ms": now_ms,
        }
        frame = drawn[AcceptedFrame]
        assert isinstance(frame, AcceptedFrame)
        frames.append((topic, camera.encode(), CODEC.encode(replace(frame, **shared, perceptual_hash=bits))))
        prediction = drawn[Prediction]
        assert isinstance(prediction, Prediction)
        of_frame = replace(
            prediction,
            **shared,
            predicted_at_ms=now_ms,
            perceptual_hash=bits,
            frame_partition=partition,
            frame_offset=before + sequence,
        )
        predictions.append((predicted, camera.encode(), CODEC.encode(of_frame)))
    produce_rows(it.settings, frames)
    produce_rows(it.settings, predictions)


def unlike(seed: int) -> Iterator[int]:
    """Perceptual hashes of frames that do not look alike."""
    dice_of_test = Random(seed)
    while True:
        yield dice_of_test.getrandbits(63)


def asked(address: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer; while the gateway is away it is asked again, as a page does."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(address + path, data, headers), timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as fault:
            return fault.code, json.loads(fault.read())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert time.monotonic() < until, "the gateway is away"
            time.sleep(0.2)


def answered(offer: Any, label: str, number: int) -> dict[str, Any]:
    return {
        "answer_id": f"{offer['frame']}-{number}",
        "frame": offer["frame"],
        "drawer": offer["drawer"],
        "same": offer["same"],
        "second_opinion": offer["second_opinion"],
        "answer": "labelled",
        "label": label,
    }


def works(address: str, token: str, number: int, camera: str) -> list[str]:
    """One person, until nothing of *camera* is offered any more. Frames that he answered."""
    done, idle = list[str](), 0
    while idle < 10:
        status, said = asked(address, "/v1/labels/offers", token, {"most": 5})
        if status == 503:
            time.sleep(0.2)
            continue
        assert status == 200, said
        his = [offer for offer in said["offers"] if offer["camera"] == camera]
        idle = 0 if his else idle + 1
        if not his:
            time.sleep(0.1)
        for offer in his:
            assert offer["predicted"] is None, "an audit shows no guess"
            body = answered(offer, "car", number)
            for _ in range(2):  # whoever did not hear the answer sends it again
                status, said = asked(address, "/v1/labels/answers", token, body)
                while status == 503:
                    time.sleep(0.2)
                    status, said = asked(address, "/v1/labels/answers", token, body)
                assert status == 202, said
            done.append(offer["frame"])
    return done


def test_two_people_never_meet_but_on_purpose(shown: Running, address: str, tokens: dict[str, str]) -> None:
    """Through a killed gateway: every frame that was drawn is answered, none by both but for the second opinions, and
    each label is on its topic once with the chance that its frame was drawn with."""
    drive_by(shown, "gate-1", FRAMES, unlike(1))
    names = [frame_id("gate-1", "b", sequence) for sequence in range(FRAMES)]
    drawn = {name for name in names if dice(name).audit < CHANCE}
    twice = {name for name in drawn if dice(name).second < SECOND_OPINIONS}
    wait_until(lambda: asked(address, "/v1/labels/progress", tokens["ada"])[1]["waiting"] == len(drawn), "frames wait")
    with ThreadPoolExecutor(2) as people:
        working = [
            people.submit(works, address, tokens[name], number, "gate-1")
            for number, name in enumerate(("ada", "grace"))
        ]
        wait_until(lambda: len(shown.records("labels.answers")) > 10, "some are answered")
        shown.process("gateway").kill()
        done = [each.result() for each in working]
    said = Counter(frame for frames in done for frame in frames)
    assert set(said) == drawn
    assert {frame for frame, count in said.items() if count == 2} == twice
    wait_until(lambda: len({a.answer_id for a in shown.records("labels.answers")}) == said.total(), "all answers")
    answers = {answer.answer_id: answer for answer in shown.records("labels.answers")}
    assert {answer.by for answer in answers.values()} == {"ada", "grace"}
    assert {answer.chance for answer in answers.values()} == {CHANCE}
    labels = {
        (label.camera, label.boot, label.sequence, label.labelled_at_ms)
        for label in shown.records("labels")
        if (label.propensity, label.source, label.label) == (CHANCE, "audit", "car")
    }
    assert len(labels) == said.total()
    progress = asked(address, "/v1/labels/progress", tokens["ada"])[1]
    assert progress["all"] == said.total()
    assert progress["second_opinions"] == len(twice)
    assert progress["kappa"] == (1.0 if twice else None)


def test_what_does_not_fit_is_refused_with_the_reason(address: str, tokens: dict[str, str]) -> None:
    """A frame that nobody offered, a label without a class, too much at once, no right."""
    offer = {"frame": "gate-7/b/1", "drawer": "audit", "same": [], "second_opinion": False}
    status, said = asked(address, "/v1/labels/answers", tokens["ada"], answered(offer, "car", 0))
    assert (status, said["reason"]) == (409, "not_offered")
    no_label = answered(offer, "car", 1) | {"label": None}
    assert asked(address, "/v1/labels/answers", tokens["ada"], no_label)[1]["reason"] == "field_out_of_range"
    assert asked(address, "/v1/labels/offers", tokens["ada"], {"most": 99})[0] == 400
    assert asked(address, "/v1/labels/offers", "nonsense", {"most": 1})[0] == 401


def signed_in(browser: Browser, address: str, token: str) -> tuple[Page, list[str]]:
    page = browser.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda fault: errors.append(str(fault)))
    page.goto(f"{address}/login?next=/label")
    page.locator("input[name=token]").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url("**/label")
    return page, errors


def test_one_key_labels_a_frame_and_the_next_is_there(
    shown: Running, address: str, tokens: dict[str, str], browser: Browser
) -> None:
    """By keyboard alone: a class, not in this list, not sure, skip, undo; frames that look alike are one answer."""
    alike = iter([5, 5 ^ 1, *(hashed for hashed, _ in zip(unlike(2), range(16), strict=False))])
    drive_by(shown, "gate-2", 18, alike)
    page, errors = signed_in(browser, address, tokens["grace"])
    page.wait_for_selector("#frame:not([hidden])")
    page.reload()  # what was offered before is offered again
    page.wait_for_selector("#frame:not([hidden])")
    assert [
        each["id"] for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")
    ] == []
    assert page.locator("#classes button").all_inner_texts() == ["1 bus", "2 car", "3 lorry"]

    def his() -> list[LabelAnswer]:
        return [each for each in shown.records("labels.answers") if each.by == "grace" and each.camera == "gate-2"]

    before = int(page.locator("[data-progress=mine]").inner_text())
    for key in ("Digit2", "KeyX", "KeyN", "Space", "Digit1"):
        source = page.locator("#frame").get_attribute("src")
        page.keyboard.press(key)
        page.wait_for_function("before => document.getElementById('frame').getAttribute('src') !== before", arg=source)
    wait_until(lambda: len(his()) == 5, "five answers are on the topic")
    kinds = {each.answer: each for each in his() if each.label != "bus"}
    assert kinds["labelled"].label == "car"
    assert kinds["not_in_list"].label == "other"
    assert kinds["not_sure"].label is kinds["skipped"].label is None
    page.keyboard.press("KeyZ")
    wait_until(lambda: any(each.answer == "undone" for each in his()), "the last one is taken back")
    (undone,) = [each for each in his() if each.answer == "undone"]
    (bus,) = [each for each in his() if each.label == "bus"]
    assert undone.answer_id == bus.answer_id
    labels: list[Label] = [each for each in shown.records("labels") if each.camera == "gate-2"]
    assert [each.label for each in labels if each.sequence == bus.sequence] == ["bus", None]
    wait_until(lambda: page.locator("[data-progress=mine]").inner_text() == str(before + 3), "the count follows")
    groups = page.evaluate("fetch('/v1/labels/progress').then((answer) => answer.json())")
    assert groups["mine"] == before + 3
    assert errors == []
    page.close()
