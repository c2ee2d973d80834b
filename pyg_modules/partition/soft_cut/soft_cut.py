"""The soft normalized cut, as it is computed fastest."""

from __future__ import annotations

from torch import Tensor

from pyg_modules.ops.autocast import without_autocast
from pyg_modules.ops.dense import DenseOperator
from pyg_modules.ops.tracing import is_tracing
from pyg_modules.partition.soft_cut.compiled_cut import CompiledCut, is_compiled
from pyg_modules.partition.soft_cut.composed_cut import composed_cut
from pyg_modules.partition.soft_cut.dense_cut import DenseCut
from pyg_modules.partition.units import PartitionedEdges

# More products are left to libraries and several threads.
_MOST_PRODUCTS = 2**20


def soft_cut(
    edges: PartitionedEdges, magnitude: Tensor, assignment: Tensor, *, fixed_volume: bool
) -> Tensor:
    """The soft normalized cut, a scalar, of :func:`ncut_loss`.

    Args:
        edges (PartitionedEdges): The edges among the units that are partitioned.
        magnitude (Tensor): What they count, ``[e]``, single or double.
        assignment (Tensor): Soft assignment of the units, ``[n, K]``, of the same dtype.
        fixed_volume (bool): Whether the gradient in the magnitudes takes volumes as constants.
    """
    # Who traces has to look into it, and what is large is not paid for by the operation.
    if is_tracing() or not isinstance(edges.operator, DenseOperator):
        return composed_cut(edges, magnitude, assignment, fixed_volume)
    num_units, num_modules = assignment.shape
    is_small = num_units**2 * num_modules <= _MOST_PRODUCTS and magnitude.device.type == "cpu"
    closed_form = CompiledCut if is_small and is_compiled() else DenseCut
    with without_autocast(magnitude.device):
        loss: Tensor = closed_form.apply(  # type: ignore[no-untyped-call]
            edges, magnitude, assignment, fixed_volume
        )
    return loss
