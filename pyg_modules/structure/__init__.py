"""Edges that change: the same layer on other ones, pruned and grown in training."""

from pyg_modules.structure.growth import GradientProbe
from pyg_modules.structure.rewire import rewire
from pyg_modules.structure.sparse_schedule import SparseSchedule

__all__ = ["GradientProbe", "SparseSchedule", "rewire"]
