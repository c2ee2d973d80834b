"""``pyg-modules predict``."""

from __future__ import annotations

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyg_modules._files import staged_folder
from pyg_modules.cli.endings import refusals, uninterrupted
from pyg_modules.datasets.encoding import Encoding, load_encoding
from pyg_modules.datasets.file_data import as_targets
from pyg_modules.datasets.table_file import read_table
from pyg_modules.datasets.target_column import read_target_like
from pyg_modules.experiment.score import score, score_name, shown_score
from pyg_modules.nn.synchronous_graph import SynchronousGraph

_ROWS_AT_ONCE = 4096


def predict(options: Namespace) -> None:
    """Write a prediction for every row of a file.

    Raises:
        Refused: If the folder, the file, or something in it is not as it should be.
    """
    out = options.out or options.folder / f"{options.file.stem}.predictions.csv"
    of_file = str(options.file)
    with refusals():
        _check_csv(out, options.file)
        encoding, layer = load_encoding(options.folder), SynchronousGraph.load(options.folder)
        _check_of_one_network(encoding, layer, options.folder)
        table = read_table(options.file)
        x = torch.from_numpy(encoding.encode(table, of_file))
        targets = None
        if encoding.target.name in table.columns:
            column = table[encoding.target.name]
            values = read_target_like(column, of_file, encoding.target.classes)
            targets = as_targets(values, encoding.target)
        with torch.no_grad():
            outputs = torch.cat([layer(rows) for rows in torch.split(x, _ROWS_AT_ONCE)])
        with uninterrupted(), staged_folder(out.absolute().parent) as stage:
            _write(stage / out.name, outputs, encoding)
    for sentence in encoding.unknown(table):
        print(f"data: {sentence}")
    if targets is not None:
        is_regression = encoding.target.classes is None
        value = shown_score(score(layer, x, targets), is_regression=is_regression)
        print(f"{score_name(is_regression=is_regression)} {value} of {len(x):,} rows")
    print(f"wrote {out}")


def _check_csv(out: Path, file: Path) -> None:
    if out.suffix.lower() != ".csv":
        raise ValueError(f"Expected --out to be a .csv (got {out}). Name one.")
    if out.absolute() == file.absolute():
        raise ValueError(f"Expected --out to be another file than {file}. Name another.")


def _check_of_one_network(encoding: Encoding, layer: SynchronousGraph, folder: Path) -> None:
    classes = encoding.target.classes
    num_outputs = 1 if classes is None else len(classes)
    sizes = (encoding.num_features, num_outputs)
    if sizes != (layer.graph.num_inputs, layer.graph.num_outputs):
        raise ValueError(
            f"Expected files of one network in {folder} (got data.json of {sizes[0]} inputs and"
            f" {sizes[1]} outputs, and a network of {layer.graph.num_inputs} and"
            f" {layer.graph.num_outputs}). Copy the folder again."
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
