"""A probe of a training leaves it as it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy
import torch
from torch import nn

_GENERATORS = torch.Generator, random.Random, numpy.random.Generator, numpy.random.RandomState


@contextmanager
def undisturbed(data: Any, seed: int = 0) -> Iterator[None]:
    """Iterate ``data`` inside, by Python and NumPy from ``seed`` on; after, as if nothing was."""
    restorations = [_restoration(generator) for generator in _generators(data)]
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


def _generators(data: Any) -> list[Any]:
    """Generators that a loader, its samplers or its data sets have as an attribute."""
    batch_sampler = getattr(data, "batch_sampler", None)
    parts = [data, batch_sampler, getattr(data, "sampler", None)]
    parts.append(getattr(batch_sampler, "sampler", None))
    inner = getattr(data, "dataset", None)
    while inner is not None and all(inner is not part for part in parts):
        parts.append(inner)
        inner = getattr(inner, "dataset", None)
    found = [value for part in parts for value in getattr(part, "__dict__", {}).values()]
    return [value for value in found if isinstance(value, _GENERATORS)]


def _restoration(generator: Any) -> Callable[[], object]:
    """What sets a generator back to where it is now."""
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    if isinstance(generator, numpy.random.Generator):
        bits = generator.bit_generator
        return partial(setattr, bits, "state", bits.state)
    return partial(generator.set_state, generator.get_state())


@contextmanager
def unchanged(module: object) -> Iterator[None]:
    """Call ``module`` inside; after, what it keeps of calls is as it was, if it is one of torch."""
    modules = list(module.modules()) if isinstance(module, nn.Module) else []
    before = [(dict(vars(one)), dict(one._buffers)) for one in modules]
    buffers = [buffer for one in modules for buffer in one.buffers(recurse=False)]
    values = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for one, (attributes, own) in zip(modules, before, strict=True):
            vars(one).update(attributes)
            one._buffers.update(own)
        with torch.no_grad():
            for buffer, value in zip(buffers, values, strict=True):
                buffer.copy_(value)
