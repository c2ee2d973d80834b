"""Units to modules: soft assignment, losses, rounding to balanced labels, metrics."""

from pyg_modules.partition.balance import balance_loss
from pyg_modules.partition.labels import check_labels
from pyg_modules.partition.metrics import cut_fraction, module_sizes, normalized_cut
from pyg_modules.partition.ncut import ncut_loss
from pyg_modules.partition.regularizer import PartitionRegularizer
from pyg_modules.partition.rounding import balanced_labels

__all__ = [
    "PartitionRegularizer",
    "balance_loss",
    "balanced_labels",
    "check_labels",
    "cut_fraction",
    "module_sizes",
    "ncut_loss",
    "normalized_cut",
]
