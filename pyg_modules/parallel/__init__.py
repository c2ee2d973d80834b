"""Running independent modules side by side: in one process, over ranks, and elsewhere."""

from pyg_modules.parallel.distributed_modules import DistributedModules
from pyg_modules.parallel.execution_report import ExecutionReport
from pyg_modules.parallel.export import export_parts
from pyg_modules.parallel.gradient_norm import clip_grad_norm_
from pyg_modules.parallel.modular_graph import EXECUTIONS, ModularGraph
from pyg_modules.parallel.placement import place_modules

__all__ = [
    "EXECUTIONS",
    "DistributedModules",
    "ExecutionReport",
    "ModularGraph",
    "clip_grad_norm_",
    "export_parts",
    "place_modules",
]
