from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.partition.labels import SHARED

_DRAWS = 8
# As many rows of inputs, from all over, are drawn from.
_ROWS = 1024
# A module with less than this share of what all modules say, of every output, says nothing.
_IDLE = 0.005


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
        inputs (iterable of Tensor): What the layer is called with, for other samples.
        seed (int): Of the choice among these.
    """

    def __init__(
        self, layer: UnitLayer, labels: Tensor, inputs: Iterable[Tensor], seed: int
    ) -> None:
        graph = layer.graph
        self._axis = layer.unit_dim
        self._num_modules = int(labels.max()) + 1
        self._of_inputs = labels[: graph.num_inputs]
        self._of_outputs = labels[graph.outputs.start :]
        self._pools: dict[torch.Size, Tensor] = {}
        for x in map(self._rows, inputs):
            pool = self._pools.get(x.shape[1:])
            self._pools[x.shape[1:]] = x if pool is None else torch.cat([pool, x])
        for shape, pool in self._pools.items():
            self._pools[shape] = pool[:: -(-len(pool) // _ROWS)]
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._is_inside = False
        #: Whether there were other samples to see.
        self.was_possible = False
        # Sums over all calls of what modules say, their squares, and numbers, by module and output.
        size = 3, self._num_modules, graph.num_outputs
        self._sums = torch.zeros(size, dtype=torch.double, device="cpu")

    @property
    def all_speak(self) -> bool:
        """Whether every module says something, after a call that was possible."""
        total, squares, number = self._sums
        variance = squares / number - (total / number).square()
        of_all = variance.sum(dim=0)
        share = torch.where(of_all > 0, variance / of_all, 0.0)
        # Who has outputs of its own says them, whatever it says.
        modules = torch.arange(self._num_modules, device="cpu").unsqueeze(1)
        owns = (modules == self._of_outputs.cpu()).any(dim=1)
        return bool(((share > _IDLE).any(dim=1) | owns).all())

    @torch.no_grad()
    def __call__(
        self, layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any], _: Tensor
    ) -> Tensor | None:
        """The outputs of the separated modules in the place of the outputs."""
        if self._is_inside:
            return None
        x = args[0] if args else named["x"]
        pool = self._pools.get(self._rows(x).shape[1:])
        if pool is None or len(pool) < 2:
            return None
        self._is_inside = self.was_possible = True
        try:
            others = {name: value for name, value in named.items() if name != "x"}
            return self._separated(layer, x, pool, args[1:], others)
        finally:
            self._is_inside = False

    def _separated(
        self, layer: nn.Module, x: Tensor, pool: Tensor, args: tuple[Any, ...], named: Any
    ) -> Tensor:
        # Without any module, and what each of them adds.
        found: list[Tensor] = []
        for _ in range(_DRAWS):
            chosen = torch.randint(
                len(pool), (len(self._rows(x)),), generator=self._generator, device="cpu"
            )
            other = pool[chosen.to(pool.device)].view_as(x)
            drawn = []
            for module in (SHARED, *range(self._num_modules)):
                own = (self._of_inputs == SHARED) | (self._of_inputs == module)
                seen = torch.where(self._along(own, x), x, other)
                drawn.append(layer(seen, *args, **named))
            drawn[1:] = [outputs - drawn[0] for outputs in drawn[1:]]
            found = [a + b for a, b in zip(found, drawn, strict=True)] if found else drawn
        outputs, *effects = (one / _DRAWS for one in found)
        for module, effect in enumerate(effects):
            self._count(module, effect)
            adds = (self._of_outputs == SHARED) | (self._of_outputs == module)
            outputs = outputs + self._along(adds, outputs) * effect
        return outputs

    def _count(self, module: int, effect: Tensor) -> None:
        columns = effect.movedim(self._axis, 0)
        columns = columns.reshape(len(columns), -1).double().cpu()
        number = torch.full_like(columns[:, 0], columns.size(1))
        self._sums[:, module] += torch.stack(
            [columns.sum(dim=1), columns.square().sum(dim=1), number]
        )

    def _rows(self, x: Tensor) -> Tensor:
        """Samples, or nodes, along the first dimension, which may be that of the units."""
        return x.unsqueeze(0) if x.dim() + self._axis == 0 else x

    def _along(self, values: Tensor, of: Tensor) -> Tensor:
        """Values of units, to be broadcast to ``of``."""
        shape = [1] * of.dim()
        shape[self._axis] = len(values)
        return values.view(shape)
