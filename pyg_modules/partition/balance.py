from __future__ import annotations

from torch import Tensor

from pyg_modules.partition.validate import check_assignment


def balance_loss(assignment: Tensor) -> Tensor:
    r"""How unequal the modules are in units; 0 when balanced.

    .. math::
        \mathrm{balance}(S) = K \sum_k \Big( \frac{1}{N} \sum_i S_{ik} - \frac{1}{K} \Big)^2

    Args:
        assignment (Tensor): Soft assignment :math:`S` of units to modules, ``[N, K]``, rows sum to
            1.

    Returns:
        Tensor: A scalar in [0, K - 1].

    Raises:
        ValueError: If ``assignment`` is not ``[N, K]``.
    """
    check_assignment(assignment)
    num_modules = assignment.size(1)
    share = assignment.mean(dim=0)
    return num_modules * (share - 1 / num_modules).square().sum()
