"""Units to modules: soft assignment, losses, rounding to balanced labels, metrics."""

from pyg_modules.partition.agreement import agreement, stability
from pyg_modules.partition.judge import PartitionProbe
from pyg_modules.partition.labels import check_labels
from pyg_modules.partition.losses import (
    LOSSES,
    Loss,
    balance_loss,
    cost_balance_loss,
    ncut_loss,
    sharpness_loss,
)
from pyg_modules.partition.methods import METHODS, partition_units
from pyg_modules.partition.metrics import (
    conductance,
    cost_balance,
    cut_fraction,
    modularity,
    module_costs,
    module_sizes,
    normalized_cut,
    size_balance,
)
from pyg_modules.partition.regularizer import PartitionRegularizer
from pyg_modules.partition.rounding import balanced_labels
from pyg_modules.partition.schedule import PartitionSchedule
from pyg_modules.partition.suggest import ModuleSuggestion, suggest_num_modules
from pyg_modules.partition.units import Partitionable, Units
from pyg_modules.partition.verdict import Verdict

__all__ = [
    "LOSSES",
    "METHODS",
    "Loss",
    "ModuleSuggestion",
    "PartitionProbe",
    "PartitionRegularizer",
    "PartitionSchedule",
    "Partitionable",
    "Units",
    "Verdict",
    "agreement",
    "balance_loss",
    "balanced_labels",
    "check_labels",
    "conductance",
    "cost_balance",
    "cost_balance_loss",
    "cut_fraction",
    "modularity",
    "module_costs",
    "module_sizes",
    "ncut_loss",
    "normalized_cut",
    "partition_units",
    "sharpness_loss",
    "size_balance",
    "stability",
    "suggest_num_modules",
]
