"""Modules read off the weights as they are, the best of several by what a probe says of them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from pyg_modules.partition.candidates import candidates
from pyg_modules.partition.influence import labels_by_influence
from pyg_modules.partition.judge import PartitionProbe, at_random, judge, losses_in
from pyg_modules.partition.methods import find_labels
from pyg_modules.partition.units import Units
from pyg_modules.partition.verdict import GOOD, Verdict, is_indifferent, share_lost

# A network that is no better than this share of chance has learned next to nothing.
_NOTHING = 0.9
# What is lost is no less if it is not less by a tenth.
_AS_LITTLE = 1.1


def read_modules(
    units: Units,
    num_modules: int,
    probe: PartitionProbe,
    *,
    known: Iterable[Tensor] = (),
    any_sizes: bool = False,
    tolerance: float,
    num_random: int,
    seed: int,
) -> Verdict:
    """The best of several partitions into so many modules, and what it is worth.

    Args:
        units (Units): The units that are partitioned.
        num_modules (int): Number of modules K.
        probe (PartitionProbe): What says the worth of modules.
        known (iterable of LongTensor, optional): Labels ``[N]`` to consider, too. (default: none)
        any_sizes (bool, optional): Whether modules may be of unequal sizes, where what outputs
            depend on says so. (default: ``False``)
        tolerance (float): By which share of its capacity a module may be smaller or larger.
        num_random (int): How many cuts at random it is compared with.
        seed (int): Of everything random.
    """
    found = candidates(
        units,
        num_modules,
        tolerance=tolerance,
        seed=seed,
        known=known,
        influence=_told(units, probe),
        any_sizes=any_sizes,
    )
    losses = [losses_in(units, probe, labels) for labels in found]
    best = min(range(len(found)), key=lambda number: losses[number].worth)
    return judge(
        units,
        found[best],
        probe,
        losses=losses[best],
        tolerance=tolerance,
        num_random=num_random,
        seed=seed,
    )


def choose_num_modules(
    units: Units,
    probe: PartitionProbe,
    *,
    present: int | None = None,
    tolerance: float,
    seed: int,
) -> int:
    """The largest number of modules of which the modules of the weights as they are are good.

    They are not where modules at random cost next to nothing either. Of a network that has learned
    next to nothing it is 2.

    Args:
        units (Units): The units that are partitioned.
        probe (PartitionProbe): What says the worth of modules.
        present (int, optional): The number until now: only larger ones are looked at, and it stays
            if none of these is good. (default: none; without good modules, it is the least number
            of which they lose about as little as any)
        tolerance (float): By which share of its capacity a module may be smaller or larger.
        seed (int): Of everything random.
    """
    uncut, influence, chance = probe(None), _told(units, probe), probe.chance()
    if present is None and uncut > _NOTHING * chance:
        return 2
    if present is None:
        units.check_paths(2)
    lost: dict[int, float] = {}
    good = []
    for num_modules in range(2 if present is None else present + 1, units.most_modules() + 1):
        try:
            labels = find_labels(units, num_modules, tolerance=tolerance, seed=seed)
        except ValueError:
            if present is None and not lost:
                raise
            break  # So many modules cannot all have a path from the inputs to the outputs.
        random = losses_in(units, probe, at_random(units, labels, seed), all_speak=False)
        others = labels_by_influence(
            units, num_modules, influence, tolerance=tolerance, seed=seed, any_sizes=True
        )
        losses = [losses_in(units, probe, each) for each in (labels, *others)]
        if random.separated is not None:
            # Modules of inputs that say nothing cost nothing, and are worth nothing.
            losses = [each for each in losses if each.separated is not None]
        shares = [share_lost(each.worth, uncut, random.worth) for each in losses]
        lost[num_modules] = min(shares, default=1.0)
        if lost[num_modules] < GOOD and not is_indifferent(random.worth, uncut, chance):
            good.append(num_modules)
    if good:
        return good[-1]
    if present is not None:
        return present
    least = min(lost.values())
    return min(number for number, share in lost.items() if share <= _AS_LITTLE * least)


def _told(units: Units, probe: PartitionProbe) -> Tensor | None:
    """What a network does that says which of its inputs and outputs belong together.

    ``[I, O]``; ``[I, I]`` where modules share outputs and not inputs.
    """
    return probe.interaction() if units.scope == "inputs" else probe.influence()
