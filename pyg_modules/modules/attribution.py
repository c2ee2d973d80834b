from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_modules.modules.analysed_parts import check_analysed, check_outputs
from pyg_modules.nn.evaluating import evaluating


@torch.inference_mode(False)  # What is made there has no derivatives.
def input_attribution(
    parts: Sequence[nn.Module] | nn.ModuleList,
    x: Tensor,
    *others: Any,
    head: Callable[[Tensor], Tensor] | None = None,
    **named: Any,
) -> Tensor:
    r"""How strongly the outputs of every module depend on every input.

    .. math::
        a_{ki} = \frac{1}{B} \sum_b \sum_o
            \left| \frac{\partial y^{(k)}_{bo}}{\partial x_{bi}} \right|

    as in `"Deep Inside Convolutional Networks" <https://arxiv.org/abs/1312.6034>`_, for all outputs
    instead of one. Parts are run in evaluation mode. Where samples are nodes of a graph, which
    depend on each other, it is the derivative of the sum of an output over all nodes.

    Args:
        parts (sequence of torch.nn.Module): From ``x`` to outputs ``[B, O]``, such as those of
            :func:`split`, each sample by itself.
        x (Tensor): Inputs, ``[B, ...]``.
        *others: What the parts take beside ``x``.
        head (Callable, optional): What makes ``[B, O]`` of the outputs of a part, where these are
            images: the rest of the model, e.g. pooling and a Linear. (default: none)
        **named: What the parts take by name, as ``edge_weight`` of a :class:`SynchronousConv`.

    Returns:
        Tensor: The mean magnitudes of the derivatives, ``[K, ...]``; 0 for an input that a module
        does not depend on.

    Raises:
        TypeError: If ``parts`` are one network, or ``x`` is not a floating point tensor.
        ValueError: If there is no part or no sample, or a part's outputs are not ``[B, O]``,
            or NaN.
    """
    check_analysed(parts, x, head)
    if len(parts) == 0 or len(x) == 0:
        raise ValueError(
            f"Expected at least one part and one sample (got {len(parts)} and {len(x)})."
            " Use split(layer), and give a batch of samples."
        )
    with evaluating(*parts, *([head] if isinstance(head, nn.Module) else [])):
        return torch.stack([_of_part(part, x.detach(), others, named, head) for part in parts])


def _of_part(
    part: nn.Module,
    x: Tensor,
    others: tuple[Any, ...],
    named: dict[str, Any],
    head: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        outputs = part(x, *others, **named)
        outputs = outputs if head is None else head(outputs)
        # A head may make one of several, as of the nodes of a graph.
        if outputs.dim() != 2 or (head is None and len(outputs) != len(x)):
            raise ValueError(
                f"Expected outputs of shape {'[B, O]' if head else f'[{len(x)}, O]'} from every"
                f" part (got {list(outputs.shape)}). Pass head=, what makes such of them, e.g."
                f" lambda images: images.mean((-2, -1))."
            )
        check_outputs(outputs)
        # Where samples do not depend on each other, the derivatives of the sum are those of each.
        sums = outputs.sum(dim=0).unbind()
    total = torch.zeros_like(x)
    for derivative in derivatives(sums, x):
        total += derivative.abs()
    return total.mean(dim=0)


def derivatives(values: Iterable[Tensor], x: Tensor) -> Iterator[Tensor]:
    """That of every one of some scalars in ``x``, of its shape."""
    for value in values:
        (gradient,) = torch.autograd.grad(value, x, retain_graph=True, materialize_grads=True)
        yield gradient
