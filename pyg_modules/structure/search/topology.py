from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from pyg_modules._checks import as_int, as_share, check_choice
from pyg_modules.graph.reach import leave_far_units_unsaid
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.nn.unit_dynamics import UnitDynamics
from pyg_modules.ops.activation import check_activation
from pyg_modules.partition.labels import SHARED
from pyg_modules.solve.unrolled import Unrolled
from pyg_modules.structure.search.random_graphs import RANDOM_GRAPHS, Wanted


@dataclass(frozen=True, kw_only=True)
class Topology:
    """A kind of layers: what its graphs are like, and how many parameters it may have.

    There are as many hidden units as the parameters allow: a sparser graph has more of them.

    Args:
        num_inputs (int): Number of input units.
        num_outputs (int): Number of output units.
        max_parameters (int): The largest number of weights, biases and slopes.
        generator (str): ``"complete"``, ``"erdos_renyi"``, ``"fixed_in_degree"``,
            ``"small_world"``, ``"scale_free"``, ``"geometric"``, ``"random_wired"`` or
            ``"layered"``, an MLP with a level per update; see :class:`~pyg_modules.UnitGraph`.
        density (float or None): About the part of the edges of a complete graph, in (0, 1];
            ``None`` for ``"complete"``.
        num_updates (int): Number of updates of :class:`~pyg_modules.Unrolled`.
        activation (str): See :class:`~pyg_modules.SynchronousGraph`.
        num_modules (int, optional): Number of modules, between which there are no edges: each has
            a graph of its own on the shared inputs and outputs. (default: 1)

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, a name is unknown, or the density is impossible
            with so many parameters.
    """

    num_inputs: int
    num_outputs: int
    max_parameters: int
    generator: str
    density: float | None
    num_updates: int
    activation: str
    num_modules: int = 1

    def __post_init__(self) -> None:
        for name in ("num_inputs", "num_outputs", "max_parameters", "num_updates", "num_modules"):
            object.__setattr__(self, name, as_int(name, getattr(self, name), smallest=1))
        check_generator_name(self.generator)
        check_activation(self.activation)
        if RANDOM_GRAPHS[self.generator].has_density:
            object.__setattr__(self, "density", check_density(self.density))
        elif self.density is not None:
            raise ValueError(
                f"Expected density=None for a {self.generator!r} graph, which has all edges (got"
                f" {self.density})."
                " Give None."
            )
        self._check_possible()

    def graph(self, seed: int) -> UnitGraph:
        """The graph that is drawn with a seed, as large as the parameters allow.

        Args:
            seed (int): The seed, from 0 on.

        Raises:
            ValueError: If the smallest one that is drawn with this seed has too many edges.
        """
        fitting = self.smallest_graph(seed)
        smallest = fitting.num_hidden
        if not self.fits(fitting):
            self._refuse_density(smallest, self.num_parameters_on(fitting))
        # Every hidden unit has a bias: no larger number of them fits.
        bounds = [smallest, self.max_parameters]
        step = smallest
        while bounds[1] - bounds[0] > 1:
            middle = min(bounds[0] + step, (bounds[0] + bounds[1]) // 2)
            graph = self._drawn(middle, seed)
            fits = self.fits(graph)
            fitting = graph if fits else fitting
            bounds[0 if fits else 1] = middle
            step = 2 * step if fits else self.max_parameters
        return fitting

    def smallest_graph(self, seed: int) -> UnitGraph:
        """The graph with the fewest hidden units that is drawn with a seed.

        Args:
            seed (int): The seed, from 0 on.
        """
        seed = as_int("seed", seed, smallest=0)
        return self._drawn(self.num_modules * self._fewest_hidden, seed)

    def fits(self, graph: UnitGraph) -> bool:
        """Whether the layer on a graph has no more parameters than it may have.

        Args:
            graph (UnitGraph): Its units and edges.
        """
        return self.num_parameters_on(graph) <= self.max_parameters

    def layer(self, seed: int) -> SynchronousGraph:
        """The layer whose graph and first weights are drawn with a seed.

        Args:
            seed (int): The seed, from 0 on.
        """
        graph = self.graph(seed)
        leave_far_units_unsaid(graph, self.num_updates)  # A search sees it by the score.
        layer = SynchronousGraph(
            graph,
            Unrolled(steps=self.num_updates),
            self.activation,
            device="cpu",
            generator=torch.Generator().manual_seed(seed),
        )
        if self.num_modules > 1:
            layer.labels = self._labels(graph.num_hidden)
        return layer

    def num_parameters_on(self, graph: UnitGraph) -> int:
        """Number of parameters of the layer on a graph.

        Args:
            graph (UnitGraph): Its units and edges.
        """
        dynamics = UnitDynamics(graph.num_hidden, self.activation, 0.0, 1.0, False, "meta")
        of_units = sum(parameter.numel() for parameter in dynamics.parameters())
        return graph.num_edges + graph.num_hidden + graph.num_outputs + of_units

    def to_dict(self) -> dict[str, Any]:
        """The arguments, in terms of JSON."""
        return asdict(self)

    @property
    def _fewest_hidden(self) -> int:
        """In a module."""
        return RANDOM_GRAPHS[self.generator].fewest_hidden(self.num_updates)

    def _drawn(self, num_hidden: int, seed: int) -> UnitGraph:
        generator = torch.Generator().manual_seed(seed)
        density = 1.0 if self.density is None else self.density
        parts = [
            RANDOM_GRAPHS[self.generator].draw(
                Wanted(
                    (self.num_inputs, size, self.num_outputs), density, self.num_updates, generator
                )
            )
            for size in self._sizes(num_hidden)
        ]
        if len(parts) == 1:
            return parts[0]
        first, edges = self.num_inputs, []
        num_units = self.num_inputs + num_hidden + self.num_outputs
        for part in parts:
            ids = torch.arange(part.num_units, device="cpu")
            ids[part.hidden.start : part.hidden.stop] += first - self.num_inputs
            ids[part.outputs.start :] += num_units - part.num_units
            edges.append(ids[part.edge_index])
            first += part.num_hidden
        return UnitGraph(torch.cat(edges, dim=1), num_units, self.num_inputs, self.num_outputs)

    def _sizes(self, num_hidden: int) -> list[int]:
        """Numbers of hidden units of the modules."""
        count = self.num_modules
        bounds = [num_hidden * module // count for module in range(count + 1)]
        return [stop - start for start, stop in pairwise(bounds)]

    def _labels(self, num_hidden: int) -> Tensor:
        modules = torch.arange(self.num_modules, device="cpu")
        sizes = torch.tensor(self._sizes(num_hidden), device="cpu")
        labels = torch.full(
            (self.num_inputs + num_hidden + self.num_outputs,), SHARED, device="cpu"
        )
        labels[self.num_inputs : self.num_inputs + num_hidden] = modules.repeat_interleave(sizes)
        return labels

    def _check_possible(self) -> None:
        """Raise unless modules of a complete graph's edges at this density fit, and are alive."""
        density = 1.0 if self.density is None else self.density
        num_ends = self.num_inputs + self.num_outputs
        # density * h * (num_ends + h) edges and h biases in a module.
        of_module = max(0, self.max_parameters - self.num_outputs) / self.num_modules
        linear = density * num_ends + 1
        num_hidden = (sqrt(linear**2 + 4 * density * of_module) - linear) / (2 * density)
        if num_hidden < self._fewest_hidden:
            fewest = self._fewest_hidden
            needed = (density * fewest + linear) * fewest * self.num_modules + self.num_outputs
            self._refuse_density(fewest * self.num_modules, int(needed))
        received = density * (min(self.num_inputs, self.num_outputs) + num_hidden)
        if received < 1:
            raise ValueError(
                f"Expected a density at which a hidden unit has an edge from and to another (got"
                f" {density:g}, which is {received:.2g} edges with {num_hidden:.0f} hidden units in"
                f" each of num_modules={self.num_modules}). Raise density or max_parameters, or"
                f" lower num_modules."
            )

    def _refuse_density(self, num_hidden: int, num_parameters: int) -> None:
        density = "" if self.density is None else f" with density={self.density:g}"
        raise ValueError(
            f"Expected max_parameters >= {num_parameters}, what {self.generator!r} takes{density}"
            f" and {num_hidden} hidden units, the fewest for num_modules={self.num_modules} and"
            f" num_updates={self.num_updates} (got {self.max_parameters}). Raise it, or lower the"
            f" density or num_modules."
        )


def check_generator_name(name: str) -> str:
    """``name``, if it is that of a kind of graphs.

    Raises:
        ValueError: If it is not.
    """
    check_choice("generator", name, RANDOM_GRAPHS)
    return name


def check_density(density: object) -> float:
    """``density`` as a float in (0, 1].

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is out of range.
    """
    number = as_share("density", density)
    if number == 0:
        raise ValueError("Expected density in (0, 1] (got 0): there would be no edges. Raise it.")
    return number
