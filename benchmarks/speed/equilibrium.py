"""Equilibria: forward and backward against torchdeq, and how exact the gradient is."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.peers import dense
from benchmarks.speed.timing import interleaved, ratio
from benchmarks.speed.training_step import BATCH, NUM_ENDS, make_layer, training_step
from pyg_modules import Equilibrium, SynchronousGraph, Unrolled
from pyg_modules.ops import bind, spectral_norm

TOL, NORM = 1e-5, 0.9
_THEIR_SOLVERS = ("fixed_point_iter", "simple_fixed_point_iter", "anderson", "broyden")
_OUR_MEMORIES = (0, 1, 2, 3, 5)


def run(device: torch.device, *, quick: bool) -> dict[str, Any]:
    """The best solver of torchdeq against our best, and our default, on the same weights."""
    num_hidden, density, rounds = (64, 0.2, 1) if quick else (1024, 0.05, 25)
    layer = make_layer(num_hidden, density, device)
    _scale_to_norm(layer, NORM)
    x = torch.randn(BATCH, NUM_ENDS, generator=torch.Generator().manual_seed(1)).to(device)
    runs: dict[str, Callable[[], Tensor]] = {}
    for memory in _OUR_MEMORIES:
        solver = Equilibrium(tol=TOL, memory=memory, throw=True)
        ours = SynchronousGraph(layer.graph, solver, layer.activation).to(device)
        ours.load_state_dict(layer.state_dict())
        runs[f"memory={memory}"] = training_step(ours, x)
    failed = {}
    if find_spec("torchdeq"):
        for matrix in ("dense", "ours"):
            for name in _THEIR_SOLVERS:
                theirs = _TorchDEQ(layer, name, matrix)
                residual = theirs.residual(x)
                if residual <= 10 * TOL:
                    runs[f"{name}, {matrix}"] = training_step(theirs, x)
                else:
                    failed[f"{name}, {matrix}"] = residual
    expected = runs["memory=0"]()
    for step in runs.values():
        torch.testing.assert_close(step(), expected, rtol=1e-3, atol=1e-3)
    seconds = interleaved(runs, rounds)
    medians = {name: median(times) for name, times in seconds.items()}
    best = min((f"memory={memory}" for memory in _OUR_MEMORIES), key=medians.__getitem__)
    peers = [name for name in runs if not name.startswith("memory")]
    result: dict[str, Any] = {
        "num_hidden": num_hidden,
        "density": density,
        "tol": TOL,
        "spectral_norm": NORM,
        "milliseconds": {name: 1e3 * value for name, value in medians.items()},
        "our_best": best,
        "not_converged_residuals": failed,
        "gradient_error": _gradient_error(device),
    }
    if peers:
        theirs_best = min(peers, key=medians.__getitem__)
        result |= {"their_best": theirs_best, "ratio": ratio(seconds, theirs_best, best)}
    return result


def _scale_to_norm(layer: SynchronousGraph, norm: float) -> None:
    """Scale the recurrent weights to a spectral norm, so that everybody's solver converges."""
    operator = layer._operators("auto", BATCH).recurrence
    edges = layer._wiring().recurrent_edges
    with torch.no_grad():
        layer.weight[edges] *= norm / spectral_norm(operator, layer.weight[edges])


class _TorchDEQ(torch.nn.Module):
    """The layer with torchdeq as its solver, states [B, H] as it wants them."""

    def __init__(self, layer: SynchronousGraph, solver: str, matrix: str) -> None:
        from torchdeq import get_deq

        super().__init__()
        settings = {"max_iter": 100, "tol": TOL, "stop_mode": "rel"}
        self.deq = get_deq(
            **{f"{side}_{name}": value for side in "fb" for name, value in settings.items()},
            f_solver=solver,
            # The simple one cannot be used backwards.
            b_solver=solver.removeprefix("simple_"),
            ift=True,
        )
        self.layer, self.matrix = layer, matrix
        wiring = layer._wiring()
        names = ("injection", "recurrence", "readout")
        self.edge_sets = {name: wiring.edge_sets[name] for name in names}
        weights = dict(zip(wiring.edge_sets, wiring.split(layer.weight.detach()), strict=True))
        self.weights = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(weights[name]) for name in self.edge_sets}
        )
        self.operator = layer._operators("auto", BATCH).recurrence
        bias = layer.bias.detach()
        self.bias = torch.nn.Parameter(bias.clone())

    def forward(self, x: Tensor) -> Tensor:
        update, initial = self.problem(x)
        state = self.deq(update, initial)[0][-1]
        num_hidden = self.layer.graph.num_hidden
        readout = dense(self.edge_sets["readout"], self.weights["readout"])
        outputs: Tensor = state @ readout.T + self.bias[num_hidden:]
        return outputs

    def problem(self, x: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """The map and its start."""
        into = dense(self.edge_sets["injection"], self.weights["injection"])
        injected = x @ into.T + self.bias[: self.layer.graph.num_hidden]
        weight = self.weights["recurrence"]
        if self.matrix == "dense":
            transposed = dense(self.edge_sets["recurrence"], weight).T
            return lambda state: torch.tanh(state @ transposed + injected), torch.zeros_like(
                injected
            )
        # With the kernels of this project; torchdeq wants samples first.
        weighted_sum = bind(self.operator, weight)
        return (
            lambda state: torch.tanh(weighted_sum(state.T.contiguous()).T + injected),
            torch.zeros_like(injected),
        )

    @torch.no_grad()
    def residual(self, x: Tensor) -> float:
        """The largest relative residual of a sample."""
        update, initial = self.problem(x)
        state = self.deq(update, initial)[0][-1]
        return float(((update(state) - state).norm(dim=1) / state.norm(dim=1)).max())


def _gradient_error(device: torch.device) -> float:
    """Relative error of the implicit gradient against 1,000 unrolled updates, float64."""
    layer = make_layer(256, 0.05, device).double()
    _scale_to_norm(layer, NORM)
    x = torch.randn(8, NUM_ENDS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients = []
    for solver in (Equilibrium(tol=1e-13, throw=True), Unrolled(1000)):
        layer.solver = solver
        layer.zero_grad()
        layer(x.to(device)).square().sum().backward()
        assert layer.weight.grad is not None
        gradients.append(layer.weight.grad.clone())
    implicit, unrolled = gradients
    return float((implicit - unrolled).norm() / unrolled.norm())
