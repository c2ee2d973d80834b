from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from pyg_modules._brief import brief
from pyg_modules._checks import as_int
from pyg_modules.ops.activation import check_activation
from pyg_modules.structure.search.random_graphs import RANDOM_GRAPHS
from pyg_modules.structure.search.topology import Topology, check_density, check_generator_name

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True, kw_only=True)
class TopologySpace:
    """The topologies among which :func:`search_topology` looks.

    All have equal budgets: as many hidden units as ``max_parameters`` allow, see
    :class:`Topology`.

    Args:
        num_inputs (int): Number of input units.
        num_outputs (int): Number of output units.
        max_parameters (int or sequence of int): The largest number of parameters; several, to see
            what more of them are worth.
        generators (sequence of str, optional): Kinds of graphs, see :class:`Topology`. (default:
            all)
        density (tuple of float, optional): The lowest and the highest density, tried on a
            logarithmic scale; the ``"complete"`` graph has none. (default: ``(0.05, 0.5)``)
        num_updates (tuple of int, optional): The smallest and the largest number of updates.
            (default: ``(2, 8)``)
        activations (sequence of str, optional): Names of activation functions. (default:
            ``("relu", "tanh", "gelu")``)
        num_modules (sequence of int, optional): Numbers of modules that have no edges between them
            from the start. (default: ``(1,)``)

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If nothing is to be chosen from, a name is unknown, or a topology of the space
            is impossible, such as one whose density leaves units without edges.
    """

    num_inputs: int
    num_outputs: int
    max_parameters: int | Sequence[int]
    generators: Sequence[str] = tuple(RANDOM_GRAPHS)
    density: Sequence[float] = (0.05, 0.5)
    num_updates: Sequence[int] = (2, 8)
    activations: Sequence[str] = ("relu", "tanh", "gelu")
    num_modules: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        if not isinstance(self.max_parameters, Sequence):
            object.__setattr__(self, "max_parameters", (self.max_parameters,))
        for name in ("num_inputs", "num_outputs"):
            object.__setattr__(self, name, as_int(name, getattr(self, name), smallest=1))
        self._keep_choices("generators", check_generator_name)
        self._keep_choices("activations", _checked_activation)
        for name in ("max_parameters", "num_modules"):
            self._keep_choices(name, partial(as_int, name, smallest=1))
        self._keep_range("density", check_density)
        self._keep_range("num_updates", partial(as_int, "num_updates", smallest=1))
        # The outermost of every kind.
        values = [
            list(dict.fromkeys((min(one), max(one))))
            for one in (self._budgets, self.density, self.num_updates, self.num_modules)
        ]
        for generator, activation, corner in product(
            self.generators, self.activations, product(*values)
        ):
            names = ("max_parameters", "density", "num_updates", "num_modules")
            chosen = dict(zip(names, corner, strict=True))
            self.topology({**chosen, "generator": generator, "activation": activation})

    def suggest(self, trial: Trial) -> Topology:
        """The topology that a trial of Optuna is to be.

        Args:
            trial (optuna.Trial): The trial.
        """
        generator = trial.suggest_categorical("generator", self.generators)
        chosen: dict[str, Any] = {"generator": generator}
        if RANDOM_GRAPHS[generator].has_density:
            low, high = self.density
            chosen["density"] = trial.suggest_float("density", low, high, log=True)
        chosen["num_updates"] = trial.suggest_int("num_updates", *self.num_updates)
        chosen["activation"] = trial.suggest_categorical("activation", self.activations)
        for name, values in (
            ("num_modules", self.num_modules),
            ("max_parameters", self._budgets),
        ):
            chosen[name] = trial.suggest_categorical(name, values)
        return self.topology(chosen)

    def topology(self, chosen: Mapping[str, Any]) -> Topology:
        """The topology of chosen values.

        Args:
            chosen (mapping): By name, the ``generator``, ``num_updates``, ``activation``,
                ``num_modules`` and ``max_parameters``, and the ``density`` of graphs that have one.
        """
        names = ("max_parameters", "generator", "num_updates", "activation", "num_modules")
        values = {name: chosen[name] for name in names}
        has_density = RANDOM_GRAPHS[chosen["generator"]].has_density
        return Topology(
            num_inputs=self.num_inputs,
            num_outputs=self.num_outputs,
            density=chosen["density"] if has_density else None,
            **values,
        )

    def to_dict(self) -> dict[str, Any]:
        """The arguments, in terms of JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @property
    def _budgets(self) -> Sequence[int]:
        assert isinstance(self.max_parameters, Sequence)
        return self.max_parameters

    def _keep_choices(self, name: str, checked: Callable[[Any], Any]) -> None:
        values = getattr(self, name)
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise TypeError(
                f"Expected {name} to be a list of choices (got {brief(values)})."
                " Put it into one: [value]."
            )
        if not values:
            raise ValueError(f"Expected a choice at least in {name} (got none). Name one.")
        object.__setattr__(self, name, tuple(dict.fromkeys(map(checked, values))))

    def _keep_range(self, name: str, checked: Callable[[Any], Any]) -> None:
        values = getattr(self, name)
        if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != 2:
            raise TypeError(
                f"Expected {name} to be a pair, its bounds (got {brief(values)})."
                " Give (lowest, highest)."
            )
        low, high = map(checked, values)
        if low > high:
            raise ValueError(
                f"Expected the lower bound of {name} first (got {low} and {high}). Exchange them."
            )
        object.__setattr__(self, name, (low, high))


def _checked_activation(name: str) -> str:
    check_activation(name)
    return name


#: What a topology of a space is chosen by, in a trial.
CHOSEN = frozenset(field.name for field in fields(Topology))
