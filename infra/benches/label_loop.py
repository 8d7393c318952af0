"""The whole loop on labels that one person gives in Chromium: `infra/demo --labels none`, fog, and nobody's other hand.

The person looks at the picture on the label page, knows it by the ledger of the road, and presses the key of its class:
what somebody would see is what the folder of the frame is called, also in fog. Between two keys he takes his time.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from playwright.sync_api import Page

from infra.benches.harness import ROOT, BenchError, Options, Report, Row, machine
from infra.local.chromium import chromium
from infra.local.demo import Ledgers

CAMERAS, FPS = 2, 10
CHANGE_AT_S: Final = 150.0
"""Until then two cameras have the 200 labels each that drift learns them by, at the pace below."""
SHORT_S: Final = 30.0
EVERY_MS: Final = 150
PAGES_S: Final = 240.0
ASKED_MS: Final = 1_000
PATIENCE_S: Final = 5.0
"""So long he waits to recognise a picture; then he says that he is not sure."""
_SHOWN: Final = """() => {
    const image = document.getElementById("frame");
    const keys = [...document.querySelectorAll("#classes [data-label]")];
    return image.hidden ? null : [window.frames_offered[new URL(image.src).pathname] ?? "", Object.fromEntries(keys.map(
        ({ dataset }) => [dataset.label, dataset.key]))];
}"""
_REMEMBERED: Final = """
window.frames_offered = {};
const asked = window.fetch;
window.fetch = async (...given) => {
    const answer = await asked(...given);
    if (String(given[0]).endsWith("/v1/labels/offers") && answer.ok) {
        for (const { place, frame } of (await answer.clone().json()).offers)
            window.frames_offered[`/v1/frames/${place}.jpg`] = frame;
    }
    return answer;
};"""


class Person:
    """Labels what a page shows.

    Args:
        page: Becomes the label page.
        address: Of that.
        ledger: Of the road.
    """

    def __init__(self, page: Page, address: str, ledger: Path) -> None:
        self._page = page
        self._ledgers = Ledgers(ledger)
        self._class_of: dict[str, str] = {}
        self._frame, self._since_s = "", 0.0
        self._answered: str | None = None
        self.given = 0
        self.unsure = 0
        page.add_init_script(_REMEMBERED)
        page.goto(address)

    def look(self) -> None:
        """Answer for the picture that is shown, once it is known what it is."""
        shown = self._page.evaluate(_SHOWN)
        if shown is None:
            self._page.wait_for_timeout(ASKED_MS)
            return
        frame, keys = shown
        if frame != self._frame:
            self._frame, self._since_s = frame, time.monotonic()
        for entry in self._ledgers.entries():
            if entry["kind"] == "frame":
                self._class_of[f"{entry['camera']}/{entry['boot']}/{entry['sequence']}"] = entry["label"]
        known = self._class_of.get(frame)
        if frame == self._answered:
            pass  # the next picture is not there yet
        elif known in keys:
            self._page.keyboard.press(keys[known])
            self.given, self._answered = self.given + 1, frame
        elif time.monotonic() - self._since_s > PATIENCE_S:
            self._page.keyboard.press("KeyN")
            self.unsure, self._answered = self.unsure + 1, frame
        self._page.wait_for_timeout(EVERY_MS)


def run(options: Options) -> Report:
    """Play one road of some eight minutes; the short one has no fog: it shows that labels from the page arrive."""
    road: list[object] = ["--duration", SHORT_S] if options.short else ["--scenario", "fog", "--change-at", CHANGE_AT_S]
    report = Report("label_loop", machine=machine(("playwright",)))
    with tempfile.TemporaryDirectory() as folder:
        figures, person = _played(Path(folder) / "out.json", road)
    report.rows.append(row_of(figures) | {"labels given": person.given, "not sure": person.unsure})
    report.notes.append(f"load of the machine: {os.getloadavg()[0]:.1f} over {os.cpu_count()} cores")
    return report


def row_of(figures: Mapping[str, Any]) -> Row:
    """What became of the road, from what the demo says of it; times in seconds since the change.

    Raises:
        BenchError: a frame or label was lost or repeated, or the simulator labelled too.
    """
    if figures["lost"] or figures["repeated"] or figures["labels_published"]:
        lost, twice, others = figures["lost"], figures["repeated"], figures["labels_published"]
        raise BenchError(f"lost {lost}, repeated {twice}, labels of the simulator {others}")

    def first(what: str, at_s: list[float]) -> Row:
        after = [each for each in at_s if each >= CHANGE_AT_S]
        return {f"{what}, s": round(after[0] - CHANGE_AT_S, 1) if after else "never"}

    accuracy = figures["story"]["accuracy"]["changed"]
    return {
        "outcomes": figures["outcomes"],
        "accuracy": _known(figures["accuracy"]),
        **first("alert", [each["opened_at_s"] for each in figures["alerts"]]),
        **first("training", [each["at_s"] for each in figures["decisions"] if each["accepted"]]),
        **first("candidate", [each["at_s"] for each in figures["models"] if each["stage"] == "candidate"]),
        **first("promotion", [each["at_s"] for each in figures["models"] if each["stage"] == "champion"]),
        **{f"accuracy {name}": _known(accuracy[name]) for name in ("before", "lowest", "end")},
    }


def _known(value: float | None) -> float | str:
    """A figure; where nothing changed on the road, or nobody labelled, there is none."""
    return "-" if value is None else value


def _played(out: Path, road: Sequence[object]) -> tuple[dict[str, Any], Person]:
    began_s = time.time()
    options = ["--labels", "none", "--cameras", CAMERAS, "--fps", FPS, *road, "--headless", "--json", out]
    argv = [str(ROOT / "infra" / "demo"), *map(str, options)]
    demo = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert demo.stdout is not None
        address, said = _address(demo.stdout)
        ledger = _ledger(began_s)
        with chromium() as browser:
            person = Person(browser.new_page(), address, ledger)
            while demo.poll() is None:
                person.look()
    finally:
        demo.terminate()
        demo.wait()
    if not out.exists():
        raise BenchError(f"the demo ended with {demo.returncode}: {' '.join(list(said.queue)[-20:])}")
    figures: dict[str, Any] = json.loads(out.read_text())
    return figures, person


def _ledger(since_s: float) -> Path:
    """The ledger of the road that began after *since_s*, Unix seconds."""
    until_s = time.monotonic() + PAGES_S
    while time.monotonic() < until_s:
        for path in (ROOT / ".catseye" / "demo").glob("run-*/ledger.jsonl"):
            if path.stat().st_mtime >= since_s:
                return path
        time.sleep(0.1)
    raise BenchError("the road did not begin")


def _address(lines: IO[str]) -> tuple[str, queue.Queue[str]]:
    """Where the label page is, once the road is on; and a queue of what the demo prints."""
    said: queue.Queue[str] = queue.Queue()
    found = threading.Event()
    place: list[str] = []

    def read() -> None:
        for line in lines:
            said.put(line)
            if "nobody labels this road but people: " in line:
                place.append(line.split()[-1])
                found.set()

    threading.Thread(target=read, daemon=True).start()
    if not found.wait(PAGES_S):
        raise BenchError(f"no label page within {PAGES_S:.0f} s: {' '.join(list(said.queue)[-5:])}")
    return place[0], said
