from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def input_attribution(parts: Sequence[nn.Module] | nn.ModuleList, x: Tensor) -> Tensor:
    r"""How strongly the outputs of every module depend on every input.

    .. math::
        a_{ki} = \frac{1}{B} \sum_b \sum_o
            \left| \frac{\partial y^{(k)}_{bo}}{\partial x_{bi}} \right|

    as in `"Deep Inside Convolutional Networks" <https://arxiv.org/abs/1312.6034>`_, for all outputs
    instead of one.

    Args:
        parts (sequence of torch.nn.Module): From ``x`` to outputs ``[B, O]``, such as those of
            :func:`split`, each sample by itself.
        x (Tensor): Inputs, ``[B, ...]``.

    Returns:
        Tensor: The mean magnitudes of the derivatives, ``[K, ...]``.
    """
    return torch.stack([_of_part(part, x.detach()) for part in parts])


def _of_part(part: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        outputs = part(x).sum(dim=0)
        gradients = [torch.autograd.grad(output, x, retain_graph=True)[0] for output in outputs]
    return torch.stack(gradients).abs().sum(dim=0).mean(dim=0)
