"""Activations and their derivatives inside of kernels, by the codes of ``ACTIVATIONS``, in float32.

They are made of operations that the interpreter, too, computes to full precision.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: N803

from __future__ import annotations

import triton
import triton.language as tl

from pyg_modules.ops.activation import ACTIVATIONS

_RELU = tl.constexpr(ACTIVATIONS["relu"].code)
_TANH = tl.constexpr(ACTIVATIONS["tanh"].code)
_SIGMOID = tl.constexpr(ACTIVATIONS["sigmoid"].code)
_GELU = tl.constexpr(ACTIVATIONS["gelu"].code)
_SILU = tl.constexpr(ACTIVATIONS["silu"].code)
_ELU = tl.constexpr(ACTIVATIONS["elu"].code)
_SOFTPLUS = tl.constexpr(ACTIVATIONS["softplus"].code)


@triton.jit
def activate(x, CODE: tl.constexpr):
    """The states of the sums ``x``."""
    if CODE == _RELU:
        y = tl.where(x <= 0, 0.0, x)  # A comparison that is false for NaN keeps it.
    elif CODE == _TANH:
        y = _tanh(x)
    elif CODE == _SIGMOID:
        y = _sigmoid(x)
    elif CODE == _GELU:
        y = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    elif CODE == _SILU:
        y = x * _sigmoid(x)
    elif CODE == _ELU:
        y = tl.where(x > 0, x, _expm1(tl.where(x > 0, 0.0, x)))
    elif CODE == _SOFTPLUS:
        y = tl.where(x <= 0, 0.0, x) + _log1p(tl.exp(-tl.abs(x)))
    else:
        y = x
    return y


@triton.jit
def slope(saved, CODE: tl.constexpr):
    """The derivative, from states or, where ``Activation.needs_sums``, from sums."""
    if CODE == _RELU:
        y = tl.where(saved <= 0, 0.0, 1.0)
    elif CODE == _TANH:
        y = 1 - saved * saved
    elif CODE == _SIGMOID:
        y = saved * (1 - saved)
    elif CODE == _GELU:
        density = 0.3989422804014327 * tl.exp(-0.5 * saved * saved)
        y = 0.5 * (1 + tl.erf(saved * 0.7071067811865476)) + saved * density
    elif CODE == _SILU:
        sigmoid = _sigmoid(saved)
        y = sigmoid * (1 + saved * (1 - sigmoid))
    elif CODE == _ELU:
        y = tl.where(saved > 0, 1.0, saved + 1)
    elif CODE == _SOFTPLUS:
        y = _sigmoid(saved)
    else:
        y = 0.0 * saved + 1
    return y


@triton.jit
def _tanh(x):
    # The odd rational function of the loops that numba compiles.
    x = tl.where(x > 7.9053111, 7.9053111, x)
    x = tl.where(x < -7.9053111, -7.9053111, x)
    square = x * x
    p = -2.76076847742355e-16 * square + 2.00018790482477e-13
    p = p * square + -8.60467152213735e-11
    p = p * square + 5.12229709037114e-08
    p = p * square + 1.48572235717979e-05
    p = p * square + 6.37261928875436e-04
    p = p * square + 4.89352455891786e-03
    q = 1.19825839466702e-06 * square + 1.18534705686654e-04
    q = q * square + 2.26843463243900e-03
    q = q * square + 4.89352518554385e-03
    return x * p / q


@triton.jit
def _sigmoid(x):
    below = tl.exp(-tl.abs(x))  # Which does not overflow.
    return tl.where(x >= 0, 1.0, below) / (1 + below)


@triton.jit
def _expm1(x):
    """``exp(x) - 1`` for x that is not above 0."""
    # Near 0, where the difference would lose digits, the series.
    y = 1 + x / 8
    y = 1 + x / 7 * y
    y = 1 + x / 6 * y
    y = 1 + x / 5 * y
    y = 1 + x / 4 * y
    y = 1 + x / 3 * y
    y = 1 + x / 2 * y
    return tl.where(x > -0.5, x * y, tl.exp(x) - 1)


@triton.jit
def _log1p(x):
    """``log(1 + x)`` for x from 0 to 1, as ``2 artanh(x / (2 + x))``."""
    z = x / (2 + x)
    square = z * z
    y = square / 15 + 0.07692307692307693
    y = y * square + 0.09090909090909091
    y = y * square + 0.1111111111111111
    y = y * square + 0.14285714285714285
    y = y * square + 0.2
    y = y * square + 0.3333333333333333
    y = y * square + 1
    return 2 * z * y
