"""After the cut: independent modules, and the proof that they are."""

from pyg_modules.modules.cut import cut
from pyg_modules.modules.independence import Independence, check_independence
from pyg_modules.modules.split import split

__all__ = ["Independence", "check_independence", "cut", "split"]
