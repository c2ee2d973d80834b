"""Solvers as plain dictionaries, for the files of a model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pyg_modules.solve.equilibrium import Equilibrium
from pyg_modules.solve.solver import Solver
from pyg_modules.solve.unrolled import Unrolled

SOLVERS: dict[str, type[Unrolled | Equilibrium]] = {
    "unrolled": Unrolled,
    "equilibrium": Equilibrium,
}


def solver_to_config(solver: Solver) -> dict[str, Any]:
    """The name and the settings of ``solver``."""
    for name, solver_class in SOLVERS.items():
        if type(solver) is solver_class:
            return {"name": name, **asdict(solver)}
    raise TypeError(
        f"Expected one of the solvers {', '.join(SOLVERS)} (got {type(solver).__name__}): a model"
        f" with a solver of your own cannot be saved as a folder; save its state_dict instead."
    )


def solver_from_config(config: dict[str, Any]) -> Solver:
    """The solver that :func:`solver_to_config` described."""
    settings = dict(config)
    name = settings.pop("name", None)
    if name not in SOLVERS:
        raise ValueError(f"Expected a solver named {' or '.join(SOLVERS)} (got {name!r}).")
    return SOLVERS[name](**settings)
