"""Edges that change: rewired, pruned and grown in training, and a search over topologies."""

from pyg_modules.structure.edge_record import EdgeRecord
from pyg_modules.structure.growing import GradientProbe
from pyg_modules.structure.rewire import rewire
from pyg_modules.structure.search.search_topology import search_topology
from pyg_modules.structure.search.topology import Topology
from pyg_modules.structure.search.topology_search import TopologySearch
from pyg_modules.structure.search.topology_space import TopologySpace
from pyg_modules.structure.search.topology_trial import TopologyTrial
from pyg_modules.structure.sparse_schedule import SparseSchedule

__all__ = [
    "EdgeRecord",
    "GradientProbe",
    "SparseSchedule",
    "Topology",
    "TopologySearch",
    "TopologySpace",
    "TopologyTrial",
    "rewire",
    "search_topology",
]
