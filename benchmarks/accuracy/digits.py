"""The defaults of ``pyg-modules train``, ten seeds: ``python -m benchmarks.accuracy.digits``."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from benchmarks.options import parse_none
from pyg_modules._files import write_json
from pyg_modules.cli import main

SEEDS = tuple(range(10))
RESULTS = Path(__file__).with_suffix(".json")
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "partition.png"


def run() -> None:
    """Measure, and keep the figures and the picture of the first seed."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            out = Path(folder) / str(seed)
            status = main(["train", "--seed", str(seed), "--out", str(out)])
            if status != 0:
                raise SystemExit(status)
            runs.append(json.loads((out / "metrics.json").read_text()))
        PICTURE.parent.mkdir(exist_ok=True)
        shutil.copy(Path(folder) / str(SEEDS[0]) / "partition.png", PICTURE)
    write_json(RESULTS, {"command": "pyg-modules train --seed SEED --out DIR", "runs": runs})


if __name__ == "__main__":
    parse_none(__doc__)
    run()
