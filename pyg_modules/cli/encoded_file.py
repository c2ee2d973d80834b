from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_modules.datasets.encoding import Encoding, load_encoding
from pyg_modules.datasets.file_data import as_targets
from pyg_modules.datasets.table_file import read_table
from pyg_modules.datasets.target_column import read_target_like
from pyg_modules.nn.synchronous_graph import SynchronousGraph


class EncodedFile(NamedTuple):
    """A saved network, and the rows of a file as its inputs.

    Args:
        layer (SynchronousGraph): The network.
        encoding (Encoding): How rows become its inputs.
        x (Tensor): The inputs, ``[B, I]``.
        y (Tensor, optional): The targets, if the file has them.
        notes (list of str): What is to be said of the rows.
    """

    layer: SynchronousGraph
    encoding: Encoding
    x: Tensor
    y: Tensor | None
    notes: list[str]


def encode_file(folder: Path, file: Path) -> EncodedFile:
    """Load the network in ``folder``, and the rows of ``file`` as its inputs.

    Raises:
        ImportError: If the package that reads the file has to be installed first.
        ValueError: If the folder, the file, or something in it is not as it should be.
    """
    encoding, layer = load_encoding(folder), SynchronousGraph.load(folder).eval()
    target, of_file = encoding.target, str(file)
    sizes = (encoding.num_features, 1 if target.classes is None else len(target.classes))
    if sizes != (layer.graph.num_inputs, layer.graph.num_outputs):
        raise ValueError(
            f"Expected files of one network in {folder} (got data.json of {sizes[0]} inputs and"
            f" {sizes[1]} outputs, and a network of {layer.graph.num_inputs} and"
            f" {layer.graph.num_outputs}). Copy the folder again."
        )
    table = read_table(file)
    inputs = encoding.encode(table, of_file)
    notes, y = encoding.filled(table) + encoding.unknown(table), None
    # A column that is there to be filled in says as little as none.
    if target.name in table.columns and table[target.name].notna().any():
        values = read_target_like(table[target.name], of_file, target.classes)
        y = as_targets(values, target)
        notes += encoding.seen(encoding.values(table, of_file), values, f"rows of {of_file}")
    return EncodedFile(layer, encoding, torch.from_numpy(inputs), y, notes)
