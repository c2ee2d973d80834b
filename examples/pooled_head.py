"""The layer as the head on `global_mean_pool`: was a graph grown by attachment, or at random?"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.datasets.graph_generator import BAGraph, ERGraph, GraphGenerator
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv, global_mean_pool

from pyg_modules import SynchronousGraph, UnitGraph


class Classifier(nn.Module):
    """Two convolutions, mean pooling, a unit graph."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = GraphConv(1, 16)
        self.conv2 = GraphConv(16, 16)
        self.head = SynchronousGraph(UnitGraph.complete(16, 16, 2))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of the two kinds, one row per graph."""
        x = self.conv1(x, edge_index).relu()
        x = self.conv2(x, edge_index).relu()
        logits: Tensor = self.head(global_mean_pool(x, batch))
        return logits


def graphs(generator: GraphGenerator, label: int) -> list[Data]:
    """Graphs of 30 nodes with about 112 directed edges."""
    edge_indices = [generator().edge_index for _ in range(200)]
    y = torch.tensor([label])
    return [Data(torch.ones(30, 1), edge_index, y=y) for edge_index in edge_indices]


def main() -> float:
    """The accuracy on graphs that were not seen."""
    torch.manual_seed(0)
    grown, random = graphs(BAGraph(30, 2), 0), graphs(ERGraph(30, 0.129), 1)
    train = DataLoader(grown[:150] + random[:150], batch_size=50, shuffle=True)
    test = next(iter(DataLoader(grown[150:] + random[150:], batch_size=100)))

    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(20):
        for data in train:
            loss = F.cross_entropy(model(data.x, data.edge_index, data.batch), data.y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    with torch.no_grad():
        predicted = model(test.x, test.edge_index, test.batch).argmax(dim=1)
    accuracy = float((predicted == test.y).float().mean())
    print(f"accuracy on {len(test)} graphs that were not seen: {accuracy:.2f}")
    return accuracy


if __name__ == "__main__":
    main()
