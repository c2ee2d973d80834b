"""``pyg-modules predict``."""

from __future__ import annotations

import csv
import errno
import io
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyg_modules._files import check_file, staged_folder
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
        _check_csv(out)
        layer, encoding, x, y, notes = encode_file(options.folder, options.file)
        place = Path(os.path.realpath(out))  # Where a link leads.
        _check_free(place, options.file, encoding)
        with torch.no_grad():
            outputs = torch.cat([layer(rows) for rows in torch.split(x, _ROWS_AT_ONCE)])
        _check_finite(outputs, options.file)
        done = f"the predictions are in {out}"
        with uninterrupted(done), staged_folder(place.parent) as stage:
            _write(stage / place.name, outputs, encoding)
    for note in notes:
        print(f"data: {note}")
    is_regression = encoding.target.classes is None
    # Of one number, R² explains nothing.
    if y is not None and not (is_regression and bool((y == y[0]).all())):
        value = shown_score(score(layer, x, y), is_regression=is_regression)
        print(f"{score_name(is_regression=is_regression)} {value} of {len(x):,} rows")
    print(f"wrote {out}")


def _check_csv(out: Path) -> None:
    if out.suffix.lower() != ".csv":
        raise ValueError(f"Expected --out to be a .csv (got {out}). Name one.")


def _check_free(place: Path, file: Path, encoding: Encoding) -> None:
    """Raise if there is anything at ``place`` but predictions of the same target."""
    options = encoding.options
    data = [str(file), *(options[name] for name in ("data", "test") if name in options)]
    if any(os.path.realpath(each) == str(place) for each in data):
        raise ValueError(
            f"Expected --out to be another file than those of the data (got {place}). Name another."
        )
    first_line, start = io.StringIO(), ""
    csv.writer(first_line, lineterminator="\n").writerow(_header(encoding))
    try:
        if place.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if place.exists():
            check_file(place)
            with place.open(encoding="utf-8", errors="replace", newline="") as there:
                start = there.read(len(first_line.getvalue()))
    except OSError as error:
        raise ValueError(
            f"Expected --out to be a file to write to (got {place}: {error.strerror or error})."
            f" Name another."
        ) from error
    if start not in ("", first_line.getvalue()):
        raise ValueError(
            f"Expected --out to be a new file, or one with predictions of {encoding.target.name!r}"
            f" to replace (got {place}, with something else in it). Name another, or delete it."
        )


def _check_finite(outputs: Tensor, file: Path) -> None:
    if not bool((is_finite := outputs.isfinite().all(dim=1)).all()):
        raise ValueError(
            f"Expected rows of which the network makes finite numbers in {file} (got NaN or"
            f" infinity for row {int(is_finite.int().argmin()) + 1}, far from all that it was"
            f" trained on). Correct the row, or leave it out."
        )


def _header(encoding: Encoding) -> list[str]:
    target = encoding.target
    return [target.name, *(f"probability of {name}" for name in target.classes or ())]


def _write(path: Path, outputs: Tensor, encoding: Encoding) -> None:
    target = encoding.target
    rows: list[list[Any]]
    if target.classes is None:
        rows = [[value] for value in (outputs[:, 0].double() * target.scale + target.mean).tolist()]
    else:
        probabilities = outputs.double().softmax(dim=1)
        best = outputs.argmax(dim=1).tolist()
        rows = [
            [target.classes[place], *(f"{value:.6g}" for value in row)]
            for place, row in zip(best, probabilities.tolist(), strict=True)
        ]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([_header(encoding), *rows])
