"""Size of the report, and the time to open it: ``python -m benchmarks.report``."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from benchmarks.report.browser import chromium_page, open_report
from benchmarks.report.large_run import large_run
from pyg_modules._files import write_json
from pyg_modules.experiment import write_run
from pyg_modules.experiment.versions import versions
from pyg_modules.report.html import write_report
from pyg_modules.train import seeded

RESULTS = Path(__file__).with_name("report.json")
ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "report.png"

_NUM_OPENINGS = 5
_WIDTH = 1280


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small network: does it run?")
    parser.add_argument("--out", type=Path, help=f"the JSON file (default: {RESULTS.name})")
    parser.add_argument(
        "--screenshot",
        metavar="DIR",
        type=Path,
        help="only make docs/images/report.png, from the run in this folder, e.g. runs/demo",
    )
    options = parser.parse_args(arguments)
    if options.screenshot:
        screenshot(options.screenshot)
        return
    path = options.out or (None if options.quick else RESULTS)
    results = measure(50, 1_000) if options.quick else measure(1_000, 100_000)
    if path is not None:
        write_json(path, results)
    print(json.dumps(results, indent=2))


def measure(num_hidden: int, num_edges: int, num_modules: int = 8) -> dict[str, Any]:
    """Write the report of a run without its training, and open it."""
    with seeded(0):
        run = large_run(num_hidden, num_edges, num_modules)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(run, folder)
        started = time.perf_counter()
        report = write_report(folder)
        seconds_to_write = time.perf_counter() - started
        return {
            "num_hidden": num_hidden,
            "num_edges": run.finetuned.graph.num_edges,
            "num_modules": num_modules,
            "megabytes": report.stat().st_size / 1e6,
            "seconds_to_write": seconds_to_write,
            # Until the unit graph is drawn; each time in a new browser.
            "seconds_to_open": median(_seconds_to_open(report) for _ in range(_NUM_OPENINGS)),
            "num_openings": _NUM_OPENINGS,
            "versions": versions(),
        }


def screenshot(folder: Path) -> None:
    """Keep a picture of the upper part of a report, down to the end of the unit graph."""
    report = write_report(folder)
    with chromium_page(_WIDTH, 900) as page:
        open_report(page, report)
        box = page.locator("#plot").bounding_box()
        assert box is not None
        height = box["y"] + box["height"] + 40
        png = page.screenshot(
            full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height}
        )
    # A palette of 256 colours is a third of the size, and looks the same.
    PICTURE.parent.mkdir(exist_ok=True)
    Image.open(BytesIO(png)).convert("RGB").quantize(256).save(PICTURE, optimize=True)
    print(f"wrote {PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size / 1e3:.0f} kB")


def _seconds_to_open(report: Path) -> float:
    with chromium_page(_WIDTH, 900) as page:
        started = time.perf_counter()
        open_report(page, report)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
