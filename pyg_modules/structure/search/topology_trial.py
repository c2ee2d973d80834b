from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.structure.search.topology import Topology


@dataclass(frozen=True, kw_only=True)
class TopologyTrial:
    """A topology that was trained, and what came of it.

    Args:
        number (int): Its number in the search, from 0.
        topology (Topology): What was trained.
        seed (int): The seed of its graph and of its first weights.
        score (float, optional): What the training returned; ``None`` if it was pruned.
        seconds (float): What the training took.
        num_hidden (int): Number of hidden units.
        num_edges (int): Number of edges.
        num_parameters (int): Number of parameters.
        settings (dict): What the training itself asked Optuna for, such as a learning rate.
    """

    number: int
    topology: Topology
    seed: int
    score: float | None
    seconds: float
    num_hidden: int
    num_edges: int
    num_parameters: int
    settings: dict[str, Any]

    def layer(self, seed: int | None = None) -> SynchronousGraph:
        """The layer as it was before the training.

        Args:
            seed (int, optional): Of another graph and other weights of the same topology. (default:
                that of the trial)
        """
        return self.topology.layer(self.seed if seed is None else seed)

    def to_dict(self) -> dict[str, Any]:
        """The arguments, in terms of JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TopologyTrial:
        """The trial that :meth:`to_dict` told of.

        Args:
            values (mapping): What it returned.
        """
        return cls(**{**values, "topology": Topology(**values["topology"])})
