from __future__ import annotations

from collections.abc import Callable
from math import nan

import torch
from torch import Tensor, nn

from pyg_modules._brief import brief
from pyg_modules.train.least_loss import LossAtBest
from pyg_modules.train.loss_watch import LossWatch

# Of other outputs, at random: several, as ranks and shares of right answers are often the same.
_SCALES = 1.0, 1.0, 10.0, 100.0
# What a loss may raise that is asked for other outputs than a network gives, or is none of torch.
_NOT_TAKEN = ArithmeticError, AssertionError, IndexError, RuntimeError, TypeError, ValueError
#: From outputs and targets to a scalar.
Loss = Callable[[Tensor, Tensor], Tensor]


class CheckedLoss:
    """A loss that looks at the first outputs and targets, and at those with which it fails.

    Args:
        loss (Callable): From outputs and targets to a scalar.

    Raises:
        TypeError: If ``loss`` cannot be called.
        ValueError: If it is a sum over the samples.
    """

    def __init__(self, loss: Loss) -> None:
        check_loss(loss)
        #: The loss itself.
        self.loss = loss
        self._is_checked = False
        self._link: Callable[[Tensor], Tensor] | None = None
        #: Whether no outputs have the lowest loss.
        self.has_no_best = False
        self._ignored: int | None = None
        self._class_weight: Tensor | None = None

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss.

        Raises:
            TypeError: If the targets, or the weights of classes, are of a type that the loss does
                not take, or it returns something else than a scalar with a gradient.
            ValueError: If a class is out of range, shapes do not fit together, or it is a sum.
        """
        if self._is_checked:
            try:
                return self.loss(outputs, targets)
            except (IndexError, RuntimeError):
                pass  # It fails again below, unless there is more to say.
        watch = LossWatch(outputs, targets)
        try:
            with watch:
                loss = self.loss(outputs, targets)
            _check_scalar(loss)
            if loss is watch.summed:
                raise _is_sum(self.loss)
            if watch.mixed and loss.requires_grad:  # Some fail here only.
                torch.autograd.grad(loss, outputs, retain_graph=True)
        except RuntimeError as error:
            if not watch.mixed:
                raise
            outputs, name, others = watch.mixed
            remedy = f"y.to({outputs.dtype}), or y.astype(float) of an array"
            if name != "targets":
                remedy = f"weight.to({outputs.dtype})"
            raise TypeError(
                f"Expected {name} that are {outputs.dtype}, as the outputs (got {others.dtype})."
                f" Use {remedy}."
            ) from error
        self._ignored, self._class_weight = watch.ignored, watch.class_weight
        self._link, self._is_checked = watch.link, True
        self.has_no_best = watch.has_no_best
        return loss

    def linked(self, values: Tensor) -> Tensor:
        """Outputs that the loss takes, ``[B, ...]``, made of any numbers.

        Logarithms of probabilities, or probabilities, where it takes these; else they are as given.
        """
        return values if self._link is None else self._link(values)

    @torch.enable_grad()
    def least(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The lowest loss that outputs of this shape can have, a scalar; NaN if it is not known."""
        unknown = torch.full((), nan, device=outputs.device)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(len(_SCALES), *outputs.shape, generator=generator, device="cpu")
        elsewhere = [scale * one.to(outputs) for scale, one in zip(_SCALES, noise, strict=True)]
        with LossAtBest() as best:
            try:
                least = self.loss(outputs.detach(), targets)
                rise = torch.autograd.grad(least, best.losses, allow_unused=True)
                others = [self.loss(one, targets) for one in elsewhere]
            except _NOT_TAKEN:
                return unknown
        # What depends on the outputs in other ways, too, or falls as one of the losses rises, may
        # be lower elsewhere.
        is_known = all(bool(other == least) for other in others)
        is_known &= all(one is None or bool((one >= 0).all()) for one in rise)
        return least.detach() if is_known else unknown

    def counted(self, targets: Tensor) -> Tensor:
        """Which targets are not those to ignore, a boolean mask of their shape."""
        if self._ignored is None:
            return torch.ones_like(targets, dtype=torch.bool)
        return targets != self._ignored

    def weight(self, targets: Tensor) -> float:
        """What the loss of these targets, a mean, counts beside those of other batches.

        The number of samples that count, or the sum of the weights of their classes.
        """
        counted = self.counted(targets)
        if self._class_weight is None:
            return num_samples_of(counted)
        return float(self._class_weight.to(targets.device)[targets[counted].long()].sum())


def num_samples_of(counted: Tensor) -> float:
    """How many samples the targets are that count, of which each may have several.

    Args:
        counted (BoolTensor): Which targets count, ``[B, ...]``.
    """
    return int(counted.sum()) * len(counted) / counted.numel()


def check_is_trained(loss: object, model: nn.Module) -> None:
    """Raise a ``ValueError`` if ``loss`` has parameters that nobody trains with ``model``."""
    if not isinstance(loss, nn.Module):
        return
    known = set(model.parameters())
    own = [one for one in loss.parameters() if one.requires_grad and one not in known]
    if own:
        raise ValueError(
            f"Expected a loss whose parameters are in the model, which is what is trained (got a"
            f" {type(loss).__name__} with {len(own)} of its own). Make it a part of the model, as"
            f" by model.loss = loss, or freeze it: loss.requires_grad_(False)."
        )


def check_loss(loss: object) -> None:
    """Raise unless ``loss`` is something to call, not the class of it, and no sum."""
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(
            f"Expected a loss that can be called (got {brief(loss)}). Give a function, such as"
            f" torch.nn.functional.mse_loss, or an object, such as torch.nn.MSELoss()."
        )
    if getattr(loss, "reduction", None) == "sum":
        raise _is_sum(loss)


def _is_sum(loss: object) -> ValueError:
    return ValueError(
        f"Expected a loss that is a mean over the samples (got {brief(loss)} with"
        f" reduction='sum', which depends on the size of batches). Leave reduction out."
    )


def _check_scalar(loss: object) -> None:
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"Expected a loss that returns a scalar tensor (got {type(loss).__name__}). Return the"
            f" mean over the samples, without .item()."
        )
    if loss.numel() != 1 or (torch.is_grad_enabled() and not loss.requires_grad):
        got = f"{list(loss.shape)}" if loss.numel() != 1 else "one without"
        raise TypeError(
            f"Expected a loss that returns a scalar tensor with a gradient (got {got}). Return the"
            f" mean over the samples, e.g. by reduction='mean', without .detach()."
        )
