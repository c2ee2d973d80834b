from __future__ import annotations

from math import log

from torch import Tensor, finfo, special

from pyg_modules.partition.validate import check_assignment


def sharpness_loss(assignment: Tensor) -> Tensor:
    r"""How undecided the units are: the mean entropy of their assignment; 0 when all are sure.

    .. math::
        - \frac{1}{N \log K} \sum_{ik} S_{ik} \log S_{ik}

    Args:
        assignment (Tensor): Soft assignment :math:`S`, ``[N, K]``, rows sum to 1.

    Returns:
        Tensor: A scalar in [0, 1].

    Raises:
        TypeError: If ``assignment`` is not a tensor.
        ValueError: If it is not ``[N, K]`` with at least two modules.
    """
    check_assignment(assignment)
    num_modules = assignment.size(1)
    if num_modules < 2:
        raise ValueError(f"Expected at least two modules (got {num_modules}).")
    # The derivative of the entropy is infinite at 0, where a softmax ends when it is rounded.
    positive = assignment.clamp(min=finfo(assignment.dtype).tiny)
    entropy: Tensor = special.entr(positive).sum(dim=1)
    return entropy.mean() / log(num_modules)
