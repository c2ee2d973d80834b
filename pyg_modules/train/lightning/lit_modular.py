from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from copy import copy
from math import ceil, isfinite
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from pyg_modules._checks import as_coefficient, as_learning_rate, check_bool
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.partition.regularizer import PartitionRegularizer
from pyg_modules.train.check_model import check_model
from pyg_modules.train.checked_loss import CheckedLoss, check_is_trained, check_loss
from pyg_modules.train.edge_gradient import EdgeGradient
from pyg_modules.train.evaluation import are_classes
from pyg_modules.train.lightning.exact_resume import ExactResume
from pyg_modules.train.lightning.kept_edges import graphs_of, load_edges, save_edges
from pyg_modules.train.lightning.safetensors_io import SafetensorsIO
from pyg_modules.train.optimization import learning_rates, parameters_but
from pyg_modules.train.probe import Probe
from pyg_modules.train.training_schedule import check_regularized


class LitModular(L.LightningModule):
    """A model with a :class:`SynchronousGraph` in it, trained by Lightning as :func:`fit` does.

    AdamW, the learning rate by step, and no weight decay for the assignment of the regularizer.
    ``Trainer(gradient_clip_val=1.0)`` clips the gradients of the model, and not that of the
    assignment. Training resumes exactly, see :class:`ExactResume`.

    A batch is a pair ``(inputs, targets)``; any other, such as a ``Batch`` of PyG, goes to
    :meth:`forward` as it is and has its targets in ``batch.y``. A model that does not take what the
    batch gives needs one method:

    .. code-block:: python

        class LitGraphClassifier(LitModular):
            def forward(self, batch):
                return self.model(batch.x, batch.edge_index, batch.batch)

    Logged are the means over an epoch of the loss of the task, ``train_loss``, of the terms of the
    regularizer that are on, ``train_ncut`` and so on, and of the accuracy where the targets are
    classes ``[B]``, ``train_acc``; and ``val_loss``, ``val_acc``, ``test_loss``, ``test_acc``.
    Targets that the loss ignores do not count, and outputs and targets are checked, as in
    :func:`fit`.

    Args:
        model (torch.nn.Module): From the inputs to outputs, e.g. logits ``[B, C]``.
        loss (Callable, optional): From outputs and targets to a scalar. (default: cross-entropy)
        regularizer (PartitionRegularizer, optional): Of a layer of the model. It is added to the
            loss; a :class:`PartitionCallback` tells when. (default: none)
        learning_rate (float, optional): Largest learning rate. (default: 3e-3)
        weight_decay (float, optional): Decoupled weight decay of the model. (default: 0.1)
        one_cycle (bool, optional): Whether the learning rate rises and falls in one cycle; else it
            is constant, and falls to 0 in the last fifth. (default: ``True``)

    Raises:
        TypeError: If a number is none, or the model, the loss or the regularizer something else.
        ValueError: If a number is negative, or the regularizer is that of a layer outside.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        *,
        regularizer: PartitionRegularizer | None = None,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.1,
        one_cycle: bool = True,
    ) -> None:
        super().__init__()
        check_model(model)
        if isinstance(loss, PartitionRegularizer):
            raise TypeError(
                "Expected a loss of outputs and targets (got a PartitionRegularizer). Give it by"
                " name: regularizer=..."
            )
        if regularizer is not None:
            check_regularized(model, regularizer)
        self.model = model
        self.loss = loss
        check_loss(loss)
        self._checked: dict[str, CheckedLoss] = {}
        self.regularizer = regularizer
        self.learning_rate = as_learning_rate(learning_rate)
        self.weight_decay = as_coefficient("weight_decay", weight_decay)
        check_bool("one_cycle", one_cycle)
        self.one_cycle = one_cycle
        self.save_hyperparameters("learning_rate", "weight_decay", "one_cycle")
        self._is_regularized = False
        self._total_steps: float | None = None
        self._first_graphs = graphs_of(self)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> LitModular:
        """A module with the weights of a checkpoint, of :class:`SafetensorsIO` or of Lightning.

        As in Lightning, but what is no number is not in the checkpoint: give ``model``, and
        ``loss`` and ``regularizer`` where the module had them. Layers that a
        :class:`SparseSchedule` has given other edges get those of the checkpoint.

        Args:
            checkpoint_path (path): The checkpoint.
            *args: As in Lightning.
            **kwargs: As in Lightning; arguments of the module among them.

        Raises:
            RuntimeError: If ``model`` or ``regularizer`` are others than those of the checkpoint.
            ValueError: If the file is truncated, or a layer whose edges changed has other units.
        """
        source: Any = checkpoint_path
        is_file = isinstance(source, str | os.PathLike) and Path(source).is_file()
        if is_file and not zipfile.is_zipfile(source):  # Those of Lightning are.
            checkpoint = SafetensorsIO().load_checkpoint(source)
            source = io.BytesIO()  # Lightning reads no values, only files of its own.
            torch.save(checkpoint, source)
            source.seek(0)
        module: LitModular = super().load_from_checkpoint(source, *args, **kwargs)
        return module

    def forward(self, inputs: Any) -> Tensor:
        """The outputs of the model."""
        outputs: Tensor = self.model(inputs)
        return outputs

    def training_step(self, batch: Any) -> Tensor:
        """The loss of the task, and the penalty."""
        loss = self._logged_loss(batch, "train")
        if self.regularizer is None:
            return loss
        penalties = self.regularizer.losses()
        self._is_regularized = bool(penalties)
        for name, penalty in penalties.items():
            self.log(f"train_{name}", penalty, on_step=False, on_epoch=True, batch_size=1)
        # Copies on several devices wait for a gradient of every parameter in every step.
        idle = 0 * self.regularizer.logits.sum()
        return loss + self.regularizer.weighted(penalties) + idle

    def validation_step(
        self,
        batch: Any,
        batch_idx: int = 0,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """The loss of the task and the accuracy, logged."""
        self._logged_loss(batch, "val")

    def test_step(
        self,
        batch: Any,
        batch_idx: int = 0,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """The loss of the task and the accuracy, logged."""
        self._logged_loss(batch, "test")

    def predict_step(
        self,
        batch: Any,
        batch_idx: int = 0,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> Tensor:
        """The outputs for a batch, with or without targets."""
        outputs: Tensor = self(batch[0] if isinstance(batch, list | tuple) else batch)
        return outputs

    def on_train_start(self) -> None:
        """Raise if a resumed cycle of the learning rate ends before the training.

        Raises:
            ValueError: If the training has become longer than it was.
        """
        # Callbacks may have added an epoch without steps, as StochasticWeightAveraging does.
        total_steps = self._total_steps or self._planned_steps()
        for config in self.trainer.lr_scheduler_configs:
            scheduler = config.scheduler
            if not isinstance(scheduler, torch.optim.lr_scheduler.OneCycleLR):
                continue
            if config.interval == "step" and total_steps > scheduler.total_steps:
                raise ValueError(
                    f"Expected a training of at most {scheduler.total_steps} steps, those of the"
                    f" one cycle of the learning rate that the checkpoint is from (got"
                    f" {total_steps}). Resume with the max_epochs it began with; only trainings"
                    f" with one_cycle=False can become longer."
                )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Leave the assignment alone as long as the regularizer is off."""
        if self.regularizer is not None and not self._is_regularized:
            self.regularizer.logits.grad = None

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of the model, and not that of the assignment."""
        logits = None if self.regularizer is None else self.regularizer.logits
        if logits is not None:
            kept, logits.grad = logits.grad, None
        self.clip_gradients(
            optimizer,
            gradient_clip_val=gradient_clip_val,
            gradient_clip_algorithm=gradient_clip_algorithm,
        )
        if logits is not None:
            logits.grad = kept

    def configure_optimizers(self) -> Any:
        """AdamW and the learning rates of all steps.

        Raises:
            ValueError: If the trainer has no last step, or the loss parameters that are not in the
                model.
        """
        check_is_trained(self.loss, self.model)
        logits = [] if self.regularizer is None else list(self.regularizer.parameters())
        groups: list[dict[str, Any]] = [
            {"params": parameters_but(logits, self.model), "weight_decay": self.weight_decay}
        ]
        if logits:
            groups.append({"params": logits, "weight_decay": 0.0})
        for group in groups:
            group["lr"] = self.learning_rate
        optimizer = torch.optim.AdamW(groups)
        total_steps = self._planned_steps()
        if total_steps == 0 or self.trainer.limit_train_batches == 0:
            raise ValueError(
                "Expected a training of a step at least (got one without). Give it batches: more"
                " data, or a Trainer with another limit_train_batches, max_epochs or max_steps."
            )
        if not isfinite(total_steps) or total_steps < 0:
            raise ValueError(
                "Expected a training with a last step, when the learning rate is 0 (got one without"
                " end). Use Trainer(max_epochs=...), or max_steps where the data has no length."
            )
        self._total_steps = total_steps
        scheduler = learning_rates(optimizer, int(total_steps), self.one_cycle)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def _planned_steps(self) -> float:
        """How many steps the training has, also where batches are accumulated by a schedule."""
        trainer, steps = self.trainer, self.trainer.estimated_stepping_batches
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        schedules = [one for one in callbacks if isinstance(one, GradientAccumulationScheduler)]
        if not schedules or not isfinite(trainer.num_training_batches) or trainer.max_epochs == -1:
            return steps
        steps = sum(
            ceil(trainer.num_training_batches / schedules[0].get_accumulate_grad_batches(epoch))
            for epoch in range(trainer.max_epochs or 1)
        )
        return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)

    def new_probe(self, layer: UnitLayer, data: Any, *, steps: int | None, seed: int) -> Probe:
        """What a :class:`PartitionSchedule` asks for the worth of modules of a layer of the model.

        Args:
            layer (UnitLayer): The layer.
            data (object): Training data, as :func:`fit` takes it.
            steps (int): Steps of a probe; ``None`` is one pass over the data.
            seed (int): Of the samples and their order.
        """
        return Probe(
            self.model,
            data,
            layer=layer,
            steps=steps,
            loss=self.loss,
            forward=self._forward_through,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            seed=seed,
        )

    def new_gradient(self, layer: UnitLayer, data: Any) -> EdgeGradient:
        """What a :class:`SparseSchedule` asks for the gradients of edges of a layer of the model.

        Args:
            layer (UnitLayer): The layer.
            data (object): Training data, as :func:`fit` takes it.
        """
        return EdgeGradient(
            self.model, data, layer=layer, loss=self.loss, forward=self._forward_through
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the edges of layers that have been rewired, to which their weights belong."""
        save_edges(self, self._first_graphs, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Give every layer the edges of the weights that come, and their precision.

        Raises:
            ValueError: If a layer has other units than that of the checkpoint, or cannot be
                rewired.
        """
        optimizers = [] if self._trainer is None else self.trainer.optimizers
        load_edges(self, self._first_graphs, checkpoint, optimizers)
        if self._trainer is not None and self.trainer.precision == "64-true":
            self.double()  # Lightning does it when weights were rounded already.

    def configure_callbacks(self) -> list[L.Callback]:
        """What makes a resumed training go on exactly."""
        return [ExactResume()]

    def _forward_through(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Outputs of another model in the place of this one's, and targets."""
        inputs, targets = _inputs_and_targets(batch)
        stand_in = copy(self)
        stand_in.__dict__["_modules"] = {**self._modules, "model": model}
        # Under DDP, Lightning leaves there what is bound to this module.
        stand_in.__dict__.pop("forward", None)
        return stand_in(inputs), targets

    def _logged_loss(self, batch: Any, stage: str) -> Tensor:
        inputs, targets = _inputs_and_targets(batch)
        outputs = self(inputs)
        checked = self._checked.get(stage)
        if checked is None or checked.loss is not self.loss:
            checked = self._checked[stage] = CheckedLoss(self.loss)
        loss = checked(outputs, targets)
        # A training waits for no device; there, a batch counts by its number of samples.
        weight: Any = len(targets) if stage == "train" else checked.weight(targets)
        # Of targets that are all ignored, the loss is none; other ranks have some that count.
        found = {"loss": (loss if weight else torch.zeros_like(loss), weight)}
        if are_classes(outputs, targets):
            counted = checked.counted(targets)
            right, number = (outputs.argmax(dim=-1) == targets) & counted, counted.sum()
            found["acc"] = right.sum() / number.clamp(min=1), number
        for name, (value, batch_size) in found.items():
            self.log(
                f"{stage}_{name}",
                value,
                prog_bar=True,
                on_step=False,
                on_epoch=True,
                batch_size=batch_size,
                sync_dist=True,
            )
        return loss


def _inputs_and_targets(batch: Any) -> tuple[Any, Tensor]:
    if not isinstance(batch, list | tuple):
        if not hasattr(batch, "y"):
            raise TypeError(
                f"Expected a batch (inputs, targets), or one with its targets in batch.y (got"
                f" {type(batch).__name__}). Make pairs of it in the Dataset or in collate_fn."
            )
        targets: Tensor = batch.y
        return batch, targets
    if len(batch) != 2:
        raise ValueError(
            f"Expected a batch (inputs, targets) (got {len(batch)} parts). Join the inputs in one"
            f" part, and take it apart in a forward of your own."
        )
    return batch[0], batch[1]
