"""A training step of `SynchronousConv` and dense code: ``python -m benchmarks.speed.neighbours``.

The peer is what implicit graph networks (https://arxiv.org/abs/2009.06211) compute, unrolled in the
same way: dense matrices W and U, and a sparse adjacency matrix of torch. On a graph of units that
is not complete, its matrices have zeros.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.markdown import table
from benchmarks.options import parse
from benchmarks.speed.timing import interleaved, ratio
from pyg_modules import SynchronousConv, UnitGraph, Unrolled
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

RESULTS = Path(__file__).with_suffix(".json")
NUM_INPUTS, NUM_OUTPUTS, STEPS = 64, 7, 10
# Nodes and edges of Cora, both ways; hidden units, and the share of edges among them.
CORA = (2708, 10556)
SIZES = ((64, 1.0), (1024, 0.02))
QUICK = ((8, 1.0), (32, 0.1))


class DenseUnits(nn.Module):
    """The same function, with the same values.

    Args:
        layer (SynchronousConv): The layer, with tanh and biases.
        edge_index (LongTensor): Edges of the data.
        num_nodes (int): Number of nodes.
        layout (torch.layout): That of the adjacency matrix.
    """

    def __init__(
        self, layer: SynchronousConv, edge_index: Tensor, num_nodes: int, layout: torch.layout
    ) -> None:
        super().__init__()
        data = layer._data(edge_index, None, num_nodes)
        size = (num_nodes, num_nodes)
        matrix = torch.sparse_coo_tensor(
            data.edge_index.flip(0), data.weight, size, check_invariants=True
        ).coalesce()
        self.adjacency = matrix if layout == torch.sparse_coo else matrix.to_sparse_csr()
        graph, device = layer.graph, layer.device
        source, target = graph.edge_index.to(device)
        whole = torch.zeros(2, graph.num_units, graph.num_units, device=device)
        whole[:, target, source] = layer.weight.detach().T
        hidden = slice(graph.hidden.start, graph.hidden.stop)
        inputs, outputs = slice(0, graph.num_inputs), slice(graph.hidden.stop, graph.num_units)
        self.into, self.among, self.out = (
            nn.Parameter(whole[:, rows, columns].clone())
            for rows, columns in ((hidden, inputs), (hidden, hidden), (outputs, hidden))
        )
        bias = layer.bias
        assert bias is not None
        self.bias = nn.Parameter(bias.detach().clone())
        self.num_hidden, self.steps = graph.num_hidden, STEPS

    def forward(self, x: Tensor) -> Tensor:
        """The outputs, ``[V, O]``."""
        injected = self._sums(self.into, x) + self.bias[: self.num_hidden]
        state = torch.tanh(injected)
        own, looking = self.among
        for _ in range(self.steps - 1):
            gathered = torch.sparse.mm(self.adjacency, state @ looking.T)
            state = torch.tanh(injected + state @ own.T + gathered)
        outputs: Tensor = self._sums(self.out, state) + self.bias[self.num_hidden :]
        return outputs

    def _sums(self, weight: Tensor, state: Tensor) -> Tensor:
        own, looking = weight
        sums: Tensor = state @ own.T + torch.sparse.mm(self.adjacency, state @ looking.T)
        return sums


def run(device: torch.device, *, quick: bool) -> list[dict[str, Any]]:
    """Milliseconds of a training step, a row per graph of units."""
    num_nodes, num_edges = (50, 200) if quick else CORA
    generator = torch.Generator().manual_seed(0)
    half = torch.randint(num_nodes, (2, num_edges // 2), generator=generator)
    edge_index = torch.cat([half, half.flip(0)], dim=1).to(device)
    x = torch.randn(num_nodes, NUM_INPUTS, generator=generator).to(device)
    y = torch.randint(NUM_OUTPUTS, (num_nodes,), generator=generator).to(device)
    rows = []
    for num_hidden, density in QUICK if quick else SIZES:
        sizes = NUM_INPUTS, num_hidden, NUM_OUTPUTS
        graph = UnitGraph.complete(*sizes)
        if density < 1:
            graph = UnitGraph.erdos_renyi(*sizes, density, generator=generator, repair=True)
        layer = SynchronousConv(graph, solver=Unrolled(STEPS), activation="tanh").to(device)
        runs = {"ours": _step(layer, lambda model: model(x, edge_index), y)}
        for name, layout in (("coo", torch.sparse_coo), ("csr", torch.sparse_csr)):
            peer = DenseUnits(layer, edge_index, num_nodes, layout)
            runs[f"dense, {name}"] = _step(peer, lambda model: model(x), y)
        losses = [step() for step in runs.values()]
        for loss in losses:
            torch.testing.assert_close(loss, losses[0], rtol=1e-4, atol=1e-4)
        seconds = interleaved(runs, 1 if quick else 7)
        medians = {name: median(times) for name, times in seconds.items()}
        peer_name = min((name for name in runs if name != "ours"), key=medians.__getitem__)
        rows.append(
            {
                "num_nodes": num_nodes,
                "num_edges": edge_index.size(1),
                "num_hidden": num_hidden,
                "density": density,
                "steps": STEPS,
                "milliseconds": {name: 1e3 * value for name, value in medians.items()},
                "peer": peer_name,
                "ratio": ratio(seconds, peer_name, "ours"),
            }
        )
    return rows


def neighbours(path: Path = RESULTS, device: str = "cpu") -> str:
    """A row per graph of units, on one type of device."""
    result = json.loads(path.read_text(encoding="utf-8"))[device]
    threads = f"{result['threads']} thread" + "s" * (result["threads"] > 1)
    header = [f"hidden units, {device}, {threads}", "density", "ours, ms", "dense code, ms"]
    return table(
        [*header, "times faster"],
        [
            [
                f"{row['num_hidden']:,}",
                f"{row['density']:.0%}",
                f"{row['milliseconds']['ours']:.1f}",
                f"{row['milliseconds'][row['peer']]:.1f}",
                f"{row['ratio']:.2f}",
            ]
            for row in result["rows"]
        ],
    )


def _step(model: nn.Module, forward: Callable[[nn.Module], Tensor], y: Tensor) -> Callable[[], Any]:
    def step() -> Tensor:
        model.zero_grad()
        loss = F.cross_entropy(forward(model), y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return step


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.neighbours")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    options = parse(parser, arguments, RESULTS, quick="small sizes, once")
    device = torch.device(options.device)
    rows = run(device, quick=options.quick)
    path = options.out
    found = {} if not path.exists() else json.loads(path.read_text(encoding="utf-8"))
    entry = {"versions": versions(), "threads": torch.get_num_threads(), "rows": rows}
    write_json(path, {**found, device.type: entry})
    print(neighbours(path, device.type))


if __name__ == "__main__":
    main()
