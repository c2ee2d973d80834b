"""Which of the units that are partitioned live, by which labels."""

from __future__ import annotations

import numpy
import torch

from pyg_modules._arrays import Bools, Ints
from pyg_modules.graph.reach import Reach
from pyg_modules.partition.liveliness import reach_of
from pyg_modules.partition.units import INPUT, Units


class Living:
    """The units that a cut leaves on a path from an input to an output, other than inputs.

    Args:
        units (Units): What is partitioned.
        num_modules (int): Number of modules.

    Attributes:
        members: Their ids in the graph, ``[n]``.
        number: Position among them of every unit of the graph, ``[N]``; −1 for others.
        role: Whether they are inputs, hidden or outputs, ``[n]``.
        source: Of every edge that is not pruned, ``[e]``.
        target: Of these edges, ``[e]``.
        may_live: Which of them live in the uncut graph, ``[n]``.
    """

    def __init__(self, units: Units, num_modules: int) -> None:
        self.units, self.num_modules = units, num_modules
        self.graph, self.steps = units.layer.graph, units.num_updates
        self.role = units.roles()
        self.members = units.members.cpu().numpy().nonzero()[0]
        self.number = numpy.full(self.graph.num_units, -1)
        self.number[self.members] = numpy.arange(len(self.members))
        self._kept = units.kept_edges
        edge_index = self.graph.edge_index
        kept = edge_index if self._kept is None else edge_index[:, self._kept]
        self.source, self.target = kept.numpy()
        self.may_live = self.alive(Reach.of(self.graph, self._kept))

    def reach(self, labels: Ints) -> Reach:
        """That of all units along the edges that a cut leaves; ``labels`` are ``[n]``."""
        of_all = self.units.labels_of_all(torch.from_numpy(labels)).cpu()
        return reach_of(self.graph, of_all, self._kept)

    def alive(self, reach: Reach) -> Bools:
        """Which of them live, ``[n]``."""
        alive: Bools = reach.is_alive(self.steps)[self.members] & (self.role != INPUT)
        return alive

    def lack(self, labels: Ints, alive: Bools) -> tuple[int, int]:
        """The number of modules without a unit that lives, ``[n]``, and that of dead units."""
        num_modules, num_units = self.lacks(labels[:, None], alive[:, None])
        return int(num_modules[0]), int(num_units[0])

    def lacks(self, labels: Ints, alive: Bools) -> tuple[Ints, Ints]:
        """These numbers by each of B labels, ``[B]``.

        Args:
            labels (numpy.ndarray): B times the module of every unit, ``[n, B]``.
            alive (numpy.ndarray): Which units live by them, ``[n, B]``.
        """
        times = numpy.arange(labels.shape[1]) * self.num_modules
        num_cells = labels.shape[1] * self.num_modules
        living = numpy.bincount((labels + times)[alive], minlength=num_cells) > 0
        num_living = living.reshape(-1, self.num_modules).sum(axis=1)
        return self.num_modules - num_living, (self.may_live[:, None] & ~alive).sum(axis=0)
