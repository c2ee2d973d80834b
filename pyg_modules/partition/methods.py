from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_modules._checks import as_int
from pyg_modules.nn.synchronous_graph import SynchronousGraph, check_layer
from pyg_modules.partition.affinity import check_affinity
from pyg_modules.partition.labels import SHARED, labels_of_members
from pyg_modules.partition.metis import metis_labels
from pyg_modules.partition.refine import numbered_by_size, refine, refine_from_many, repair
from pyg_modules.partition.scope import affinity_of, check_scope, partitioned_units
from pyg_modules.partition.size_bounds import SizeBounds
from pyg_modules.partition.spectral_clustering import spectral_labels

METHODS = ("refine", "spectral", "metis")


def partition_units(
    layer: SynchronousGraph,
    num_modules: int,
    *,
    method: str = "refine",
    scope: str = "hidden",
    affinity: str = "abs",
    capacities: Sequence[int] | None = None,
    tolerance: float = 0.0,
    initial: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    r"""Modules of balanced sizes, read off the weights of a layer as they are, without training.

    All methods work on :math:`a_{ij} = (|w_{ij}| + |w_{ji}|) / 2` and bring the sizes within their
    bounds by the moves that raise the normalized cut least.

    * ``"refine"`` starts from several spectral and random partitions, improves each by greedy moves
      and a tabu search on the normalized cut itself, and returns the best.
    * ``"spectral"``: `Normalized Cuts and Image Segmentation <https://doi.org/10.1109/34.868688>`_,
      by scikit-learn.
    * ``"metis"``: `A Fast and High Quality Multilevel Scheme for Partitioning Irregular Graphs
      <https://doi.org/10.1137/S1064827595287997>`_, by pymetis, the extra ``metis``.

    Args:
        layer (SynchronousGraph): A layer, usually a trained one. It is left as it is.
        num_modules (int): Number of modules :math:`K`, from 2 to the number of partitioned units.
        method (str, optional): See above. (default: ``"refine"``)
        scope (str, optional): ``"hidden"`` partitions the hidden units, ``"all"`` inputs and
            outputs too. (default: ``"hidden"``)
        affinity (str, optional): ``"abs"`` as above, or ``"square"`` with :math:`w^2` in the place
            of :math:`|w|`, which finds structure in weights with much noise. (default: ``"abs"``)
        capacities (sequence of int, optional): Number of units of every module; they add up to the
            number of partitioned units. (default: equal)
        tolerance (float, optional): By which share of its capacity a module may be smaller or
            larger. (default: 0.0)
        initial (LongTensor, optional): Labels that ``"refine"`` improves, in the place of its own
            starts, ``[N]``; their sizes need not be within the bounds. (default: none)
        seed (int, optional): Of everything random. (default: 0)

    Returns:
        LongTensor: Module of every unit, ``[N]``, −1 for units that are not partitioned.

    Raises:
        ImportError: If a package has to be installed first.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, no edge joins two partitioned units, or all
            weights among them are 0.

    Example:
        >>> from pyg_modules import SynchronousGraph, UnitGraph, partition_units
        >>> from pyg_modules.partition import module_sizes
        >>> layer = SynchronousGraph(UnitGraph.complete(64, 32, 10))
        >>> module_sizes(partition_units(layer, 4))
        [8, 8, 8, 8]
    """
    check_layer(layer)
    check_scope(scope)
    check_affinity(affinity)
    if method not in METHODS:
        names = ", ".join(repr(name) for name in METHODS)
        raise ValueError(f"Expected method to be one of {names} (got {method!r}).")
    if initial is not None and method != "refine":
        raise ValueError(
            f"Expected method 'refine' for initial labels (got {method!r}, which has none)."
        )
    members = partitioned_units(layer, scope)
    bounds = SizeBounds.of(int(members.sum()), num_modules, capacities, tolerance)
    matrix = affinity_of(layer, scope, affinity)
    seed = as_int("seed", seed, smallest=0)
    if initial is not None:
        start = labels_of_members(initial, members, num_modules).cpu().numpy()
        search = refine(matrix, start, bounds, seed=seed)
    elif method == "refine":
        search = refine_from_many(matrix, bounds, seed=seed)
    elif method == "spectral":
        clusters = spectral_labels(matrix, num_modules, seed=seed)
        search = repair(matrix, numbered_by_size(clusters, bounds), bounds)
    else:
        search = repair(matrix, metis_labels(matrix, bounds, seed=seed), bounds)
    labels = torch.full_like(members, SHARED, dtype=torch.long)
    labels[members] = torch.from_numpy(search.labels).to(labels.device)
    return labels
