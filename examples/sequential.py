"""The layer in `torch_geometric.nn.Sequential`: to which of four communities does a node belong?"""

import torch
from torch import nn
from torch.nn import functional as F
from torch_geometric.nn import GCNConv, Sequential
from torch_geometric.utils import stochastic_blockmodel_graph

from pyg_modules import SynchronousGraph, UnitGraph

NUM_CLASSES, PER_CLASS = 4, 100


def main() -> float:
    """The accuracy on the nodes whose class was not given."""
    torch.manual_seed(0)
    y = torch.arange(NUM_CLASSES).repeat_interleave(PER_CLASS)
    edge_probs = torch.full((NUM_CLASSES, NUM_CLASSES), 0.01).fill_diagonal_(0.1)
    edge_index = stochastic_blockmodel_graph([PER_CLASS] * NUM_CLASSES, edge_probs)
    x = torch.randn(NUM_CLASSES, 8)[y] + 2 * torch.randn(len(y), 8)
    train = torch.rand(len(y)) < 0.5

    model = Sequential(
        "x, edge_index",
        [
            (GCNConv(8, 16), "x, edge_index -> x"),
            nn.ReLU(),
            (GCNConv(16, 16), "x, edge_index -> x"),
            nn.ReLU(),
            SynchronousGraph(UnitGraph.complete(16, 16, NUM_CLASSES)),
        ],
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(50):
        loss = F.cross_entropy(model(x, edge_index)[train], y[train])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    with torch.no_grad():
        is_right = model(x, edge_index).argmax(dim=1) == y
    accuracy = float(is_right[~train].float().mean())
    print(f"accuracy on {int((~train).sum())} nodes: {accuracy:.2f}")
    return accuracy


if __name__ == "__main__":
    main()
