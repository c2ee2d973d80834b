from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pyg_modules.train.least_loss import bound_arguments

_OF_CLASSES = (F.cross_entropy, F.nll_loss)
#: Losses that compare every output with the target at its place.
_ELEMENTWISE = (
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.gaussian_nll_loss,
    F.hinge_embedding_loss,
    F.huber_loss,
    F.kl_div,
    F.l1_loss,
    F.mse_loss,
    F.multilabel_soft_margin_loss,
    F.poisson_nll_loss,
    F.smooth_l1_loss,
    F.soft_margin_loss,
)


def _log_probabilities(logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=min(1, logits.dim() - 1))


# Losses of the outputs of a model that ends with a sigmoid, or a softmax.
_LINKS: dict[Callable[..., Any], Callable[[Tensor], Tensor]] = {
    F.binary_cross_entropy: torch.sigmoid,
    F.kl_div: _log_probabilities,
    F.nll_loss: _log_probabilities,
}
# How far from 1 the probabilities of a sample may add up to.
_ROUNDING = 1e-2


class LossWatch(TorchFunctionMode):
    """Looks at what the losses of torch are given, wherever they are called while it is on.

    So objects, partial functions, subclasses and functions around a loss are all seen through.

    Args:
        outputs (Tensor): What the whole loss is given.
        targets (Tensor): Likewise.
    """

    def __init__(self, outputs: Tensor, targets: Tensor) -> None:
        super().__init__()
        self._outputs, self._targets = outputs, targets
        #: The class whose targets do not count, where the targets are classes.
        self.ignored: int | None = None
        #: What each class counts in the mean, where that is not the same.
        self.class_weight: Tensor | None = None
        #: The outputs of a loss, and the targets that it compares them with one by one or the
        #: weights of classes, by its name, if these are of another dtype.
        self.mixed: tuple[Tensor, str, Tensor] | None = None
        #: What makes outputs that the loss takes of any numbers, where it does not take all.
        self.link: Callable[[Tensor], Tensor] | None = None
        #: Whether no outputs are the best: the better they are, the lower a variance may be.
        self.has_no_best = False
        #: What the last loss returned, if that is a sum.
        self.summed: Tensor | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, unless it would fail or compare what does not belong together.

        Raises:
            TypeError: If the targets are of a type that the loss does not take.
            ValueError: If a class is out of range, or shapes do not fit together.
        """
        kwargs = kwargs or {}
        if func in _OF_CLASSES or func in _ELEMENTWISE:
            given = bound_arguments(func, args, kwargs)
            outputs, targets = given.arguments["input"], given.arguments["target"]
            if outputs is self._outputs:
                self.link = _LINKS.get(func)
            variance = given.arguments.get("var")
            self.has_no_best |= isinstance(variance, Tensor) and variance.requires_grad
            if func in _ELEMENTWISE:
                if outputs.dtype != targets.dtype:
                    self.mixed = outputs, "targets", targets
                if outputs.shape != targets.shape and (
                    self._are_targets(targets) or self._are_rows(outputs, targets)
                ):
                    raise _unequal(outputs, targets)
            elif func is F.cross_entropy and outputs.shape == targets.shape:
                _check_probabilities(outputs, targets)
            else:
                _check_logits(outputs, are_logits=func is F.cross_entropy)
                ignored = given.arguments["ignore_index"]
                _check_classes(outputs, targets, ignored)
                if targets is self._targets:
                    self.ignored, self.class_weight = ignored, given.arguments["weight"]
        if func in _OF_CLASSES and (weight := given.arguments["weight"]) is not None:
            _check_class_weight(outputs, weight)
            if outputs.dtype != weight.dtype:
                self.mixed = outputs, "class weights", weight
        result = func(*args, **kwargs)
        if kwargs.get("reduction") == "sum":
            self.summed = result
        if isinstance(result, Tensor) and self._compares_all_pairs(args, result):
            raise _unequal(self._outputs, self._targets)
        return result

    def _are_targets(self, values: Tensor) -> bool:
        """Whether these may be the targets, in another shape or dtype."""
        known = self._targets
        is_of_outputs = _shares_memory(values, self._outputs)
        return _shares_memory(values, known) or (
            isinstance(known, Tensor) and values.numel() == known.numel() and not is_of_outputs
        )

    def _are_rows(self, outputs: Tensor, targets: Tensor) -> bool:
        """Whether both have a row for each sample, and more would be compared than there is."""
        rows = [
            one.shape[:1] for one in (self._outputs, outputs, targets) if isinstance(one, Tensor)
        ]
        if len(rows) < 3 or len(set(rows)) > 1:
            return False
        try:
            together: int = (outputs.detach() + targets.detach()).numel()
        except RuntimeError:
            return True
        return together > max(outputs.numel(), targets.numel())

    def _compares_all_pairs(self, args: tuple[Any, ...], result: Tensor) -> bool:
        """Whether a vector was broadcast against a column, as by outputs - targets."""
        pair = self._outputs, self._targets
        if not all(isinstance(part, Tensor) for part in pair):
            return False  # A loss of the user's own may take other things.
        are_pair = set(map(id, args)) == set(map(id, pair))
        vector, column = sorted(pair, key=Tensor.dim)
        size = vector.numel()
        shapes = vector.shape, column.shape, result.shape
        return are_pair and shapes == ((size,), (size, 1), (size, size))


def _shares_memory(values: Tensor, others: object) -> bool:
    if not isinstance(others, Tensor):
        return False
    try:
        return values.untyped_storage().data_ptr() == others.untyped_storage().data_ptr()
    except RuntimeError:  # Sparse, or in a transformation of functions.
        return False


def _unequal(outputs: Tensor, targets: Tensor) -> ValueError:
    shape = ", ".join(map(str, (-1, *outputs.shape[1:])))
    is_reshaped = outputs.numel() == targets.numel()
    return ValueError(
        f"Expected targets {list(outputs.shape)}, as the outputs (got {list(targets.shape)}):"
        f" outputs would be compared with targets of others. "
        + (f"Use y.reshape({shape})." if is_reshaped else "Give a target for every output.")
    )


def _check_probabilities(outputs: Tensor, targets: Tensor) -> None:
    if not targets.is_floating_point():
        raise TypeError(
            f"Expected probabilities that are {outputs.dtype} (got {targets.dtype}, of the shape of"
            f" the outputs). Use y.argmax(1) for the classes, or y.float()."
        )
    of_classes = min(1, outputs.dim() - 1)
    error = (targets.sum(dim=of_classes) - 1).abs()
    if outputs.size(of_classes) < 2 or bool((targets < 0).any()) or bool((error > _ROUNDING).any()):
        raise ValueError(
            f"Expected classes, or probabilities of at least two that add up to 1 (got targets"
            f" {list(targets.shape)} from {float(targets.min()):.3g} to"
            f" {float(targets.max()):.3g}). If they are no classes, name the loss, e.g."
            f" loss=torch.nn.functional.mse_loss."
        )


def _check_logits(outputs: Tensor, *, are_logits: bool) -> None:
    """Raise a ``ValueError`` for what a loss of classes would compute nonsense of."""
    of_classes = min(1, outputs.dim() - 1)
    if outputs.size(of_classes) < 2:
        raise ValueError(
            f"Expected logits of two classes or more (got outputs {list(outputs.shape)}, of one)."
            f" Give the model an output for each; of two classes by one output, use"
            f" loss=torch.nn.functional.binary_cross_entropy_with_logits."
        )
    if not are_logits:
        if bool((outputs > _ROUNDING).any()):
            raise ValueError(
                f"Expected logarithms of probabilities, which are 0 or less, for nll_loss (got up"
                f" to {float(outputs.detach().max()):.3g}). Use"
                f" loss=torch.nn.functional.cross_entropy, which takes logits."
            )
        return
    error = (outputs.sum(dim=of_classes) - 1).abs()
    if len(outputs) and bool((outputs >= 0).all()) and bool((error < 1e-3).all()):
        raise ValueError(
            "Expected logits for the cross-entropy (got probabilities, which add up to 1, as of a"
            " softmax). Leave the softmax out of the model: the loss has it."
        )


def _check_class_weight(outputs: Tensor, weight: Tensor) -> None:
    num_classes = outputs.size(min(1, outputs.dim() - 1))
    if weight.shape != (num_classes,):
        raise ValueError(
            f"Expected class weights [{num_classes}], one for each output (got"
            f" {list(weight.shape)}). Give one for every class, by its number."
        )


def _check_classes(outputs: Tensor, targets: Tensor, ignored: int) -> None:
    if targets.dtype not in (torch.int64, torch.uint8):
        raise TypeError(
            f"Expected classes that are torch.int64 for the cross-entropy (got {targets.dtype})."
            f" Use y.long(), or y.astype(int) of an array; if they are no classes, name the loss,"
            f" e.g. loss=torch.nn.functional.mse_loss."
        )
    *rows, num_classes = outputs.movedim(min(1, outputs.dim() - 1), -1).shape
    if list(targets.shape) != rows:
        remedy = "Give one class per sample, not a row of them: y.flatten()."
        if targets.dim() == 1 and len(rows) > 1:
            remedy = (
                "Give a class for each place of the outputs, or the model one output per sample,"
                " e.g. by a mean over all places and a Linear."
            )
        raise ValueError(
            f"Expected classes {rows} for outputs {list(outputs.shape)} (got"
            f" {list(targets.shape)}). {remedy}"
        )
    classes = targets[targets != ignored]
    is_wrong = (classes < 0) | (classes >= num_classes)
    if bool(is_wrong.any()):
        raise ValueError(
            f"Expected classes from 0 to {num_classes - 1}, one per output (got"
            f" {int(classes[is_wrong][0])}). Number the classes from 0, or give the model more"
            f" outputs."
        )
