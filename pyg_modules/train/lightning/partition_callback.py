from __future__ import annotations

import warnings
from math import isfinite
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyg_modules._checks import check_state
from pyg_modules.modules.prune import prune_cross_edges
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.partition.metrics import normalized_cut
from pyg_modules.partition.schedule import PartitionSchedule
from pyg_modules.partition.verdict import Verdict
from pyg_modules.structure.optimizer_state import check_optimizes
from pyg_modules.train.epoch_record import PHASES
from pyg_modules.train.lightning.averaged_layers import averaged_layers, check_averages_masks
from pyg_modules.train.lightning.layer_optimizer import optimizer_of
from pyg_modules.train.lightning.lit_modular import LitModular
from pyg_modules.train.lightning.named_callback import NamedCallback
from pyg_modules.train.lightning.new_loader import new_loader
from pyg_modules.train.lightning.training_length import check_max_epochs, check_max_steps
from pyg_modules.train.probe import Probe, steps_of_probe


class PartitionCallback(NamedCallback):
    """Organises a layer by a :class:`PartitionSchedule`, then cuts it and lets it train on.

    The epochs of the schedule are those until the cut. In epochs after them, which
    ``Trainer(max_epochs=...)`` may add, edges between modules are off, as by
    :func:`prune_cross_edges`, and so is the regularizer. Parameters and optimizer keep their
    shapes, so that a checkpoint of any epoch can be loaded. After the training,
    ``cut(layer, callback.labels())`` makes the small layer. Averages of the weights that callbacks
    keep (``EMAWeightAveraging``, ``StochasticWeightAveraging``) are cut alike.

    A schedule without a probe gets one of a :class:`LitModular`, on the training data in a loader
    of its own; give it one in other modules. On several devices, the modules are those that the
    first one finds.

    Logged at the end of an epoch: ``phase``, 0 (free), 1 (ramp), 2 (full) or 3 (cut); ``strength``,
    that of the regularizer; and, once there are modules, ``normalized_cut``.

    Args:
        schedule (PartitionSchedule): Its regularizer is in the ``LightningModule``.
        name (str, optional): What its state is called in checkpoints; give each its own where a
            training has several. (default: none)

    Raises:
        TypeError: If ``schedule`` is none, or ``name`` no text.
    """

    def __init__(self, schedule: PartitionSchedule, *, name: str | None = None) -> None:
        if not isinstance(schedule, PartitionSchedule):
            raise TypeError(
                f"Expected a PartitionSchedule (got {type(schedule).__name__}). Make one:"
                f" PartitionSchedule(regularizer, epochs)."
            )
        super().__init__(name)
        self.schedule = schedule
        self._cut_labels: Tensor | None = None
        self._cut_verdict: Verdict | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the edges between modules have been switched off."""
        return self._cut_labels is not None

    def labels(self) -> Tensor:
        """The modules of the cut, ``[N]``; before it, those of the schedule as they are now."""
        return self.schedule.labels() if self._cut_labels is None else self._cut_labels

    def verdict(self) -> Verdict:
        """What these modules are worth; after the cut, what they were when it was made.

        Raises:
            ValueError: If the schedule has no probe.
        """
        return self.schedule.verdict() if self._cut_verdict is None else self._cut_verdict

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Raise unless the training can follow the schedule.

        Raises:
            ValueError: If ``pl_module`` does not contain the regularizer, or the training ends
                before the cut.
        """
        if stage != "fit":
            return
        if self.schedule.regularizer not in set(pl_module.modules()):
            raise ValueError(
                "Expected the regularizer of the schedule in the LightningModule (got one without)."
                " Use LitModular(model, regularizer=schedule.regularizer)."
            )
        check_max_epochs(trainer, self.schedule.epochs)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lend the schedule a probe; raise unless the layer is trained, and can be cut.

        Raises:
            ValueError: If no optimizer has its weight, or only one that :func:`cut` refuses; if
                buffers are averaged in a way that no mask can be; or if ``max_steps`` ends before
                the cut.
        """
        weight = self.schedule.regularizer.layer.weight
        check_optimizes(optimizer_of(trainer, weight), {"weight": weight})
        check_averages_masks(trainer)
        check_max_steps(trainer, pl_module, self.schedule.epochs)
        if self.schedule.needs_probe and not self.is_cut and isinstance(pl_module, LitModular):
            probe = self._new_probe(trainer, pl_module)
            if probe is not None:
                self.schedule.lend(probe)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Step the schedule; after its last epoch, cut."""
        if self.is_cut:
            return
        if trainer.current_epoch >= self.schedule.epochs:
            self._cut(trainer, pl_module)
            return
        self.schedule.step(trainer.current_epoch)
        self._follow_the_first(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log where the partition is."""
        phase = "cut" if self.is_cut else self.schedule.phase(trainer.current_epoch)
        values = {
            "phase": float(PHASES.index(phase)),
            "strength": self.schedule.regularizer.strength,
        }
        if phase != "free":
            values["normalized_cut"] = self._normalized_cut()
        pl_module.log_dict(values, sync_dist=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Warn of a training that something ended before the cut."""
        is_trial = trainer.fast_dev_run  # type: ignore[attr-defined]
        if not self.is_cut and not is_trial and trainer.current_epoch < self.schedule.epochs:
            warnings.warn(
                f"The training ended after epoch {trainer.current_epoch} of the"
                f" {self.schedule.epochs} until the cut, and its modules are not what they would"
                f" be. Let EarlyStopping or max_time wait until then, or shorten the schedule.",
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, Any]:
        """What has to be kept, beside the weights and the logits, to go on in an epoch."""
        return {
            "schedule": self.schedule.state_dict(),
            "strength": self.schedule.regularizer.strength,
            "labels": self._cut_labels,
            "verdict": None if self._cut_verdict is None else self._cut_verdict.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned.

        Raises:
            TypeError: If ``state_dict`` is no dict.
            ValueError: If it is that of something else, or of a layer of other units.
        """
        check_state(type(self).__name__, state_dict, self.state_dict())
        verdict = state_dict["verdict"]
        verdict = None if verdict is None else Verdict.of_state(verdict)
        self.schedule.load_state_dict(state_dict["schedule"])
        self.schedule.regularizer.strength = state_dict["strength"]
        self._cut_labels, self._cut_verdict = state_dict["labels"], verdict

    def _new_probe(self, trainer: L.Trainer, pl_module: LitModular) -> Probe | None:
        layer, loader = self.schedule.regularizer.layer, trainer.train_dataloader
        if not isinstance(layer, UnitLayer) or not isinstance(loader, DataLoader):
            return None
        num_batches = trainer.num_training_batches
        steps = None
        if isfinite(num_batches):
            steps = steps_of_probe(self.schedule.epochs * int(num_batches))
        # The same samples in a training that is resumed.
        data = new_loader(trainer, loader, epoch=0)
        return pl_module.new_probe(layer, data, steps=steps, seed=self.schedule.seed)

    def _follow_the_first(self, trainer: L.Trainer) -> None:
        """What the first device found."""
        schedule, regularizer = self.schedule, self.schedule.regularizer
        if trainer.world_size == 1:
            return
        # The number of modules and their sizes are of the regularizer, too.
        own = {name: value.cpu() for name, value in regularizer.state_dict().items()}
        found = schedule.state_dict(), regularizer.strength, own
        state, regularizer.strength, own = trainer.strategy.broadcast(found)
        schedule.load_state_dict(state)
        regularizer.load_state_dict(own)

    def _cut(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        schedule = self.schedule
        verdict = None if schedule.probe is None else schedule.verdict()
        found = (schedule.labels() if verdict is None else verdict.labels).cpu()
        labels, self._cut_verdict = trainer.strategy.broadcast((found, verdict))
        regularizer = schedule.regularizer
        layer = regularizer.layer
        prune_cross_edges(layer, labels, optimizer=optimizer_of(trainer, layer.weight))
        for averaged in averaged_layers(trainer, pl_module, layer):
            prune_cross_edges(averaged, labels)
        regularizer.strength = 0.0
        self._cut_labels = labels

    def _normalized_cut(self) -> float:
        """That of the modules of the cut; before it, of every unit in its most likely one."""
        regularizer = self.schedule.regularizer
        labels = self._cut_labels
        if labels is None:
            likely = regularizer.logits.argmax(dim=1)
            # Without gaps, where a module has lost all its units.
            labels = regularizer.units.labels_of_all(torch.unique(likely, return_inverse=True)[1])
        layer = regularizer.layer
        return normalized_cut(layer.graph.edge_index, layer.edge_weight(), labels)
