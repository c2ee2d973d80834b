from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.partition.labels import SHARED

_DRAWS = 16


class Separation:
    r"""A layer whose modules each see their own inputs alone; for :meth:`register_forward_hook`.

    What a module sees of the inputs of others is that of other samples, and outputs are means over
    these. A shared output is what the modules add to what it is without any of them:

    .. math::
        y = \bar{f} + \sum_k \left(\bar{f}(x_k) - \bar{f}\right)

    so that it is the function of the layer where that is a sum of functions of each module's
    inputs: the main effects of its analysis of variance, with modules as the factors.

    Args:
        layer (UnitLayer): The layer, in evaluation mode.
        labels (LongTensor): Module of every unit, ``[N]``, −1 for those that all modules share.
        seed (int): Of the other samples.
    """

    def __init__(self, layer: UnitLayer, labels: Tensor, seed: int) -> None:
        graph = layer.graph
        self._axis = layer.unit_dim
        self._num_modules = int(labels.max()) + 1
        self._of_inputs = labels[: graph.num_inputs]
        self._of_outputs = labels[graph.outputs.start :]
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._is_inside = False
        self._was_possible: list[bool] = []

    @property
    def is_possible(self) -> bool:
        """Whether the layer was called, and there were other samples to see in every call."""
        return bool(self._was_possible) and all(self._was_possible)

    @torch.no_grad()
    def __call__(
        self, layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any], _: Tensor
    ) -> Tensor | None:
        """The outputs of the separated modules in the place of the outputs."""
        if self._is_inside:
            return None
        self._is_inside = True
        try:
            others = {name: value for name, value in named.items() if name != "x"}
            x = args[0] if args else named["x"]
            # Rows are samples, or nodes; the first dimension may be that of the units.
            self._was_possible.append(x.dim() + self._axis > 0 and len(x) > 1)
            if not self._was_possible[-1]:
                return None
            total = torch.zeros((), device=x.device, dtype=x.dtype)
            for _draw in range(_DRAWS):
                total = total + self._drawn(layer, x, args[1:], others)
            return total / _DRAWS
        finally:
            self._is_inside = False

    def _drawn(self, layer: nn.Module, x: Tensor, args: tuple[Any, ...], named: Any) -> Tensor:
        shift = int(torch.randint(1, len(x), (), generator=self._generator, device="cpu"))
        other = x.roll(shift, 0)

        def outputs_of(module: int) -> Tensor:
            own = (self._of_inputs == SHARED) | (self._of_inputs == module)
            seen = torch.where(self._along(own, x), x, other)
            outputs: Tensor = layer(seen, *args, **named)
            return outputs

        without = outputs_of(SHARED)
        found = without
        for module in range(self._num_modules):
            adds = (self._of_outputs == SHARED) | (self._of_outputs == module)
            found = found + self._along(adds, without) * (outputs_of(module) - without)
        return found

    def _along(self, values: Tensor, of: Tensor) -> Tensor:
        """Values of units, to be broadcast to ``of``."""
        shape = [1] * of.dim()
        shape[self._axis] = len(values)
        return values.view(shape)
