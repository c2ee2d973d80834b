"""Measures what an update costs on every backend and fits the cost model of ``auto``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from pyg_modules.ops import BACKENDS, EdgeSet, is_available
from pyg_modules.ops.cost_model import FILE, fit, measure

_UNITS = (32, 128, 512, 2048)
_DENSITIES = (0.01, 0.05, 0.2, 1.0)
_BATCHES = (1, 16, 128, 512)
_MAX_SECONDS_WORTH = 2**30  # Products per call that are still measured.


def calibrate(device: torch.device) -> dict[str, Any]:
    """The coefficients of every backend on ``device``, by dtype."""
    model: dict[str, Any] = {}
    for dtype in (torch.float32, torch.float64):
        model[str(dtype).removeprefix("torch.")] = {
            name: _fit(name, device, dtype)
            for name in BACKENDS
            if is_available(name, device, dtype)
        }
    return model


def write(device: torch.device, model: dict[str, Any]) -> None:
    """Put ``model`` into the file of the package, beside those of other types of devices."""
    path = Path(str(FILE))
    models = json.loads(path.read_text(encoding="utf-8"))
    models[device.type] = model
    path.write_text(json.dumps(models, indent=2) + "\n", encoding="utf-8")


def _fit(backend: str, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    works, seconds = [], []
    for num_units in _UNITS:
        for density in _DENSITIES:
            num_modules = 4 if BACKENDS[backend].permutes_units else 1
            edges = _random_edges(num_units, density, num_modules)
            operator = BACKENDS[backend].build(edges).to(device)
            for batch in _BATCHES:
                work = BACKENDS[backend].work(edges, batch)
                if work is None or work.cells * batch > _MAX_SECONDS_WORTH:
                    continue
                if BACKENDS[backend].held(work) > max(work.cells, _MAX_SECONDS_WORTH // 16):
                    continue
                works.append(work)
                seconds.append(measure(operator, edges.num_edges, batch, dtype))
    return fit(works, seconds)


def _random_edges(num_units: int, density: float, num_modules: int) -> EdgeSet:
    generator = torch.Generator().manual_seed(0)
    chosen = torch.rand(num_units, num_units, generator=generator) < density
    module = torch.arange(num_units) * num_modules // num_units
    chosen &= module.unsqueeze(0) == module.unsqueeze(1)
    target, source = chosen.nonzero().T
    return EdgeSet.between(torch.stack([source, target]), range(num_units), range(num_units))
