from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_modules.ops.activation import ACTIVATIONS, PRELU


class Run(NamedTuple):
    """Units in a row with the same activation function.

    Args:
        activation (str): Its name.
        num_units (int): How many there are.
    """

    activation: str
    num_units: int

    def __call__(self, sums: Tensor, slope: Tensor | None) -> Tensor:
        """The states after ``sums`` ``[n, B]``; ``slope`` [n] is that at negative ones."""
        if self.activation != PRELU:
            return ACTIVATIONS[self.activation].function(sums)
        assert slope is not None
        return torch.where(sums > 0, sums, slope.unsqueeze(-1) * sums)

    def lipschitz(self, slope: Tensor | None) -> float | Tensor:
        """The largest slope of the function, differentiable where it is learned."""
        if self.activation != PRELU:
            return ACTIVATIONS[self.activation].lipschitz
        assert slope is not None
        return torch.cat([slope.abs(), slope.new_ones(1)]).max()


class Transition(NamedTuple):
    r"""How units go from one state to the next where that is more than one function of their sums.

    .. math::
        h_i \leftarrow (1 - a_i) h_i + a_i m_i f_i(s_i)

    It is made of torch's own operations, and solvers iterate it instead of kernels.

    Args:
        runs (sequence of Run): The functions :math:`f_i`.
        slope (Tensor, optional): Learned slopes of functions at negative sums, ``[n]``.
        mask (Tensor, optional): :math:`m`, ``[n, B]``. (default: 1)
        rate (float or Tensor, optional): :math:`a`, for all units or for each, ``[n]``. (default:
            1)
    """

    runs: Sequence[Run]
    slope: Tensor | None = None
    mask: Tensor | None = None
    rate: float | Tensor | None = None

    def __call__(self, sums: Tensor, state: Tensor | None) -> Tensor:
        """The next states, ``[n, B]``, from ``sums`` and ``state``; ``None`` are states of 0."""
        activated = self._activated(sums)
        if self.mask is not None:
            activated = activated * self.mask
        rate = self.rate
        if rate is None:
            return activated
        if isinstance(rate, Tensor):
            rate = rate.unsqueeze(-1)
        return rate * activated if state is None else state + rate * (activated - state)

    def to(self, dtype: torch.dtype) -> Transition:
        """The same for states of ``dtype``."""
        return self._replace(
            slope=None if self.slope is None else self.slope.to(dtype),
            mask=None if self.mask is None else self.mask.to(dtype),
            rate=self.rate.to(dtype) if isinstance(self.rate, Tensor) else self.rate,
        )

    @property
    def is_function(self) -> bool:
        """Whether it is one function of the sums, which kernels know."""
        is_more = self.slope is not None or self.mask is not None or self.rate is not None
        return len(self.runs) == 1 and not is_more

    @property
    def lipschitz(self) -> float | Tensor:
        """The largest slope of a function, differentiable where slopes are learned."""
        largest = [run.lipschitz(slope) for run, slope in self._with_slopes()]
        learned = [slope for slope in largest if isinstance(slope, Tensor)]
        known = max([0.0, *(slope for slope in largest if not isinstance(slope, Tensor))])
        return torch.stack(learned).max().clamp(min=known) if learned else known

    def _activated(self, sums: Tensor) -> Tensor:
        parts = torch.split(sums, [run.num_units for run in self.runs])
        states = [
            run(part, slope) for part, (run, slope) in zip(parts, self._with_slopes(), strict=True)
        ]
        return states[0] if len(states) == 1 else torch.cat(states)

    def _with_slopes(self) -> Iterable[tuple[Run, Tensor | None]]:
        if self.slope is None:
            return [(run, None) for run in self.runs]
        return zip(
            self.runs, torch.split(self.slope, [run.num_units for run in self.runs]), strict=True
        )
