"""All updates of small dense matrices in one launch per direction, for states [units, batch].

A program has one matrix and some samples: it keeps the matrix and the states on the chip for all
updates, and writes only what the backward pass reads. No two programs write the same number: there
are no atomics, and the same bits every time.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: N803, SIM102 - what is known to the compiler is asked apart

from __future__ import annotations

import torch
import triton
import triton.language as tl

from pyg_modules.ops.triton.pointwise import activate, slope

#: What is multiplied, by the dtype of states; the interpreter multiplies float32 alone.
FACTORS = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


@triton.jit
def unroll(
    matrices,
    injected,
    kept,
    last,
    batch,
    width,
    steps,
    stride,
    kept_stride,
    CODE: tl.constexpr,
    NEEDS_SUMS: tl.constexpr,
    KEEPS: tl.constexpr,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
    FACTOR: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The last states, and what the derivative needs of every ``stride``-th update from 0 on."""
    matrix_id, unit = tl.program_id(0).to(tl.int64), tl.arange(0, SIZE)
    b = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_cell = (unit < width)[:, None] & (unit < width)[None, :]
    cell = (matrix_id * width + unit[:, None]) * width + unit[None, :]
    matrix = tl.load(matrices + cell, mask=is_cell, other=0.0)
    is_in = (unit < width)[:, None] & (b < batch)[None, :]
    at = (matrix_id * width + unit[:, None]) * batch + b[None, :]
    constant = tl.load(injected + at, mask=is_in, other=0.0).to(tl.float32)
    # States are as precise between two updates as those that are stored.
    state = activate(constant, CODE=CODE).to(matrix.dtype)
    into = kept
    if KEEPS:
        value = constant if NEEDS_SUMS else state
        tl.store(kept + at, value.to(kept.dtype.element_ty), mask=is_in)
    for time in range(1, steps):
        product = tl.dot(matrix.to(FACTOR), state.to(FACTOR), input_precision=PRECISION)
        sums = product + constant
        state = activate(sums, CODE=CODE).to(matrix.dtype)
        if KEEPS:
            if time % stride == 0:
                value = sums if NEEDS_SUMS else state
                into += kept_stride
                tl.store(into + at, value.to(kept.dtype.element_ty), mask=is_in)
    tl.store(last + at, state, mask=is_in)


@triton.jit
def unroll_backward(
    matrices,
    last_kept,
    total,
    gradients,
    batch,
    width,
    steps,
    kept_stride,
    num_cells,
    CODE: tl.constexpr,
    NEEDS_SUMS: tl.constexpr,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
    FACTOR: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The gradient of what is injected, in place of that of the last states, and of the matrices.

    A row of ``gradients`` is that of the samples of one program.
    """
    matrix_id, unit = tl.program_id(0).to(tl.int64), tl.arange(0, SIZE)
    is_cell = (unit < width)[:, None] & (unit < width)[None, :]
    cell = (matrix_id * width + unit[:, None]) * width + unit[None, :]
    mirrored = (matrix_id * width + unit[None, :]) * width + unit[:, None]
    transposed = tl.load(matrices + mirrored, mask=is_cell, other=0.0)
    gradient = tl.zeros([SIZE, SIZE], tl.float32)
    for first in range(tl.program_id(1) * BLOCK, batch, tl.num_programs(1) * BLOCK):
        b = first + tl.arange(0, BLOCK)
        is_in = (unit < width)[:, None] & (b < batch)[None, :]
        at = (matrix_id * width + unit[:, None]) * batch + b[None, :]
        saved = last_kept
        value = tl.load(saved + at, mask=is_in, other=0.0).to(tl.float32)
        grad = tl.load(total + at, mask=is_in, other=0.0).to(tl.float32) * slope(value, CODE=CODE)
        added = grad
        for _ in range(1, steps):
            saved -= kept_stride
            value = tl.load(saved + at, mask=is_in, other=0.0).to(tl.float32)
            state = activate(value, CODE=CODE) if NEEDS_SUMS else value
            narrow = grad.to(transposed.dtype).to(FACTOR)
            mirror = tl.trans(state.to(FACTOR))
            gradient += tl.dot(narrow, mirror, input_precision=PRECISION)
            grad = tl.dot(transposed.to(FACTOR), narrow, input_precision=PRECISION)
            grad *= slope(value, CODE=CODE)
            added += grad
        tl.store(total + at, added.to(total.dtype.element_ty), mask=is_in)
    into = gradients + tl.program_id(1).to(tl.int64) * num_cells
    tl.store(into + cell, gradient, mask=is_cell)
