from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from pyg_modules.graph.unit_graph import UnitGraph

#: Floats hold as many bits, and sums of some, exactly: the mean of equal ones is equal to them.
_BITS = 20


def edge_fingerprint(graph: UnitGraph) -> Tensor:
    """A number that tells the edges of ``graph`` and their order from others, an integer ``[]``."""

    def build() -> int:
        digest = hashlib.sha256(graph.edge_index.numpy().tobytes()).digest()
        number = int.from_bytes(digest[:8], "little")
        return number % (1 << _BITS)

    return torch.tensor(graph.cached("fingerprint", build), device="cpu")


def is_of(fingerprint: Tensor, graph: UnitGraph) -> bool:
    """Whether ``fingerprint`` is that of ``graph``, or a mean of such, rounded in some way."""
    known, found = edge_fingerprint(graph), fingerprint.double().cpu()
    # Half precision keeps a part of the number, or of a large one that it is large.
    halves = (known.to(half).double() for half in (torch.float16, torch.bfloat16))
    return bool((found - known).abs() <= 1) or any(bool(found == half) for half in halves)
