"""The states of all global sources of randomness, as tensors of fixed sizes."""

from __future__ import annotations

import random
from math import isnan, nan
from typing import Any

import numpy
import torch
from torch import Tensor

_PYTHON_VERSION = 3


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of Python, NumPy and torch, on the CPU and on ``device``."""
    _, words, gauss = random.getstate()
    legacy: Any = numpy.random.get_state()  # noqa: NPY002
    _, keys, position, has_gauss, cached = legacy
    state = {
        "python": torch.tensor(words, device="cpu"),
        "python_gauss": torch.tensor(
            [nan if gauss is None else gauss], dtype=torch.float64, device="cpu"
        ),
        "numpy": torch.tensor([*keys.tolist(), position, has_gauss], device="cpu"),
        "numpy_gauss": torch.tensor([cached], dtype=torch.float64, device="cpu"),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Go on from what :func:`random_state` returned, on ``device``."""
    gauss = state["python_gauss"].item()
    words = tuple(state["python"].tolist())
    random.setstate((_PYTHON_VERSION, words, None if isnan(gauss) else gauss))
    *keys, position, has_gauss = state["numpy"].tolist()
    legacy: Any = ("MT19937", keys, position, has_gauss, state["numpy_gauss"].item())
    numpy.random.set_state(legacy)  # noqa: NPY002
    # torch 2.13 reads a view, such as a row, from a wrong place in memory.
    torch.set_rng_state(state["torch"].clone())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].clone(), device)
