"""What one synchronous update costs on every backend: measured once, predicted from sizes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from pyg_modules.ops.activation import ACTIVATIONS, RowActivation
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.work import Work

#: Coefficients by type of device, dtype and backend; written by ``benchmarks/speed --calibrate``.
FILE = files("pyg_modules.ops") / "cost_model.json"

# Updates that are timed together where they are computed at once.
_UPDATES = 8


def predict(device: str, dtype: torch.dtype, backend: str, work: Work) -> float | None:
    """Seconds of one update, forwards and backwards; ``None`` where nobody has measured it."""
    coefficients = _model().get(device, {}).get(str(dtype).removeprefix("torch."), {}).get(backend)
    if coefficients is None:
        return None
    return float(sum(coefficients[name] * value for name, value in work.terms().items()))


def is_measured(device: str, dtype: torch.dtype) -> bool:
    """Whether the model knows devices of this type."""
    return str(dtype).removeprefix("torch.") in _model().get(device, {})


def measure(operator: EdgeOperator, num_edges: int, batch: int, dtype: torch.dtype) -> float:
    """Seconds of one update, forwards and backwards, the median of five.

    For an operator that computes several at once, its share of the time of some.
    """
    tanh = RowActivation(ACTIVATIONS["tanh"], operator.num_rows)
    tanh_back = tanh._replace(num_rows=operator.num_columns)
    device = operator.index[0].device
    weight = torch.full((num_edges,), 1e-3, device=device, dtype=dtype)
    values, transposed = operator.prepare(weight), operator.prepare_transposed(weight)
    state = weight.new_full((operator.num_columns, batch), 0.1)
    sums, back = weight.new_zeros(operator.num_rows, batch), torch.empty_like(state)
    total = torch.zeros_like(state)
    gradient = operator.new_gradient(weight)

    def one_by_one() -> None:
        out = torch.empty_like(sums)
        operator.update(values, state, sums, tanh, out)
        operator.adjoint(transposed, out, state, tanh_back, back, gradient=gradient, total=total)

    def at_once() -> bool:
        if type(operator).unroll is EdgeOperator.unroll:
            return False
        kept, is_done = sums.new_empty(_UPDATES, *sums.shape), True
        for piece in operator.pieces(tanh):
            unroll, unroll_backward = piece.operator.unroll, piece.operator.unroll_backward
            cells, rows, of_piece = piece.cells(values), piece.rows(sums), piece.rows(kept, dim=1)
            if unroll(cells, rows, piece.f, of_piece, _UPDATES, 1) is None:
                return False
            cells, into = piece.cells(transposed), (piece.cells(gradient), piece.rows(total))
            is_done = is_done and unroll_backward(cells, of_piece, piece.f, *into)
        return is_done

    def seconds(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    if at_once():  # Compiles and warms up.
        return median(seconds(at_once) for _ in range(5)) / _UPDATES
    seconds(one_by_one)
    return median(seconds(one_by_one) for _ in range(5))


def fit(works: Sequence[Work], seconds: Sequence[float]) -> dict[str, float]:
    """The coefficients, none negative, with the least relative squared error."""
    terms = np.array([list(work.terms().values()) for work in works])
    measured = np.asarray(seconds)
    # Scaled columns: the coefficients differ by nine orders of magnitude.
    scale = terms.max(axis=0)
    solution, _ = nnls(terms / scale / measured[:, None], np.ones(len(measured)))
    return dict(zip(works[0].terms(), (solution / scale).tolist(), strict=True))


@cache
def _model() -> dict[str, Any]:
    model: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return model
