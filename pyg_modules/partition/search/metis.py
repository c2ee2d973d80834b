from __future__ import annotations

from typing import Any

import numpy
from scipy.sparse import csr_array

from pyg_modules._arrays import Ints
from pyg_modules.partition.search.size_bounds import SizeBounds

# METIS wants integer weights.
_LARGEST_WEIGHT = 10**6
# METIS takes no larger ones.
_NUM_SEEDS = 2**31


def metis_labels(affinity: csr_array[Any], bounds: SizeBounds, *, seed: int) -> Ints:
    """Labels by multilevel k-way partitioning; sizes are about within the bounds.

    From `A Fast and High Quality Multilevel Scheme for Partitioning Irregular Graphs
    <https://doi.org/10.1137/S1064827595287997>`_.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of METIS.

    Raises:
        ImportError: If pymetis is not installed.
    """
    try:
        import pymetis
    except ImportError as error:
        raise ImportError(
            "The method 'metis' needs pymetis: pip install 'pyg-modules[metis]'. Or use"
            " method='refine'."
        ) from error
    edges = affinity.copy()
    edges.setdiag(0)
    edges.eliminate_zeros()
    weights = numpy.ceil(edges.data * (_LARGEST_WEIGHT / edges.data.max()))
    largest = bounds.largest.sum(axis=0)
    middle = (bounds.smallest.sum(axis=0) + largest) / 2
    slack = max(0.001, float((largest / middle).max()) - 1)
    _, labels = pymetis.part_graph(
        len(middle),
        pymetis.CSRAdjacency(edges.indptr, edges.indices),
        eweights=weights.astype(numpy.int64).tolist(),
        tpwgts=(middle / middle.sum()).tolist(),
        options=pymetis.Options(seed=seed % _NUM_SEEDS, ufactor=max(1, round(1000 * slack))),
    )
    return numpy.array(labels, dtype=numpy.int64)
