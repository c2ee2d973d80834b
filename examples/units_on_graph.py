"""A unit graph on every node of a data graph, organised into modules and cut.

On a generated graph, or on one of Planetoid: ``--data-root FOLDER --name Cora``.
"""

import argparse
import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import stochastic_blockmodel_graph

from pyg_modules import SynchronousConv, UnitGraph, Unrolled
from pyg_modules.modules import check_independence
from pyg_modules.train import organise


class Model(nn.Module):
    """Dropout, and one layer that is as deep as it has steps."""

    def __init__(self, num_inputs: int, num_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        graph = UnitGraph.complete(num_inputs, 32, num_classes)
        self.conv = SynchronousConv(graph, solver=Unrolled(steps=4), activation="tanh")

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of the classes, one row per node."""
        logits: Tensor = self.conv(self.dropout(x), edge_index)
        return logits


def generated() -> Data:
    """Four blocks of nodes, whose features say little, and edges mostly within them."""
    y = torch.arange(4).repeat_interleave(60)
    edge_probs = torch.full((4, 4), 0.01).fill_diagonal_(0.15)
    edge_index = stochastic_blockmodel_graph([60] * 4, edge_probs)
    x = torch.randn(4, 8)[y] + 2 * torch.randn(len(y), 8)
    train = torch.rand(len(y)) < 0.3
    return Data(x, edge_index, y=y, train_mask=train, test_mask=~train)


def main(arguments: Sequence[str] = ()) -> tuple[float, int]:
    """The accuracy on the nodes whose class was not given, and paths between modules."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder of Planetoid; a graph is generated without")
    parser.add_argument("--name", default="Cora", help="which of Planetoid (default: Cora)")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    data = generated()
    if options.data_root:
        from torch_geometric.datasets import Planetoid

        data = Planetoid(options.data_root, options.name)[0]

    model = Model(data.num_features, int(data.y.max()) + 1)
    organised = organise(model, data, num_modules=4, epochs=30, finetune_epochs=10)
    model.eval()
    with torch.no_grad():
        right = model(data.x, data.edge_index).argmax(dim=1) == data.y
    accuracy = float(right[data.test_mask].float().mean())
    # A small graph of nodes is enough to see that no module depends on another.
    few = torch.tensor([[0, 1, 2], [1, 2, 0]])
    proof = check_independence(organised.layer, data.x[:3], few)
    print(f"{organised.verdict}\naccuracy {accuracy:.2f}, {proof.paths} paths between modules")
    return accuracy, proof.paths


if __name__ == "__main__":
    main(sys.argv[1:])
