from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pyg_modules._arrays import Floats, Ints
from pyg_modules.partition.labels import check_assignment
from pyg_modules.partition.search.size_bounds import SizeBounds

# An assignment of this many units takes about a second.
_MAX_EXACT_UNITS = 1000


def balanced_labels(
    assignment: Tensor,
    *,
    capacities: Sequence[int] | None = None,
    tolerance: float = 0.0,
    classes: Ints | None = None,
) -> Tensor:
    r"""Hard labels of balanced sizes that agree best with a soft assignment.

    .. math::
        \max_{\ell} \sum_i S_{i \ell_i} \quad \text{such that} \quad
        (1 - \mathrm{tol}) \, c_k \le |\{i : \ell_i = k\}| \le (1 + \mathrm{tol}) \, c_k

    with :math:`c_k` the capacity of module k, and one unit more or less where :math:`c_k = N / K`
    is not an integer. With classes, every module has its share of each, and each is placed by
    itself. Up to 1,000 units of a class it is solved exactly, as a transport problem. Beyond that,
    units choose in turn, those that lose most by their second choice first, among the
    modules with room left: the sizes are within the bounds by construction.

    Args:
        assignment (Tensor): Soft assignment :math:`S`, ``[N, K]`` with :math:`2 \le K \le N`.
        capacities (sequence of int, optional): Number of units of every module; they add up to N.
            (default: equal)
        tolerance (float, optional): By which share of its capacity a module may be smaller or
            larger. (default: 0.0)
        classes (numpy.ndarray, optional): Class of every unit, ``[N]``, integers from 0 on, each
            with a unit. (default: one class)

    Returns:
        LongTensor: Module of every unit, ``[N]``, on the device of ``assignment``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``assignment`` is not ``[N, K]`` or not finite, there are more modules than
            units, the capacities do not add up, or the classes are not numbered one by one.
    """
    check_assignment(assignment)
    num_units, num_modules = assignment.shape
    bounds = SizeBounds.of(num_units, num_modules, capacities, tolerance, classes)
    if not bool(assignment.isfinite().all()):
        raise ValueError(
            "Expected a finite assignment (got NaN or infinity). Look for these in the data;"
            " if there are none, the training diverged: lower the learning rate."
        )
    labels = placed(assignment.detach().cpu().double().numpy(), bounds)
    return torch.from_numpy(labels).to(assignment.device)


def placed(gain: Floats, bounds: SizeBounds) -> Ints:
    """The module of every unit, ``[N]``, within bounds, by what each gains in each, ``[N, K]``."""
    labels = numpy.empty(len(gain), dtype=numpy.int64)
    ends = numpy.cumsum(numpy.bincount(bounds.classes))[:-1]
    by_class = numpy.split(numpy.argsort(bounds.classes, kind="stable"), ends)
    for units, smallest, largest in zip(by_class, bounds.smallest, bounds.largest, strict=True):
        place = _transport if len(units) <= _MAX_EXACT_UNITS else _in_turn
        labels[units] = place(gain[units], smallest, largest)
    return labels


def _transport(gain: Floats, smallest: Ints, largest: Ints) -> Ints:
    """The exact optimum, as an assignment of units to places."""
    modules = numpy.arange(gain.shape[1])
    places = numpy.repeat(modules, largest)
    rank = numpy.concatenate([numpy.arange(size) for size in largest])
    # The places that must be taken, for the least size of a module, are worth more than any gain.
    bonus = len(gain) * (float(numpy.ptp(gain)) + 1)
    worth = gain[:, places] + bonus * (rank < smallest[places])
    _, place_of_unit = linear_sum_assignment(worth, maximize=True)
    labels: Ints = places[place_of_unit]
    return labels


def _in_turn(gain: Floats, smallest: Ints, largest: Ints) -> Ints:
    num_left = len(gain)
    ranked = numpy.argsort(-gain, axis=1, kind="stable")
    first, second = numpy.take_along_axis(gain, ranked[:, :2], axis=1).T
    room, due = largest.copy(), smallest.copy()
    labels = numpy.empty(num_left, dtype=numpy.int64)
    for unit in numpy.argsort(second - first, kind="stable"):
        must_fill = num_left == due.sum()  # Every unit left is owed to a module that is too small.
        open_ = due > 0 if must_fill else room > 0
        module = ranked[unit][open_[ranked[unit]]][0]
        labels[unit] = module
        room[module] -= 1
        due[module] = max(0, due[module] - 1)
        num_left -= 1
    return labels
