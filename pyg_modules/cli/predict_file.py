"""``pyg-modules predict``."""

from __future__ import annotations

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyg_modules._files import staged_folder
from pyg_modules.cli.encoded_file import encode_file
from pyg_modules.cli.endings import refusals, uninterrupted
from pyg_modules.datasets.encoding import Encoding
from pyg_modules.experiment.score import score, score_name, shown_score

_ROWS_AT_ONCE = 4096


def predict(options: Namespace) -> None:
    """Write a prediction for every row of a file.

    Raises:
        Refused: If the folder, the file, or something in it is not as it should be.
    """
    out = options.out or options.folder / f"{options.file.stem}.predictions.csv"
    with refusals():
        _check_csv(out, options.file)
        layer, encoding, x, y, notes = encode_file(options.folder, options.file)
        with torch.no_grad():
            outputs = torch.cat([layer(rows) for rows in torch.split(x, _ROWS_AT_ONCE)])
        done = f"the predictions are in {out}"
        with uninterrupted(done), staged_folder(out.absolute().parent) as stage:
            _write(stage / out.name, outputs, encoding)
    for note in notes:
        print(f"data: {note}")
    is_regression = encoding.target.classes is None
    # Of one number, R² explains nothing.
    if y is not None and not (is_regression and bool((y == y[0]).all())):
        value = shown_score(score(layer, x, y), is_regression=is_regression)
        print(f"{score_name(is_regression=is_regression)} {value} of {len(x):,} rows")
    print(f"wrote {out}")


def _check_csv(out: Path, file: Path) -> None:
    if out.suffix.lower() != ".csv":
        raise ValueError(f"Expected --out to be a .csv (got {out}). Name one.")
    if out.resolve() == file.resolve():
        raise ValueError(
            f"Expected --out to be another file than that of the data (got {file} for both). Name"
            f" another."
        )


def _write(path: Path, outputs: Tensor, encoding: Encoding) -> None:
    target = encoding.target
    rows: list[list[Any]]
    if target.classes is None:
        header = [target.name]
        rows = [[value] for value in (outputs[:, 0].double() * target.scale + target.mean).tolist()]
    else:
        header = [target.name, *(f"probability of {name}" for name in target.classes)]
        probabilities = outputs.double().softmax(dim=1)
        best = outputs.argmax(dim=1).tolist()
        rows = [
            [target.classes[place], *(f"{value:.6g}" for value in row)]
            for place, row in zip(best, probabilities.tolist(), strict=True)
        ]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
