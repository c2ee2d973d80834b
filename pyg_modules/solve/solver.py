from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

from torch import Tensor

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

    #: What files call it; ``None`` for a solver that is in none.
    name: ClassVar[str | None] = None

    def __init_subclass__(cls, name: str | None = None) -> None:
        cls.name = name
        if name is not None:
            SOLVERS[name] = cls

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
    if solver.name is None:
        raise TypeError(
            f"Expected one of the solvers {', '.join(SOLVERS)} (got {type(solver).__name__}): a"
            f" model with a solver without a name cannot be saved as a folder. Name it, class"
            f" {type(solver).__name__}(Solver, name=...), or save the state_dict of the model."
        )
    return {"name": solver.name, **asdict(solver)}  # type: ignore[call-overload]


def solver_from_config(config: dict[str, Any]) -> Solver:
    """The solver that :func:`solver_to_config` described."""
    settings = dict(config)
    name = settings.pop("name", None)
    if name not in SOLVERS:
        raise ValueError(f"Expected a solver named {' or '.join(SOLVERS)} (got {name!r}).")
    return SOLVERS[name](**settings)
