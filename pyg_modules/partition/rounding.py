from __future__ import annotations

import numpy
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pyg_modules.partition.validate import check_assignment


def balanced_labels(assignment: Tensor) -> Tensor:
    r"""Hard labels of balanced sizes that agree best with a soft assignment.

    .. math::
        \max_{\ell} \sum_i S_{i \ell_i} \quad \text{such that all modules have }
        \lfloor N / K \rfloor \text{ or } \lceil N / K \rceil \text{ units}

    It is solved exactly, as a linear assignment of units to places; the modules that get one unit
    more are those with the largest soft size.

    Args:
        assignment (Tensor): Soft assignment :math:`S`, ``[N, K]`` with :math:`K \le N`.

    Returns:
        LongTensor: Module of every unit, ``[N]``, on the device of ``assignment``.

    Raises:
        ValueError: If ``assignment`` is not ``[N, K]`` or not finite, or there are more modules
            than units.
    """
    check_assignment(assignment)
    num_units, num_modules = assignment.shape
    if not 1 <= num_modules <= num_units:
        raise ValueError(
            f"Expected at most one module per unit (got {num_modules} modules for {num_units}"
            f" units)."
        )
    if not bool(assignment.isfinite().all()):
        raise ValueError(
            "Expected a finite assignment (got NaN or infinity). The training diverged; lower the"
            " learning rate."
        )
    gain = assignment.detach().cpu().double().numpy()
    smallest, rest = divmod(num_units, num_modules)
    capacity = numpy.full(num_modules, smallest)
    capacity[numpy.argsort(-gain.sum(axis=0), kind="stable")[:rest]] += 1
    places = numpy.repeat(numpy.arange(num_modules), capacity)
    _, place_of_unit = linear_sum_assignment(gain[:, places], maximize=True)
    return torch.from_numpy(places[place_of_unit]).to(assignment.device)
