"""What is learned on small cases, and asked of larger ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

#: The channels of a maze.
OPEN, START, END = range(3)


@dataclass(frozen=True)
class Task:
    """Cases of any size, and what to make of them.

    Args:
        make (Callable): ``make(number, size, generator)`` draws cases and their answers:
            ``[B, I, *places]``, and 0 or 1 for each of the places, ``[B, 1, *places]``.
        sizes (sequence of int): Those that are learned, the smallest first.
        larger (sequence of int): Those that are measured only.
        updates (Callable): ``updates(size)`` is how many updates a case gets in a test.
        num_inputs (int): Number of channels I.
        num_places (int): Number of dimensions of the places.
        max_parameters (int): How many a network may have.
    """

    make: Callable[[int, int, Generator], tuple[Tensor, Tensor]]
    sizes: Sequence[int]
    larger: Sequence[int]
    updates: Callable[[int], int]
    num_inputs: int
    num_places: int
    max_parameters: int


def prefix_sums(number: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Bits, ``[B, 1, L]``, and the parity of all bits up to each place.

    From `Can You Learn an Algorithm? <https://arxiv.org/abs/2106.04537>`_, as mazes.
    """
    bits = torch.randint(2, (number, 1, size), generator=generator)
    return bits.float(), (bits.cumsum(dim=2) % 2).float()


def mazes(number: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Mazes without a way around, ``[B, 3, size, size]``, and which cells are on the path.

    A cell is open or a wall; beyond the border there are none, and a layer sees zeros there as in a
    wall. Cells of even row and column are rooms, joined by a random spanning tree that a walk makes
    which goes on from the latest room with neighbours left. Start and end are two rooms.
    """
    x, y = torch.zeros(number, 3, size, size), torch.zeros(number, 1, size, size)
    for case in range(number):
        came_from = _spanning_tree(size, generator)
        for cell in came_from:
            x[case, OPEN][cell] = 1
        rooms = [cell for cell in came_from if cell[0] % 2 == cell[1] % 2 == 0]
        first, second = torch.randperm(len(rooms), generator=generator)[:2].tolist()
        start, end = rooms[first], rooms[second]
        x[case, START][start] = x[case, END][end] = 1
        # Both ways up to the root, without what they share; the room where they meet is on both.
        ups, downs = _way_up(start, came_from), _way_up(end, came_from)
        meeting = next(cell for cell in ups if cell in downs)
        for way in (ups, downs):
            for cell in way[: way.index(meeting) + 1]:
                y[case, 0][cell] = 1
    return x, y


Cell = tuple[int, int]


def _spanning_tree(size: int, generator: Generator) -> dict[Cell, Cell | None]:
    """All open cells, each with the one that it was opened from."""
    came_from: dict[Cell, Cell | None] = {(0, 0): None}
    walk: list[Cell] = [(0, 0)]
    # Drawn at once: a number at a time takes longer than all else.
    drawn = iter(torch.rand(size * size, generator=generator).tolist())
    while walk:
        row, column = walk[-1]
        left = [
            (row + down, column + right)
            for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0))
            if 0 <= row + 2 * down < size
            and 0 <= column + 2 * right < size
            and (row + 2 * down, column + 2 * right) not in came_from
        ]
        if not left:
            walk.pop()
            continue
        door = left[int(next(drawn) * len(left))]
        room = 2 * door[0] - row, 2 * door[1] - column
        came_from[door], came_from[room] = (row, column), door
        walk.append(room)
    return came_from


def _way_up(cell: Cell, came_from: dict[Cell, Cell | None]) -> list[Cell]:
    way, above = [cell], came_from[cell]
    while above is not None:
        way.append(above)
        above = came_from[above]
    return way


#: The tasks by name. Twice as many updates as bits lie between the first and the last; and filling
#: the dead ends of a maze from behind, a cell at a time, takes about half as many as it has cells.
TASKS: dict[str, Task] = {
    "prefix sums": Task(prefix_sums, range(1, 33), (64, 128), lambda size: 2 * size, 1, 1, 600),
    "mazes": Task(mazes, range(3, 10, 2), (17,), lambda size: size * size // 2 + 4, 3, 2, 6500),
}
