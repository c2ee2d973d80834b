"""Where the units of a graph stand in a picture: inputs left, modules on a ring, outputs right."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi, sin

import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.report.palette import INPUT, OUTPUT, SHARED_UNIT, module_color

#: The picture is as high as twice this, and names stand around it.
HALF_HEIGHT = 3.1
# From the middle to inputs and outputs; their circles are further away, being larger.
_SIDE, _GROUP_SIDE, _LARGEST_SIDE = 4.3, 4.7, 0.7
_LARGEST_UNIT = 0.12
_MOST_IN_COLUMN = 40
_COLUMN_SPACING = 0.3
_TITLE_DISTANCE = 0.2
#: Radius of a self-loop, relative to that of its circle.
_UNIT_LOOP, _GROUP_LOOP = 1.5, 0.8


@dataclass(frozen=True)
class Group:
    """Units that stand together.

    Args:
        name (str): What they are.
        title (str): The same in few letters.
        color (str): The colour of those that are in no module.
        place (str): ``"left"``, ``"ring"`` or ``"right"``.
        units (LongTensor): Their ids, ``[n]``.
    """

    name: str
    title: str
    color: str
    place: str
    units: Tensor


@dataclass(frozen=True)
class Placement:
    """Circles in a picture.

    Args:
        groups (list of Group): All groups.
        members (list of LongTensor): The circles of each group.
        position (Tensor): Centres of the circles, ``[n, 2]``.
        radius (Tensor): Their radii, ``[n]``.
        loop (Tensor): From the centre of a circle to that of its self-loop, ``[n, 2]``.
        title_position (Tensor): Where the title of each group stands, ``[G, 2]``.
        circle_of_unit (LongTensor): The circle that shows a unit, ``[N]``.
    """

    groups: list[Group]
    members: list[Tensor]
    position: Tensor
    radius: Tensor
    loop: Tensor
    title_position: Tensor
    circle_of_unit: Tensor


def place_units(graph: UnitGraph, labels: Tensor, num_modules: int) -> Placement:
    """A circle for every unit."""
    groups = _groups(graph, labels, num_modules, labels.new_zeros(len(labels), dtype=torch.bool))
    centers, largest = _ring([group.place for group in groups])
    sizes = torch.tensor([len(group.units) for group in groups]).float()
    on_ring = torch.tensor([group.place == "ring" for group in groups])
    most = float(sizes[on_ring].max()) if on_ring.any() else 1.0
    position = torch.zeros(graph.num_units, 2)
    radius = torch.zeros(graph.num_units)
    loop = torch.zeros(graph.num_units, 2)
    title_position = torch.zeros(len(groups), 2)
    for number, group in enumerate(groups):
        units, size = group.units, len(group.units)
        if group.place == "ring":
            extent = largest * (size / most) ** 0.5
            direction = _circle(size)
            position[units] = centers[number] + extent * direction
            radius[units] = min(_LARGEST_UNIT, 0.8 * pi * extent / size)
            loop[units] = _UNIT_LOOP * radius[units, None] * direction
            title_position[number] = centers[number]
            if extent < _room_for(group.title) + _LARGEST_UNIT:
                beyond = extent + _LARGEST_UNIT + _TITLE_DISTANCE
                title_position[number] += beyond * _direction(centers)[number]
        else:
            # Units of one module stand together.
            units = units[torch.argsort(labels[units], stable=True)]
            sign = -1.0 if group.place == "left" else 1.0
            position[units], spacing = _columns(size, sign)
            radius[units] = min(_LARGEST_UNIT, 0.4 * spacing)
            loop[units, 0] = _UNIT_LOOP * sign * radius[units]
            top = float(position[units, 1].max())
            title_position[number] = torch.tensor([sign * _SIDE, top + _LARGEST_UNIT])
    members = [group.units for group in groups]
    identity = torch.arange(graph.num_units)
    return Placement(groups, members, position, radius, loop, title_position, identity)


def place_groups(graph: UnitGraph, labels: Tensor, num_modules: int) -> Placement:
    """A circle for every module, and for inputs, hidden units and outputs that are in none.

    The areas of the circles are in proportion to the numbers of units.
    """
    groups = _groups(graph, labels, num_modules, labels >= 0)
    centers, largest = _ring([group.place for group in groups])
    sizes = torch.tensor([len(group.units) for group in groups]).float()
    on_ring = torch.tensor([group.place == "ring" for group in groups])
    centers[~on_ring, 0] *= _GROUP_SIDE / _SIDE
    limits = torch.where(on_ring, largest, _LARGEST_SIDE)
    radius = sizes.sqrt() * (limits / sizes.sqrt()).min()
    outward = _direction(centers)
    loop = _GROUP_LOOP * radius[:, None] * outward
    beyond = centers + 2 * loop + _TITLE_DISTANCE * outward
    # A number leaves some of its circle to be seen, or stands beyond it.
    has_room = radius >= torch.tensor([_room_for(group.title) + 0.06 for group in groups])
    title_position = torch.where(has_room[:, None], centers, beyond)
    at_side = ~on_ring
    title_position[at_side] = centers[at_side]
    title_position[at_side, 1] += radius[at_side]
    circle_of_unit = torch.zeros(graph.num_units, dtype=torch.long)
    for number, group in enumerate(groups):
        circle_of_unit[group.units] = number
    members = [torch.tensor([number]) for number in range(len(groups))]
    return Placement(groups, members, centers, radius, loop, title_position, circle_of_unit)


def _groups(graph: UnitGraph, labels: Tensor, num_modules: int, moved: Tensor) -> list[Group]:
    """Those that have units; ``moved`` [N] are inputs and outputs that stand with their module."""
    unit_ids = torch.arange(graph.num_units)
    is_input, is_output = unit_ids < graph.num_inputs, unit_ids >= graph.outputs.start
    on_ring = ~(is_input | is_output) | moved
    modules = [
        Group(f"module {k}", str(k), module_color(k), "ring", unit_ids[on_ring & (labels == k)])
        for k in range(num_modules)
    ]
    inputs, outputs = unit_ids[is_input & ~on_ring], unit_ids[is_output & ~on_ring]
    rest = unit_ids[on_ring & (labels < 0)]
    rest_name = "shared by all modules" if modules else "hidden units"
    rest_title = f"{'shared' if modules else rest_name} ({len(rest):,})"
    groups = [
        Group("inputs", f"inputs ({len(inputs):,})", INPUT, "left", inputs),
        *modules,
        Group(rest_name, rest_title, SHARED_UNIT, "ring", rest),
        Group("outputs", f"outputs ({len(outputs):,})", OUTPUT, "right", outputs),
    ]
    return [group for group in groups if len(group.units) > 0]


def _ring(places: list[str]) -> tuple[Tensor, float]:
    """The centre of each group, ``[G, 2]``, and the largest radius of those on the ring."""
    centers = torch.zeros(len(places), 2)
    on_ring = torch.tensor([place == "ring" for place in places])
    num_on_ring = int(on_ring.sum())
    centers[:, 0] = torch.tensor([{"left": -_SIDE, "ring": 0.0, "right": _SIDE}[p] for p in places])
    if num_on_ring <= 1:
        return centers, 0.85 * HALF_HEIGHT
    # Neighbours on the ring keep a sixth of their distance free.
    share = 5 / 6 * sin(pi / num_on_ring)
    distance = HALF_HEIGHT / (1 + share)
    centers[on_ring] = distance * _circle(num_on_ring)
    return centers, share * distance


def _room_for(title: str) -> float:
    """Radius of a circle that holds the title."""
    return 0.06 + 0.08 * len(title)


def _direction(points: Tensor) -> Tensor:
    """Unit vectors away from the middle, upwards for the middle itself, ``[n, 2]``."""
    distance = points.norm(dim=1, keepdim=True)
    return torch.where(distance > 0, points / distance, torch.tensor([0.0, 1.0]))


def _circle(num_points: int) -> Tensor:
    """Points on the unit circle, clockwise from the top, ``[n, 2]``."""
    angle = pi / 2 - 2 * pi * torch.arange(num_points) / max(1, num_points)
    return torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)


def _columns(size: int, sign: float) -> tuple[Tensor, float]:
    """Positions in columns at a side, from the top down, ``[n, 2]``, and the distance of two."""
    num_columns = ceil(size / _MOST_IN_COLUMN)
    num_rows = ceil(size / num_columns)
    spacing = min(2 * HALF_HEIGHT / max(1, num_rows - 1), 3 * _LARGEST_UNIT)
    column, row = torch.arange(size) // num_rows, torch.arange(size) % num_rows
    x = sign * (_SIDE + _COLUMN_SPACING * column)
    return torch.stack([x, spacing * ((num_rows - 1) / 2 - row)], dim=1), spacing
