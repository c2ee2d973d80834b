from __future__ import annotations

import torch
from torch import Tensor


class Anderson:
    r"""Anderson acceleration of :math:`h \leftarrow F(h)`, for every column on its own.

    With :math:`g_k = F(h_k)` and :math:`f_k = g_k - h_k`, the next point is
    :math:`g_k - \sum_i \gamma_i \Delta g_i`, where :math:`\gamma` minimises
    :math:`\lVert f_k - \sum_i \gamma_i \Delta f_i \rVert` over the last differences.

    From `Iterative Procedures for Nonlinear Integral Equations
    <https://doi.org/10.1145/321296.321305>`_, in the form of `Anderson Acceleration for
    Fixed-Point Iterations <https://doi.org/10.1137/10078356X>`_.

    Args:
        memory (int): Number of differences to keep, at least 1.
        like (Tensor): A state ``[n, B]``.
    """

    def __init__(self, memory: int, like: Tensor) -> None:
        num_units, batch = like.shape
        self._residuals = like.new_zeros(memory, num_units, batch)
        self._values = like.new_zeros(memory, num_units, batch)
        # LAPACK knows no half precision.
        wide = torch.promote_types(like.dtype, torch.float32)
        self._gram = like.new_zeros(batch, memory, memory, dtype=wide)
        self._memory = memory
        self._count = 0

    def push(self, residual_change: Tensor, value_change: Tensor) -> None:
        """Remember one difference of f and of g, ``[n, B]`` each, and forget the oldest."""
        slot = self._count % self._memory
        self._residuals[slot] = residual_change
        self._values[slot] = value_change
        self._count += 1
        products = self._products(residual_change)
        self._gram[:, slot, : products.size(1)] = products
        self._gram[:, : products.size(1), slot] = products

    def mix(self, residual: Tensor, value: Tensor) -> Tensor:
        """The next point from the present f and g, ``[n, B]``."""
        used = min(self._count, self._memory)
        gram, target = self._gram[:, :used, :used], self._products(residual).to(self._gram.dtype)
        # The differences become parallel near the solution; a relative ridge keeps them apart.
        scale = gram.diagonal(dim1=1, dim2=2).amax(dim=1).view(-1, 1, 1)
        info = torch.finfo(gram.dtype)
        ridge = (scale * (10 * info.eps) + info.tiny) * torch.eye(used).to(gram)
        weights = torch.linalg.solve_ex(gram + ridge, target.unsqueeze(-1))[0]
        mixed = value.clone()
        for slot, column in enumerate(weights.squeeze(-1).T.to(value.dtype)):
            mixed.addcmul_(self._values[slot], column, value=-1)
        return mixed

    def select(self, columns: Tensor) -> None:
        """Go on with ``columns`` of the states only."""
        self._residuals = self._residuals.index_select(2, columns)
        self._values = self._values.index_select(2, columns)
        self._gram = self._gram.index_select(0, columns)

    def _products(self, residual: Tensor) -> Tensor:
        """Inner products with the remembered differences of f, ``[B, used]``."""
        used = min(self._count, self._memory)
        return torch.stack([(kept * residual).sum(dim=0) for kept in self._residuals[:used]], dim=1)
