"""Units as the nodes of one learnable graph, organised into independent neural modules.

A PyTorch Geometric extension: :class:`UnitGraph` says what is wired to what,
:class:`SynchronousGraph` is the layer, :class:`PartitionRegularizer` organises its units into
modules, :func:`cut` and :func:`split` take them apart.
"""

from typing import TYPE_CHECKING

from pyg_modules._lazy import lazy_names

if TYPE_CHECKING:
    from pyg_modules.graph import UnitGraph
    from pyg_modules.modules import cut, merge, prune_cross_edges, split
    from pyg_modules.nn import SynchronousConv, SynchronousConv2d, SynchronousGraph
    from pyg_modules.parallel import ModularGraph
    from pyg_modules.partition import PartitionRegularizer, PartitionSchedule, partition_units
    from pyg_modules.solve import Equilibrium, Unrolled
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Equilibrium": "pyg_modules.solve",
            "ModularGraph": "pyg_modules.parallel",
            "PartitionRegularizer": "pyg_modules.partition",
            "PartitionSchedule": "pyg_modules.partition",
            "SynchronousConv": "pyg_modules.nn",
            "SynchronousConv2d": "pyg_modules.nn",
            "SynchronousGraph": "pyg_modules.nn",
            "UnitGraph": "pyg_modules.graph",
            "Unrolled": "pyg_modules.solve",
            "cut": "pyg_modules.modules",
            "merge": "pyg_modules.modules",
            "partition_units": "pyg_modules.partition",
            "prune_cross_edges": "pyg_modules.modules",
            "split": "pyg_modules.modules",
        },
        rooms=("graph", "modules", "nn", "ops", "parallel", "partition", "solve"),
    )

__version__ = "0.1.0"

__all__ = [
    "Equilibrium",
    "ModularGraph",
    "PartitionRegularizer",
    "PartitionSchedule",
    "SynchronousConv",
    "SynchronousConv2d",
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


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
