"""How modules come to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor

from pyg_modules.partition.admissible.admissible import admissible
from pyg_modules.partition.agreement import adjusted_rand_index
from pyg_modules.partition.liveliness import Liveliness
from pyg_modules.partition.methods import find_labels
from pyg_modules.partition.metrics import normalized_cut
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import EdgeList, Units
from pyg_modules.partition.verdict import Losses, Verdict

# Few inputs have few partitions: of as many draws, one is another, with seeds as far apart.
_DRAWS, _STRIDE = 10, 1000
# Of as many draws, that with the most units that live.
_REVIVALS = 3


class PartitionProbe(Protocol):
    """What says how well a network does in modules, such as a ``Probe``."""

    def __call__(self, labels: Tensor | None, *, trained: bool = True) -> float:
        """The loss of the network cut into these modules, ``[N]``, and trained for a while.

        Without labels, that of the network as it is; not ``trained``, right after the cut.
        """

    def chance(self) -> float:
        """The loss of the best outputs that are the same for all samples."""

    def influence(self) -> Tensor | None:
        """How strongly the outputs of the layer depend on its inputs, ``[I, O]``, if known."""

    def separated(self, labels: Tensor, *, all_speak: bool = True) -> float | None:
        """The loss of the network as it is, if modules saw none of each other's inputs.

        ``None`` where that means nothing, or a module says nothing and ``all_speak`` is asked for.
        """

    def interaction(self) -> Tensor | None:
        """How much the effect of an input depends on another, ``[I, I]``, if known."""


def asked_by(scope: str) -> tuple[str, ...]:
    """What a probe is asked for in a scope, beside losses of cut networks and chance."""
    return ("interaction", "separated") if scope == "inputs" else ("influence",)


def losses_in(
    units: Units, probe: PartitionProbe, labels: Tensor, *, all_speak: bool = True
) -> Losses:
    """What a probe says of modules.

    Where they have inputs of their own and share outputs, as a sum, no weight of a network that was
    trained as a whole is that of a module yet, and a short training says little of what they could
    learn: the function of the network does, if all of them live. Of modules that are proposed, each
    has to say something (``all_speak``): to put aside what says nothing separates nothing. Those at
    random need not, or they would count by the short training alone, and nearly always be worse.
    """
    separated = None
    if units.scope == "inputs" and not _num_dead(units, labels):
        separated = probe.separated(labels, all_speak=all_speak)
    return Losses(probe(labels), separated)


def judge(
    units: Units,
    labels: Tensor,
    probe: PartitionProbe,
    *,
    losses: Losses | None = None,
    tolerance: float = 0.1,
    num_random: int = 1,
    seed: int = 0,
) -> Verdict:
    """What modules are worth.

    Args:
        units (Units): What is partitioned.
        labels (LongTensor): The modules, ``[N]``.
        probe (PartitionProbe): What measures losses.
        losses (Losses, optional): What it says of these modules, if it was asked already.
        tolerance (float, optional): By which share of its capacity a module of the null model may
            be smaller or larger. (default: 0.1)
        num_random (int, optional): How many cuts at random. (default: 1)
        seed (int, optional): Of everything random. (default: 0)

    Raises:
        ValueError: If the loss of the uncut network is NaN or infinite, or all weights are 0.
    """
    uncut = probe(None)
    if not isfinite(uncut):
        raise ValueError(
            f"Expected a finite loss of the uncut network (got {uncut}). Look for NaN or infinity"
            f" in the data, and for batches of which the loss counts no target; if there are none,"
            f" the training diverged: lower the learning rate."
        )
    graph, num_modules = units.layer.graph, int(labels.max()) + 1
    if losses is None:
        losses = losses_in(units, probe, labels)
    null = _with_shuffled_weights(units, seed)
    try:
        found = find_labels(null, num_modules, tolerance=tolerance, seed=seed)
    except ValueError:  # It decides nothing, and those of shuffled weights need not live.
        found = find_labels(null, num_modules, tolerance=tolerance, seed=seed, must_live=False)
    random: list[Tensor] = []
    for number in range(num_random):
        random.append(at_random(units, labels, seed + number, known=random))
    return Verdict(
        labels=labels,
        uncut=uncut,
        cut=probe(labels, trained=False),
        probed=losses.probed,
        separated=losses.separated,
        random=tuple(losses_in(units, probe, each, all_speak=False).worth for each in random),
        chance=probe.chance(),
        null_normalized_cut=normalized_cut(graph.edge_index, null.layer.edge_weight(), found),
        **measures(units, labels),
    )


def measures(units: Units, labels: Tensor) -> dict[str, Any]:
    """What a verdict says of graph and weights, by the names of its fields."""
    layer = units.layer
    cut = normalized_cut(layer.graph.edge_index, layer.edge_weight(), labels)
    return {"normalized_cut": cut, "num_dead": _num_dead(units, labels)}


def at_random(units: Units, labels: Tensor, seed: int, *, known: Sequence[Tensor] = ()) -> Tensor:
    """Modules of the same sizes at random, in every class of units.

    They are others than ``labels`` and ``known``, if a few draws find some; where inputs are what
    modules differ by, these are mixed among themselves, and others too. No more units are put to
    rest than by ``labels``, as far as moves find them: else these would be better for that alone.
    """
    classes = units.classes(int(labels.max()) + 1)
    inputs, others = slice(units.layer.graph.num_inputs), (labels, *known)
    members, mixes_inputs = units.members.to(labels.device), units.scope == "inputs"
    if mixes_inputs:
        classes = 2 * classes + (numpy.arange(len(units)) >= inputs.stop)
    least, num_revived = _num_dead(units, labels), 0
    found: list[tuple[int, int, Tensor]] = []
    for draw in range(_DRAWS):
        mixed = shuffled(labels, classes, seed + _STRIDE * draw)
        if mixes_inputs and draw < _DRAWS - 1 and _is_known(mixed, others, inputs):
            continue
        living = mixed
        if _num_dead(units, mixed) > least:
            living, num_revived = _revived(units, mixed, classes, least), num_revived + 1
        # Those of ``labels`` are known twice.
        num_known = sum(_is_known(living, those, members) for those in ((labels,), others))
        found.append((num_known, _num_dead(units, living), living))
        if found[-1][:2] <= (0, least) or num_revived == _REVIVALS:
            break
    return min(found, key=lambda each: each[:2])[2]


def _is_known(labels: Tensor, others: Sequence[Tensor], where: slice | Tensor) -> bool:
    """Whether these are the modules of one of the ``others`` there."""
    return any(adjusted_rand_index(labels[where], other[where]) == 1 for other in others)


def _revived(units: Units, labels: Tensor, classes: numpy.ndarray, enough: int) -> Tensor:
    """``labels`` with moves that bring units to life, where there are some; of the same sizes.

    It ends where ``enough`` units are dead at most.
    """
    num_modules = int(labels.max()) + 1
    members = units.labels_of_members(labels, num_modules).cpu().numpy()
    sizes = numpy.zeros((int(classes.max()) + 1, num_modules), dtype=numpy.int64)
    numpy.add.at(sizes, (classes, members), 1)
    affinity = units.affinity_matrix()
    affinity.data[:] = 1.0  # The weights have no say.
    bounds = SizeBounds.around(sizes, 0.0, classes)
    try:
        moved = admissible(units, affinity, members, bounds, seed=0, enough=enough)
    except ValueError:  # A module stays dead, whatever moves.
        return labels
    return units.labels_of_all(torch.from_numpy(moved)).to(labels.device)


def _num_dead(units: Units, labels: Tensor) -> int:
    """Number of units that a cut puts to rest."""
    graph, labels = units.layer.graph, labels.detach().cpu().long()
    return Liveliness.of(graph, labels, units.num_updates, units.kept_edges).num_dead


def shuffled(labels: Tensor, classes: numpy.ndarray, seed: int) -> Tensor:
    """Modules of the same sizes at random, in every class of units; −1 where it is.

    Args:
        labels (LongTensor): Module of every unit, ``[N]``.
        classes (numpy.ndarray): Class of every unit that has one, ``[n]``.
        seed (int): Of the order.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    members = (labels >= 0).nonzero().flatten()
    mixed = labels.clone()
    for kind in numpy.unique(classes):
        own = members[torch.from_numpy(classes == kind).to(members.device)]
        order = torch.randperm(len(own), generator=generator, device="cpu").to(labels.device)
        mixed[own] = labels[own[order]]
    return mixed


def _with_shuffled_weights(units: Units, seed: int) -> Units:
    """The same units where the weights of the edges that enter one have changed places."""
    layer, edges = units.layer, units.edges
    weight = layer.edge_weight().detach().cpu().clone()
    ids, target = edges.edge_ids, edges.target.cpu().numpy()
    ids = torch.arange(len(target), device="cpu") if ids is None else ids.cpu()
    tie = numpy.random.default_rng(seed).random(len(target))
    place, origin = numpy.argsort(target, kind="stable"), numpy.lexsort((tie, target))
    weight[ids[torch.from_numpy(place)]] = weight[ids[torch.from_numpy(origin)]]
    return units.replaced(layer=EdgeList(layer.graph, weight))
