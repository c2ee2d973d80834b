"""Who is looking at the computation: autograd alone, or a transformation of torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx import Proxy
from torch.jit import TracerWarning  # type: ignore[attr-defined]


def is_compiling() -> bool:
    """Whether ``torch.compile`` or ``torch.export`` traces this call."""
    return torch.compiler.is_compiling()


def is_recording() -> bool:
    """Whether ``torch.jit.trace`` records this call, which makes sizes tensors."""
    return torch._C._get_tracing_state() is not None


@contextmanager
def unrecorded() -> Iterator[None]:
    """A context of which ``torch.jit.trace`` records nothing, and where sizes are integers."""
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


@contextmanager
def recorded() -> Iterator[None]:
    """A context for ``torch.jit.trace`` in which sizes of what is no input may be looked at."""
    with warnings.catch_warnings():
        # They are the same in every call.
        warnings.simplefilter("ignore", TracerWarning)
        yield


def is_transforming() -> bool:
    """Whether anything runs this that has to look into what is computed.

    That is a transformation of ``torch.func``, forward-mode differentiation, ``torch.jit.trace`` or
    ``make_fx``.
    """
    # The first two are those that torch.autograd.Function asks itself.
    return (
        torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or is_recording()
        or (not is_compiling() and _is_recorded_as_graph())
    )


def _is_recorded_as_graph() -> bool:
    """Whether ``make_fx`` records this call, for which a compiler has other ways."""
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None


def is_tracing() -> bool:
    """Whether anything other than autograd looks at this call."""
    return is_compiling() or is_transforming()


def as_leaf(module: nn.Module, x: Proxy, others: Any = (), named: Any = None) -> Tensor:
    """The call of ``module`` as ``torch.fx.symbolic_trace`` records it.

    It is one node of the graph, as that of a module of torch is. ``others`` and ``named`` are what
    it is called with beside ``x``; where ``module`` itself is traced, they are no tuple and dict.

    Raises:
        RuntimeError: If it is ``module`` itself that is traced.
    """
    tracer: Any = x.tracer
    if tracer.root is module:
        raise RuntimeError(
            f"Expected a model with the {type(module).__name__} in it for torch.fx.symbolic_trace"
            f" (got the {type(module).__name__} alone, whose sizes are no symbols). Use"
            f" torch.export.export, or trace torch.nn.Sequential of it."
        )
    path = tracer.path_of_module(module)
    stand_in: Tensor = tracer.create_proxy("call_module", path, (x, *others), named or {})
    return stand_in
