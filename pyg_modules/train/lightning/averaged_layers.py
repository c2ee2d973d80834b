"""The copies of a layer that callbacks average."""

from __future__ import annotations

from collections.abc import Iterator

import lightning as L
import torch
from lightning.pytorch import callbacks
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import nn
from torch.optim.swa_utils import AveragedModel

from pyg_modules.nn.unit_layer import UnitLayer

# Those of Lightning that average a whole module; earlier versions have one of them.
_WHOLE = tuple(
    getattr(callbacks, name)
    for name in ("StochasticWeightAveraging", "WeightAveraging")
    if hasattr(callbacks, name)
)


def averaged_layers(
    trainer: L.Trainer, pl_module: L.LightningModule, layer: UnitLayer
) -> list[UnitLayer]:
    """The copies of ``layer`` in the averages of ``pl_module``, or of a part of it."""
    return [it for it in _in_its_place(trainer, pl_module, layer) if it.graph == layer.graph]


def check_not_averaged(trainer: L.Trainer, pl_module: L.LightningModule, layer: UnitLayer) -> None:
    """Raise unless no callback has, or is to have, a copy of ``layer`` with whatever edges.

    Raises:
        ValueError: If one averages weights.
    """
    if any(isinstance(it, _WHOLE) for it in trainer.callbacks) or any(  # type: ignore[attr-defined]
        it.graph.num_units == layer.graph.num_units
        for it in _in_its_place(trainer, pl_module, layer)
    ):
        raise ValueError(
            "Expected no averages of weights whose edges change (got a callback that averages those"
            " of the layer). Train without it, and average in a training that follows, of the edges"
            " that are left."
        )


def check_averages_masks(trainer: L.Trainer) -> None:
    """Raise unless all averages of buffers can have an ``edge_mask`` among them.

    Raises:
        ValueError: If what makes an average of numbers makes none of a mask.
    """
    for averaged in _averaged_models(trainer):
        if not averaged.use_buffers:
            continue
        masked = nn.Module()
        masked.register_buffer("edge_mask", torch.ones(1, dtype=torch.bool, device="cpu"))
        trial = AveragedModel(masked, None, averaged.avg_fn, averaged.multi_avg_fn, True)
        try:
            for _ in range(2):
                trial.update_parameters(masked)
        except RuntimeError as error:
            raise ValueError(
                f"Expected averages of parameters, or such of buffers that can be made of a"
                f" mask, which the layer has after the cut (got: {error}). Use"
                f" WeightAveraging(use_buffers=False, ...)."
            ) from error


def _in_its_place(
    trainer: L.Trainer, pl_module: L.LightningModule, layer: UnitLayer
) -> list[UnitLayer]:
    """The layers that averages have where ``pl_module``, or a part of it, has ``layer``."""
    path = next((name for name, module in pl_module.named_modules() if module is layer), "")
    return [
        module
        for average in _averages(trainer)
        for name, module in average.named_modules()
        if isinstance(module, UnitLayer) and (not name or f".{path}".endswith(f".{name}"))
    ]


def _averages(trainer: L.Trainer) -> Iterator[nn.Module]:
    for averaged in _averaged_models(trainer):
        yield averaged.module
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, StochasticWeightAveraging):  # It has a plain copy.
            yield from (one for one in vars(callback).values() if isinstance(one, nn.Module))


def _averaged_models(trainer: L.Trainer) -> Iterator[AveragedModel]:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        yield from (one for one in vars(callback).values() if isinstance(one, AveragedModel))
