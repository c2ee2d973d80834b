from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_modules.report.html.groups import Group

_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
# Between modules, and from them to the inputs and the outputs.
_GAP, _WIDE_GAP = 4.0, 8.0
_OUTPUT_ROWS = 20
_OUTPUT_SPACING = 2.0


def group_positions(groups: Sequence[Group]) -> list[Tensor]:
    """Where the units are drawn: inputs to the left, outputs to the right, modules in between.

    Neighbours are about 1 apart. Inputs stand in rows, as the pixels of a square image do, the
    hidden units of a module on a disc.

    Args:
        groups (sequence of Group): As :func:`unit_groups` returns them.

    Returns:
        list of Tensor: For every group the positions of its units, ``[n, 2]``.
    """
    discs = {group.key: _disc(len(group.units)) for group in groups if group.kind == "hidden"}
    columns = math.ceil(math.sqrt(len(discs)))
    rows = math.ceil(len(discs) / max(columns, 1))
    cell = 2 * max((float(disc.norm(dim=1).max()) for disc in discs.values()), default=0.0) + _GAP
    width = columns * cell
    for place, key in enumerate(discs):
        row, column = divmod(place, columns)
        # A last row that is not full stands in the middle.
        in_row = min(columns, len(discs) - row * columns)
        x = (column + (columns - in_row) / 2 + 0.5) * cell
        discs[key] = discs[key] + torch.tensor([x, ((rows - 1) / 2 - row) * cell])

    positions = []
    for group in groups:
        size = len(group.units)
        if group.kind == "hidden":
            positions.append(discs[group.key])
        elif group.kind == "input":
            grid = _grid(size, math.ceil(math.sqrt(size)))
            positions.append(
                grid - torch.tensor([float(grid[:, 0].max()) + _WIDE_GAP - _GAP / 2, 0.0])
            )
        else:
            grid = _grid(size, math.ceil(size / _OUTPUT_ROWS)) * _OUTPUT_SPACING
            positions.append(grid + torch.tensor([width + _WIDE_GAP - _GAP / 2, 0.0]))
    return positions


def _disc(size: int) -> Tensor:
    """Points in a sunflower's spiral, which fills a disc evenly."""
    place = torch.arange(size) + 0.5
    radius, angle = 0.6 * place.sqrt(), place * _GOLDEN_ANGLE
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def _grid(size: int, columns: int) -> Tensor:
    """Points in rows, from the left to the right and downwards, half above 0."""
    place = torch.arange(size)
    row = (place // columns).float()
    return torch.stack([(place % columns).float(), float(row.max()) / 2 - row], dim=1)
