from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyg_modules._checks import check_choice
from pyg_modules.structure.search.topology_space import TopologySpace
from pyg_modules.structure.search.topology_trial import TopologyTrial

#: What a better score may cost, by name.
COSTS: dict[str, Callable[[TopologyTrial], float]] = {
    "parameters": lambda trial: trial.topology.max_parameters,
    "seconds": lambda trial: trial.seconds,
}


@dataclass(frozen=True)
class TopologySearch:
    """What :func:`search_topology` found; as text, a table, best first.

    Args:
        space (TopologySpace): Where it looked.
        trials (tuple of TopologyTrial): The trials that ended, in their order.
    """

    space: TopologySpace
    trials: tuple[TopologyTrial, ...]

    @property
    def best(self) -> TopologyTrial:
        """The trial with the highest score.

        Raises:
            ValueError: If no trial has a score.
        """
        scored = self.best_first()
        if not scored or scored[0].score is None:
            raise ValueError(
                f"Expected a trial that was trained to its end (got none of {len(self.trials)}; the"
                f" others were pruned). Search on, with more trials."
            )
        return scored[0]

    def best_first(self) -> list[TopologyTrial]:
        """All trials by their scores, those that were pruned last."""
        return sorted(self.trials, key=lambda trial: -_score(trial))

    def front(self, cost: str = "seconds") -> list[TopologyTrial]:
        """The Pareto front: trials than which none that costs as little has a higher score.

        Args:
            cost (str, optional): ``"seconds"`` of the training, or ``"parameters"``, the
                ``max_parameters`` of the topology. (default: ``"seconds"``)

        Returns:
            list of TopologyTrial: The cheapest one first.
        """
        cost_of = COSTS[check_cost(cost)]
        front: list[TopologyTrial] = []
        for trial in sorted(self.trials, key=lambda trial: (cost_of(trial), -_score(trial))):
            if trial.score is not None and (not front or _score(trial) > _score(front[-1])):
                front.append(trial)
        return front

    def to_dict(self) -> dict[str, Any]:
        """All of it, in terms of JSON."""
        return {
            "space": self.space.to_dict(),
            "trials": [trial.to_dict() for trial in self.trials],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TopologySearch:
        """The search that :meth:`to_dict` told of.

        Args:
            values (mapping): What it returned.
        """
        trials = tuple(map(TopologyTrial.from_dict, values["trials"]))
        return cls(TopologySpace(**values["space"]), trials)

    def __str__(self) -> str:
        rows = [_HEADER, *map(_row, self.best_first())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
            for row in rows
        )


def check_cost(cost: str) -> str:
    """``cost``, if it is the name of one.

    Raises:
        ValueError: If it is not.
    """
    check_choice("cost", cost, COSTS)
    return cost


def _score(trial: TopologyTrial) -> float:
    return float("-inf") if trial.score is None else trial.score


_HEADER = (
    *("trial", "score", "generator", "density", "updates", "activation", "modules"),
    *("hidden", "edges", "parameters", "seconds"),
)


def _row(trial: TopologyTrial) -> tuple[str, ...]:
    topology = trial.topology
    return (
        str(trial.number),
        "pruned" if trial.score is None else f"{trial.score:.4f}",
        topology.generator,
        "" if topology.density is None else f"{topology.density:.3f}",
        str(topology.num_updates),
        topology.activation,
        str(topology.num_modules),
        f"{trial.num_hidden:,}",
        f"{trial.num_edges:,}",
        f"{trial.num_parameters:,}",
        f"{trial.seconds:.1f}",
    )
