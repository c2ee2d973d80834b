"""The report in a browser without a window and without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_IS_DRAWN = "window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle"


@contextmanager
def chromium_page(width: int, height: int) -> Iterator[Page]:
    """An empty page of this size, in CSS pixels."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium")
    if executable is None:
        raise SystemExit("Expected chromium on the PATH (got none). apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(offline=True, viewport={"width": width, "height": height})
        yield context.new_page()
        browser.close()


def open_report(page: Page, path: Path) -> None:
    """Open a report, and return when the unit graph is drawn."""
    page.goto(path.absolute().as_uri())
    page.wait_for_function(_IS_DRAWN)
    # The browser has painted what was drawn when the frame after the next begins.
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
