"""What is learned on small cases, and asked of larger ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

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
        grows (bool): Whether networks that solve small cases go on with larger ones, or learn all
            sizes from the beginning.
        batches (int): How many are learned from.
        patience (int): How many may pass without larger cases before a new start.
    """

    make: Callable[[int, int, Generator], tuple[Tensor, Tensor]]
    sizes: Sequence[int]
    larger: Sequence[int]
    updates: Callable[[int], int]
    num_inputs: int
    num_places: int
    max_parameters: int
    grows: bool = True
    batches: int = 2000
    patience: int = 300


def prefix_sums(number: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Bits, ``[B, 1, L]``, and the parity of all bits up to each place.

    From `Can You Learn an Algorithm? <https://arxiv.org/abs/2106.04537>`_, as mazes.
    """
    bits = torch.randint(2, (number, 1, size), generator=generator)
    return bits.float(), (bits.cumsum(dim=2) % 2).float()


def latest_bits(number: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """What is written, zeros and ones, ``[B, 2, L]``, and the bit that was written last, or 0.

    Two are written on average, however long the chain, so that a bit is kept for long: the
    flip-flop of `Exposing Attention Glitches <https://arxiv.org/abs/2306.00946>`_.
    """
    is_written = torch.rand(number, size, generator=generator) < 2 / size
    bits = torch.randint(2, (number, size), generator=generator)
    x = torch.stack([is_written & (bits == 0), is_written & (bits == 1)], dim=1)
    return x.float(), _latest(is_written, bits).unsqueeze(1).float()


def additions(number: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Two binary numbers, the least digit first, ``[B, 2, L]``, and the digits of their sum.

    They differ in nearly all digits, so that a carry goes far: what it is was decided at the latest
    place where they are equal, two on average.
    """
    first = torch.randint(2, (number, size), generator=generator)
    is_equal = torch.rand(number, size, generator=generator) < 2 / max(size, 6)
    second = torch.where(is_equal, first, 1 - first)
    carry = _latest(is_equal, first).roll(1, dims=1)
    carry[:, 0] = 0
    digits = (first + second + carry) % 2
    return torch.stack([first, second], dim=1).float(), digits.unsqueeze(1).float()


def _latest(is_written: Tensor, bits: Tensor) -> Tensor:
    """At each place the bit of the last place up to there that is written; 0 before the first."""
    place = torch.arange(bits.size(1)).where(is_written, -1).cummax(dim=1).values
    return bits.gather(1, place.clamp(min=0)).where(place >= 0, 0)


def regions(number: int, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Fields with walls, ``[B, 2, size, size]``, and which cells can be reached from the start.

    Three of five cells are open, about as many as it takes for ways across to be there and long.
    """
    is_open = torch.rand(number, size, size, generator=generator) < 0.6
    start = torch.randint(size * size, (number,), generator=generator)
    is_start = F.one_hot(start, size * size).bool().view_as(is_open)
    is_open |= is_start
    reached, before = is_start, torch.zeros_like(is_start)
    while not reached.equal(before):
        before = reached
        padded = F.pad(before, (1, 1, 1, 1))
        beside = padded[:, 2:, 1:-1] | padded[:, :-2, 1:-1]
        beside |= padded[:, 1:-1, 2:] | padded[:, 1:-1, :-2]
        reached = before | (beside & is_open)
    return torch.stack([is_open, is_start], dim=1).float(), reached.unsqueeze(1).float()


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


def _twice(size: int) -> int:
    return 2 * size


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


#: The tasks by name. Twice as many updates as bits lie between the first and the last; few of the
#: shortest ways within a region are longer than four times its side; and filling the dead ends of a
#: maze from behind, a cell at a time, takes about half as many as it has cells.
TASKS: dict[str, Task] = {
    "prefix sums": Task(prefix_sums, range(1, 33), (64, 128), _twice, 1, 1, 600),
    "latest bits": Task(latest_bits, range(1, 33), (64, 128), _twice, 2, 1, 600),
    "binary addition": Task(
        additions, range(1, 33), (64, 128), _twice, 2, 1, 600, grows=False, batches=4000
    ),
    "regions": Task(
        regions,
        range(3, 10),
        (18, 36),
        lambda size: 4 * size,
        2,
        2,
        2000,
        grows=False,
        batches=3000,
    ),
    "mazes": Task(
        mazes,
        range(3, 10, 2),
        (17,),
        lambda size: size * size // 2 + 4,
        3,
        2,
        6500,
        batches=4000,
        patience=1000,
    ),
}
