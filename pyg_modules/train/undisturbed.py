"""A probe of a training leaves it as it is."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from types import MethodType, ModuleType
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

#: Where loaders, samplers and data sets have what they draw samples of, or make them by.
_INNER = (
    *("batch_sampler", "sampler", "dataset", "datasets", "collate_fn"),
    *("transform", "pre_transform", "target_transform", "transforms"),
)
# So many parts of a list are looked at: data sets may be lists of many graphs.
_MOST = 100
_GENERATORS = torch.Generator, random.Random, numpy.random.Generator, numpy.random.RandomState


@contextmanager
def undisturbed(data: Any, seed: int = 0) -> Iterator[None]:
    """Iterate ``data`` inside, by Python and NumPy from ``seed`` on; after, as if nothing was."""
    restorations = _restorations(_parts_of(data))
    of_python, of_numpy = random.getstate(), numpy.random.get_state()  # noqa: NPY002
    random.seed(seed)
    numpy.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(of_python)
        numpy.random.set_state(of_numpy)  # noqa: NPY002
        for restore in restorations:
            restore()


def _parts_of(data: Any) -> list[Any]:
    """A loader, and what it draws samples of, or makes them by."""
    parts = [data]
    for part in parts:  # It grows on the way.
        inner = [getattr(part, name, None) for name in _INNER]
        inner += [each for one in inner if isinstance(one, list | tuple) for each in one[:_MOST]]
        known = set(map(id, parts))
        parts += [one for one in inner if hasattr(one, "__dict__") and id(one) not in known]
    return parts


def _restorations(parts: list[Any]) -> list[Callable[[], object]]:
    """What sets the generators that are attributes of some objects back to where they are now."""
    found = [value for part in parts for value in getattr(part, "__dict__", {}).values()]
    # Those of the system have no state.
    found = [value for value in found if not isinstance(value, random.SystemRandom)]
    return [_restoration(value) for value in found if isinstance(value, _GENERATORS)]


def _restoration(generator: Any) -> Callable[[], object]:
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    if isinstance(generator, numpy.random.Generator):
        bits = generator.bit_generator
        return partial(setattr, bits, "state", bits.state)
    return partial(generator.set_state, generator.get_state())


@contextmanager
def unchanged(called: object) -> Iterator[None]:
    """Call ``called`` inside, such as a loss; after, what it keeps of its calls is as it was."""
    owners = _owners(called)
    kept = [vars(one) for one in owners]
    containers = [*kept, *(value for one in kept for value in one.values() if _holds(value))]
    tensors = [
        value
        for one in containers
        for value in (one.values() if isinstance(one, dict) else one)
        if isinstance(value, Tensor) and _may_change(value)
    ]
    before = [copy(one) for one in containers]
    values = [(tensor, tensor._version, tensor.detach().clone()) for tensor in tensors]
    restorations = _restorations(owners)
    try:
        yield
    finally:
        for one, contents in zip(containers, before, strict=True):
            one.clear()
            add = one.extend if isinstance(one, list | deque) else one.update
            add(contents)
        with torch.no_grad():
            for tensor, version, value in values:
                if tensor._version != version:
                    tensor.resize_(value.shape).copy_(value)
        for restore in restorations:
            restore()


def _owners(called: object) -> list[Any]:
    """What is called, and the modules of torch in it, as far as they are seen from outside."""
    if isinstance(called, partial):
        parts = [called.func, *called.args, *called.keywords.values()]
        return [owner for part in parts for owner in _owners(part)]
    owner = called.__self__ if isinstance(called, MethodType) else called
    if isinstance(owner, nn.Module):
        return list(owner.modules())
    if isinstance(owner, type | ModuleType | Tensor) or not hasattr(owner, "__dict__"):
        return []
    inside = [part for part in vars(owner).values() if isinstance(part, nn.Module)]
    return [owner, *(one for part in inside for one in part.modules())]


def _may_change(tensor: Tensor) -> bool:
    """Whether a tensor can be changed by what is called; those that are trained are not."""
    is_plain = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_inference()
    is_trained = isinstance(tensor, nn.Parameter) and tensor.requires_grad
    return is_plain and not is_trained and not is_lazy(tensor)


def _holds(value: object) -> bool:
    return isinstance(value, dict | list | set | deque)
