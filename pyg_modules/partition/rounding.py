from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import eye_array, kron, vstack
from torch import Tensor

from pyg_modules.partition.sizing import SizeBounds
from pyg_modules.partition.validate import check_assignment

# A linear program of this many unknowns takes some ten seconds.
_MAX_EXACT_CELLS = 2**18


def balanced_labels(
    assignment: Tensor, *, capacities: Sequence[int] | None = None, tolerance: float = 0.0
) -> Tensor:
    r"""Hard labels of balanced sizes that agree best with a soft assignment.

    .. math::
        \max_{\ell} \sum_i S_{i \ell_i} \quad \text{such that} \quad
        (1 - \mathrm{tol}) \, c_k \le |\{i : \ell_i = k\}| \le (1 + \mathrm{tol}) \, c_k

    with :math:`c_k` the capacity of module k, and one unit more or less where :math:`c_k = N / K`
    is not an integer. Up to :math:`N K = 2^{18}` it is solved exactly, as a transport problem.
    Beyond that, units choose in turn, those that lose most by their second choice first, among the
    modules with room left: the sizes are within the bounds by construction.

    Args:
        assignment (Tensor): Soft assignment :math:`S`, ``[N, K]`` with :math:`2 \le K \le N`.
        capacities (sequence of int, optional): Number of units of every module; they add up to N.
            (default: equal)
        tolerance (float, optional): By which share of its capacity a module may be smaller or
            larger. (default: 0.0)

    Returns:
        LongTensor: Module of every unit, ``[N]``, on the device of ``assignment``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``assignment`` is not ``[N, K]`` or not finite, there are more modules than
            units, or the capacities do not add up.
    """
    check_assignment(assignment)
    num_units, num_modules = assignment.shape
    bounds = SizeBounds.of(num_units, num_modules, capacities, tolerance)
    if not bool(assignment.isfinite().all()):
        raise ValueError(
            "Expected a finite assignment (got NaN or infinity). The training diverged; lower the"
            " learning rate."
        )
    gain = assignment.detach().cpu().double().numpy()
    place = _transport if gain.size <= _MAX_EXACT_CELLS else _in_turn
    return torch.from_numpy(place(gain, bounds)).to(assignment.device)


def _transport(gain: NDArray[numpy.float64], bounds: SizeBounds) -> NDArray[numpy.int64]:
    """The exact optimum: the corners of the transport polytope are integers."""
    num_units, num_modules = gain.shape
    module_sums = kron(numpy.ones((1, num_units)), eye_array(num_modules))
    solution = linprog(
        -gain.ravel(),
        A_eq=kron(eye_array(num_units), numpy.ones((1, num_modules))).tocsr(),
        b_eq=numpy.ones(num_units),
        A_ub=vstack([module_sums, -module_sums]).tocsr(),
        b_ub=numpy.concatenate([bounds.largest, -bounds.smallest]),
        bounds=(0, None),
        method="highs-ds",  # The simplex method ends in a corner.
    )
    labels: NDArray[numpy.int64] = solution.x.reshape(gain.shape).argmax(axis=1)
    return labels


def _in_turn(gain: NDArray[numpy.float64], bounds: SizeBounds) -> NDArray[numpy.int64]:
    num_left = len(gain)
    ranked = numpy.argsort(-gain, axis=1, kind="stable")
    first, second = numpy.take_along_axis(gain, ranked[:, :2], axis=1).T
    room, due = bounds.largest.copy(), bounds.smallest.copy()
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
