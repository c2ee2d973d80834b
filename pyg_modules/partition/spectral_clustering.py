from __future__ import annotations

import warnings
from threading import Lock
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pyg_modules.partition.size_bounds import SizeBounds
from pyg_modules.partition.units import has_links

# scikit-learn takes no larger ones.
_NUM_SEEDS = 2**32
# Filters of warnings belong to all threads: two that change them in turn would leave them changed.
_FILTERS = Lock()


def spectral_labels(
    affinity: csr_array[Any], bounds: SizeBounds, *, seed: int, assign: str = "kmeans"
) -> NDArray[numpy.int64]:
    """Labels by spectral clustering; sizes are as they come, a larger cluster in a larger module.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of the eigensolver and of k-means.
        assign (str, optional): How scikit-learn reads labels off the eigenvectors, ``"kmeans"`` or
            ``"cluster_qr"``. (default: ``"kmeans"``)
    """
    from sklearn.cluster import SpectralClustering
    from sklearn.exceptions import ConvergenceWarning

    seed %= _NUM_SEEDS
    num_modules = len(bounds.largest)
    labels = numpy.zeros(affinity.shape[0], dtype=numpy.int64)
    # A unit without affinity to another is a cluster of its own to the eigenvectors.
    linked = numpy.flatnonzero(has_links(affinity))
    if len(linked) <= num_modules + 1:
        labels[linked] = numpy.arange(len(linked)) % num_modules
        return _numbered_by_size(labels, bounds)
    matrix = affinity[linked][:, linked]
    clustering = SpectralClustering(
        num_modules, affinity="precomputed", assign_labels=assign, random_state=seed
    )
    with _FILTERS, warnings.catch_warnings():
        # Disconnected graphs are the aim here.
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        # Units that are alike to the eigenvectors may be fewer clusters than asked for.
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        labels[linked] = clustering.fit_predict(matrix)
    return _numbered_by_size(labels, bounds)


def _numbered_by_size(labels: NDArray[numpy.int64], bounds: SizeBounds) -> NDArray[numpy.int64]:
    """The same clusters, of which some may be empty, a larger one with a larger module's number."""
    if (bounds.largest == bounds.largest[0]).all():
        return labels
    sizes = numpy.bincount(labels, minlength=len(bounds.largest))
    number = numpy.empty_like(sizes)
    number[numpy.argsort(sizes, kind="stable")] = numpy.argsort(bounds.largest, kind="stable")
    renumbered: NDArray[numpy.int64] = number[labels]
    return renumbered
