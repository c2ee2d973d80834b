"""Where the units of a graph, and its edges, are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import ceil, isqrt, pi, sqrt

import torch
from torch import Tensor

from pyg_modules.report.unit_groups import UnitGroup

UNIT_RADIUS = 0.42
# Of the largest group, where a group is one circle.
_GROUP_RADIUS = 5.0
# Between modules, and from them to the inputs and the outputs.
_GAP, _SIDE_GAP = 4.0, 5.0
_OUTPUT_ROWS = 20
_OUTPUT_SPACING = 2.0
_NAME_DISTANCE = 0.8
# How far an edge bends to its right, relative to its length: j -> i and i -> j stay apart.
_BEND = 0.12


def place_units(groups: Sequence[UnitGroup], *, merged: bool = False) -> tuple[Tensor, Tensor]:
    """The circles of all units: inputs to the left, outputs to the right, modules in between.

    Units are at least 1 apart. Inputs stand in rows, as the pixels of a square image do, the
    hidden units of a module on circles around its middle.

    Args:
        groups (sequence of UnitGroup): As :func:`unit_groups` returns them.
        merged (bool, optional): Whether all units of a group are one circle, with an area in
            proportion to their number. (default: ``False``)

    Returns:
        tuple of Tensor: The centre of the circle of every unit, ``[N, 2]``, and its radius,
        ``[N]``.
    """
    sizes = [len(group.units) for group in groups]
    position, radius = (
        torch.zeros(sum(sizes), 2, device="cpu"),
        torch.full((sum(sizes),), UNIT_RADIUS, device="cpu"),
    )
    for group, size in zip(groups, sizes, strict=True):
        if merged:
            radius[group.units] = _GROUP_RADIUS * sqrt(size / max(sizes))
        elif group.kind == "hidden":
            position[group.units] = _circles(size)
        elif group.kind == "input":
            position[group.units] = _rows(size, isqrt(size))
        else:
            position[group.units] = _OUTPUT_SPACING * _rows(size, ceil(size / _OUTPUT_ROWS))
    modules = [group.units for group in groups if group.kind == "hidden"]
    reach = position.norm(dim=1) + radius
    cell = 2 * max((float(reach[units].max()) for units in modules), default=0.0) + _GAP
    num_columns = max(1, ceil(sqrt(len(modules))))
    for units, center in zip(modules, cell * _rows(len(modules), num_columns), strict=True):
        position[units] += center
    distance = num_columns * cell / 2 + _SIDE_GAP
    for group in groups:
        x, extent = position[group.units, 0], radius[group.units]
        if group.kind == "input":
            position[group.units, 0] -= distance + (x + extent).max()
        elif group.kind == "output":
            position[group.units, 0] += distance - (x - extent).min()
    return position, radius


def place_name(group: UnitGroup, position: Tensor, radius: Tensor) -> tuple[float, float, str]:
    """Where the name of a group stands, ``(x, y)`` of its lower edge, and how it is aligned.

    Names of the outermost groups grow inwards, so that a narrow figure holds them.

    Args:
        group (UnitGroup): The group.
        position (Tensor): Of the circles of all units, ``[N, 2]``.
        radius (Tensor): Of the circles of all units, ``[N]``.
    """
    (x, y), extent = position[group.units].T, radius[group.units]
    left, right = float((x - extent).min()), float((x + extent).max())
    align = {"input": "left", "hidden": "center", "output": "right"}[group.kind]
    at = {"left": left, "center": (left + right) / 2, "right": right}[align]
    return at, float((y + extent).max()) + _NAME_DISTANCE, align


def edge_curves(start: Tensor, end: Tensor, radius: Tensor) -> Tensor:
    """Bézier curves from centre to centre; a self-loop hangs below its circle.

    Args:
        start (Tensor): Centres of the circles of the sources, ``[E, 2]``.
        end (Tensor): Those of the targets, ``[E, 2]``.
        radius (Tensor): Radii of the circles of the sources, ``[E]``.

    Returns:
        Tensor: Start, two control points and end of every edge, ``[4, E, 2]``.
    """
    along = end - start
    to_the_right = _BEND * torch.stack([along[:, 1], -along[:, 0]], dim=1)
    controls = torch.stack([start + along / 3 + to_the_right, end - along / 3 + to_the_right])
    # Most of the loop of a small circle is seen, of that of a large one a bow below it.
    loop = (
        1.7 * (radius[:, None] + 0.45) * torch.tensor([[[-1.0, -1.0]], [[1.0, -1.0]]], device="cpu")
    )
    is_loop = (along == 0).all(dim=1, keepdim=True)
    controls = torch.where(is_loop, start + loop, controls)
    return torch.cat([start[None], controls, end[None]])


def _circles(size: int) -> Tensor:
    """Points 1 or more apart on a circle, clockwise from the top, or in turn on several of them."""
    radius = min((size + 1) / 6, sqrt(size))
    # As few as have room for all: the innermost of m has radius - m + 1, and has the least room.
    num_circles = next(m for m in count(1) if 6 * m * (radius - m + 1) >= size)
    place = torch.arange(size, device="cpu")
    angle = 2 * pi * place / (num_circles * ceil(size / num_circles))
    radii = radius - place % num_circles
    return torch.stack([radii * angle.sin(), radii * angle.cos()], dim=1)


def _rows(size: int, num_columns: int) -> Tensor:
    """Points 1 apart in rows around 0, from the left to the right and downwards."""
    place = torch.arange(size, device="cpu")
    row = place // num_columns
    # A last row that is not full stands in the middle.
    in_row = (size - row * num_columns).clamp(max=num_columns)
    x = place - row * num_columns - (in_row - 1) / 2
    return torch.stack([x, (ceil(size / num_columns) - 1) / 2 - row], dim=1)
