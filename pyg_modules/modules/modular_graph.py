from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pyg_modules.modules.joined_parts import JoinedParts, check_fitting
from pyg_modules.modules.storage import load_parts, save_parts
from pyg_modules.modules.threads import sum_on_threads
from pyg_modules.nn import SynchronousGraph
from pyg_modules.ops import BackendReport

EXECUTIONS = ("batched", "loop", "threads")


class ModularGraph(nn.Module):
    r"""Independent modules as one module, executed side by side.

    .. math::
        y = \sum_k \mathrm{part}_k(x)

    Args:
        parts (iterable of SynchronousGraph): The modules, e.g. from :func:`split`, with the same
            numbers of inputs and outputs, solver and activation. They are used, not copied.
        execution (str, optional): ``"batched"`` computes all parts as one graph of many blocks, by
            batched products of matrices where they are dense; ``"loop"`` one part after the other;
            ``"threads"`` the parts on as many threads of the CPU as torch has, one thread each;
            ``"auto"`` batched, or a loop where that is not possible. (default: ``"auto"``)
        devices (sequence of torch.device, optional): The parts are moved to these devices, in turn,
            and computed there; the outputs are added up on the device of the input. (default: they
            stay where they are)

    Shapes:
        - **input:** :math:`(*, I)`
        - **output:** :math:`(*, O)`

    Attributes:
        parts: The modules, a :class:`torch.nn.ModuleList`.

    Raises:
        TypeError: If a part is not a ``SynchronousGraph``.
        ValueError: If there are no parts, they do not fit together, or ``execution`` is not possible
            for them.

    Example:
        >>> import torch
        >>> from pyg_modules import ModularGraph, SynchronousGraph, UnitGraph, cut, split
        >>> from pyg_modules import partition_units
        >>> layer = SynchronousGraph(UnitGraph.complete(4, 12, 2))
        >>> modular = ModularGraph(split(cut(layer, partition_units(layer, 3))))
        >>> modular(torch.rand(5, 4)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        parts: Iterable[SynchronousGraph],
        *,
        execution: str = "auto",
        devices: Sequence[torch.device | str] | None = None,
    ) -> None:
        super().__init__()
        listed = list(parts)
        check_fitting(listed)
        if devices is not None:
            if len(devices) == 0:
                raise ValueError("Expected at least one device (got none).")
            for number, part in enumerate(listed):
                part.to(devices[number % len(devices)])
        self.parts = nn.ModuleList(listed)
        self._joined = JoinedParts(listed)
        self._whole = (_without_parameters(self._joined, listed[0]),)  # Not a submodule.
        self.execution = execution

    @property
    def execution(self) -> str:
        """How the parts are computed, ``"auto"``, ``"batched"``, ``"loop"`` or ``"threads"``."""
        return self._execution

    @execution.setter
    def execution(self, execution: str) -> None:
        if execution not in ("auto", *EXECUTIONS):
            names = ", ".join(repr(name) for name in ("auto", *EXECUTIONS))
            raise ValueError(f"Expected execution to be one of {names} (got {execution!r}).")
        obstacle = self._obstacle(execution)
        if obstacle is not None:
            raise ValueError(
                f"Expected parts that can be computed with execution {execution!r} (got"
                f" {obstacle}). Use execution='auto'."
            )
        self._execution = execution

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the outputs of all parts, ``[*, O]``, for the inputs ``x``, ``[*, I]``."""
        execution = self.execution_report(1).execution
        if execution == "batched":
            parameters = {
                "weight": self._joined.weight(self._listed()),
                "bias": self._joined.bias(self._listed()),
            }
            outputs: Tensor = functional_call(self._whole[0], parameters, (x,))
            return outputs
        if execution == "threads":
            return sum_on_threads(self._listed(), x)
        # All are started before the first is waited for.
        terms = [part(x.to(part.weight.device)) for part in self._listed()]
        return torch.stack([term.to(x.device) for term in terms]).sum(dim=0)

    def execution_report(self, batch: int) -> ExecutionReport:
        """How the parts are computed for ``batch`` samples, and why: print it.

        Args:
            batch (int): Number of samples, all leading dimensions multiplied.
        """
        if self.execution != "auto":
            return ExecutionReport(self.execution, "asked for", self._backends(batch))
        obstacle = self._obstacle("batched")
        return ExecutionReport("batched", "", []) if obstacle is None else ExecutionReport("loop", obstacle, [])

    def only(self, *modules: int) -> ModularGraph:
        """These modules alone, with the same parameters; for lesion studies.

        Args:
            modules (int): Numbers of the modules to keep, from 0.

        Raises:
            IndexError: If there is no such module.
        """
        return ModularGraph(
            [self._listed()[module] for module in modules], execution=self.execution
        )

    def drop(self, *modules: int) -> ModularGraph:
        """All modules but these, with the same parameters; for lesion studies.

        Args:
            modules (int): Numbers of the modules to leave out, from 0; not all of them.

        Raises:
            IndexError: If there is no such module.
            ValueError: If none would be left.
        """
        dropped = {range(len(self.parts))[module] for module in modules}
        return self.only(*(k for k in range(len(self.parts)) if k not in dropped))
