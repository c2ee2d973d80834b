"""How many units a module may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack
from scipy.sparse.csgraph import maximum_flow

from pyg_modules._arrays import Bools, Ints
from pyg_modules._brief import brief
from pyg_modules._checks import as_int, as_share

_ROUNDING = 1e-9


class SizeBounds(NamedTuple):
    """How many units of every class every module may have.

    Partitions within them exist, of every class by itself.

    Attributes:
        smallest: The least numbers, ``[C, K]``.
        largest: The greatest numbers, ``[C, K]``.
        classes: Class of every unit that is partitioned, from 0 to C - 1, ``[n]``.
    """

    smallest: Ints
    largest: Ints
    classes: Ints

    @classmethod
    def of(
        cls,
        num_units: int,
        num_modules: int,
        capacities: Sequence[int] | None = None,
        tolerance: float = 0.0,
        classes: Ints | None = None,
        fewest: Ints | None = None,
    ) -> SizeBounds:
        """The bounds of ``num_modules`` modules among ``num_units`` units.

        With several classes, every module has its share of each, rounded so that its size is its
        capacity; of the units that the tolerance allows beyond, a class has its share, rounded
        down. So a class that is smaller than the number of modules is not in all of them.

        Where rounding down leaves a module with less than the ``fewest`` units of a class, it has
        these, and as few others of other classes as possible are changed, if capacities allow it.

        Args:
            num_units (int): Number of units that are partitioned.
            num_modules (int): Number of modules.
            capacities (sequence of int, optional): Size of every module. (default: equal, to one
                unit)
            tolerance (float, optional): By which share of it a size may differ. (default: 0.0)
            classes (numpy.ndarray, optional): Class of every unit, ``[n]``, integers from 0 on,
                each with a unit. (default: one class)
            fewest (numpy.ndarray, optional): How many units of every class every module should
                have, ``[C]``; no matter where there is one class. (default: none)

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If there are fewer than two modules or more than units, the capacities do
                not add up to the number of units, or the classes are not numbered one by one.
        """
        num_modules = as_int("num_modules", num_modules, smallest=2)
        if num_units < 2:
            raise ValueError(
                f"Expected at least 2 units to partition (got {num_units}). Add hidden units."
            )
        if num_modules > num_units:
            raise ValueError(
                f"Expected num_modules from 2 to {num_units}, the number of units that are"
                f" partitioned (got {num_modules})."
                " Choose one between."
            )
        tolerance = as_share("tolerance", tolerance)
        wanted = (
            None if capacities is None else checked_capacities(capacities, num_units, num_modules)
        )
        if classes is None:
            classes = numpy.zeros(num_units, dtype=numpy.int64)
        count = _counted(classes, num_units)
        classes = classes.astype(numpy.int64)
        share = numpy.full(num_modules, num_units / num_modules) if wanted is None else wanted
        # Else a size on the bound would be lost to rounding: 1.15 * 100 is 114.999...
        least = numpy.maximum(1, numpy.ceil((1 - tolerance) * share - _ROUNDING))
        most = numpy.minimum(num_units, numpy.floor((1 + tolerance) * share + _ROUNDING))
        if len(count) == 1:
            smallest = numpy.minimum(numpy.floor(share), least).astype(numpy.int64)
            largest = numpy.maximum(numpy.ceil(share), most).astype(numpy.int64)
            # The others have a unit each at least.
            largest = numpy.minimum(largest, num_units - num_modules + 1)
            return cls(smallest[None], largest[None], classes)
        if wanted is None:
            larger = numpy.arange(num_modules) < num_units % num_modules
            wanted = num_units // num_modules + larger.astype(numpy.int64)
        exact = _rounded_shares(count, wanted)
        fewest = numpy.zeros(len(count), numpy.int64) if fewest is None else fewest
        if (exact < fewest[:, None]).any():
            exact = _raised_shares(count, wanted, fewest, exact)
        below = (wanted - least).clip(min=0).astype(numpy.int64)
        above = (most - wanted).clip(min=0).astype(numpy.int64)
        smallest = exact - below * exact // wanted
        smallest = numpy.maximum(smallest, numpy.minimum(exact, fewest[:, None]))
        largest = exact + above * exact // wanted
        # The other modules need their least numbers of the class.
        possible = count[:, None] - smallest.sum(axis=1, keepdims=True) + smallest
        return cls(smallest, numpy.minimum(largest, possible), classes)

    @classmethod
    def around(cls, sizes: Ints, tolerance: float, classes: Ints) -> SizeBounds:
        """The bounds of modules of about these sizes in every class.

        Args:
            sizes (numpy.ndarray): How many units of every class every module has, ``[C, K]``.
            tolerance (float): By which share of it a number may differ.
            classes (numpy.ndarray): Class of every unit, ``[n]``.
        """
        allowed = numpy.floor(tolerance * sizes + _ROUNDING).astype(numpy.int64)
        smallest = numpy.maximum(sizes - allowed, numpy.minimum(sizes, 1))
        possible = (sizes - smallest).sum(axis=1, keepdims=True) + smallest
        return cls(smallest, numpy.minimum(sizes + allowed, possible), classes)

    def allow(self, sizes: Sequence[int]) -> bool:
        """Whether modules may be of these sizes, ``[K]``, all classes together."""
        smallest, largest = self.smallest.sum(axis=0), self.largest.sum(axis=0)
        return bool(((smallest <= sizes) & (sizes <= largest)).all())

    def sizes(self, labels: Ints) -> Ints:
        """How many units of every class every module has, ``[C, K]``; ``labels`` are ``[n]``."""
        num_classes, num_modules = self.largest.shape
        cells = self.classes * num_modules + labels
        return numpy.bincount(cells, minlength=num_classes * num_modules).reshape(num_classes, -1)

    def has_room(self, labels: Ints, units: Ints, modules: Ints) -> Bools:
        """Whether one of M units may move to another module, if all others stay where they are.

        Args:
            labels (numpy.ndarray): Module of every unit, ``[n]``.
            units (numpy.ndarray): The units, ``[M]``.
            modules (numpy.ndarray): To where each moves, ``[M]``.
        """
        size, kind, own = self.sizes(labels), self.classes[units], labels[units]
        is_spare: Bools = size[kind, own] > self.smallest[kind, own]
        return is_spare & (size[kind, modules] < self.largest[kind, modules])


def _rounded_shares(rows: Ints, columns: Ints) -> Ints:
    """A matrix with these sums of rows and columns, in proportion to both up to less than 1.

    From `Matrix Rounding Problems <https://doi.org/10.1287/mnsc.12.9.732>`_: the units that
    rounding down leaves over are a flow from rows to columns, of 1 at most through a cell.
    """
    product = rows[:, None] * columns
    shares, left = numpy.divmod(product, rows.sum())
    row, column = numpy.nonzero(left)
    num_rows, num_columns = shares.shape
    source, sink = num_rows + num_columns, num_rows + num_columns + 1
    over, lacking = rows - shares.sum(axis=1), columns - shares.sum(axis=0)
    one = numpy.ones_like(row)
    tail = [numpy.full(num_rows, source), row, num_rows + numpy.arange(num_columns)]
    head = [numpy.arange(num_rows), num_rows + column, numpy.full(num_columns, sink)]
    capacity = numpy.concatenate([over, one, lacking]).astype(numpy.int32)
    network = csr_array((capacity, (numpy.concatenate(tail), numpy.concatenate(head))))
    network.resize(sink + 1, sink + 1)
    flow = maximum_flow(network, source, sink).flow
    shares[row, column] += flow[row, num_rows + column]
    return shares


def _raised_shares(rows: Ints, columns: Ints, fewest: Ints, otherwise: Ints) -> Ints:
    """The matrix of integers nearest to these shares with ``fewest`` units in each cell of a row.

    The sum of squares of the differences is a sum over units that are added or taken away, of which
    the second costs more than the first: a transportation problem, of which a vertex is whole.

    Args:
        rows (numpy.ndarray): Sums of the rows, ``[C]``.
        columns (numpy.ndarray): Those of the columns, ``[K]``.
        fewest (numpy.ndarray): Of each row, ``[C]``.
        otherwise (numpy.ndarray): What it is if there is no such matrix, ``[C, K]``.
    """
    shape, num_cells = (len(rows), len(columns)), len(rows) * len(columns)
    share = rows[:, None] * columns / rows.sum()
    base = numpy.maximum(numpy.floor(share), fewest[:, None])
    up, down = 2 * (base - share).ravel() + 1, 2 * (share - base).ravel() + 1
    cell, one = numpy.arange(num_cells), numpy.ones(num_cells)
    row, column = numpy.divmod(cell, len(columns))
    sums = csr_array(
        (numpy.tile(one, 2), (numpy.r_[row, len(rows) + column], numpy.r_[cell, cell]))
    )
    spare = (base - fewest[:, None]).ravel()
    # The first unit more, further ones, the first one less, and further ones.
    most = numpy.r_[one, numpy.full(num_cells, numpy.inf), spare.clip(max=1), (spare - 1).clip(0)]
    found = linprog(
        numpy.r_[up, up + 2, down, down + 2],
        A_eq=hstack([sums, sums, -sums, -sums]),
        b_eq=numpy.r_[rows - base.sum(axis=1), columns - base.sum(axis=0)],
        bounds=numpy.stack([numpy.zeros_like(most), most], axis=1),
        method="highs-ds",
    )
    if not found.success:
        return otherwise
    first, others, less, least = found.x.reshape(4, *shape)
    exact: Ints = (base + first + others - less - least).round().astype(numpy.int64)
    return exact


def _counted(classes: Ints, num_units: int) -> Ints:
    """How many units every class has."""
    if not isinstance(classes, numpy.ndarray) or classes.dtype.kind != "i":
        got = getattr(classes, "dtype", type(classes).__name__)
        raise TypeError(
            f"Expected classes to be an array of integers (got {got})."
            " Use numpy.asarray(classes, dtype=int)."
        )
    if classes.shape != (num_units,):
        raise ValueError(
            f"Expected the class of every unit, [{num_units}] (got {list(classes.shape)})."
            " Give one class per unit."
        )
    present, count = numpy.unique(classes, return_counts=True)
    if present[0] != 0 or present[-1] != len(present) - 1:
        raise ValueError(
            f"Expected classes 0..C-1, each with a unit (got {present[:10].tolist()}). Renumber"
            f" them, e.g. with numpy.unique(classes, return_inverse=True)[1]."
        )
    return count.astype(numpy.int64)


def checked_capacities(capacities: Sequence[int], num_units: int, num_modules: int) -> Ints:
    """Capacities, ``[K]``, that are integers and add up to the number of units."""
    if not hasattr(capacities, "__iter__"):
        raise TypeError(
            f"Expected capacities to be a sequence of {num_modules} integers, the size of every"
            f" module (got {type(capacities).__name__}: {brief(capacities)})."
            " Give a list, e.g. [32, 16, 16]."
        )
    sizes = [as_int(f"capacities[{k}]", size, smallest=1) for k, size in enumerate(capacities)]
    if len(sizes) != num_modules:
        raise ValueError(
            f"Expected one capacity per module, {num_modules} (got {len(sizes)}: {brief(sizes)})."
            " Give as many, or change num_modules."
        )
    if sum(sizes) != num_units:
        raise ValueError(
            f"Expected capacities that add up to {num_units}, the number of units that are"
            f" partitioned (got {sum(sizes)}: {brief(sizes)})."
            " Correct them, or leave them out for equal sizes."
        )
    return numpy.array(sizes, dtype=numpy.int64)
