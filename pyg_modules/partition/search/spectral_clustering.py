from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import numpy
from scipy.linalg import qr
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from threadpoolctl import ThreadpoolController

from pyg_modules._arrays import Floats, Ints
from pyg_modules.partition.search.links import has_links
from pyg_modules.partition.search.size_bounds import SizeBounds

# scikit-learn takes no larger ones.
_NUM_SEEDS = 2**32
# Filters of warnings and numbers of threads belong to the process: two threads that change them
# in turn would leave them changed.
_PROCESS = Lock()
# Up to here all eigenvectors of a dense matrix are faster than a few of a sparse one.
_DENSE_UNITS = 300
# What clusters need of the eigenvectors; twenty restarts are some hundred products with the matrix.
_TOLERANCE, _MAX_RESTARTS = 1e-2, 20
# The eigensolver holds about twice as many vectors as it finds; of a million units this is 2 GB.
_MAX_NUMBERS = 3 * 10**7
_LEAST_VECTORS, _MOST_VECTORS = 8, 128
# Where there are no clusters, the means do not come to rest.
_MAX_ITERATIONS = 50
# The centres of clusters are learned from this many units.
_MAX_SAMPLE = 20_000


def spectral_labels(
    affinity: csr_array[Any],
    bounds: SizeBounds,
    *,
    seed: int,
    assign: str = "kmeans",
    power: float = 1.0,
) -> Ints:
    """Labels by spectral clustering; sizes are as they come, a larger cluster in a larger module.

    From `Normalized Cuts and Image Segmentation <https://doi.org/10.1109/34.868688>`_ and, for the
    degrees, `Regularized Spectral Clustering under the Degree-Corrected Stochastic Blockmodel
    <https://arxiv.org/abs/1309.4111>`_.

    Args:
        affinity (scipy.sparse.csr_array): Symmetric, not negative, ``[n, n]``.
        bounds (SizeBounds): Sizes of the modules.
        seed (int): Of the eigensolver and of k-means.
        assign (str, optional): How labels are read off the eigenvectors, ``"kmeans"`` or
            ``"cluster_qr"``. (default: ``"kmeans"``)
        power (float, optional): Of the affinities. Less than 1 keeps few heavy edges from making
            clusters of their own. (default: 1.0)
    """
    seed %= _NUM_SEEDS
    num_modules = bounds.largest.shape[1]
    labels = numpy.zeros(affinity.shape[0], dtype=numpy.int64)
    # A unit without affinity to another is a cluster of its own to the eigenvectors.
    linked = numpy.flatnonzero(has_links(affinity))
    if len(linked) <= num_modules + 1:
        labels[linked] = numpy.arange(len(linked)) % num_modules
        return _numbered_by_size(labels, bounds)
    matrix = affinity if len(linked) == len(labels) else affinity[linked][:, linked]
    with _one_thread():
        vectors = _eigenvectors(matrix, num_modules, power, numpy.random.default_rng(seed))
        labels[linked] = _clusters(vectors, num_modules, assign, seed)
    return _numbered_by_size(labels, bounds)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in an order that does not depend on the number of threads."""
    with _PROCESS, _thread_pools().limit(limits=1):
        yield


@cache
def _thread_pools() -> ThreadpoolController:
    import sklearn.cluster  # noqa: F401  Its threads are found once it is loaded.

    return ThreadpoolController()


def _eigenvectors(
    affinity: csr_array[Any], count: int, power: float, generator: numpy.random.Generator
) -> Floats:
    """Rows of length 1 that place the units by the first eigenvectors, at most ``count``."""
    num_units = affinity.shape[0]
    matrix = affinity.copy()
    matrix.data = (matrix.data / matrix.data.max()) ** power
    degree = numpy.asarray(matrix.sum(axis=1)).ravel()
    # The mean keeps a few loosely joined units from being clusters of their own.
    degree += (power != 1) * degree.mean()
    # What is small beside the largest affinity may have become 0.
    scale = numpy.where(degree > 0, degree, 1) ** -0.5
    matrix = (diags_array(scale) @ matrix @ diags_array(scale)).tocsr()
    count = min(count, _MOST_VECTORS, max(_LEAST_VECTORS, _MAX_NUMBERS // num_units))
    vectors = _first_vectors(matrix, count, generator)
    if vectors.shape[1] == 0:
        vectors = generator.standard_normal((num_units, 1))
    vectors = vectors * scale[:, None]
    length = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    placed: Floats = vectors / numpy.where(length > 0, length, 1)
    return placed


def _first_vectors(matrix: csr_array[Any], count: int, generator: numpy.random.Generator) -> Floats:
    """Eigenvectors of the largest eigenvalues, ``count`` or those that are found, ``[n, c]``.

    The largest is that of every connected part; an iterative solver would not find all of them.
    """
    num_parts, part = connected_components(matrix, directed=False)
    if num_parts == 1:
        return _solved(matrix, count, generator)[1]
    num_units = len(part)
    if num_parts >= count:
        vectors = numpy.zeros((num_units, count))
        rank = numpy.argsort(numpy.argsort(-numpy.bincount(part), kind="stable"), kind="stable")
        vectors[numpy.arange(num_units), rank[part] % count] = 1
        return vectors
    values, blocks = [], []
    for number in range(num_parts):
        units = numpy.flatnonzero(part == number)
        # Each of the other parts has one eigenvector at least among the first.
        most = min(len(units), count - num_parts + 1)
        found, vectors = _solved(matrix[units][:, units], most, generator)
        block = numpy.zeros((num_units, len(found)))
        block[units] = vectors
        values.append(found)
        blocks.append(block)
    order = numpy.argsort(-numpy.concatenate(values), kind="stable")[:count]
    return numpy.concatenate(blocks, axis=1)[:, order]


def _solved(
    matrix: csr_array[Any], count: int, generator: numpy.random.Generator
) -> tuple[Floats, Floats]:
    """The largest eigenvalues and their vectors, as many as are found."""
    num_units = matrix.shape[0]
    if num_units <= max(_DENSE_UNITS, 4 * count):
        values, vectors = numpy.linalg.eigh(matrix.toarray())
        return values[-count:], vectors[:, -count:]
    try:
        values, vectors = eigsh(
            matrix,
            count,
            which="LA",
            v0=generator.standard_normal(num_units),
            ncv=min(num_units - 1, max(2 * count + 10, 30)),
            maxiter=_MAX_RESTARTS,
            tol=_TOLERANCE,
        )
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors  # Those that it found.
    return values, vectors


def _clusters(vectors: Floats, count: int, assign: str, seed: int) -> Ints:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if assign == "cluster_qr" and vectors.shape[1] == count:
        return _clusters_by_pivots(vectors)
    sample = vectors
    if len(vectors) > _MAX_SAMPLE:
        chosen = numpy.random.default_rng(seed).choice(len(vectors), _MAX_SAMPLE, replace=False)
        sample = vectors[numpy.sort(chosen)]
    with warnings.catch_warnings():
        # Units that are alike to the eigenvectors may be fewer clusters than asked for.
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        clusters = KMeans(count, n_init=3, max_iter=_MAX_ITERATIONS, random_state=seed).fit(sample)
    found: Ints = clusters.predict(vectors).astype(numpy.int64)
    return found


def _clusters_by_pivots(vectors: Floats) -> Ints:
    """The units that lie farthest apart stand for the clusters.

    From `Simple, direct and efficient multi-way spectral clustering
    <https://doi.org/10.1093/imaiai/iay008>`_.
    """
    pivots = qr(vectors.T, mode="r", pivoting=True)[1][: vectors.shape[1]]
    left, _, right = numpy.linalg.svd(vectors[pivots].T)
    labels: Ints = abs(vectors @ (left @ right)).argmax(axis=1)
    return labels


def _numbered_by_size(labels: Ints, bounds: SizeBounds) -> Ints:
    """The same clusters, of which some may be empty, a larger one with a larger module's number."""
    largest = bounds.largest.sum(axis=0)
    if (largest == largest[0]).all():
        return labels
    sizes = numpy.bincount(labels, minlength=len(largest))
    number = numpy.empty_like(sizes)
    number[numpy.argsort(sizes, kind="stable")] = numpy.argsort(largest, kind="stable")
    renumbered: Ints = number[labels]
    return renumbered
