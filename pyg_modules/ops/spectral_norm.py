"""The largest singular value of the matrix of an operator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyg_modules.ops.differentiable import Differentiable
from pyg_modules.ops.looks import looks_are_free
from pyg_modules.ops.operator import EdgeOperator

# From a random start, a Krylov space of this dimension misses 5 % of the largest singular value of
# a matrix with 10,000 rows with a probability below 1e-3, however close the others are (Kuczynski
# and Wozniakowski, 1992, theorem 4.1).
KRYLOV_DIMENSION = 20


def spectral_norm(operator: EdgeOperator, weight: Tensor) -> Tensor:
    r"""The largest singular value :math:`\sigma = u^\top W v`, differentiable in ``weight``.

    Estimated from below in a Krylov space of W^T W, which starts from the same random vector at
    every call, so that the result is a function of the weights alone; off by some tenths of a
    percent where the space does not hold the singular vectors. The gradient takes u and v as
    constants, and is exact where they are singular vectors. Where the largest singular values are
    so close that 20 steps do not tell them apart, u and v are mixtures of theirs: it is the
    gradient of :math:`u^\top W v`, which is as large as the norm to these tenths, and no more.

    Returns:
        Tensor: A scalar; 0 for a matrix without rows.
    """
    norm, no_state = _SpectralNorm(operator), weight.new_empty(operator.num_sources, 0)
    sigma: Tensor = norm.entry()(norm, weight, no_state)[0]
    return sigma


class _SpectralNorm(Differentiable):
    """The norm, and left and right singular vectors, ``[num_targets, 1]``, ``[num_sources, 1]``."""

    name = "spectral_norm"
    num_outputs = 3
    saved = slice(1, 3)

    @property
    def subject(self) -> str:
        return "the contraction of an Equilibrium"

    def forward(self, weight: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        operator, dtype = self.operator, weight.dtype
        # Squares of large or small weights are infinite or 0, and soon so in half precision.
        weight = weight.to(torch.promote_types(dtype, torch.float32))
        unit = _power_of_two(weight)
        weight = weight / unit
        values, transposed = operator.prepare(weight), operator.prepare_transposed(weight)
        generator = torch.Generator("cpu").manual_seed(0)
        start = torch.randn(
            operator.num_sources, 1, generator=generator, dtype=torch.float64, device="cpu"
        )
        tiny, eps = torch.finfo(weight.dtype).tiny, torch.finfo(weight.dtype).eps
        dimension = min(KRYLOV_DIMENSION, max(1, operator.num_sources))
        # Vectors are rows: products with a few of them read what lies beside each other.
        basis = weight.new_zeros(dimension, operator.num_columns)
        images = weight.new_zeros(dimension, operator.num_rows)
        direction = operator.enter(start.to(weight)).flatten()
        basis[0] = direction / direction.norm().clamp(min=tiny)
        for number in range(dimension):
            image = images[number].unsqueeze(1)
            operator.matmul(values, basis[number].unsqueeze(1), image)
            if number + 1 == dimension:
                break
            direction = torch.empty_like(direction)
            operator.matmul_transposed(transposed, image, direction.unsqueeze(1))
            scale, known = direction.norm(), basis[: number + 1]
            for _ in range(2):  # Twice is enough for orthogonality to rounding.
                direction = direction - (known @ direction) @ known
            length = direction.norm()
            goes_on = length > 10 * eps * scale
            if looks_are_free(length) and not goes_on:
                break  # The space is exhausted.
            # Where that is not looked at, vectors of 0 follow, which change nothing.
            basis[number + 1] = torch.where(goes_on, direction / length, 0.0)
        squares = images @ images.T
        # The algorithm fails on NaN, which is in the images, too.
        squares = torch.where(squares.isfinite(), squares, 0.0)
        coordinates = torch.linalg.eigh(squares)[1][:, -1]
        image, right = ((coordinates @ rows).unsqueeze(1) for rows in (images, basis))
        left = image / image.norm().clamp(min=tiny)
        sigma = ((left * image).sum() * unit).to(dtype)
        # Where the layout is the same, leaving it copies nothing.
        left, right = (operator.leave(vector).clone().to(dtype) for vector in (left, right))
        return sigma, left, right

    def backward(
        self,
        needs: Sequence[bool],  # noqa: ARG002
        grad: Tensor,
        weight: Tensor,
        state: Tensor,  # noqa: ARG002
        *saved: Tensor,
    ) -> tuple[Tensor, None]:
        # The derivative with u and v constant, that of sigma where both are singular vectors.
        operator, (left, right) = self.operator, saved
        gradient = operator.new_gradient(weight)
        operator.accumulate(gradient, operator.enter(left), operator.enter(right))
        return grad * operator.edge_gradient(gradient).to(weight.dtype), None

    def empty_outputs(self, weight: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        targets, sources = self.operator.num_targets, self.operator.num_sources
        return weight.new_empty(()), state.new_empty(targets, 1), state.new_empty(sources, 1)


def _power_of_two(weight: Tensor) -> Tensor:
    """About the largest magnitude of the weights, a scalar by which division does not round."""
    largest = weight.abs().amax() if weight.numel() else weight.new_zeros(())
    return torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent - 1)
