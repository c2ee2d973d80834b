"""Random situations a layer is used in: what is drawn from a number, and the modules for it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    split,
)
from pyg_modules.ops import ACTIVATIONS
from pyg_modules.solve import Solver
from tests.dense_graph import DenseGraph, DenseSum
from tests.strategies import backends, generator, smooth_activations, stays_alive

GRAPHS = ("random", "feedback", "layered", "complete", "no edges", "one hidden", "no hidden")
WIDE = (torch.float64, torch.float32)
HALF = (torch.bfloat16, torch.float16)
SHAPES = ((), (0,), (1,), (5,), (2, 3), (2, 0, 3))
#: Those that can be looked at from within a transformation or a compiler come first.
HOOKS = (
    *("pre", "pre changes", "forward", "forward changes", "forward with keywords"),
    *("instance", "global", "backward", "backward changes", "backward pre", "backward pre changes"),
    *("input", "output", "parameter", "parameter changes", "accumulated", "update", "removed"),
)
FORWARD_HOOKS = HOOKS[:5]
#: Those that no call of the layer is needed for.
PARAMETER_HOOKS = {"input", "parameter", "parameter changes", "accumulated", "update"}
PARAMETRIZATIONS = (
    *("weight_norm", "spectral_norm", "pruned", "pruned bias", "old weight_norm"),
    *("scaled", "mixed", "noise"),
)
#: Those that compute the parameter in a hook.
HOOKED = ("pruned", "pruned bias", "old weight_norm")
TRANSFORMED = ("vmap", "gradient by torch.func", "forward mode")
COMPILED = ("eager", "aot_eager")
COPIED = ("deepcopy", "pickle", "state_dict", "averaged", "double")
WRAPPERS = (
    *TRANSFORMED,
    *COPIED,
    *("sequential", "checkpoint", "reentrant", "functional_call", "twice", "saved tensors"),
    *("no_grad", "inference_mode", "second derivative", "two backward passes", "input alone"),
    *("anomaly", "deterministic", "default device"),
)


@dataclass(frozen=True)
class Situation:
    """One way to use a layer; its representation says all that is needed to look at it again."""

    seed: int
    kind: str
    graph: str
    solver: Solver
    activation: str
    backend: str
    dtype: torch.dtype
    device: str
    shape: tuple[int, ...]
    layout: str
    hooks: tuple[str, ...]
    parametrization: str | None
    wrapper: str | None
    autocast: torch.dtype | None
    backward_inside: bool
    frozen: tuple[str, ...]
    masked: bool


def draw(seed: int, device: str) -> Situation:
    """Situation number ``seed``; on the CPU one in ten is on meta, and one in 100 compiled.

    Of those that may be refused, most are drawn again.
    """
    rand = random.Random(seed)
    situation = _draw(rand, seed, device)
    while any(refusals(situation)) and rand.random() < 0.8:
        situation = _draw(rand, seed, device)
    return situation


def refusals(situation: Situation) -> Iterator[str]:
    """How the messages begin by which the package may refuse a situation, each with its remedy."""
    is_equilibrium = isinstance(situation.solver, Equilibrium)
    # Neither kernels nor the search for an equilibrium can be looked into.
    is_closed = is_equilibrium or situation.backend in ("numba", "sparse", "block")
    if situation.wrapper in TRANSFORMED and is_closed:
        yield "Expected no transformation of torch.func"
    is_once = is_equilibrium or situation.backend != "scatter"
    if situation.wrapper == "second derivative" and is_once:
        yield "Expected a first derivative"
    if situation.backend == "block" and situation.graph == "feedback":
        yield "Expected outputs without outgoing edges"
    if situation.backend in ("numba", "sparse") and situation.dtype in HALF:
        yield "Expected weights in float32, float64"
    if situation.backend in ("numba", "sparse", "block") and situation.device == "meta":
        yield "Expected weights in .* on cpu"
    if situation.backend == "numba" and situation.device == "cuda":
        yield "Expected weights in .* on cpu"
    if situation.kind == "batched":
        is_called = set(situation.hooks) - PARAMETER_HOOKS - {"removed"}
        if is_called or situation.graph == "feedback" or situation.parametrization in HOOKED:
            yield "Expected parts that fit execution 'batched'"


def _draw(rand: random.Random, seed: int, device: str) -> Situation:
    wrapper = rand.choice(WRAPPERS) if rand.random() < 0.75 else None
    if seed % 100 == 50:
        wrapper = rand.choice(COMPILED)
    hooks = FORWARD_HOOKS if wrapper in (*TRANSFORMED, *COMPILED) else HOOKS
    if seed % 10 == 9 and wrapper == "anomaly":
        wrapper = None  # It looks at numbers, which meta has not.
    kind = rand.choice(("layer", "layer", "auto", "batched", "loop"))
    solver = rand.choice(("unrolled", "unrolled", "equilibrium", "contraction"))
    parametrization = rand.choice(PARAMETRIZATIONS) if rand.random() < 0.4 else None
    if parametrization is not None and solver == "equilibrium" and kind == "layer":
        solver = "contraction"  # What it makes of small weights may be large.
    if wrapper in COPIED and (parametrization in HOOKED or wrapper == "pickle"):
        parametrization = None  # Torch copies no tensors that hooks made, and pickles none.
    if wrapper == "two backward passes":
        hooks = [hook for hook in hooks if hook != "update"]  # Torch refuses the second.
    if wrapper in TRANSFORMED and parametrization == "scaled":
        parametrization = None  # It counts in place, which torch.func refuses.
    dtype = rand.choice((*WIDE, *WIDE, *WIDE, *HALF) if solver == "unrolled" else WIDE)
    tol = 1e-12 if dtype == torch.float64 else 1e-6
    filled = [shape for shape in SHAPES if shape and 0 not in shape]
    return Situation(
        seed=seed,
        kind=kind,
        graph=rand.choice(GRAPHS[:-1] if kind != "layer" else GRAPHS),
        solver={
            "unrolled": Unrolled(rand.randint(1, 5), checkpoint=rand.random() < 0.3),
            "equilibrium": Equilibrium(tol),
            "contraction": Equilibrium(tol, memory=rand.choice((0, 3)), contraction=0.8),
        }[solver],
        # Near a kink the precision decides about derivatives.
        activation=rand.choice(sorted(ACTIVATIONS) if dtype in WIDE else smooth_activations),
        backend=rand.choice(("auto", *backends)),
        dtype=dtype,
        device="meta" if device == "cpu" and seed % 10 == 9 else device,
        shape=rand.choice(filled if wrapper in TRANSFORMED else SHAPES),
        layout=rand.choice(("contiguous", "transposed", "expanded")),
        hooks=tuple(sorted(rand.sample(hooks, rand.choice((0, 0, 1, 2, 3, 4))))),
        parametrization=parametrization,
        wrapper=wrapper,
        autocast=rand.choice(HALF) if rand.random() < 0.25 else None,
        # Torch advises against it, and many do it.
        backward_inside=rand.random() < 0.5 and dtype in WIDE,
        frozen=tuple(name for name in ("weight", "bias", "input") if rand.random() < 0.12),
        masked=rand.random() < 0.15,
    )


def build(situation: Situation) -> tuple[nn.Module, nn.Module]:
    """What the package makes, and the reference, with the same parameters."""
    graph = _graph(situation)
    layer = SynchronousGraph(
        graph,
        situation.solver,
        situation.activation,
        backend=situation.backend,
        dtype=situation.dtype,
    )
    layer.reset_parameters(generator(situation.seed))
    if isinstance(situation.solver, Equilibrium) and situation.solver.contraction is None:
        with torch.no_grad():  # There is an equilibrium, whatever the activation.
            layer.weight.mul_(0.5 / max(1.0, float(layer.weight.norm())))
    if situation.masked:  # As prune_cross_edges does it.
        layer.edge_mask = torch.rand(graph.num_edges, generator=generator(situation.seed)) > 0.3
    model: nn.Module = layer
    if situation.kind != "layer":
        labels = torch.full((graph.num_units,), -1)
        hidden = slice(graph.hidden.start, graph.hidden.stop)
        labels[hidden] = torch.arange(graph.num_hidden) % 2
        if not stays_alive(layer, labels):  # cut would refuse them.
            labels[hidden] = 0
        model = ModularGraph(split(cut(layer, labels)), execution=situation.kind)
    model.to(situation.device)
    reference = DenseGraph(layer) if situation.kind == "layer" else DenseSum(model.parts)
    for module in (model, reference):
        _parametrize(inner(module), situation)
        for name, parameter in module.named_parameters():
            if any(frozen in name for frozen in situation.frozen):
                parameter.requires_grad_(False)
    return model, reference


def inner(module: nn.Module) -> nn.Module:
    """The layer that is hooked and parametrized: the module itself, or the last of its parts."""
    return module.parts[-1] if hasattr(module, "parts") else module


def inputs(situation: Situation, num_inputs: int) -> Tensor:
    """The input, of some layout in memory, that says whether it wants a gradient."""
    shape = (*situation.shape, num_inputs)
    x = torch.randn(shape, dtype=torch.float64, generator=generator(situation.seed + 1))
    if situation.layout == "transposed":
        x = x.transpose(0, -1).contiguous().transpose(0, -1)
    if situation.layout == "expanded" and situation.shape:
        x = x[:1].expand(shape) if shape[0] else x
    x = x.to(situation.device, situation.dtype)
    return x.requires_grad_("input" not in situation.frozen)


def _graph(situation: Situation) -> UnitGraph:
    rand = random.Random(situation.seed + 2)
    sizes = {"one hidden": (3, 1, 2), "no hidden": (3, 0, 2), "no edges": (2, 3, 2)}.get(
        situation.graph, (rand.randint(0, 4), rand.randint(2, 7), rand.randint(1, 3))
    )
    num_inputs, num_hidden, num_outputs = sizes
    if situation.graph == "layered":
        return UnitGraph.layered([num_inputs, num_hidden, 2, num_outputs])
    if situation.graph == "complete":
        return UnitGraph.complete(*sizes)
    num_units = sum(sizes)
    num_sources = num_units if situation.graph == "feedback" else num_inputs + num_hidden
    edges = torch.cartesian_prod(torch.arange(num_sources), torch.arange(num_inputs, num_units)).T
    share = 0.0 if situation.graph == "no edges" else rand.choice((0.3, 0.6, 1.0))
    order = torch.randperm(edges.size(1), generator=generator(situation.seed))
    chosen = order[: round(share * len(order))]
    return UnitGraph(edges[:, chosen], num_units, num_inputs, num_outputs)


class _Scaled(nn.Module):
    """A parametrization that counts how often it is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, weight: Tensor) -> Tensor:
        self.calls += 1
        return 0.8 * weight


class _Mixed(nn.Module):
    """A parametrization with a product of matrices, which autocast computes in half precision."""

    def forward(self, weight: Tensor) -> Tensor:
        positions = torch.arange(len(weight), device=weight.device)
        mixing = 0.5 / (1 + (positions[:, None] - positions).abs())
        return (mixing.to(weight) @ weight.unsqueeze(-1)).squeeze(-1)


class _Noise(nn.Module):
    """A parametrization that draws other random numbers whenever it is computed."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (torch.rand_like(weight) > 0.2)


def _parametrize(layer: nn.Module, situation: Situation) -> None:
    kind = situation.parametrization
    if kind is None or layer.weight.numel() == 0:
        return
    if kind == "weight_norm":
        parametrizations.weight_norm(layer, dim=None)
    elif kind == "old weight_norm":
        nn.utils.weight_norm(layer, dim=None)
    elif kind == "spectral_norm":
        parametrizations.spectral_norm(layer)
    elif kind in ("pruned", "pruned bias"):
        name = "weight" if kind == "pruned" else "bias"
        mask = torch.rand(getattr(layer, name).shape, generator=generator(situation.seed)) > 0.4
        prune.custom_from_mask(layer, name, mask.to(situation.device))
    else:
        made = {"scaled": _Scaled, "mixed": _Mixed, "noise": _Noise}[kind]()
        parametrize.register_parametrization(layer, "weight", made.to(situation.device))
