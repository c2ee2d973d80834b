from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pyg_modules.modules.execution import ExecutionReport
from pyg_modules.modules.joined_parts import JoinedParts, check_fitting
from pyg_modules.modules.merge import merge
from pyg_modules.modules.split import split
from pyg_modules.modules.threads import sum_on_threads
from pyg_modules.nn import SynchronousGraph

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
        ValueError: If there are no parts, they do not fit together, or ``execution`` is not
            possible for them.

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
        parts: Iterable[nn.Module],
        *,
        execution: str = "auto",
        devices: Sequence[torch.device | str] | None = None,
    ) -> None:
        super().__init__()
        listed: list[SynchronousGraph] = list(parts)  # type: ignore[arg-type]
        check_fitting(listed)
        if devices is not None:
            if len(devices) == 0:
                raise ValueError("Expected at least one device (got none).")
            for number, part in enumerate(listed):
                part.to(devices[number % len(devices)])
        self.parts = nn.ModuleList(listed)
        self._joined = JoinedParts(listed)
        self._prepare()
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
                f"Expected parts that fit execution {execution!r} (got {obstacle}). Use"
                f" execution='auto'."
            )
        self._execution = execution

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the outputs of all parts, ``[*, O]``, for the inputs ``x``, ``[*, I]``."""
        parts, execution = self._listed(), self._chosen()
        if execution == "batched":
            parameters = {"weight": self._joined.weight(parts), "bias": self._joined.bias(parts)}
            outputs: Tensor = functional_call(self._whole[0], parameters, (x,))
            return outputs
        if execution == "threads":
            return sum_on_threads(parts, x)
        # On other devices, all are started before the first is waited for.
        terms = [part(x.to(part.weight.device)) for part in parts]
        return torch.stack([term.to(x.device) for term in terms]).sum(dim=0)

    def execution_report(self, batch: int) -> ExecutionReport:
        """How the parts are computed for ``batch`` samples, and why: print it.

        Args:
            batch (int): Number of samples, all leading dimensions multiplied.
        """
        execution, parts = self._chosen(), self._listed()
        reason = "asked for"
        if self.execution == "auto":
            reason = self._obstacle("batched") or "possible for these parts"
        if execution == "batched":
            parts = [merge(parts)]
        return ExecutionReport(execution, reason, [part.backend_report(batch) for part in parts])

    def only(self, *modules: int) -> ModularGraph:
        """These modules alone, with the same parameters, not copies; for lesion studies.

        Args:
            modules (int): Numbers of the modules to keep, from 0.

        Raises:
            IndexError: If there is no such module.
            ValueError: If none is named.
        """
        parts = [self._listed()[module] for module in modules]
        return ModularGraph(parts, execution=self.execution)

    def drop(self, *modules: int) -> ModularGraph:
        """All modules but these, with the same parameters, not copies; for lesion studies.

        Args:
            modules (int): Numbers of the modules to leave out, from 0; not all of them.

        Raises:
            IndexError: If there is no such module.
            ValueError: If none would be left.
        """
        numbers = range(len(self.parts))
        dropped = {numbers[module] for module in modules}
        return self.only(*(number for number in numbers if number not in dropped))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the modules into ``folder``, merged, as :meth:`SynchronousGraph.save` does.

        Args:
            folder (path): Made if it does not exist. Each file is replaced as a whole.

        Raises:
            ValueError: If ``folder`` is a file.
        """
        merge(self._listed()).save(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ModularGraph:
        """The modules that :meth:`save` wrote, or a cut layer, split, on the CPU.

        Raises:
            ValueError: If the folder is missing, truncated, of another format version, or holds a
                layer that was not cut.
        """
        return cls(split(SynchronousGraph.load(folder)))

    def extra_repr(self) -> str:
        """The setting, for ``repr``."""
        return f"execution={self.execution!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ModularGraph:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._prepare()
        return self

    def _prepare(self) -> None:
        """Build what a compiler that traces a forward pass has to find ready."""
        first = self._listed()[0]
        self._joined.prepare(first.weight.device)
        whole = SynchronousGraph(
            self._joined.graph,
            first.solver.without_scaling(),
            first.activation,
            device=first.weight.device,
            dtype=first.weight.dtype,
        )
        # Its parameters are given at every call; these take no memory.
        for name, parameter in list(whole.named_parameters()):
            empty = parameter.detach().new_zeros(()).expand(parameter.shape)
            setattr(whole, name, nn.Parameter(empty, requires_grad=False))
        self._whole = (whole,)  # Not a submodule.

    def _listed(self) -> list[SynchronousGraph]:
        return list(self.parts)  # type: ignore[arg-type]

    def _chosen(self) -> str:
        if self.execution != "auto":
            return self.execution
        return "batched" if self._obstacle("batched") is None else "loop"

    def _obstacle(self, execution: str) -> str | None:
        """Why the parts cannot be computed in this way; ``None`` if they can."""
        devices = {part.weight.device for part in self._listed()}
        if execution == "batched":
            if self._joined.has_feedback:
                return "feedback from an output"
            if len(devices) > 1:
                return f"parts on {len(devices)} devices"
        if execution == "threads" and {device.type for device in devices} != {"cpu"}:
            return f"parts on {', '.join(sorted(map(str, devices)))}, not on the CPU"
        return None
