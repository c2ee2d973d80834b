"""How low losses of torch can be for given targets, which is not always 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import BoundArguments, signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class LossAtBest(TorchFunctionMode):
    """While it is on, losses of torch are those of the best outputs, in the place of what is given.

    What is made of them, such as a mean, a share or a sum, is the lowest that any outputs can have,
    and no longer depends on the outputs; unless it falls where one of them rises, or depends on the
    outputs by something else, too. Of a sum of losses of the same outputs it is at most the lowest.
    """

    def __init__(self) -> None:
        super().__init__()
        #: What losses of torch returned, each a leaf, with a gradient.
        self.losses: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, with the best outputs if they are known."""
        if func in _BEST:
            given = bound_arguments(func, args, kwargs or {})
            best = _BEST[func](given.arguments)
            if best.shape == given.arguments["input"].shape:
                given.arguments["input"] = best
                self.losses.append(func(*given.args, **given.kwargs).detach().requires_grad_())
                return self.losses[-1]
        return func(*args, **(kwargs or {}))


def bound_arguments(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> BoundArguments:
    """What a function is called with, by name, with its defaults."""
    given = signature(func).bind(*args, **kwargs)
    given.apply_defaults()
    return given


def _best_logits(given: dict[str, Any]) -> Tensor:
    """Logarithms of the shares that classes have in the targets."""
    outputs, targets, weight = given["input"], given["target"], given["weight"]
    of_classes = min(1, outputs.dim() - 1)
    num_classes = outputs.size(of_classes)
    share = targets
    if targets.shape != outputs.shape:
        # Those to ignore may be no class; whatever stands for them does not count.
        classes = targets.long().clamp(0, num_classes - 1)
        share = F.one_hot(classes, num_classes).movedim(-1, of_classes)
    smoothing = given["label_smoothing"]
    share = share * (1 - smoothing) + smoothing / num_classes
    if weight is not None:
        share = share * weight.to(share).view(-1, *[1] * (outputs.dim() - of_classes - 1))
    return _log(share).to(outputs.dtype)


def _best_binary_logits(given: dict[str, Any]) -> Tensor:
    targets, positive = given["target"], given["pos_weight"]
    logits = (_log(targets) - _log(1 - targets)).to(given["input"].dtype)
    return logits if positive is None else logits + positive.to(logits).log()


def _best_rates(given: dict[str, Any]) -> Tensor:
    return _best_logarithms(given) if given["log_input"] else _targets(given)


def _best_log_probabilities(given: dict[str, Any]) -> Tensor:
    return _targets(given) if given["log_target"] else _best_logarithms(given)


def _best_logarithms(given: dict[str, Any]) -> Tensor:
    return _log(given["target"]).to(given["input"].dtype)


def _targets(given: dict[str, Any]) -> Tensor:
    targets: Tensor = given["target"].to(given["input"].dtype)
    return targets


def _log(values: Tensor) -> Tensor:
    """Logarithms, large ones of 0, in single precision at least."""
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    return values.clamp(min=torch.finfo(torch.float32).tiny).log()


#: Of each loss whose least value is known, the outputs that have it, from what it is given.
_BEST: dict[Callable[..., Any], Callable[[dict[str, Any]], Tensor]] = {
    F.binary_cross_entropy: _targets,
    F.binary_cross_entropy_with_logits: _best_binary_logits,
    F.cross_entropy: _best_logits,
    F.gaussian_nll_loss: _targets,
    F.huber_loss: _targets,
    F.kl_div: _best_log_probabilities,
    F.l1_loss: _targets,
    F.mse_loss: _targets,
    F.nll_loss: lambda given: torch.zeros_like(given["input"]),
    F.poisson_nll_loss: _best_rates,
    F.smooth_l1_loss: _targets,
}
