from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import asdict, is_dataclass
from typing import Any

from torch import Tensor

from pyg_modules._checks import check_choice
from pyg_modules._registry import register
from pyg_modules.ops.update import Update
from pyg_modules.solve.recurrence import Recurrence
from pyg_modules.solve.solution import Solution

#: The solvers that a layer can be saved with, by name.
SOLVERS: dict[str, type[Solver]] = {}


class Solver(ABC):
    """Decides when the synchronous updates stop. A solver holds settings only, never state.

    Layers can be saved with one that is a dataclass with a name: ``class Mine(Solver,
    name="mine")``.
    """

    def __init_subclass__(cls, name: str | None = None) -> None:
        if name is None:
            return
        if "name" in inspect.get_annotations(cls):
            raise TypeError(
                f"Expected a solver that is saved without a setting called name (got"
                f" {cls.__name__} with one). Files call the solver by that."
                " Rename it."
            )
        register(SOLVERS, name, cls)

    @property
    def num_updates(self) -> int | None:
        """Number of updates, or ``None`` if it depends on the input."""
        return None

    def scaled(self, update: Update, weight: Tensor) -> Tensor:  # noqa: ARG002
        """The recurrent weights ``[e]`` as this solver wants them; as they are by default."""
        return weight

    def without_scaling(self) -> Solver:
        """This solver for weights that are scaled already."""
        return self

    @abstractmethod
    def solve(self, recurrence: Recurrence) -> Solution:
        """The last states, ``[n, B]``, from states of 0 on, differentiable.

        A solver of your own calls ``update = recurrence.bind()`` and then ``update(state)`` as
        often as it likes, from ``torch.zeros_like(recurrence.injected)`` on.
        """


def solver_to_config(solver: Solver) -> dict[str, Any]:
    """The name and the settings of ``solver``."""
    for name, solver_class in SOLVERS.items():
        if type(solver) is solver_class and is_dataclass(solver):
            return {"name": name, **asdict(solver)}
    kind = type(solver).__name__
    raise TypeError(
        f"Expected one of the solvers {', '.join(SOLVERS)} (got {kind}): a model with a solver that"
        f" is no dataclass with a name cannot be saved as a folder. Make it one, class"
        f" {kind}(Solver, name=...), or save the state_dict of the model."
    )


def solver_from_config(config: dict[str, Any]) -> Solver:
    """The solver that :func:`solver_to_config` described."""
    settings = dict(config)
    name = settings.pop("name", None)
    check_choice("solver", name, SOLVERS)
    return SOLVERS[name](**settings)
