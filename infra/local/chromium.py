"""Debian's Chromium, driven by Playwright: for tests of the pages, their benches and their screenshots."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, gone at the end; as root it has no sandbox of its own."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
