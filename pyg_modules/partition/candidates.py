from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from pyg_modules.partition.agreement import adjusted_rand_index
from pyg_modules.partition.influence import labels_by_influence
from pyg_modules.partition.methods import find_labels
from pyg_modules.partition.units import Units

_METHODS = ("refine", "spectral")
_AFFINITIES = ("abs", "square")
# Partitions that agree as much are one.
_SAME = 0.999
_MAX_CANDIDATES = 6


def candidates(
    units: Units,
    num_modules: int,
    *,
    tolerance: float,
    seed: int,
    known: Iterable[Tensor] = (),
    influence: Tensor | None = None,
    any_sizes: bool = False,
) -> list[Tensor]:
    """Partitions of the weights as they are, six at most: no way to find them is right always.

    Args:
        units (Units): The units that are partitioned.
        num_modules (int): Number of modules K.
        tolerance (float): By which share of its capacity a module may be smaller or larger.
        seed (int): Of the search.
        known (iterable of LongTensor, optional): Labels ``[N]`` that are among them, as they are
            and improved by moves. (default: none)
        influence (Tensor, optional): How strongly outputs depend on inputs, ``[I, O]``, or inputs
            interact, ``[I, I]``, by which some are found; see :func:`labels_by_influence`.
            (default: not known)
        any_sizes (bool, optional): Whether one more may have modules as large as that takes.
            (default: ``False``)
    """
    found: list[Tensor] = []
    for labels in _proposed(units, num_modules, tolerance, seed, known, influence, any_sizes):
        if all(adjusted_rand_index(labels, other) < _SAME for other in found):
            found.append(labels)
        if len(found) == _MAX_CANDIDATES:
            break
    return found


def _proposed(
    units: Units,
    num_modules: int,
    tolerance: float,
    seed: int,
    known: Iterable[Tensor],
    influence: Tensor | None,
    any_sizes: bool,
) -> Iterator[Tensor]:
    for labels in known:
        yield labels
        yield find_labels(units, num_modules, tolerance=tolerance, initial=labels, seed=seed)
    yield from labels_by_influence(
        units, num_modules, influence, tolerance=tolerance, seed=seed, any_sizes=any_sizes
    )
    for affinity in _AFFINITIES:
        counted = units.replaced(affinity=affinity)
        for method in _METHODS:
            yield find_labels(counted, num_modules, method=method, tolerance=tolerance, seed=seed)
