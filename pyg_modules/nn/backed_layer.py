from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch

from pyg_modules._checks import as_int
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.nn.wiring import Operators
from pyg_modules.ops.dispatch import BackendReport, check_backend, is_available
from pyg_modules.ops.tracing import is_compiling, is_recording, is_transforming, unrecorded
from pyg_modules.ops.update import Update

# What a compiler or an exporter, which does not look at the batch, is told.
_USUAL_BATCH = 128


class BackedLayer(UnitLayer):
    """A layer whose weighted sums over edges are computed by a backend.

    Args:
        *args: Those of :class:`UnitLayer`.
        backend (str, optional): See :class:`SynchronousGraph`. (default: ``"auto"``)
        **kwargs: Those of :class:`UnitLayer`.
    """

    #: Whether backends compute sums, and something else the activation of states.
    _sums_alone: ClassVar[bool] = False

    def __init__(self, *args: Any, backend: str = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.backend = backend

    def config(self) -> dict[str, Any]:
        """See :meth:`UnitLayer.config`."""
        return {**super().config(), "backend": self.backend}

    @property
    def backend(self) -> str:
        """How the weighted sums are computed, ``"auto"`` or the name of a backend."""
        return self._backend

    @backend.setter
    def backend(self, backend: str) -> None:
        check_backend(backend)
        self._operators(backend, _USUAL_BATCH)  # Raises before the change.
        self._backend = backend

    def backend_report(self, batch: int) -> BackendReport:
        """Which backend computes what for ``batch`` samples, and why: print it.

        Where no cost model was measured, on a CUDA device for example, the backends are timed, as
        they are at the first forward pass with a batch of about this size.

        Args:
            batch (int): Number of samples, all leading dimensions multiplied.
        """
        batch = as_int("batch", batch, smallest=0)
        wiring = self._wiring()
        dtype = self._precision()
        demand = wiring.demand(self.backend, dtype, batch, sums_alone=self._sums_alone)
        return BackendReport(batch, wiring.choices(demand))

    def _update(self) -> Update:
        return self.dynamics.update(self._operators(self.backend, _USUAL_BATCH).recurrence)

    def _build(self) -> None:
        self._operators(self.backend, _USUAL_BATCH)

    def _precision(self) -> torch.dtype:
        """See :meth:`UnitLayer._precision`; that of the layer where a backend knows no other."""
        dtype = super()._precision()
        if is_compiling():
            operators = self._operators(self.backend, _USUAL_BATCH)
            knows_it = all(dtype in operator.dtypes for operator in operators)
        else:
            knows_it = self.backend == "auto" or is_available(self.backend, self.device, dtype)
        return dtype if knows_it else self.dtype

    def _operators(self, backend: str, batch: int, dtype: torch.dtype | None = None) -> Operators:
        """The operators for a batch of about this size, and states of ``dtype``.

        Those for the usual batch, and the dtype of the layer, are built when a layer is made, moved
        or given another backend, so that a compiler that traces a forward pass finds them ready.
        """
        if is_compiling():
            batch, dtype = _USUAL_BATCH, None
        wiring = self._wiring()
        demand = partial(wiring.demand, backend, dtype or self.dtype, sums_alone=self._sums_alone)
        if is_recording():
            with unrecorded():
                return wiring.operators(demand(_USUAL_BATCH, composed=True))
        return wiring.operators(demand(batch, composed=is_transforming()))

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        return f"{super().extra_repr()}, backend={self.backend!r}"
