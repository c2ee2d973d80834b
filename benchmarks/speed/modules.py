"""A network cut into modules against the uncut one, and against hand-written networks."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.speed.timing import interleaved, ratio
from benchmarks.speed.training_step import BATCH, NUM_ENDS, STEPS, training_step
from pyg_modules import ModularGraph, SynchronousGraph, UnitGraph, Unrolled, cut, split
from pyg_modules.ops import ACTIVATIONS
from pyg_modules.parallel import EXECUTIONS


class Case(NamedTuple):
    """Sizes of the modules of a complete graph, and how often it is timed."""

    name: str
    sizes: tuple[int, ...]
    rounds: int
    activation: str
    batch: int = BATCH


_UNEQUAL = (341, 390, 439, 488, 536, 585, 634, 683)
# relu is what a layer has by default; tanh costs about as much as a product with a small module.
CASES = tuple(
    case
    for activation in ("relu", "tanh")
    for case in (
        Case("8 equal modules", (512,) * 8, 7, activation),
        Case("16 equal modules", (256,) * 16, 7, activation),
        Case("8 unequal modules", _UNEQUAL, 7, activation),
        Case("16 equal modules", (32,) * 16, 51, activation),
    )
)
ON_CUDA = tuple(
    Case(f"{number} modules of {size}", (size,) * number, 21, "tanh", batch)
    for number, size, batch in ((32, 128, BATCH), (32, 128, 1024), (8, 64, BATCH))
)
QUICK = (
    Case("3 unequal modules", (4, 6, 8), 1, "relu"),
    Case("2 equal modules", (4, 4), 1, "tanh", 3),
)


def run(device: torch.device, *, quick: bool) -> list[dict[str, Any]]:
    """A row per case and kind of step, training and inference."""
    cases = ON_CUDA if device.type == "cuda" else CASES
    return [row for case in (QUICK if quick else cases) for row in _compare(case, device)]


def _compare(case: Case, device: torch.device) -> list[dict[str, Any]]:
    num_hidden = sum(case.sizes)
    graph = UnitGraph.complete(NUM_ENDS, num_hidden, NUM_ENDS)
    uncut = SynchronousGraph(graph, Unrolled(STEPS), case.activation, backend="dense")
    modular = cut(uncut, random_modules(graph, case.sizes))
    modular.backend = "auto"
    networks: dict[str, nn.Module] = {"uncut": uncut.to(device), "cut": modular.to(device)}
    for execution in EXECUTIONS:
        networks[execution] = ModularGraph(split(modular), execution=execution).to(device)
    networks["torch.nn"] = HandWritten(split(modular)).to(device)
    if len(set(case.sizes)) == 1:
        networks["torch bmm"] = Batched(split(modular)).to(device)
    x = torch.randn(case.batch, NUM_ENDS, generator=torch.Generator().manual_seed(1)).to(device)
    for name, network in networks.items():
        if name != "uncut":
            torch.testing.assert_close(network(x), modular(x), rtol=1e-3, atol=1e-4)
    auto = ModularGraph(split(modular)).execution_report(case.batch).execution
    rows = []
    for kind, make in (("training", training_step), ("inference", _inference)):
        seconds = interleaved({name: make(net, x) for name, net in networks.items()}, case.rounds)
        ours = min("cut", auto, key=lambda name: median(seconds[name]))
        rows.append(
            {
                "case": case.name,
                "num_hidden": num_hidden,
                "batch": case.batch,
                "sizes": case.sizes,
                "activation": case.activation,
                "kind": kind,
                "execution": auto,
                "ours": ours,
                "backend": modular.backend_report(case.batch).choices["recurrence"].backend,
                "milliseconds": {name: 1e3 * median(times) for name, times in seconds.items()},
                "uncut_ratio": ratio(seconds, "uncut", ours),
                "torch_ratio": ratio(seconds, "torch.nn", ours),
                "bmm_ratio": ratio(seconds, "torch bmm", ours) if "torch bmm" in seconds else None,
            }
        )
    return rows


def random_modules(graph: UnitGraph, sizes: tuple[int, ...]) -> Tensor:
    """Modules of random hidden units."""
    labels = torch.full((graph.num_units,), -1)
    module = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    order = torch.randperm(len(module), generator=torch.Generator().manual_seed(0))
    labels[graph.hidden.start : graph.hidden.stop] = module[order]
    return labels


def _inference(network: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    @torch.no_grad()
    def step() -> Tensor:
        outputs: Tensor = network(x)
        return outputs

    return step


class HandWritten(nn.Module):
    """What one would write with ``torch.nn``: small recurrent networks, in a Python loop."""

    def __init__(self, parts: nn.ModuleList) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            _Network(part) for part in parts if isinstance(part, SynchronousGraph)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the outputs of all networks."""
        total: Tensor = self.parts[0](x)
        for part in list(self.parts)[1:]:
            total = total + part(x)
        return total


class _Network(nn.Module):
    def __init__(self, part: SynchronousGraph) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[part.dynamics.names()[0]].module()
        graph = part.graph
        matrix = part.weight.detach().new_zeros(graph.num_units, graph.num_units)
        matrix[graph.edge_index[1], graph.edge_index[0]] = part.weight.detach()
        inputs, hidden, outputs = (
            slice(ids.start, ids.stop) for ids in (graph.inputs, graph.hidden, graph.outputs)
        )
        self.into = nn.Linear(graph.num_inputs, graph.num_hidden)
        self.recurrence = nn.Linear(graph.num_hidden, graph.num_hidden, bias=False)
        self.out_of = nn.Linear(graph.num_hidden, graph.num_outputs)
        with torch.no_grad():
            self.into.weight.copy_(matrix[hidden, inputs])
            self.recurrence.weight.copy_(matrix[hidden, hidden])
            self.out_of.weight.copy_(matrix[outputs, hidden])
            self.into.bias.copy_(part.bias[: graph.num_hidden])
            self.out_of.bias.copy_(part.bias[graph.num_hidden :])

    def forward(self, x: Tensor) -> Tensor:
        injected = self.into(x)
        state: Tensor = self.activation(injected)
        for _ in range(STEPS - 1):
            state = self.activation(self.recurrence(state) + injected)
        outputs: Tensor = self.out_of(state)
        return outputs


class Batched(nn.Module):
    """Modules of equal size as one batch of matrices, ``torch.baddbmm`` and autograd."""

    def __init__(self, parts: nn.ModuleList) -> None:
        super().__init__()
        networks = [_Network(part) for part in parts if isinstance(part, SynchronousGraph)]
        self.activation = networks[0].activation
        self.into, self.recurrence, self.out_of = (
            nn.Parameter(torch.stack([getattr(it, name).weight.detach() for it in networks]))
            for name in ("into", "recurrence", "out_of")
        )
        self.bias = nn.Parameter(torch.stack([it.into.bias.detach() for it in networks])[..., None])
        self.output_bias = nn.Parameter(
            torch.stack([it.out_of.bias.detach() for it in networks]).sum(dim=0)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the outputs of all modules."""
        injected = self.into @ x.T + self.bias
        state: Tensor = self.activation(injected)
        for _ in range(STEPS - 1):
            state = self.activation(torch.baddbmm(injected, self.recurrence, state))
        return (self.out_of @ state).sum(dim=0).T + self.output_bias
