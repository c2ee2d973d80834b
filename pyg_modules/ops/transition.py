from __future__ import annotations

from collections.abc import Sequence
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
        slopes = self._split(self.slope)
        largest = [
            run.lipschitz(None if slopes is None else _joined(slopes, places))
            for run, places in self._functions()
        ]
        learned = [slope for slope in largest if isinstance(slope, Tensor)]
        known = max([0.0, *(slope for slope in largest if not isinstance(slope, Tensor))])
        return torch.stack(learned).max().clamp(min=known) if learned else known

    def _activated(self, sums: Tensor) -> Tensor:
        states, slopes = self._split(sums), self._split(self.slope)
        assert states is not None
        for run, places in self._functions():
            slope = None if slopes is None else _joined(slopes, places)
            activated = run(_joined(states, places), slope)
            sizes = [self.runs[place].num_units for place in places]
            for place, part in zip(places, torch.split(activated, sizes), strict=True):
                states[place] = part
        return _joined(states, range(len(states)))

    def _functions(self) -> list[tuple[Run, list[int]]]:
        """Every function, with all its units, and the places of its runs: each is called once."""
        places: dict[str, list[int]] = {}
        for place, run in enumerate(self.runs):
            places.setdefault(run.activation, []).append(place)
        return [
            (Run(name, sum(self.runs[place].num_units for place in own)), own)
            for name, own in places.items()
        ]

    def _split(self, values: Tensor | None) -> list[Tensor] | None:
        """Those of the units of every run."""
        if values is None:
            return None
        return list(torch.split(values, [run.num_units for run in self.runs]))


def _joined(parts: Sequence[Tensor], places: Sequence[int]) -> Tensor:
    """The parts at some places, one after the other."""
    if len(places) == 1:
        return parts[places[0]]
    return torch.cat([parts[place] for place in places])
