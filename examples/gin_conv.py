"""The layer inside `GINConv`, in the place of its MLP: is a house or a cycle attached to a tree?"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.datasets import ExplainerDataset
from torch_geometric.datasets.graph_generator import BAGraph
from torch_geometric.datasets.motif_generator import CycleMotif, HouseMotif, MotifGenerator
from torch_geometric.loader import DataLoader
from torch_geometric.nn import BatchNorm, GINConv, global_add_pool

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled


class GIN(nn.Module):
    """Two convolutions whose update is a unit graph, sum pooling, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = GINConv(SynchronousGraph(UnitGraph.complete(1, 16, 16), Unrolled(steps=3)))
        self.norm1 = BatchNorm(16)
        self.conv2 = GINConv(SynchronousGraph(UnitGraph.complete(16, 16, 16), Unrolled(steps=3)))
        self.norm2 = BatchNorm(16)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of the two motifs, one row per graph."""
        x = self.norm1(self.conv1(x, edge_index)).relu()
        x = self.norm2(self.conv2(x, edge_index)).relu()
        logits: Tensor = self.head(global_add_pool(x, batch))
        return logits


def graphs(motif: MotifGenerator, label: int) -> list[Data]:
    """Random trees with one motif each, 25 nodes in all."""
    dataset = ExplainerDataset(BAGraph(20, 1), motif, num_motifs=1, num_graphs=200)
    y = torch.tensor([label])
    return [Data(torch.ones(data.num_nodes, 1), data.edge_index, y=y) for data in dataset]


def main() -> float:
    """The accuracy on graphs that were not seen."""
    torch.manual_seed(0)
    houses, cycles = graphs(HouseMotif(), 0), graphs(CycleMotif(5), 1)
    train = DataLoader(houses[:150] + cycles[:150], batch_size=50, shuffle=True)
    test = next(iter(DataLoader(houses[150:] + cycles[150:], batch_size=100)))

    model = GIN()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    # The running statistics of BatchNorm follow once the weights come to rest.
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, 40 * len(train))
    for _ in range(40):
        for data in train:
            loss = F.cross_entropy(model(data.x, data.edge_index, data.batch), data.y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()

    model.eval()
    with torch.no_grad():
        predicted = model(test.x, test.edge_index, test.batch).argmax(dim=1)
    accuracy = float((predicted == test.y).float().mean())
    print(f"accuracy on {len(test)} graphs that were not seen: {accuracy:.2f}")
    return accuracy


if __name__ == "__main__":
    main()
