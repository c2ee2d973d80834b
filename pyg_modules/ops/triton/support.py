"""Where kernels in Triton can run."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec

import torch

# Below, tensor cores know neither bfloat16 nor TF32.
_CAPABILITY = 8, 0


@cache
def missing() -> str | None:
    """What has to be installed first; ``None`` if nothing."""
    return None if find_spec("triton") else "triton"


def is_interpreted() -> bool:
    """Whether kernels are interpreted, on the CPU, as the environment told Triton."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def obstacle(device: torch.device) -> str | None:
    """Why kernels cannot run on ``device``; ``None`` if they can."""
    if is_interpreted():
        return None if device.type == "cpu" else "TRITON_INTERPRET=1, which is for the CPU"
    if device.type != "cuda":
        return f"a device of type {device.type}"
    if not torch.cuda.is_available():
        return "no CUDA device on this machine"
    capability = torch.cuda.get_device_capability(device)
    if capability < _CAPABILITY:
        found, expected = (".".join(map(str, version)) for version in (capability, _CAPABILITY))
        return f"a device of compute capability {found}, below {expected}"
    return None


def on(device: torch.device) -> AbstractContextManager[object]:
    """A context in which kernels are launched on ``device``."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
