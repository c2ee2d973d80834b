"""A model with the layer under `torch.compile`, in one graph, on data graphs of several sizes."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv
from torch_geometric.utils import erdos_renyi_graph

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled


class Model(nn.Module):
    """A convolution, and a unit graph that updates what it gathered."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(8, 16)
        self.update = SynchronousGraph(UnitGraph.complete(16, 16, 4), Unrolled(steps=3))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The new embeddings, one row per node."""
        y: Tensor = self.update(self.conv(x, edge_index).relu())
        return y


def main() -> float:
    """The largest difference between the model and the compiled one, outputs and gradients."""
    torch.manual_seed(0)
    model = Model()
    # torch_geometric.compile is a deprecated name for the same.
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    difference = 0.0
    for num_nodes in (50, 80):
        x, edge_index = torch.randn(num_nodes, 8), erdos_renyi_graph(num_nodes, 0.1)
        results = []
        for run in (model, compiled):
            y = run(x, edge_index)
            gradients = torch.autograd.grad(y.square().mean(), list(model.parameters()))
            results.append([y.detach(), *gradients])
        pairs = zip(*results, strict=True)
        difference = max(difference, *(float((a - b).abs().max()) for a, b in pairs))
    print(f"largest difference between the model and the compiled one: {difference:.0e}")
    return difference


if __name__ == "__main__":
    main()
