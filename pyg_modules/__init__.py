"""Units as the nodes of one learnable graph, organised into independent neural modules.

A PyTorch Geometric extension: :class:`UnitGraph` says what is wired to what,
:class:`SynchronousGraph` is the layer, :class:`PartitionRegularizer` organises its units into
modules, :func:`cut` and :func:`split` take them apart.
"""

from pyg_modules.graph import UnitGraph
from pyg_modules.modules import cut, merge, prune_cross_edges, split
from pyg_modules.nn import SynchronousGraph
from pyg_modules.parallel import ModularGraph
from pyg_modules.partition import PartitionRegularizer, PartitionSchedule, partition_units
from pyg_modules.solve import Equilibrium, Unrolled

__version__ = "0.1.0"

__all__ = [
    "Equilibrium",
    "ModularGraph",
    "PartitionRegularizer",
    "PartitionSchedule",
    "SynchronousGraph",
    "UnitGraph",
    "Unrolled",
    "__version__",
    "cut",
    "merge",
    "partition_units",
    "prune_cross_edges",
    "split",
]
