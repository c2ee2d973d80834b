from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ExperimentConfig:
    """The settings of one run of :func:`run_experiment`.

    Args:
        num_modules (int or str, optional): Number of modules K, from 2 to ``num_hidden``; or
            ``"auto"``, which is found in the training, see :class:`PartitionSchedule`. (default: 4)
        scope (str, optional): Which units are partitioned, ``"hidden"``, ``"inputs"`` or
            ``"all"``, see :class:`PartitionRegularizer`. (default: ``"hidden"``)
        num_hidden (int, optional): Number of hidden units. (default: 128)
        steps (int, optional): Synchronous updates. (default: 6)
        epochs (int, optional): Passes over the data until the cut. (default: 40)
        finetune_epochs (int, optional): Passes after the cut. (default: 40)
        ncut (float, optional): Coefficient of the normalized cut. (default: 1.0)
        balance (float, optional): Coefficient of the balance. (default: 3.0)
        tolerance (float, optional): By which share of their mean the sizes of modules may differ.
            (default: 0.0)
        activation (str, optional): Of the unit graphs, see :class:`SynchronousGraph`. (default:
            ``"relu"``)
        learning_rate (float, optional): Largest learning rate of the one-cycle schedule. (default:
            3e-3)
        weight_decay (float, optional): Decoupled weight decay. (default: 0.1)
        batch_size (int, optional): Samples per step. (default: 64)
        seed (int, optional): Of everything random. (default: 0)
        random_cut (bool, optional): Whether the organised network is also cut at random, and
            trained on. (default: ``False``)
        device (str, optional): Where to compute, e.g. ``"cpu"`` or ``"cuda"``; ``"auto"`` becomes
            CUDA where there is one, else the CPU. (default: ``"auto"``)

    Raises:
        TypeError: If a setting has the wrong type.
        ValueError: If a setting is out of range.
    """

    num_modules: int | Literal["auto"] = 4
    scope: str = "hidden"
    num_hidden: int = 128
    steps: int = 6
    epochs: int = 40
    finetune_epochs: int = 40
    ncut: float = 1.0
    balance: float = 3.0
    tolerance: float = 0.0
    activation: str = "relu"
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    batch_size: int = 64
    seed: int = 0
    random_cut: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        # Not at the top: a command line reads the defaults before it waits for torch.
        from pyg_modules._checks import (
            as_coefficient,
            as_int,
            as_learning_rate,
            as_num_modules,
            as_share,
            check_bool,
            chosen_device,
        )
        from pyg_modules.ops.activation import check_activation
        from pyg_modules.partition.units import check_scope

        smallest = {
            "num_hidden": 2,
            "steps": 1,
            "epochs": 1,
            "finetune_epochs": 0,
            "batch_size": 1,
            "seed": 0,
        }
        for name, bound in smallest.items():
            object.__setattr__(self, name, as_int(name, getattr(self, name), bound))
        for name in ("ncut", "balance", "weight_decay"):
            object.__setattr__(self, name, as_coefficient(name, getattr(self, name)))
        object.__setattr__(self, "tolerance", as_share("tolerance", self.tolerance))
        object.__setattr__(self, "learning_rate", as_learning_rate(self.learning_rate))
        check_bool("random_cut", self.random_cut)
        num_modules = as_num_modules(self.num_modules, self.num_hidden)
        object.__setattr__(self, "num_modules", num_modules)
        check_scope(self.scope)
        check_activation(self.activation)
        object.__setattr__(self, "device", chosen_device(self.device))
