"""The layer on mini-batches of a large graph, sampled by `NeighborLoader`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import SAGEConv
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
from torch_geometric.utils import stochastic_blockmodel_graph

from pyg_modules import SynchronousGraph, UnitGraph

NUM_CLASSES, PER_CLASS = 4, 500


class Model(nn.Module):
    """A convolution, and a unit graph that updates what it gathered."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = SAGEConv(8, 16)
        self.update = SynchronousGraph(UnitGraph.complete(16, 16, NUM_CLASSES))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of the classes, one row per node."""
        logits: Tensor = self.update(self.conv(x, edge_index).relu())
        return logits


def main() -> float:
    """The accuracy on the nodes whose class was not given."""
    if not (WITH_PYG_LIB or WITH_TORCH_SPARSE):
        raise SystemExit(
            "NeighborLoader needs pyg-lib, which is not installed. How, for your version of torch:"
            " https://pytorch-geometric.readthedocs.io/en/latest/install/installation.html"
        )
    torch.manual_seed(0)
    y = torch.arange(NUM_CLASSES).repeat_interleave(PER_CLASS)
    edge_probs = torch.full((NUM_CLASSES, NUM_CLASSES), 0.002).fill_diagonal_(0.02)
    edge_index = stochastic_blockmodel_graph([PER_CLASS] * NUM_CLASSES, edge_probs)
    x = torch.randn(NUM_CLASSES, 8)[y] + 2 * torch.randn(len(y), 8)
    data = Data(x, edge_index, y=y)
    train = torch.rand(len(y)) < 0.5
    options = {"num_neighbors": [10], "batch_size": 100}
    train_loader = NeighborLoader(data, input_nodes=train, shuffle=True, **options)
    test_loader = NeighborLoader(data, input_nodes=~train, **options)

    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(10):
        for batch in train_loader:
            # The first nodes of a batch are those that were asked for, the others their neighbors.
            logits = model(batch.x, batch.edge_index)[: batch.batch_size]
            loss = F.cross_entropy(logits, batch.y[: batch.batch_size])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    num_right, num_asked = 0, int((~train).sum())
    with torch.no_grad():
        for batch in test_loader:
            predicted = model(batch.x, batch.edge_index)[: batch.batch_size].argmax(dim=1)
            num_right += int((predicted == batch.y[: batch.batch_size]).sum())
    print(f"accuracy on {num_asked} nodes: {num_right / num_asked:.2f}")
    return num_right / num_asked


if __name__ == "__main__":
    main()
