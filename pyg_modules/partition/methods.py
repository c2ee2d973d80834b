from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules._checks import as_int, check_choice
from pyg_modules.partition.admissible.admissible import admissible
from pyg_modules.partition.search.metis import metis_labels
from pyg_modules.partition.search.refine import refine, refined_labels, repair
from pyg_modules.partition.search.spectral_clustering import spectral_labels
from pyg_modules.partition.units import Partitionable, Units

Method: TypeAlias = Callable[..., Ints]

#: By name, functions of ``(affinity, bounds, *, seed)``: the affinities of n units, a symmetric
#: ``scipy.sparse.csr_array`` ``[n, n]``, and the ``SizeBounds`` of K modules; each returns the
#: module of every unit, ``[n]``. Sizes need not be within the bounds: they are repaired.
METHODS: dict[str, Method] = {
    "refine": refined_labels,
    "spectral": spectral_labels,
    "metis": metis_labels,
}


def partition_units(
    layer: Partitionable,
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
    bounds by the moves that raise the normalized cut least. Sizes are bounded within every class of
    units at the same distance from the inputs, which is by level in a layered graph. Then units
    that would take no part, because no input reaches them inside of their module or they reach no
    output, move to where they would.

    * ``"refine"`` starts from several spectral and random partitions, improves each by greedy moves
      and a tabu search on the normalized cut itself, and goes on from the best; of more than 1,200
      units with groups of units first. It is faster where numba is installed.
    * ``"spectral"``: `Normalized Cuts and Image Segmentation <https://doi.org/10.1109/34.868688>`_.
    * ``"metis"``: `A Fast and High Quality Multilevel Scheme for Partitioning Irregular Graphs
      <https://doi.org/10.1137/S1064827595287997>`_, by pymetis, the extra ``metis``.

    Args:
        layer (Partitionable): A layer, usually a trained one. It is left as it is. It may be cut
            already: as many modules are those of the cut then, others are made of what it left.
        num_modules (int): Number of modules :math:`K`, from 2 to the number of partitioned units.
        method (str, optional): See above. (default: ``"refine"``)
        scope (str, optional): ``"hidden"`` partitions the hidden units, ``"inputs"`` inputs too,
            ``"all"`` inputs and outputs. (default: ``"hidden"``)
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
        ValueError: If an argument is out of range, no edge joins two partitioned units, all weights
            among them are 0, or a module stays without a path from an input to an output that the
            updates of the layer can walk.

    Example:
        >>> from pyg_modules import SynchronousGraph, UnitGraph, partition_units
        >>> from pyg_modules.partition import module_sizes
        >>> layer = SynchronousGraph(UnitGraph.complete(64, 32, 10))
        >>> module_sizes(partition_units(layer, 4))
        [8, 8, 8, 8]
    """
    units = Units(layer, scope=scope, affinity=affinity, capacities=capacities)
    return find_labels(
        units, num_modules, method=method, tolerance=tolerance, initial=initial, seed=seed
    )


def find_labels(
    units: Units,
    num_modules: int,
    *,
    method: str = "refine",
    tolerance: float = 0.0,
    initial: Tensor | None = None,
    seed: int = 0,
    must_live: bool = True,
) -> Tensor:
    """Labels ``[N]``, −1 for other units, as :func:`partition_units` finds them in ``units``.

    Unless they ``must_live``, modules may have no path from an input to an output.
    """
    check_choice("method", method, METHODS)
    if initial is not None and method != "refine":
        raise ValueError(
            f"Expected method 'refine' for initial labels (got {method!r}, which has none)."
            " Use method='refine', or leave initial out."
        )
    bounds = units.bounds(num_modules, tolerance)
    affinity = units.affinity_matrix()
    seed = as_int("seed", seed, smallest=0)
    if initial is None:
        found = METHODS[method](affinity, bounds, seed=seed)
    else:
        start = units.labels_of_members(initial, num_modules).cpu().numpy()
        found = refine(affinity, start, bounds, seed=seed).labels
    repaired = repair(affinity, found, bounds).labels
    if must_live:
        repaired = admissible(units, affinity, repaired, bounds, seed=seed)
    return units.labels_of_all(torch.from_numpy(repaired))
