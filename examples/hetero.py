"""`to_hetero` on a model with the layer: one unit graph of its own for every type of node."""

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import SAGEConv, Sequential, to_hetero

from pyg_modules import SynchronousGraph, UnitGraph


class Model(nn.Module):
    """A convolution, and a unit graph that updates what it gathered."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = SAGEConv((-1, -1), 16)
        # The layer is a MessagePassing, of which to_hetero makes one copy per type of edge, not of
        # node, unless it is inside another module.
        layer = SynchronousGraph(UnitGraph.complete(16, 16, 4))
        self.update = Sequential("x", [(layer, "x -> x")])

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The new embeddings, one row per node."""
        y: Tensor = self.update(self.conv(x, edge_index).relu())
        return y


def main() -> dict[str, float]:
    """For every type of node, the difference from the same convolutions and layers, by hand."""
    torch.manual_seed(0)
    data = HeteroData()
    data["author"].x, data["paper"].x = torch.randn(30, 5), torch.randn(50, 7)
    for source, relation, target in [
        ("author", "writes", "paper"),
        ("paper", "written_by", "author"),
        ("paper", "cites", "paper"),
    ]:
        ends = torch.tensor([[data[source].num_nodes], [data[target].num_nodes]])
        data[source, relation, target].edge_index = (torch.rand(2, 100) * ends).long()

    model = to_hetero(Model(), data.metadata())
    x, edge_index = data.x_dict, data.edge_index_dict
    y = model(x, edge_index)

    differences = {}
    for node_type, update in model.update.items():
        gathered = sum(
            model.conv["__".join(edge_type)]((x[edge_type[0]], x[node_type]), edge_index[edge_type])
            for edge_type in data.edge_types
            if edge_type[-1] == node_type
        )
        by_hand = update[0](gathered.relu())
        differences[node_type] = float((y[node_type] - by_hand).abs().max().detach())
        print(f"{node_type}: outputs {list(y[node_type].shape)}, {update[0]}")
    return differences


if __name__ == "__main__":
    main()
