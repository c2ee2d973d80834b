"""When the updates stop, and how gradients pass through them."""

from pyg_modules.solve.convergence import ConvergenceError, ConvergenceWarning
from pyg_modules.solve.equilibrium import Equilibrium
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import SOLVERS, Solver, solver_from_config, solver_to_config
from pyg_modules.solve.unrolled import Unrolled

__all__ = [
    "SOLVERS",
    "ConvergenceError",
    "ConvergenceWarning",
    "Equilibrium",
    "Recurrence",
    "Solution",
    "Solver",
    "Unrolled",
    "solver_from_config",
    "solver_to_config",
]
