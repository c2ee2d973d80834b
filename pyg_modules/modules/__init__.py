"""After the cut: independent modules, the proof that they are, and running them side by side."""

from pyg_modules.modules.attribution import input_attribution
from pyg_modules.modules.cut import cut
from pyg_modules.modules.distributed_modules import DistributedModules
from pyg_modules.modules.execution import ExecutionReport
from pyg_modules.modules.export import export_parts
from pyg_modules.modules.independence import Independence, check_independence
from pyg_modules.modules.lesion import LesionStudy, lesion_study
from pyg_modules.modules.merge import merge
from pyg_modules.modules.modular_graph import EXECUTIONS, ModularGraph
from pyg_modules.modules.placement import place_modules
from pyg_modules.modules.prune import prune_cross_edges
from pyg_modules.modules.split import split

__all__ = [
    "EXECUTIONS",
    "DistributedModules",
    "ExecutionReport",
    "Independence",
    "LesionStudy",
    "ModularGraph",
    "check_independence",
    "cut",
    "export_parts",
    "input_attribution",
    "lesion_study",
    "merge",
    "place_modules",
    "prune_cross_edges",
    "split",
]
