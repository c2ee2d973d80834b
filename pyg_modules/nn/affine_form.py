from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_linear_bn_weights


class Sums(NamedTuple):
    """Weights from the units of one level, and the edges that they stand on.

    Args:
        weight (Tensor): ``[width, units]``, 0 where there is no edge.
        is_edge (BoolTensor): ``[width, units]``; a weight on an edge may be 0 too.
    """

    weight: Tensor
    is_edge: Tensor


class AffineForm:
    """What a network computes at a place: weighted sums of units, in double precision.

    Args:
        sums (mapping of int to Sums): By the number of the level that the units are of.
        bias (Tensor): ``[width]``.
    """

    def __init__(self, sums: Mapping[int, Sums], bias: Tensor) -> None:
        self.sums, self.bias = dict(sums), bias

    @classmethod
    def of_level(cls, level: int, width: int, device: torch.device) -> AffineForm:
        """The states of the units of ``level``."""
        eye = torch.eye(width, dtype=torch.float64, device=device)
        return cls({level: Sums(eye, eye.bool())}, eye.new_zeros(width))

    @property
    def width(self) -> int:
        """Number of sums."""
        return self.bias.numel()

    @property
    def has_one_edge_each(self) -> bool:
        """Whether every sum is of one unit at most, so that sums of sums need no more edges."""
        count = torch.stack([sums.is_edge.sum(dim=1) for sums in self.sums.values()])
        return bool((count.sum(dim=0) <= 1).all())

    def linear(self, weight: Tensor, bias: Tensor | None) -> AffineForm:
        """After a linear layer, each of whose weights is an edge."""
        weight = weight.double()
        sums = {
            level: Sums(weight @ before.weight, before.is_edge.any(dim=0).expand(len(weight), -1))
            for level, before in self.sums.items()
        }
        total = weight @ self.bias
        return AffineForm(sums, total if bias is None else total + bias.double())

    def scaled(self, factor: Tensor | float) -> AffineForm:
        """Times a number, or one for every sum, ``[width]``."""
        factors = torch.as_tensor(factor, dtype=torch.float64, device=self.bias.device)
        sums = {
            level: Sums(before.weight * factors.unsqueeze(-1), before.is_edge)
            for level, before in self.sums.items()
        }
        return AffineForm(sums, self.bias * factors)

    def shifted(self, shift: Tensor) -> AffineForm:
        """Plus a number for every sum, ``[width]``."""
        return AffineForm(self.sums, self.bias + shift)

    def batch_norm(self, norm: _BatchNorm) -> AffineForm:
        """After a batch normalization by its running statistics."""
        mean, var = norm.running_mean, norm.running_var
        assert mean is not None
        assert var is not None
        scale = torch.ones_like(mean) if norm.weight is None else norm.weight
        shift = torch.zeros_like(mean) if norm.bias is None else norm.bias
        settings = (mean.double(), var.double(), norm.eps, scale.double(), shift.double())
        bias, sums = self.bias, {}
        for level, before in self.sums.items():
            weight, bias = fuse_linear_bn_weights(before.weight, self.bias, *settings)
            sums[level] = Sums(weight.detach(), before.is_edge)
        return AffineForm(sums, bias.detach())

    @classmethod
    def added(cls, forms: Sequence[AffineForm]) -> AffineForm:
        """The sum of several of the same width."""
        sums: dict[int, Sums] = {}
        for form in forms:
            for level, more in form.sums.items():
                weight, is_edge = sums.get(
                    level, Sums(torch.zeros_like(more.weight), ~more.is_edge & False)
                )
                sums[level] = Sums(weight + more.weight, is_edge | more.is_edge)
        return cls(sums, torch.stack([form.bias for form in forms]).sum(dim=0))

    @classmethod
    def concatenated(cls, forms: Sequence[AffineForm]) -> AffineForm:
        """Several, one after the other."""
        some = {level: one for form in forms for level, one in form.sums.items()}
        sums = {}
        for level, one in some.items():
            none = [one.weight.new_zeros(form.width, one.weight.size(1)) for form in forms]
            parts = [
                form.sums.get(level, Sums(zeros, zeros.bool()))
                for form, zeros in zip(forms, none, strict=True)
            ]
            sums[level] = Sums(*(torch.cat(both) for both in zip(*parts, strict=True)))
        return cls(sums, torch.cat([form.bias for form in forms]))
