"""Modules of units that serve the same outputs, by what the network does and not by its weights."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from pyg_modules._arrays import Floats, Ints
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.partition.admissible.admissible import DeadModulesError, admissible
from pyg_modules.partition.rounding import placed
from pyg_modules.partition.search.refine import refined_labels
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import Units

# An input with less than this share of the influence of the others has none.
_NEGLIGIBLE = 1e-3
# As often hidden units take on what their neighbours are; weights to known ones make it converge.
_NUM_ROUNDS = 50
# An input or output of which it is known where it belongs moves for the sake of sizes alone.
_KNOWN = 10.0


def labels_by_influence(
    units: Units,
    num_modules: int,
    influence: Tensor | None,
    *,
    tolerance: float,
    seed: int,
    any_sizes: bool = False,
) -> list[Tensor]:
    r"""Labels ``[N]`` by which outputs depend on which inputs, −1 for units that are not members.

    .. math::
        m_{io} = \frac{a_{io}}{\sum_j a_{jo}}, \qquad
        c_{op} = \sum_i \frac{m_{io} m_{ip}}{\sum_q m_{iq}}

    Outputs that depend on the same inputs belong together: their groups have a small normalized cut
    of :math:`c`. An input belongs to the group whose outputs depend most on it, on average. Hidden
    units belong where their weights lead: each is what its neighbours are on average, as in
    `Semi-Supervised Learning Using Gaussian Fields and Harmonic Functions
    <https://mlg.eng.cam.ac.uk/zoubin/papers/zgl.pdf>`_, brought to balanced sizes.

    A network that learned more than its task, the samples by heart, has weights between everything;
    which inputs its outputs depend on most is clearer.

    Args:
        units (Units): What is partitioned.
        num_modules (int): Number of modules K.
        influence (Tensor, optional): How strongly outputs depend on inputs, :math:`a`, ``[I, O]``,
            0 or more, if that is known. Where modules share outputs and not inputs: how much
            inputs interact, ``[I, I]``; those that do belong together.
        tolerance (float): By which share of its capacity a module may be smaller or larger.
        seed (int): Of everything random.
        any_sizes (bool, optional): Whether modules that have inputs may be as large as it takes,
            too: as many inputs and outputs as belong there, and an equal number of the others.
            These come first. (default: ``False``, as the units have it alone)

    Returns:
        list of LongTensor: None where that is not known, there are fewer outputs than modules, or
        one depends on nothing; and none of such sizes where a module stays without a path from an
        input to an output.
    """
    if influence is None:
        return []
    find = _ends_that_interact if units.scope == "inputs" else _ends_that_depend
    ends = find(units.layer.graph, influence.detach().cpu().double().numpy(), num_modules, seed)
    if ends is None:
        return []
    members = units.members.cpu().numpy()
    affinity = units.affinity_matrix()
    whole = affinity if units.scope == "all" else units.replaced(scope="all").affinity_matrix()
    share = _spread(whole, ends, num_modules)
    gain = numpy.where((ends >= 0)[:, None], _KNOWN * share, share)[members]
    equal = units.bounds(num_modules, tolerance)
    ways = [(equal, gain[:, _order(equal, ends, num_modules)])]
    if any_sizes and units.owns_inputs:
        own = _own_bounds(ends[members], units.classes(num_modules), num_modules, tolerance)
        ways.insert(0, (own, gain))
    found = []
    for bounds, gains in ways:
        labels = placed(gains, bounds)
        with suppress(DeadModulesError):
            living = admissible(units, affinity, labels, bounds, seed=seed)
            found.append(units.labels_of_all(torch.from_numpy(living)))
    return found


def _ends_that_depend(
    graph: UnitGraph, dependence: Floats, num_modules: int, seed: int
) -> Ints | None:
    """The group of every unit, ``[N]``, by what outputs depend on; −1 where it is not known."""
    sums = dependence.sum(axis=0)
    if graph.num_outputs < num_modules or not (numpy.isfinite(sums) & (sums > 0)).all():
        return None
    of_outputs = _groups_of_outputs(dependence / sums, num_modules, seed)
    ends = numpy.full(graph.num_units, -1)
    ends[graph.outputs.start :] = of_outputs
    ends[: graph.num_inputs] = _groups_of_inputs(dependence, of_outputs, num_modules)
    return ends


def _ends_that_interact(
    graph: UnitGraph, interaction: Floats, num_modules: int, seed: int
) -> Ints | None:
    """The same by which inputs act together; outputs are shared."""
    interaction = (interaction + interaction.T) / 2
    sums = interaction.sum(axis=0)
    if not numpy.isfinite(sums).all():
        return None
    act = sums > _NEGLIGIBLE * sums.mean()
    if act.sum() < num_modules:
        return None
    ends = numpy.full(graph.num_units, -1)
    together = csr_array(interaction[numpy.ix_(act, act)])
    ends[: graph.num_inputs][act] = _groups(together, num_modules, seed)
    return ends


def _groups_of_outputs(dependence: Floats, num_modules: int, seed: int) -> Ints:
    if dependence.shape[1] == num_modules:
        return numpy.arange(num_modules)
    used = dependence.sum(axis=1)
    weighted = dependence[used > 0] / used[used > 0, None]
    together = csr_array(dependence[used > 0].T @ weighted)
    return _groups((together + together.T) / 2, num_modules, seed)


def _groups(together: csr_array[Any], num_modules: int, seed: int) -> Ints:
    """Groups of any sizes with a small normalized cut."""
    size = together.shape[0]
    bounds = SizeBounds(
        numpy.ones((1, num_modules), dtype=numpy.int64),
        numpy.full((1, num_modules), size - num_modules + 1),
        numpy.zeros(size, dtype=numpy.int64),
    )
    return refined_labels(together, bounds, seed=seed)


def _groups_of_inputs(dependence: Floats, of_outputs: Ints, num_modules: int) -> Ints:
    """−1 for inputs without influence."""
    groups = numpy.eye(num_modules)[of_outputs]
    mean = dependence @ (groups / groups.sum(axis=0))
    total = dependence.sum(axis=1)
    negligible = total <= _NEGLIGIBLE * total.mean()
    return numpy.where(negligible, -1, mean.argmax(axis=1))


def _own_bounds(ends: Ints, classes: Ints, num_modules: int, tolerance: float) -> SizeBounds:
    """Of every class what belongs to a module, and an equal share of its other units."""
    sizes = numpy.zeros((classes.max() + 1, num_modules), dtype=numpy.int64)
    known = ends >= 0
    numpy.add.at(sizes, (classes[known], ends[known]), 1)
    num_before = 0
    for own, left in zip(sizes, numpy.bincount(classes[~known], minlength=len(sizes)), strict=True):
        # The modules in turn, on from the last one of the class before.
        own += numpy.bincount(
            (num_before + numpy.arange(left)) % num_modules, minlength=num_modules
        )
        num_before += left
    return SizeBounds.around(sizes, tolerance, classes)


def _spread(whole: csr_array[Any], ends: Ints, num_modules: int) -> Floats:
    """To which part every unit is of which group, ``[N, K]``, from those that are known."""
    whole = whole - diags_array(whole.diagonal())
    volume = whole.sum(axis=1)
    step: csr_array[Any] = diags_array(1 / numpy.where(volume > 0, volume, 1.0)) @ whole
    known = ends >= 0
    share = numpy.full((len(ends), num_modules), 1 / num_modules)
    share[known] = numpy.eye(num_modules)[ends[known]]
    for _ in range(_NUM_ROUNDS):
        share[~known] = (step @ share)[~known]
    return share


def _order(bounds: SizeBounds, ends: Ints, num_modules: int) -> Ints:
    """Which group is which module: the larger one has the larger capacity."""
    size = numpy.bincount(ends[ends >= 0], minlength=num_modules)
    module, group = linear_sum_assignment(
        numpy.outer(bounds.largest.sum(axis=0), size), maximize=True
    )
    order: Ints = group[module.argsort()]
    return order
