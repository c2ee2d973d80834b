from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from torch import Tensor

from pyg_modules.partition.admissible.admissible import DeadModulesError
from pyg_modules.partition.agreement import adjusted_rand_index
from pyg_modules.partition.influence import labels_by_influence
from pyg_modules.partition.methods import find_labels
from pyg_modules.partition.units import AFFINITIES, Units

_METHODS = ("refine", "spectral")
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
    failure: DeadModulesError | None = None
    for search in _searches(units, num_modules, tolerance, seed, known, influence, any_sizes):
        try:
            proposed = search()
        except DeadModulesError as error:  # Another way may find some.
            failure = error
            continue
        for labels in proposed:
            if all(adjusted_rand_index(labels, other) < _SAME for other in found):
                found.append(labels)
        if len(found) >= _MAX_CANDIDATES:
            break
    if failure is not None and not found:
        raise failure
    return found[:_MAX_CANDIDATES]


def _searches(
    units: Units,
    num_modules: int,
    tolerance: float,
    seed: int,
    known: Iterable[Tensor],
    influence: Tensor | None,
    any_sizes: bool,
) -> Iterator[Callable[[], Iterable[Tensor]]]:
    """Ways to find partitions, the best ones first."""
    common: Any = {"tolerance": tolerance, "seed": seed}

    def find(counted: Units, **how: Any) -> list[Tensor]:
        return [find_labels(counted, num_modules, **how, **common)]

    for labels in known:
        yield partial(list, [labels])
        yield partial(find, units, initial=labels)
    yield partial(labels_by_influence, units, num_modules, influence, any_sizes=any_sizes, **common)
    for affinity in AFFINITIES:
        for method in _METHODS:
            yield partial(find, units.replaced(affinity=affinity), method=method)
