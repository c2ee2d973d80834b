"""Random unit graphs for property-based tests: directed, cyclic, with all that is allowed."""

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.graph.reach import leave_far_units_unsaid
from pyg_modules.ops import ACTIVATIONS, BACKENDS
from pyg_modules.partition import Verdict
from pyg_modules.partition.liveliness import Liveliness

seeds = st.integers(0, 2**31 - 1)
#: Backends for the CPU that can be used here; numba is an extra.
backends = sorted(
    name
    for name, backend in BACKENDS.items()
    if "cpu" in backend.devices and backend.missing() is None
)
#: Without a kink, where finite differences would meet it.
smooth_activations = sorted(set(ACTIVATIONS) - {"relu", "elu"})


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def unit_graphs(
    draw: st.DrawFn,
    min_inputs: int = 0,
    min_hidden: int = 0,
    min_outputs: int = 0,
    feedback: bool = True,
) -> UnitGraph:
    """Any edges into non-inputs: self-loops, direct edges, feedback; many units are isolated."""
    num_inputs = draw(st.integers(min_inputs, 4))
    num_hidden = draw(st.integers(min_hidden, 7))
    num_outputs = draw(st.integers(min_outputs, 3))
    num_units = num_inputs + num_hidden + num_outputs
    num_sources = num_units if feedback else num_inputs + num_hidden
    allowed = torch.cartesian_prod(torch.arange(num_sources), torch.arange(num_inputs, num_units)).T
    allowed = allowed.reshape(2, -1)
    rand = generator(draw(seeds))
    chosen = torch.rand(allowed.size(1), generator=rand) < draw(st.sampled_from([0, 0.2, 0.5, 1]))
    order = torch.randperm(int(chosen.sum()), generator=rand)
    graph = UnitGraph(allowed[:, chosen][:, order], num_units, num_inputs, num_outputs)
    for steps in range(1, 9):  # Also with too few updates, it has to compute what is defined.
        leave_far_units_unsaid(graph, steps)
    return graph


@st.composite
def layers(
    draw: st.DrawFn, activations: list[str] = smooth_activations, **kwargs: int
) -> SynchronousGraph:
    """Double-precision layers on random graphs, with signed, asymmetric weights."""
    layer = SynchronousGraph(
        draw(unit_graphs(**kwargs)),
        Unrolled(draw(st.integers(1, 5)), checkpoint=draw(st.booleans())),
        draw(st.sampled_from(activations)),
        backend="scatter",
        dtype=torch.float64,
    )
    layer.reset_parameters(generator(draw(seeds)))
    return layer


@st.composite
def layers_with_labels(draw, scope):
    """Layers with feedback, direct edges and self-loops, and random labels without gaps."""
    layer = draw(layers(min_hidden=2, min_outputs=1))
    graph = layer.graph
    labels = torch.randint(
        draw(st.integers(1, 3)), (graph.num_units,), generator=generator(draw(seeds))
    )
    partitioned = units_of(graph, scope)
    labels[: partitioned.start] = -1
    labels[partitioned.stop :] = -1
    found = labels[labels >= 0].unique()
    assume(torch.equal(found, torch.arange(len(found))))
    assume(stays_alive(layer, labels))
    return layer, labels


def units_of(graph: UnitGraph, scope: str) -> range:
    """The units that a scope partitions."""
    return {
        "hidden": graph.hidden,
        "inputs": range(graph.hidden.stop),
        "all": range(graph.num_units),
    }[scope]


def stays_alive(layer: SynchronousGraph, labels: Tensor) -> bool:
    """Whether all units that live in a layer do so when it is cut."""
    steps = layer.solver.num_updates
    return not Liveliness.of(layer.graph, labels, steps, layer.kept_edges).num_dead


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


class KnowsItsTask:
    """A probe of a network that knows all; all modules are bad, and no cut is costly."""

    def __call__(self, labels, *, trained=True):
        return 0.0 if labels is None or not trained else 1.0

    def chance(self):
        return 1.0

    def influence(self):
        return None

    def interaction(self):
        return None

    def separated(self, labels, *, all_speak=True):  # noqa: ARG002
        return 1.0


def verdict_of(labels, uncut, probed, random, chance):
    """A verdict of these losses."""
    return Verdict(labels, uncut, probed, probed, (random,), chance, 0.1, 0.5, 0)
