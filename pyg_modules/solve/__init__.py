"""When the updates stop, and how gradients pass through them."""

from pyg_modules.solve.config import solver_from_config, solver_to_config
from pyg_modules.solve.solver import Solver
from pyg_modules.solve.unrolled import Unrolled

__all__ = ["Solver", "Unrolled", "solver_from_config", "solver_to_config"]
