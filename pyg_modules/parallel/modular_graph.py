from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.modules.module import _has_any_global_hook

from pyg_modules._brief import brief
from pyg_modules._checks import check_choice, check_device
from pyg_modules._refusals import refuse_replicas, refuse_script
from pyg_modules.modules.joined_parts import fitting_parts
from pyg_modules.modules.merge import merge
from pyg_modules.modules.split import split
from pyg_modules.nn.backed_layer import BackedLayer
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.ops.autocast import without_autocast
from pyg_modules.ops.tracing import (
    as_leaf,
    is_compiling,
    is_recording,
)
from pyg_modules.parallel.batched_parts import BatchedParts
from pyg_modules.parallel.execution_report import ExecutionReport

EXECUTIONS = ("batched", "loop")


class ModularGraph(nn.Module):
    r"""Independent modules as one module, executed side by side.

    .. math::
        y = \sum_k \mathrm{part}_k(x)

    Args:
        parts (iterable of UnitLayer): The modules, e.g. from :func:`split`, with the same numbers
            of inputs and outputs, solver, ``dropout`` and fixed ``update_rate``. They are used, not
            copied.
        execution (str, optional): ``"batched"`` computes all parts as one graph of many blocks, by
            batched products of matrices where they are dense; ``"loop"`` one part after the other;
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
        TypeError: If a part is no layer of units.
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
        listed = fitting_parts(parts)
        self.parts = nn.ModuleList(listed)
        if devices is not None:
            places = _checked_devices(devices)
            self._check_execution(execution, {places[k % len(places)] for k in range(len(listed))})
            for number, part in enumerate(listed):
                part.to(places[number % len(places)])
        self.execution = execution
        self.register_load_state_dict_post_hook(_prepare_again)  # type: ignore[no-untyped-call]

    @property
    def execution(self) -> str:
        """How the parts are computed, ``"auto"``, ``"batched"`` or ``"loop"``."""
        return self._execution

    @execution.setter
    def execution(self, execution: str) -> None:
        self._check_execution(execution, self._devices())
        self._execution = execution
        self._prepare()

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """The sum of the outputs of all parts, ``[*, O]``, for the inputs ``x``, ``[*, I]``.

        Args:
            x (Tensor): The inputs.
            *others: What the parts take beside them.
            **named: The same by name, as ``edge_weight`` of a :class:`SynchronousConv`.
        """
        if isinstance(x, Proxy):
            return as_leaf(self, x, others, named)
        if not is_compiling():
            self._follow()
        parts, execution = self._listed(), self._chosen()
        # Which of them takes no more than x says so itself.
        if execution == "batched" and not (others or named):
            assert self._batched is not None
            return self._batched(_graphs(parts), x)
        # On other devices, all are started before the first is waited for.
        terms = [
            part(
                *(_moved(one, part.device) for one in (x, *others)),
                **{name: _moved(one, part.device) for name, one in named.items()},
            )
            for part in parts
        ]
        with without_autocast(x.device):  # Which cannot stack numbers of another half precision.
            # In the order of channels in memory that they have, which a stack has not.
            total: Tensor = reduce(torch.add, [term.to(x.device) for term in terms])
            return total

    def execution_report(self, batch: int) -> ExecutionReport:
        """How the parts are computed for ``batch`` samples, and why: print it.

        Args:
            batch (int): Number of samples, all leading dimensions multiplied.
        """
        self._follow()
        parts, execution = self._listed(), self._chosen()
        reason = "asked for"
        if self.execution == "auto":
            reason = self._obstacle("batched", self._devices()) or "possible for these parts"
        if execution == "batched":
            assert self._batched is not None
            parts = [self._batched.whole]
        backed = [part for part in parts if isinstance(part, BackedLayer)]
        return ExecutionReport(execution, reason, [part.backend_report(batch) for part in backed])

    def only(self, *modules: int) -> ModularGraph:
        """These modules alone, with the same parameters, not copies; for lesion studies.

        They are computed in a loop, so that nothing has to be built.

        Args:
            modules (int): Numbers of the modules to keep, from 0, or from the end if negative.

        Raises:
            IndexError: If there is no such module.
            TypeError: If a number is not an int.
            ValueError: If none is named, or one twice.
        """
        numbers = [self._number(module) for module in modules]
        if len(set(numbers)) < len(numbers):
            raise ValueError(
                f"Expected every module once at most (got {list(modules)}). Name each once."
            )
        return ModularGraph([self._listed()[number] for number in numbers], execution="loop")

    def drop(self, *modules: int) -> ModularGraph:
        """All modules but these, with the same parameters, not copies; for lesion studies.

        They are computed in a loop, so that nothing has to be built.

        Args:
            modules (int): Numbers of the modules to leave out, from 0, or from the end if negative;
                not all of them.

        Raises:
            IndexError: If there is no such module.
            TypeError: If a number is not an int.
            ValueError: If none would be left.
        """
        dropped = {self._number(module) for module in modules}
        return self.only(*(number for number in range(len(self.parts)) if number not in dropped))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the modules into ``folder``, merged, as :meth:`UnitLayer.save` does.

        A part that is cut itself comes back as the modules that it has.

        Args:
            folder (path): Made if it does not exist. Each file is replaced as a whole.

        Raises:
            ImportError: If safetensors has to be installed first.
            TypeError: If the solver is none of this package.
            ValueError: If ``folder`` is a file, one of several parts has no hidden units, or the
                parts disagree about an output that feeds back, see :func:`merge`.
        """
        parts = self._listed()
        without = [number for number, part in enumerate(parts) if part.graph.num_hidden == 0]
        if without and len(parts) > 1:
            raise ValueError(
                f"Expected parts with hidden units, which tell them apart (got part {without[0]}"
                f" without). Save it on its own, part.save(folder), or leave it out."
            )
        merge(parts).save(folder)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], *, device: torch.device | str = "cpu"
    ) -> ModularGraph:
        """The modules that :meth:`save` wrote, or a cut layer, split.

        Args:
            folder (path): The folder.
            device (torch.device, optional): Where they are to be. (default: ``"cpu"``)

        Raises:
            ValueError: If the folder is missing, truncated, of another format version, or holds a
                layer that was not cut.
        """
        check_device(str(device), computes=False)
        return cls(split(UnitLayer.load(folder))).to(device)

    def extra_repr(self) -> str:
        """The setting, for ``repr``."""
        return f"execution={self.execution!r}"

    __prepare_scriptable__ = refuse_script
    _replicate_for_data_parallel = refuse_replicas

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ModularGraph:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._prepare()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._prepare()  # What graphs keep is not in a pickle.

    def _prepare(self) -> None:
        """Build what a compiler that traces a forward pass has to find ready."""
        parts = self._listed()
        self._prepared_for = [_wiring_of(part) for part in parts]
        self._batched = None
        may_be_batched = self.execution in ("auto", "batched")
        if may_be_batched and self._obstacle("batched", self._devices()) is None:
            self._batched = BatchedParts(_graphs(parts))

    def _follow(self) -> None:
        """Prepare again if :attr:`parts` was changed by hand."""
        if not self._is_prepared():
            fitting_parts(self.parts)
            self._check_execution(self.execution, self._devices())
            self._prepare()

    def _is_prepared(self) -> bool:
        """Whether the parts are those that this was prepared for."""
        return [_wiring_of(part) for part in self._listed()] == self._prepared_for

    def _listed(self) -> list[UnitLayer]:
        return list(self.parts)  # type: ignore[arg-type]

    def _number(self, module: int) -> int:
        count = len(self.parts)
        if isinstance(module, bool) or not isinstance(module, Integral):
            raise TypeError(
                f"Expected modules as ints (got {type(module).__name__}: {brief(module)})."
                " Give the number of each as an argument, e.g. only(0, 2)."
            )
        if not -count <= module < count:
            raise IndexError(
                f"Expected modules from 0 to {count - 1} (got {module}). Name those that are there."
            )
        return int(module) % count

    def _devices(self) -> set[torch.device]:
        return {part.device for part in self._listed()}

    def _chosen(self) -> str:
        """How the parts are computed; raises if it cannot be done as it was asked for."""
        # What torch.jit.trace records cannot be called with other parameters.
        if self.execution == "loop" or is_recording():
            return "loop"
        # Where nothing can be built, it can still be noticed that parts have changed.
        is_stale = is_compiling() and not self._is_prepared()
        if self._batched is not None and not is_stale:
            return "batched"
        if self.execution == "batched" and is_stale and _reason_to_call(self._listed()) is None:
            raise RuntimeError(
                "Expected parts as they were at the last call (got others, under torch.compile or"
                " torch.export, where nothing can be built). Call the modules once before, or use"
                " execution='auto'."
            )
        if self.execution == "batched":
            self._check_execution("batched", self._devices())
        return "loop"

    def _check_execution(self, execution: str, devices: set[torch.device]) -> None:
        check_choice("execution", execution, ("auto", *EXECUTIONS))
        obstacle = self._obstacle(execution, devices)
        if obstacle is not None:
            raise ValueError(
                f"Expected parts that fit execution {execution!r} (got {obstacle}). Use"
                f" execution='auto'."
            )

    def _obstacle(self, execution: str, devices: set[torch.device]) -> str | None:
        """Why the parts cannot be computed in this way on ``devices``; ``None`` if they can."""
        parts = self._listed()
        if execution != "batched":
            return None
        reason = _reason_to_call(parts)
        if reason is not None:
            return reason
        if any(part.graph.has_feedback for part in parts):
            return "feedback from an output"
        if any(part.dynamics.dropout for part in parts):
            return "dropout, which every part draws for itself"
        if len(devices) > 1:
            return f"parts on {len(devices)} devices"
        return None


def _graphs(parts: list[UnitLayer]) -> list[SynchronousGraph]:
    """``parts``, of which :func:`_reason_to_call` found no other."""
    return parts  # type: ignore[return-value]


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) and not value.is_meta else value


def _prepare_again(graph: nn.Module, _: object) -> None:
    """After load_state_dict(assign=True) the parts may be on another device."""
    assert isinstance(graph, ModularGraph)
    graph._prepare()


def _reason_to_call(parts: Sequence[UnitLayer]) -> str | None:
    """Why a call of the parts does more than to compute their outputs; ``None`` if it does not."""
    if _has_any_global_hook():  # type: ignore[no-untyped-call]
        return "hooks on all modules, as torch.nn.modules.module.register_module_* adds them"
    for part in parts:
        if not isinstance(part, SynchronousGraph):
            return f"a {type(part).__name__}, which is computed by itself"
        if (
            part._forward_pre_hooks
            or part._forward_hooks
            or part._backward_pre_hooks
            or part._backward_hooks
        ):
            return "a part with hooks, as torch.nn.utils.prune adds them"
        if "forward" in vars(part) or type(part).forward is not SynchronousGraph.forward:
            return "a part with a forward of its own"
    return None


def _wiring_of(part: UnitLayer) -> tuple[object, ...]:
    """What the way to compute depends on; the same graph is found equal as an object, at once."""
    settings = part.solver, part.config(), part.device, part.dtype
    return part.graph, *settings, _reason_to_call([part])


def _checked_devices(devices: Sequence[torch.device | str]) -> list[torch.device]:
    if isinstance(devices, str) or not isinstance(devices, Sequence):
        remedy = f"[{devices!r}]" if isinstance(devices, str | torch.device) else "a list of them"
        raise TypeError(f"Expected a sequence of devices (got {brief(devices)}). Use {remedy}.")
    if len(devices) == 0:
        raise ValueError("Expected at least one device (got none). Name one, or leave devices out.")
    for device in devices:
        check_device(device, computes=False)
    return [torch.empty(0, device=device).device for device in devices]
