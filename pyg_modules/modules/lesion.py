from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pyg_modules._brief import brief
from pyg_modules.modules.analysed_parts import check_analysed, check_classes, check_outputs
from pyg_modules.nn.evaluating import evaluating


@dataclass(frozen=True)
class LesionStudy:
    """What is lost without each module, and what each can do alone.

    Args:
        all (Tensor): Accuracy per class of all modules together, ``[C]``, NaN for a class without
            samples; of a regression, R² per output, NaN for one with the same target everywhere.
        without (Tensor): Without each module, ``[K, C]``.
        only (Tensor): With each module alone, ``[K, C]``.
        num_samples (LongTensor): Samples per class, or per output, ``[C]``.
        is_regression (bool, optional): Whether these are R², not accuracies. (default: ``False``)
    """

    all: Tensor
    without: Tensor
    only: Tensor
    num_samples: Tensor
    is_regression: bool = False


@torch.no_grad()
def lesion_study(
    parts: Sequence[nn.Module] | nn.ModuleList,
    x: Tensor,
    y: Tensor,
    *others: Any,
    head: Callable[[Tensor], Tensor] | None = None,
    **named: Any,
) -> LesionStudy:
    """Remove every module in turn, and run each alone: what does the accuracy say, or R²?

    ``without`` and ``only`` are the outputs of :meth:`ModularGraph.drop` and
    :meth:`ModularGraph.only`. What modules share, the biases of the outputs and edges from inputs
    to outputs, :func:`split` gives to the first part: it is lost without module 0, and all other
    modules are alone without it. Parts are run in evaluation mode.

    Args:
        parts (sequence of torch.nn.Module): From ``x`` to outputs ``[B, C]``, which add up, of
            classes their logits; such as those of :func:`split`.
        x (Tensor): Inputs, ``[B, ...]``.
        y (Tensor): Their classes, integers ``[B]``, or targets, floats ``[B, C]``.
        *others: What the parts take beside ``x``.
        head (Callable, optional): What makes ``[B, C]`` of summed outputs of parts, where these are
            none: the rest of the model, e.g. pooling of images and a Linear. (default: none)
        **named: What the parts take by name, as ``edge_weight`` of a :class:`SynchronousConv`.

    Returns:
        LesionStudy: Accuracies per class, or R² per output.

    Raises:
        TypeError: If ``parts`` are one network, ``x`` is not a floating point tensor or ``y`` not
            a tensor of numbers.
        ValueError: If there are less than two parts or no sample, their outputs are not ``[B, C]``
            each, of classes with two or more, one is NaN, or ``y`` is not one class, or one row of
            finite targets, per sample.
    """
    check_analysed(parts, x, head)
    if len(parts) < 2:
        raise ValueError(
            f"Expected two parts at least (got {len(parts)}). Use split(cut(layer, labels))."
        )
    if not len(x):
        raise ValueError("Expected at least one sample (got none). Give a batch of samples.")
    if not isinstance(y, Tensor):
        raise TypeError(
            f"Expected y to be a LongTensor, or targets (got {type(y).__name__}). Use"
            f" torch.as_tensor(y)."
        )
    if y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"Expected y to be a LongTensor, or targets (got {y.dtype}). Use y.long().")
    is_regression = y.is_floating_point()

    def read(of_parts: Tensor) -> Tensor:
        outputs: Tensor = of_parts if head is None else head(of_parts)
        check_outputs(outputs)
        return outputs

    with evaluating(*parts, *([head] if isinstance(head, nn.Module) else [])):
        outputs = [part(x, *others, **named) for part in parts]
        shapes = {tuple(of_part.shape) for of_part in outputs}
        if len(shapes) > 1:
            raise ValueError(
                f"Expected outputs of shape [{len(x)}, C] from every part (got"
                f" {brief(sorted(shapes))}). Take the parts of one layer: split(layer)."
            )
        stacked = torch.stack(outputs)
        # The others are added up, as a network without the module does; a difference would round.
        left = ~torch.eye(len(stacked), dtype=torch.bool, device=stacked.device)
        whole = read(stacked.sum(dim=0))
        # A head may make one of several, as of the nodes of a graph.
        if whole.dim() != 2 or (head is None and len(whole) != len(x)):
            raise ValueError(
                f"Expected outputs of shape {'[B, C]' if head else f'[{len(x)}, C]'} from every"
                f" part (got {list(whole.shape)}). Pass head=, what makes such of them, e.g. lambda"
                f" images: linear(images.mean((-2, -1)))."
            )
        without = [read(stacked[kept].sum(dim=0)) for kept in left]
        only = [read(of_part) for of_part in stacked]
    _check_targets(y, whole)
    scores = partial(_r2 if is_regression else _accuracies, y)
    return LesionStudy(
        all=scores(whole),
        without=torch.stack([scores(each) for each in without]),
        only=torch.stack([scores(each) for each in only]),
        num_samples=_num_samples(y, whole.size(-1)),
        is_regression=is_regression,
    )


def _check_targets(y: Tensor, outputs: Tensor) -> None:
    if y.is_floating_point():
        if y.shape != outputs.shape:
            raise ValueError(
                f"Expected targets of shape {list(outputs.shape)}, one per output (got"
                f" {list(y.shape)}). For classes, use y.long()."
            )
        if not bool(y.isfinite().all()):
            raise ValueError(
                "Expected finite targets (got NaN or infinity). Leave these samples out of x and y,"
                " e.g. by y.isfinite().all(dim=1)."
            )
        return
    check_classes(y, outputs)


def _num_samples(y: Tensor, num_outputs: int) -> Tensor:
    if y.is_floating_point():
        return torch.full((num_outputs,), len(y), device=y.device)
    return torch.bincount(y, minlength=num_outputs)


def _accuracies(y: Tensor, logits: Tensor) -> Tensor:
    """The share of right classes, per class, ``[C]``."""
    right = torch.bincount(y[logits.argmax(dim=-1) == y], minlength=logits.size(-1))
    return right / _num_samples(y, logits.size(-1))


def _r2(y: Tensor, outputs: Tensor) -> Tensor:
    """R² per output, ``[C]``."""
    y = y.double()
    left = (y - outputs).square().sum(dim=0)
    around_mean = (y - y.mean(dim=0)).square().sum(dim=0)
    # The mean of equal numbers may be another one, rounded.
    varies = (y != y[:1]).any(dim=0)
    return torch.where(varies, 1 - left / around_mean, torch.nan)
