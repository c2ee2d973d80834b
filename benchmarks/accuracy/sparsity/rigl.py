"""An MLP of few weights that are exchanged by their gradients."""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# As in the paper: at first, this part of the weights is exchanged, and after this part of the
# training none.
_EXCHANGE, _LAST = 0.3, 0.75


class MaskedLinear(nn.Linear):
    """A linear layer whose other weights are 0, and whose gradient is kept for all of them."""

    mask: Tensor
    effective: Tensor

    def __init__(self, num_inputs: int, num_outputs: int, num_weights: int) -> None:
        super().__init__(num_inputs, num_outputs)
        mask = torch.zeros(num_inputs * num_outputs, dtype=torch.bool)
        mask[torch.randperm(len(mask))[:num_weights]] = True
        self.register_buffer("mask", mask.view_as(self.weight))
        # Rows of few weights start as large as those of a layer that has no others.
        with torch.no_grad():
            self.weight *= (num_inputs * num_outputs / num_weights) ** 0.5 * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """The outputs, ``[B, num_outputs]``."""
        self.effective = self.weight * self.mask
        if self.effective.requires_grad:
            self.effective.retain_grad()
        return F.linear(x, self.effective, self.bias)

    @torch.no_grad()
    def exchange(self, share: float) -> None:
        """The smallest weights for those with the largest gradient of the last batch."""
        count = round(share * int(self.mask.sum()))
        gradient = self.effective.grad
        assert gradient is not None
        mask = self.mask.view(-1)
        size = self.weight.abs().view(-1).masked_fill(~mask, torch.inf)
        mask[size.topk(count, largest=False).indices] = False
        # What went may come back.
        steep = gradient.abs().view(-1).masked_fill(mask, -1.0)
        grown = steep.topk(count).indices
        self.weight *= self.mask
        mask[grown] = True


class RigL(nn.Sequential):
    """`Rigging the Lottery <https://arxiv.org/abs/1911.11134>`_: an MLP, sparse all along.

    Args:
        sizes (list of int): Units per level.
        num_weights (int): Weights that are not 0, over all levels; smaller matrices keep a larger
            part of theirs, by the rule of Erdős and Rényi.
    """

    def __init__(self, sizes: list[int], num_weights: int) -> None:
        shapes = list(pairwise(sizes))
        modules: list[nn.Module] = []
        for shape, count in zip(shapes, _shares(shapes, num_weights), strict=True):
            modules += [MaskedLinear(*shape, count), nn.ReLU()]
        super().__init__(*modules[:-1])

    def step(self, epoch: int, epochs: int) -> None:
        """Exchange weights after an epoch."""
        last = _LAST * epochs
        if epoch < last:
            share = _EXCHANGE / 2 * (1 + cos(pi * epoch / last))
            for module in self:
                if isinstance(module, MaskedLinear):
                    module.exchange(share)


def _shares(shapes: list[tuple[int, int]], num_weights: int) -> list[int]:
    """How many weights each matrix keeps: its sides by its size, but no more than it has."""
    whole: set[int] = set()
    while True:
        rest = [place for place in range(len(shapes)) if place not in whole]
        left = num_weights - sum(shapes[place][0] * shapes[place][1] for place in whole)
        scale = left / sum(sum(shapes[place]) for place in rest)
        full = {
            place
            for place in rest
            if scale * sum(shapes[place]) > shapes[place][0] * shapes[place][1]
        }
        if not full:
            counts = [
                a * b if at in whole else round(scale * (a + b)) for at, (a, b) in enumerate(shapes)
            ]
            counts[max(rest, key=lambda place: counts[place])] += num_weights - sum(counts)
            return counts
        whole |= full
