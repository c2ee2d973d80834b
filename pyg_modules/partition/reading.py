"""Modules read off the weights as they are, the best of several by what a probe says of them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from pyg_modules.partition.candidates import candidates
from pyg_modules.partition.judge import PartitionProbe, judge
from pyg_modules.partition.units import Units
from pyg_modules.partition.verdict import Verdict

# Modules that cost less than this share of what a cut at random costs.
GOOD = 0.1


def read_modules(
    units: Units,
    num_modules: int,
    probe: PartitionProbe,
    *,
    known: Iterable[Tensor] = (),
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
        tolerance (float): By which share of its capacity a module may be smaller or larger.
        num_random (int): How many cuts at random it is compared with.
        seed (int): Of everything random.
    """
    found = candidates(units, num_modules, tolerance=tolerance, seed=seed, known=known)
    losses = [probe(labels) for labels in found]
    best = min(range(len(found)), key=losses.__getitem__)
    return judge(
        units,
        found[best],
        probe,
        probed=losses[best],
        tolerance=tolerance,
        num_random=num_random,
        seed=seed,
    )


def read_any_modules(
    units: Units, probe: PartitionProbe, *, tolerance: float, num_random: int, seed: int
) -> Verdict:
    """The best partition into the largest number of modules that is good, by :func:`read_modules`.

    If none is good, that which loses least.
    """
    verdicts: list[Verdict] = []
    for num_modules in range(2, units.most_modules() + 1):
        try:
            verdict = read_modules(
                units,
                num_modules,
                probe,
                tolerance=tolerance,
                num_random=num_random,
                seed=seed,
            )
        except ValueError:
            if not verdicts:
                raise
            break  # So many modules cannot all have a path from the inputs to the outputs.
        verdicts.append(verdict)
    good = [verdict for verdict in verdicts if verdict.lost < GOOD]
    return good[-1] if good else min(verdicts, key=lambda verdict: verdict.lost)
