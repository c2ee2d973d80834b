"""How strongly two units belong together."""

from __future__ import annotations

from typing import Any

import numpy
from scipy.sparse import coo_array, csr_array
from torch import Tensor

AFFINITIES = ("abs", "square")


def check_affinity(affinity: str) -> None:
    """Raise unless ``affinity`` is the name of one."""
    if affinity not in AFFINITIES:
        raise ValueError(f"Expected affinity 'abs' or 'square' (got {affinity!r}).")


def magnitude_of(edge_weight: Tensor, affinity: str) -> Tensor:
    """What a signed weight counts, ``[E]``: its magnitude, or its square."""
    return edge_weight.abs() if affinity == "abs" else edge_weight.square()


def affinity_matrix(
    edge_index: Tensor, edge_weight: Tensor, num_units: int, affinity: str = "abs"
) -> csr_array[Any]:
    r"""The symmetric affinities of a directed, signed graph, in double precision.

    .. math::
        a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, E]``.
        edge_weight (Tensor): Signed weights, ``[E]``.
        num_units (int): Number of units :math:`N`.
        affinity (str, optional): ``"abs"`` as above, or ``"square"`` with :math:`w^2` in the place
            of
            :math:`|w|`. (default: ``"abs"``)

    Returns:
        scipy.sparse.csr_array: ``[N, N]``, self-loops on the diagonal, nothing stored that is 0.
    """
    half = magnitude_of(edge_weight.detach().cpu().double(), affinity).numpy() / 2
    # scikit-learn and METIS want 32-bit indices.
    source, target = edge_index.cpu().int().numpy()
    matrix = coo_array(
        (
            numpy.concatenate([half, half]),
            (numpy.concatenate([source, target]), numpy.concatenate([target, source])),
        ),
        shape=(num_units, num_units),
    ).tocsr()
    matrix.eliminate_zeros()
    return matrix
