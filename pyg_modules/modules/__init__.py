"""The cut and what it leaves: independent modules, the proof that they are, and looking at them."""

from pyg_modules.modules.attribution import input_attribution
from pyg_modules.modules.cut import cut
from pyg_modules.modules.independence import Independence, check_independence
from pyg_modules.modules.lesion import LesionStudy, lesion_study
from pyg_modules.modules.merge import merge
from pyg_modules.modules.prune import prune_cross_edges
from pyg_modules.modules.split import split

__all__ = [
    "Independence",
    "LesionStudy",
    "check_independence",
    "cut",
    "input_attribution",
    "lesion_study",
    "merge",
    "prune_cross_edges",
    "split",
]
