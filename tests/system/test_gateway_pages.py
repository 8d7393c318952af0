"""Pages in Chromium on a read model of a fleet: what they show, and what a person does on them by mouse and keyboard.

The gateway, Redis and view's core are the real ones; what would go to topics is kept, and the record that would follow
is put into the read model. `test_gateway.py` has the same with a broker.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from msgspec.structs import replace
from playwright.sync_api import Browser, Page

from catseye.contract.codec import Codec
from catseye.contract.records import Alert, AlertCommand, Frame, ModelCommand, ModelEvent, TrainingRequest, VehicleCount
from catseye.models.register import store_of
from infra.benches.pages_fleet import MINUTE_MS, MODEL, Fleet, crops
from infra.benches.pages_stage import Stage
from tests.system.running import ROOT

pytestmark = pytest.mark.broker

HOSTILE = "<script>document.title='taken'</script>/..%2f"
CAMERAS = ["gate-1", "gate-2", "gate-3", HOSTILE]
PAGES = (
    "/",
    "/cameras/gate-2",
    "/alerts",
    "/models",
    "/label",
    "/dead-letters",
    "/system",
    "/http",
    "/login",
    "/cameras/nobody",
)
BY = ("mouse", "keyboard")
WIDER = """document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll('main *')].filter((each) => each.getBoundingClientRect().right > innerWidth)
    .map((each) => each.outerHTML.slice(0, 120))"""
HIDDEN = """[...document.querySelectorAll('.rows, nav')].filter((each) => each.scrollWidth > each.clientWidth)
    .map((each) => each.outerHTML.slice(0, 120))"""
SAYS = (
    ("accuracy", "certainty"),
    ("evidence", "At their alarm"),
    ("mix", "predictions"),
    ("telemetry", "temperature is"),
)
EMPTY = (
    ("/alerts", "No alert is open"),
    ("/models", "No model serves yet"),
    ("/dead-letters", "Nothing was refused"),
    ("/system", "Nothing was predicted"),
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Fleet]]:
    """Ninety minutes of four cameras."""
    with Stage(tmp_path_factory.mktemp("pages")) as stage:
        sha256 = store_of(stage.settings).put((ROOT / "infra" / "example" / "vehicles.onnx").read_bytes())
        fleet = Fleet(CAMERAS, crops(ROOT)[::20], time.time_ns() // 1_000_000, sha256=sha256)
        stage.put(fleet.past(90))
        stage.frames = fleet.frames
        yield stage, fleet


@pytest.fixture
def stage(fleet: tuple[Stage, Fleet]) -> Stage:
    """With nothing sent yet."""
    fleet[0].sent.clear()
    fleet[0].sent_bytes.clear()
    return fleet[0]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1_280, "height": 900})
    page.set_default_timeout(60_000)
    yield page
    page.close()


def opened(page: Page, stage: Stage, path: str) -> None:
    """A page that lives; `window.stayed` is gone when it was loaded anew."""
    page.goto(stage.address + path)
    page.wait_for_selector("#link.live")
    page.evaluate("window.stayed = true")


def use(page: Page, by: str, within: str, text: str) -> None:
    """Press what has this text: by a click, or by Tab and Enter alone."""
    if by == "mouse":
        exactly = re.compile(rf"^\s*{re.escape(text)}\s*$")
        page.locator(f"{within} >> :is(button, summary):visible", has_text=exactly).first.click()
        return
    reached = """([within, text]) =>
        document.activeElement.textContent.trim() === text && document.activeElement.closest(within) !== null"""
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate(reached, [within, text]):
            page.keyboard.press("Enter")
            return
    pytest.fail(f"no {text} can be reached by Tab")


def answered(page: Page, by: str, yes: str, reason: str = "") -> None:
    """Say yes to what is asked."""
    page.wait_for_selector("dialog[open]")
    if reason:
        page.keyboard.type(reason)  # it has the focus
    use(page, by, "dialog", yes)


def sent(page: Page, within: str, text: str) -> None:
    """Wait until the form says that it was sent."""
    page.locator(f"{within} .sent", has_text=f"{text}: sent").wait_for()


def watched(page: Page, address: str) -> tuple[list[str], list[str], list[str]]:
    """Errors of a page, what it was refused, and addresses elsewhere that it asks; all grow."""
    errors, refused, elsewhere = list[str](), list[str](), list[str]()
    wrong = ("error", "warning")
    page.on("console", lambda line: errors.append(line.text) if line.type in wrong and "404" not in line.text else None)
    page.on("pageerror", lambda fault: errors.append(str(fault)))
    page.on("response", lambda got: refused.append(got.url) if got.status >= 400 else None)
    page.on("request", lambda sent: None if sent.url.startswith(address) else elsewhere.append(sent.url))
    return errors, refused, elsewhere


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [390, 1_920])
def test_pages_are_for_everybody(stage: Stage, browser: Browser, width: int, scheme: Any) -> None:
    """Every page, wide and narrow, light and dark: no error, nothing from elsewhere, no scrolling sideways, nothing
    serious for axe; a camera with a hostile name does nothing.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors, refused, elsewhere = watched(page, stage.address)
    for path in PAGES:
        page.goto(stage.address + path, wait_until="load")
        assert "Catseye" in page.title()
        if page.locator("[data-plot]").count():
            page.wait_for_function("() => document.querySelectorAll('.chart[aria-busy=true]').length === 0")
        assert page.evaluate(WIDER) == [], f"{path} scrolls sideways"
        assert page.evaluate(HIDDEN) == [], f"{path} hides what is beside"
        if (width == 390) != (scheme == "dark"):
            continue  # axe takes long; both widths and both schemes are among the two that it sees
        found = Axe().run(page).response["violations"]
        grave = [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]
        assert grave == [], path
    context.close()
    assert (errors, refused, elsewhere) == ([], [f"{stage.address}/cameras/nobody"], [])


def test_axe_sees_what_is_wrong(stage: Stage, page: Page) -> None:
    """Negative control: a picture without words."""
    opened(page, stage, "/")
    page.evaluate("document.querySelector('.tile img').removeAttribute('alt')")
    assert "image-alt" in [each["id"] for each in Axe().run(page).response["violations"]]


def test_what_is_hidden_beside_is_seen(stage: Stage, page: Page) -> None:
    """Negative control: a table that is wider than a telephone, in what scrolls."""
    page.set_viewport_size({"width": 390, "height": 900})
    opened(page, stage, "/system")
    assert page.evaluate(HIDDEN) == []
    page.evaluate("document.querySelector('.rows table').style.minWidth = '600px'")
    assert len(page.evaluate(HIDDEN)) == 1


def test_a_fleet_and_a_camera_live(fleet: tuple[Stage, Fleet], page: Page) -> None:
    """A new class and a new picture show without loading anew; so does an alert, and the tile goes to the front."""
    stage, road = fleet
    now_ms = time.time_ns() // 1_000_000
    for path in ("/", "/cameras/gate-1"):
        opened(page, stage, path)
        place = '[data-camera="gate-1"]'
        for label in ("bike", "truck"):
            stage.put([("predictions", road.prediction("gate-1", now_ms, "2", label, 1))])
            page.wait_for_selector(f"{place} [data-field=label]:text-is('{label}')")
        before = page.locator(f"{place} img").first.get_attribute("src")
        stage.put(road.passed("gate-1", time.time_ns() // 1_000_000 + 2_000, "2"))
        page.wait_for_function(
            "([place, before]) => document.querySelector(`${place} img`).getAttribute('src') !== before",
            arg=[place, before],
        )
        assert page.evaluate("window.stayed")
    opened(page, stage, "/")
    stage.put([("alerts", replace(road.alert(9, "gate-3", "camera_frozen", "critical")))])
    page.wait_for_selector("[data-camera=gate-3].critical")
    stage.put([("alerts", replace(road.alert(9, "gate-3", "camera_frozen", "critical", state="resolved"), revision=3))])
    page.wait_for_selector("[data-camera=gate-3]:not(.critical)")
    assert page.evaluate("window.stayed")


def test_a_camera_shows_what_is_known(stage: Stage, page: Page) -> None:
    """Accuracy with its interval, versions as bands, evidence as a share, classes, telemetry; each in a sentence and as
    a table too; other spans; a map of where the model looks over the picture, and away again.
    """
    opened(page, stage, "/cameras/gate-2")
    for plot, says in SAYS:
        section = page.locator(f"[data-plot={plot}]")
        section.locator(".says", has_text=says).wait_for()
        assert section.locator("canvas").count() == 1
        section.locator("summary").click()
        section.locator("details tbody tr").nth(5).wait_for()
    versions = page.locator("[data-plot=accuracy]").get_attribute("data-versions") or ""
    assert "vehicles/1" in versions
    assert "vehicles/2" in versions
    page.locator("#span").select_option("604800")
    page.wait_for_function("() => document.querySelectorAll('[data-plot=mix] canvas').length === 1")
    button = page.locator("[data-of-camera] [data-explain]")
    button.click()
    page.locator("[data-of-camera] .explained", has_text="by vehicles 2").wait_for()
    page.wait_for_function("() => document.querySelector('[data-of-camera] img.map').naturalWidth === 160")
    button.click()
    page.wait_for_selector("[data-of-camera] img.map", state="detached")


def test_a_race_shows_its_bounds(fleet: tuple[Stage, Fleet], page: Page) -> None:
    """The evidence of the labels as a share of what decides; a label more is a label more without loading anew."""
    stage, road = fleet
    opened(page, stage, "/models")
    says = page.locator(".race .says")
    says.wait_for()
    before = int(says.inner_text().split()[1])
    stage.put([("outcomes.paired", road.pair("gate-1", time.time_ns() // 1_000_000, "car", "car", "car"))])
    page.locator(".race .says", has_text=f"After {before + 1} labels").wait_for()
    assert page.evaluate("window.stayed")


@pytest.mark.parametrize("by", BY)
def test_an_alert_is_acknowledged_and_suppressed(fleet: tuple[Stage, Fleet], stage: Stage, page: Page, by: str) -> None:
    """Each is a command with who, why, until when and the revision that was looked at; what the topic says of it shows,
    and what was typed meanwhile stays.
    """
    road = fleet[1]
    alert = road.alert(20 + BY.index(by), "gate-1", "input", "warning")
    stage.put([("alerts", alert)])
    opened(page, stage, "/alerts")
    row = f"#alert-{alert.alert_id}"
    use(page, by, row, "Suppress …")
    page.locator(f"{row} [name=reason]").fill("road works")
    use(page, by, row, "Acknowledge")
    sent(page, row, "Acknowledge")
    stage.put([("alerts", _next(alert, acknowledged_by="local"))])
    page.locator(row, has_text="Acknowledged by local").wait_for()
    assert page.locator(f"{row} [name=reason]").input_value() == "road works"
    page.locator(f"{row} [name=for_s]").select_option("3600")
    use(page, by, row, "Suppress")
    sent(page, row, "Suppress")
    until_ms = time.time_ns() // 1_000_000 + 60 * MINUTE_MS
    suppressed = _next(alert, 2, state="suppressed", suppressed_by="local", suppressed_until_ms=until_ms)
    stage.put([("alerts", suppressed)])
    page.locator(row, has_text="Suppressed by local until").wait_for()
    use(page, by, row, "End suppression")
    sent(page, row, "End suppression")
    commands = [record for _, record in stage.sent if isinstance(record, AlertCommand)]
    assert [command.action for command in commands] == ["acknowledge", "suppress", "unsuppress"]
    assert [command.revision for command in commands] == [alert.revision, alert.revision + 1, alert.revision + 2]
    assert {(command.alert_id, command.by) for command in commands} == {(alert.alert_id, "local")}
    assert (commands[1].reason, abs((commands[1].until_ms or 0) - until_ms) < MINUTE_MS) == ("road works", True)
    stage.put([("alerts", _next(alert, 3, state="resolved"))])
    assert page.evaluate("window.stayed")


def _next(alert: Alert, steps: int = 1, **changed: Any) -> Alert:
    return replace(alert, revision=alert.revision + steps, **changed)


ACTIONS = (
    ("3", "Approve", "approve"),
    ("4", "Promote", "promote"),
    ("4", "Reject", "reject"),
    ("2", "Roll back", "roll_back"),
)


@pytest.mark.parametrize("by", BY)
def test_a_model_is_acted_on(fleet: tuple[Stage, Fleet], stage: Stage, page: Page, by: str) -> None:
    """Approve, promote, reject, roll back: each asks once, with Escape nothing is sent; with a yes it is a command with
    the reason and the event that was looked at. A training likewise.
    """
    opened(page, stage, "/models")
    newest = fleet[1].model_events()[-1].event_id
    for number, (version, text, action) in enumerate(ACTIONS):
        row = f"#version-{MODEL}-{version}"
        use(page, by, row, text)
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog:not([open])", state="attached")
        assert len(stage.sent) == number
        use(page, by, row, text)
        answered(page, by, text, f"because {number}")
        sent(page, row, text)
        command = stage.sent[-1][1]
        assert isinstance(command, ModelCommand)
        assert (command.action, command.version, command.reason) == (action, version, f"because {number}")
        assert (command.by, command.seen_event_id) == ("local", newest)
    use(page, by, "form[data-post='/v1/trainings']", "Ask for a training")
    answered(page, by, "Ask for a training", "winter")
    sent(page, "form[data-post='/v1/trainings']", "Ask for a training")
    request = stage.sent[-1][1]
    assert isinstance(request, TrainingRequest)
    assert (request.model, request.reason, request.by) == (MODEL, "winter", "local")


def test_a_promotion_shows_when_the_topic_says_so(tmp_path: Path, page: Page) -> None:
    """And not before."""
    with Stage(tmp_path) as stage:
        road = Fleet(["gate-1"], crops(ROOT)[:1], time.time_ns() // 1_000_000)
        stage.put([("models", event) for event in road.model_events()])
        opened(page, stage, "/models")
        use(page, "mouse", f"#version-{MODEL}-4", "Promote")
        answered(page, "mouse", "Promote")
        sent(page, f"#version-{MODEL}-4", "Promote")
        assert page.locator("main", has_text="vehicles 2 is champion").count() == 1
        last: ModelEvent = road.model_events()[-2]
        stage.put(
            [("models", replace(last, event_id="a" * 32, version="4", stage="champion", by="local", because="by hand"))]
        )
        page.locator("main", has_text="vehicles 4 is champion").wait_for()
        assert page.evaluate("window.stayed")


@pytest.mark.parametrize("by", BY)
def test_dead_letters_are_sent_again(fleet: tuple[Stage, Fleet], stage: Stage, page: Page, by: str) -> None:
    """One, and by one call all of a reason, byte for byte, after a yes; one refused meanwhile shows by itself."""
    opened(page, stage, "/dead-letters")
    letter = fleet[1].dead_letter(100 + BY.index(by))
    stage.put([("dead-letters", letter)])
    row = f"#letter-{letter.dead_letter_id}"
    page.wait_for_selector(row)
    use(page, by, row, "Send again")
    answered(page, by, "Send again")
    sent(page, row, "Send again")
    assert stage.sent_bytes == [(letter.topic, letter.value)]
    known = page.locator(f"article.letter h2:has-text('{letter.reason.replace('_', ' ')}')").count()
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url) if request.method == "POST" else None)
    use(page, by, f"form[data-reason={letter.reason}]", "Send all again")
    answered(page, by, "Send all again")
    page.locator("#notice", has_text=f"{known} of {known} were sent again").wait_for()
    assert len(stage.sent_bytes) == 1 + known
    assert [urlsplit(call).path for call in calls] == ["/v1/dead-letters"]
    assert page.evaluate("window.stayed")


@pytest.mark.parametrize("by", BY)
def test_a_dead_letter_is_repaired(fleet: tuple[Stage, Fleet], stage: Stage, page: Page, by: str) -> None:
    """What is changed is sent with the rest of the record; a change of the page takes nothing of what was typed; what
    is no number is said; bytes that are no record have no fields."""
    now_ms = time.time_ns() // 1_000_000
    ahead = Frame(camera="gate-1", boot="b", sequence=7, captured_at_ms=now_ms + 86_400_000, jpeg=crops(ROOT)[0][1])
    number = 200 + 2 * BY.index(by)
    letter = replace(fleet[1].dead_letter(number), reason="captured_in_future", value=Codec().encode(ahead))
    stage.put([("dead-letters", letter)])
    opened(page, stage, "/dead-letters")
    row = f"#letter-{letter.dead_letter_id}"
    use(page, by, row, "Repair its fields")
    field = page.locator(f"{row} input[name=captured_at_ms]")
    field.fill("yesterday")
    other = fleet[1].dead_letter(number + 1)
    stage.put([("dead-letters", other)])
    page.wait_for_selector(f"#letter-{other.dead_letter_id}")
    assert field.input_value() == "yesterday"
    use(page, by, row, "Send repaired")
    page.locator("#notice", has_text="captured_at_ms: a number is needed. Nothing was sent.").wait_for()
    field.fill(str(now_ms))
    use(page, by, row, "Send repaired")
    answered(page, by, "Send repaired")
    sent(page, row, "Send repaired")
    ((topic, value),) = stage.sent_bytes
    assert (topic, Codec().decode(value, Frame)) == (letter.topic, replace(ahead, captured_at_ms=now_ms))
    use(page, by, f"#letter-{other.dead_letter_id}", "Repair its fields")
    page.locator(f"#letter-{other.dead_letter_id}", has_text="Its bytes are no record").wait_for()
    assert page.evaluate("window.stayed")


def test_a_camera_of_whole_roads_shows_its_vehicles(stage: Stage, page: Page) -> None:
    """By class over time, and in all by direction and line; of other cameras there is nothing of it."""
    minute_ms = time.time_ns() // 60_000_000_000 * 60_000
    counts = [
        VehicleCount(
            camera="gate-3", minute_ms=minute_ms - 60_000 * ago, label=label, direction="up", line=line, vehicles=3
        )
        for ago, label, line in ((3, "car", "north"), (2, "car", "north"), (2, "truck", None))
    ]
    stage.put([("vehicles.counts", count) for count in counts])
    opened(page, stage, "/cameras/gate-3")
    page.locator("[data-plot=vehicles] .says", has_text="9 vehicles, most of them car (67").wait_for()
    rows = page.locator("[aria-label='Vehicles so far'] tbody tr").all_text_contents()
    assert rows == ["carupnorth6", "truckupnone3"]
    opened(page, stage, "/cameras/gate-2")
    assert page.locator("text=Vehicles so far").count() == 0


def test_hostile_bytes_do_nothing(fleet: tuple[Stage, Fleet], stage: Stage, page: Page) -> None:
    """Of a letter whose bytes, camera, reason's detail and fields are markup: all is shown as the text that it is."""
    frame = Frame(
        camera=HOSTILE, boot='"><img src=x onerror="document.title=1">', sequence=1, captured_at_ms=1, jpeg=b"\x00<b>"
    )
    first, second = (replace(fleet[1].dead_letter(300 + number), camera=HOSTILE, detail=HOSTILE) for number in (0, 1))
    letters = [replace(first, value=Codec().encode(frame)), replace(second, value=bytes(range(256)))]
    stage.put([("dead-letters", letter) for letter in letters])
    opened(page, stage, "/dead-letters")
    title = page.title()
    for letter in letters:
        row = page.locator(f"#letter-{letter.dead_letter_id}")
        assert row.locator("p").first.text_content() == HOSTILE
        row.locator("summary").click()
        row.locator("input[name=boot], .note:has-text('no record')").wait_for()
    fields = page.locator(f"#letter-{first.dead_letter_id} input")
    assert [fields.nth(place).input_value() for place in (0, 1)] == [HOSTILE, frame.boot]
    assert page.title() == title
    assert page.locator("main :is(img, b, script)").count() == 0


def test_what_fails_is_said_where_the_person_is(stage: Stage, page: Page) -> None:
    """A command that cannot be carried out, and a gateway that does not answer."""
    opened(page, stage, "/models")
    page.evaluate("document.querySelector('#version-vehicles-4 form').dataset.version = '99'")
    use(page, "mouse", f"#version-{MODEL}-4", "Promote")
    answered_no: Callable[[], None] = page.locator("#notice", has_text="no version begins with 99").wait_for
    page.wait_for_selector("dialog[open]")
    use(page, "mouse", "dialog", "Promote")
    answered_no()
    page.route("**/v1/models/*", lambda route: route.abort())
    use(page, "mouse", f"#version-{MODEL}-4", "Reject")
    page.wait_for_selector("dialog[open]")
    use(page, "mouse", "dialog", "Reject")
    page.locator("#notice", has_text="did not answer").wait_for()
    assert stage.sent == []


def test_only_what_is_in_sight_is_drawn(tmp_path: Path, page: Page) -> None:
    """Of 300 cameras: a change of one far below waits until it is scrolled to; the newest holds. Finding one by name
    leaves the others out.
    """
    with Stage(tmp_path) as stage:
        names = [f"cam-{number:03}" for number in range(300)]
        road = Fleet(names, crops(ROOT)[:5], time.time_ns() // 1_000_000)
        stage.put(row for name in names for row in road.passed(name, time.time_ns() // 1_000_000, "2"))
        opened(page, stage, "/")
        last = page.locator("[data-camera=cam-299] [data-field=label]")
        before = last.text_content()
        for label in ("first", "last"):
            stage.put([("predictions", road.prediction(name, 1, "2", label, 1)) for name in ("cam-000", "cam-299")])
            page.wait_for_selector(f"[data-camera=cam-000] [data-field=label]:text-is('{label}')")
            assert last.text_content() == before
        page.locator("[data-camera=cam-299]").scroll_into_view_if_needed()
        page.wait_for_selector("[data-camera=cam-299] [data-field=label]:text-is('last')")
        page.locator("#sift").fill("cam-17")
        assert page.locator(".tile:visible").count() == 10


def test_an_empty_stack_says_how_to_begin(tmp_path: Path, page: Page) -> None:
    """On every page; and the first camera shows by itself."""
    with Stage(tmp_path) as stage:
        for path, says in EMPTY:
            opened(page, stage, path)
            page.locator("main", has_text=says).wait_for()
        opened(page, stage, "/")
        command = page.locator("pre").first.inner_text()
        assert f"'{stage.address}/v1/predict?camera=gate-1'" in command
        assert Path(ROOT / command.split("@")[1].split()[0]).exists()
        road = Fleet(["gate-1"], crops(ROOT)[:1], time.time_ns() // 1_000_000)
        stage.put(road.now())
        page.wait_for_selector("[data-camera=gate-1]")
        assert page.evaluate("window.stayed")
