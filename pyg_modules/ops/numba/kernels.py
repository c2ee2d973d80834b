"""Compiled loops over the edges of a sparse matrix, by rows, for contiguous states [units, batch].

Each is one pass over the edges: a row of states that an edge reads is used for everything that
needs it. Rows are divided among threads by number of edges, and every row is computed by one thread
in one order, so that results do not depend on the number of threads.
"""

# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from types import FunctionType, SimpleNamespace
from typing import Any

import numba
import numpy as np
from numba import prange
from numba.extending import overload

from pyg_modules._numba import njit
from pyg_modules.ops.activation import ACTIVATIONS

#: Codes of the activations that the kernels apply themselves, beside the identity, 0. Their
#: negatives stand for the multiplication by the derivative.
RELU, TANH, SIGMOID = (ACTIVATIONS[name].code for name in ("relu", "tanh", "sigmoid"))
CODES = (0, RELU, TANH, SIGMOID)

# Sums may be reordered, which vector instructions need; NaN and infinity keep their meaning.
_options: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "nogil": True,
}


def _tanh(x):
    raise NotImplementedError


@overload(_tanh, inline="always")
def _tanh_overload(x):
    if x == numba.float32:
        return _tanh_rational
    return lambda x: math.tanh(x)


def _tanh_rational(x):
    # An odd rational function, as vector instructions compute it, within 4 units in the last place
    # (after Eigen's `ptanh_float`).
    x = min(max(x, np.float32(-7.9053111)), np.float32(7.9053111))
    square = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * square + np.float32(2.00018790482477e-13)
    p = p * square + np.float32(-8.60467152213735e-11)
    p = p * square + np.float32(5.12229709037114e-08)
    p = p * square + np.float32(1.48572235717979e-05)
    p = p * square + np.float32(6.37261928875436e-04)
    p = p * square + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * square + np.float32(1.18534705686654e-04)
    q = q * square + np.float32(2.26843463243900e-03)
    q = q * square + np.float32(4.89352518554385e-03)
    return x * p / q


@numba.njit(inline="always")
def _finish(row, saved, code):
    """Apply the activation of ``code``, or its derivative at the states ``saved``, in place."""
    one = row.dtype.type(1)
    half = row.dtype.type(0.5)
    if code == RELU:
        for b in range(row.size):
            # A comparison that is false for NaN keeps it.
            row[b] = 0 if row[b] <= 0 else row[b]
    elif code == TANH:
        for b in range(row.size):
            row[b] = _tanh(row[b])
    elif code == SIGMOID:
        for b in range(row.size):
            row[b] = half * _tanh(half * row[b]) + half
    elif code == -RELU:
        for b in range(row.size):
            row[b] = 0 if saved[b] <= 0 else row[b]
    elif code == -TANH:
        for b in range(row.size):
            row[b] *= one - saved[b] * saved[b]
    elif code == -SIGMOID:
        for b in range(row.size):
            row[b] *= saved[b] * (one - saved[b])


@njit(parallel=True, **_options)
def start(injected, code, num_activated, out):
    """``out <- f(injected)``."""
    for i in prange(out.shape[0]):
        row = out[i]
        row[:] = injected[i]
        if i < num_activated:
            _finish(row, row, code)


@njit(parallel=True, **_options)
def update(offsets, column, values, state, add, saved, code, num_activated, out, starts):
    """``out <- f(W state + add)``, or ``f'(saved) (W state + add)``, as ``code`` says.

    ``code`` is about the first ``num_activated`` rows. An empty ``add`` counts as 0.
    """
    batch = out.shape[1]
    zero = values.dtype.type(0)
    for chunk in prange(starts.size - 1):
        for i in range(starts[chunk], starts[chunk + 1]):
            if batch == 1 and i >= num_activated:  # As for the norm of a matrix.
                single = add[i, 0] if add.shape[0] else zero
                for k in range(offsets[i], offsets[i + 1]):
                    single += values[k] * state[column[k], 0]
                out[i, 0] = single
                continue
            row = out[i]
            if add.shape[0]:
                row[:] = add[i]
            else:
                row[:] = 0
            e, end = offsets[i], offsets[i + 1]
            # Eight edges at a time: the sums are read and written once for all of them.
            while e + 8 <= end:
                w0, w1, w2, w3 = values[e], values[e + 1], values[e + 2], values[e + 3]
                w4, w5, w6, w7 = values[e + 4], values[e + 5], values[e + 6], values[e + 7]
                h0, h1 = state[column[e]], state[column[e + 1]]
                h2, h3 = state[column[e + 2]], state[column[e + 3]]
                h4, h5 = state[column[e + 4]], state[column[e + 5]]
                h6, h7 = state[column[e + 6]], state[column[e + 7]]
                for b in range(batch):
                    row[b] += (w0 * h0[b] + w1 * h1[b] + w2 * h2[b] + w3 * h3[b]) + (
                        w4 * h4[b] + w5 * h5[b] + w6 * h6[b] + w7 * h7[b]
                    )
                e += 8
            while e < end:
                w0, h0 = values[e], state[column[e]]
                for b in range(batch):
                    row[b] += w0 * h0[b]
                e += 1
            if i < num_activated:
                _finish(row, saved[i] if saved.shape[0] else row, code)


@njit(parallel=True, **_options)
def adjoint(
    offsets, column, values, grad, saved, code, num_activated, gradient, total, out, starts
):
    """``out <- f'(saved) (W^T grad)``, ``total += out``, ``gradient += grad saved^T`` on the edges.

    ``offsets``, ``column``, ``values`` and ``gradient`` are those of the transpose. Both products
    read the same row of ``grad`` for an edge.
    """
    batch = out.shape[1]
    zero = values.dtype.type(0)
    for chunk in prange(starts.size - 1):
        for j in range(starts[chunk], starts[chunk + 1]):
            row, state = out[j], saved[j]
            row[:] = 0
            e, end = offsets[j], offsets[j + 1]
            while e + 8 <= end:
                w0, w1, w2, w3 = values[e], values[e + 1], values[e + 2], values[e + 3]
                w4, w5, w6, w7 = values[e + 4], values[e + 5], values[e + 6], values[e + 7]
                g0, g1 = grad[column[e]], grad[column[e + 1]]
                g2, g3 = grad[column[e + 2]], grad[column[e + 3]]
                g4, g5 = grad[column[e + 4]], grad[column[e + 5]]
                g6, g7 = grad[column[e + 6]], grad[column[e + 7]]
                s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero
                for b in range(batch):
                    x0, x1, x2, x3 = g0[b], g1[b], g2[b], g3[b]
                    x4, x5, x6, x7 = g4[b], g5[b], g6[b], g7[b]
                    y = state[b]
                    row[b] += (w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3) + (
                        w4 * x4 + w5 * x5 + w6 * x6 + w7 * x7
                    )
                    s0 += x0 * y
                    s1 += x1 * y
                    s2 += x2 * y
                    s3 += x3 * y
                    s4 += x4 * y
                    s5 += x5 * y
                    s6 += x6 * y
                    s7 += x7 * y
                gradient[e] += s0
                gradient[e + 1] += s1
                gradient[e + 2] += s2
                gradient[e + 3] += s3
                gradient[e + 4] += s4
                gradient[e + 5] += s5
                gradient[e + 6] += s6
                gradient[e + 7] += s7
                e += 8
            while e < end:
                w0, g0 = values[e], grad[column[e]]
                s0 = zero
                for b in range(batch):
                    row[b] += w0 * g0[b]
                    s0 += g0[b] * state[b]
                gradient[e] += s0
                e += 1
            if j < num_activated:
                _finish(row, state, code)
            total[j] += row


@njit(parallel=True, **_options)
def sample(offsets, column, grad, state, gradient, starts):
    """``gradient_ij += sum_b grad_ib state_jb`` on the edges of the transpose, j by j."""
    batch = state.shape[1]
    zero = state.dtype.type(0)
    for chunk in prange(starts.size - 1):
        for j in range(starts[chunk], starts[chunk + 1]):
            row = state[j]
            e, end = offsets[j], offsets[j + 1]
            while e + 4 <= end:
                g0, g1 = grad[column[e]], grad[column[e + 1]]
                g2, g3 = grad[column[e + 2]], grad[column[e + 3]]
                s0 = s1 = s2 = s3 = zero
                for b in range(batch):
                    y = row[b]
                    s0 += g0[b] * y
                    s1 += g1[b] * y
                    s2 += g2[b] * y
                    s3 += g3[b] * y
                gradient[e] += s0
                gradient[e + 1] += s1
                gradient[e + 2] += s2
                gradient[e + 3] += s3
                e += 4
            while e < end:
                g0 = grad[column[e]]
                s0 = zero
                for b in range(batch):
                    s0 += g0[b] * row[b]
                gradient[e] += s0
                e += 1


@njit(parallel=True, **_options)
def from_rows(offsets, column, values, state, add, code, num_activated, out):
    """``out <- f((W state^T)^T + add)``: sums along every row of ``state``, four rows at a time.

    Rows stay in the caches, so that it takes no longer than to transpose them. ``add`` and ``code``
    are as for ``update``.
    """
    num_rows, num_targets = out.shape
    zero = values.dtype.type(0)
    for group in prange((num_rows + 3) // 4):
        i = 4 * group
        if i + 4 <= num_rows:
            h0, h1, h2, h3 = state[i], state[i + 1], state[i + 2], state[i + 3]
            y0, y1, y2, y3 = out[i], out[i + 1], out[i + 2], out[i + 3]
            for v in range(num_targets):
                s0 = s1 = s2 = s3 = zero
                for e in range(offsets[v], offsets[v + 1]):
                    w, u = values[e], column[e]
                    s0 += w * h0[u]
                    s1 += w * h1[u]
                    s2 += w * h2[u]
                    s3 += w * h3[u]
                y0[v], y1[v], y2[v], y3[v] = s0, s1, s2, s3
        else:
            for k in range(i, num_rows):
                row, sums = state[k], out[k]
                for v in range(num_targets):
                    s0 = zero
                    for e in range(offsets[v], offsets[v + 1]):
                        s0 += values[e] * row[column[e]]
                    sums[v] = s0
        for k in range(i, min(i + 4, num_rows)):
            sums = out[k]
            if add.shape[0]:
                row = add[k]
                for v in range(num_targets):
                    sums[v] += row[v]
            if k < num_activated:
                _finish(sums, sums, code)


@njit(parallel=True, **_options)
def squares(following, state, out, starts):
    """Sums of squares of ``following - state`` and of ``state`` by column: ``out``, of zeros."""
    for chunk in prange(starts.size - 1):
        first, end = starts[chunk], starts[chunk + 1]
        of_difference, of_state = out[0, first:end], out[1, first:end]
        for i in range(state.shape[0]):
            after, before = following[i, first:end], state[i, first:end]
            for b in range(end - first):
                difference = np.float64(after[b] - before[b])
                of_difference[b] += difference * difference
                of_state[b] += np.float64(before[b]) * np.float64(before[b])


def _serial(kernel):
    """The same loops on the thread that calls them."""
    function = FunctionType(kernel.py_func.__code__, globals())
    # Numba keeps compiled functions in files, by this name.
    function.__qualname__ = f"{kernel.__name__}_serial"
    return njit(**_options)(function)


#: The kernels for where there are no threads.
SERIAL = SimpleNamespace(
    CODES=CODES,
    start=_serial(start),
    update=_serial(update),
    adjoint=_serial(adjoint),
    sample=_serial(sample),
    from_rows=_serial(from_rows),
    squares=_serial(squares),
)
