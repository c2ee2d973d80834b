"""The layer after `GCNConv`, organised while it learns, then cut, and put back into the model."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.utils import stochastic_blockmodel_graph

from pyg_modules import SynchronousGraph, UnitGraph, split
from pyg_modules.modules import check_independence
from pyg_modules.train import organise

NUM_CLASSES, PER_CLASS = 4, 100


class Model(nn.Module):
    """A convolution, and a unit graph that updates what it gathered."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(8, 16)
        self.update = SynchronousGraph(UnitGraph.complete(16, 32, NUM_CLASSES))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of the classes, one row per node."""
        logits: Tensor = self.update(self.conv(x, edge_index).relu())
        return logits


def main() -> tuple[float, float, int]:
    """The accuracy before the cut and after it, and the paths left between modules."""
    torch.manual_seed(0)
    y = torch.arange(NUM_CLASSES).repeat_interleave(PER_CLASS)
    edge_probs = torch.full((NUM_CLASSES, NUM_CLASSES), 0.02).fill_diagonal_(0.08)
    edge_index = stochastic_blockmodel_graph([PER_CLASS] * NUM_CLASSES, edge_probs)
    x = torch.randn(NUM_CLASSES, 8)[y] + 2 * torch.randn(len(y), 8)
    train = torch.rand(len(y)) < 0.5
    data = Data(x, edge_index, y=y, train_mask=train, val_mask=~train)

    model = Model()
    print(model.update.graph)
    organised = organise(
        model,
        data,
        num_modules=4,
        epochs=120,
        finetune_epochs=20,
        learning_rate=0.01,
        validation_data=data,
    )
    before, after = organised.accuracy["uncut"], organised.accuracy["finetuned"]
    paths = check_independence(model.update, torch.rand(4, 16)).paths
    print(f"accuracy {before:.3f} before the cut, {after:.3f} after it and a short training")
    print(f"{model.update.graph}, paths between modules: {paths}")
    for number, part in enumerate(split(model.update)):
        print(f"module {number}: {part.graph}")
    return before, after, paths


if __name__ == "__main__":
    main()
