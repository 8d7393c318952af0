"""The fleet page of 500 cameras that change ten times a second each, by Chromium's own figures.

The gateway, Redis and view's core are the real ones; a process of its own decides and writes what 5,000 predictions a
second come to, four batches a second, as view does. No broker runs: what is measured begins at the prediction's record.
Chromium draws by the processor, as it does without a graphics card.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page

from infra.benches import harness
from infra.benches.harness import ROOT, BenchError, Options, Report, Row
from infra.benches.pages_fleet import Fleet, crops
from infra.benches.pages_stage import Stage, Writer
from infra.local.chromium import chromium

CAMERAS = 500
CHANGES_PER_S = 10
BATCHES_PER_S = 4
LOADS = 7
WARM_S, LONG_S, SHORT_S = 20.0, 600.0, 3.0
PATIENCE_MS = 60_000

SCRIPT_KB, PAINT_MS, WHOLE_MS, SCREEN_MS, HEAP_SHARE = 45.0, 400.0, 1_000.0, 500.0, 0.05
"""What issue 21 asks for, at most."""

_WATCH = """() => {
    window.delays = [];
    new MutationObserver((changes) => {
        const at = new Set(changes.map(({ target }) => target.textContent).filter((text) => /^t\\d+$/.test(text)));
        if (at.size) requestAnimationFrame(() => setTimeout(() => {
            for (const text of at) window.delays.push(Date.now() - Number(text.slice(1)));
        }));
    }).observe(document.getElementById("tiles"), { subtree: true, childList: true, characterData: true });
}"""
_TIMES = """() => {
    const [navigation] = performance.getEntriesByType("navigation");
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    return [paint.startTime, navigation.loadEventEnd];
}"""


def run(options: Options) -> Report:
    """Measure script, loads, delays and the heap."""
    report = Report("pages", machine=harness.machine(("playwright", "redis", "starlette", "uvicorn")))
    names = [f"cam-{number:03}" for number in range(CAMERAS)]
    with TemporaryDirectory() as folder, Stage(Path(folder)) as stage, chromium() as browser:
        report.machine["chromium"] = browser.version
        road = Fleet(names, crops(ROOT)[::10], _now_ms())
        stage.put([row for name in names for row in road.passed(name, _now_ms(), "1", kept=False)])
        report.rows.append(_row("script, gzip", _script_kb(), "kB", SCRIPT_KB))
        paints, wholes = _loads(browser, stage.address, 2 if options.short else options.pairs or LOADS)
        report.rows.append(_row("first paint, median", float(np.median(paints)), "ms", PAINT_MS))
        report.rows.append(_row("page whole, median", float(np.median(wholes)), "ms", WHOLE_MS))
        report.rows += _living(browser, stage, names, options)
    report.notes.append(f"load of the machine: {os.getloadavg()[0]:.1f} over {os.cpu_count()} cores")
    return report


def _row(name: str, value: float, unit: str, most: float) -> Row:
    return {"figure": name, "value": value, "unit": unit, "at most": most, "met": "yes" if value <= most else "no"}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _script_kb() -> float:
    """All scripts of all pages."""
    folder = ROOT / "services" / "gateway" / "static"
    return sum(len(gzip.compress(path.read_bytes())) for path in folder.rglob("*.js")) / 1_000


def _loads(browser: Browser, address: str, count: int) -> tuple[list[float], list[float]]:
    """First paint and the load event, milliseconds, each in a profile of its own; the first load warms both ends up."""
    paints, wholes = [], []
    for number in range(count + 1):
        context = browser.new_context(viewport={"width": 1_920, "height": 1_080})
        page = context.new_page()
        page.goto(address, wait_until="load", timeout=PATIENCE_MS)
        if page.locator(".tile").count() != CAMERAS:
            raise BenchError("the page does not have all cameras")
        page.wait_for_timeout(300)
        paint, whole = page.evaluate(_TIMES)
        if number:
            paints.append(paint)
            wholes.append(whole)
        context.close()
    return paints, wholes


def _living(browser: Browser, stage: Stage, names: list[str], options: Options) -> list[Row]:
    page = browser.new_page(viewport={"width": 1_920, "height": 1_080})
    page.goto(stage.address, timeout=PATIENCE_MS)
    page.wait_for_selector("#link.live", timeout=PATIENCE_MS)
    page.evaluate(_WATCH)
    spawned = multiprocessing.get_context("spawn")
    stop, written = spawned.Event(), spawned.Value("q", 0)
    writer = spawned.Process(target=_write, args=(stage.settings.redis_url, names, stop, written))
    writer.start()
    try:
        page.wait_for_function("() => window.delays.length > 0", timeout=PATIENCE_MS)
        time.sleep(SHORT_S if options.short else WARM_S)
        page.evaluate("() => { window.delays = []; }")
        heap, before, began = _heap(page), written.value, time.monotonic()
        time.sleep(SHORT_S if options.short else LONG_S)
        lasted_s = time.monotonic() - began
        delays = page.evaluate("() => window.delays")
        page.evaluate("() => { window.delays = []; }")
        grown = _heap(page) / heap - 1
        rate = (written.value - before) / lasted_s
    finally:
        stop.set()
        writer.join()
    if not delays:
        raise BenchError("nothing changed on the page")
    page.close()
    return [
        _row(f"change to screen, p50 of {len(delays)}", float(np.quantile(delays, 0.5)), "ms", SCREEN_MS),
        _row("change to screen, p95", float(np.quantile(delays, 0.95)), "ms", SCREEN_MS),
        _row(f"heap's growth in {lasted_s:.0f} s at {rate:,.0f} changes/s", grown, "", HEAP_SHARE),
    ]


def _heap(page: Page) -> float:
    """Bytes of the heap that are in use after a collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = float(session.send("Runtime.getHeapUsage")["usedSize"])
    session.detach()
    return used


def _write(url: str, names: list[str], stop: Any, written: Any) -> None:
    """What view writes of 5,000 predictions a second, until it is told to stop; the class says when it came."""
    writer = Writer(url)
    road = Fleet(names, [("car", b"")], _now_ms())
    each, due = CHANGES_PER_S / BATCHES_PER_S, time.monotonic()
    number = 0
    while not stop.is_set():
        now_ms = _now_ms()
        count = int((number + 1) * each) - int(number * each)
        rows = [("predictions", road.prediction(name, now_ms, "1", f"t{now_ms}", 1)) for name in names * count]
        writer.put(rows)
        written.value += len(rows)
        number += 1
        due = max(due + 1 / BATCHES_PER_S, time.monotonic() - 1)  # after a stall it goes on, and does not catch up
        stop.wait(max(0.0, due - time.monotonic()))
