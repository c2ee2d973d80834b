"""Kernels over the edges of a sparse matrix, by segments of rows, for states [units, batch].

A segment is all edges of a row or, of a long one, some; see ``segments.py``. One program has the
edges of a segment to itself, and some samples, so that there are no atomics and the same bits every
time. Sums are in float32 whatever the states are.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# ruff: noqa: N803

from __future__ import annotations

import triton
import triton.language as tl

from pyg_modules.ops.triton.pointwise import activate, slope


@triton.jit
def _finish(
    total,
    row,
    at,
    inside,
    add,
    saved,
    out,
    second,
    num_activated,
    CODE: tl.constexpr,
    IS_ADJOINT: tl.constexpr,
    NEEDS_SUMS: tl.constexpr,
    HAS_ADD: tl.constexpr,
    HAS_SECOND: tl.constexpr,
):
    """From the weighted sums of a row to what is stored of it."""
    if HAS_ADD:
        total += tl.load(add + at, mask=inside, other=0.0).to(tl.float32)
    if IS_ADJOINT:
        if CODE != 0:
            value = tl.load(saved + at, mask=inside, other=0.0).to(tl.float32)
            total *= tl.where(row < num_activated, slope(value, CODE=CODE), 1.0)
        tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
        if HAS_SECOND:
            before = tl.load(second + at, mask=inside, other=0.0).to(tl.float32)
            tl.store(second + at, (before + total).to(second.dtype.element_ty), mask=inside)
    else:
        state = tl.where(row < num_activated, activate(total, CODE=CODE), total)
        if NEEDS_SUMS:
            tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
            tl.store(second + at, state.to(second.dtype.element_ty), mask=inside)
        else:
            tl.store(out + at, state.to(out.dtype.element_ty), mask=inside)


@triton.jit
def gather(
    segments,
    column,
    values,
    state,
    add,
    saved,
    out,
    second,
    gradient,
    partial,
    batch,
    num_activated,
    first_block,
    num_edges,
    CODE: tl.constexpr,
    IS_ADJOINT: tl.constexpr,
    NEEDS_SUMS: tl.constexpr,
    HAS_ADD: tl.constexpr,
    HAS_SECOND: tl.constexpr,
    HAS_GRADIENT: tl.constexpr,
    ADDS_GRADIENT: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """``f(W state + add)``, or ``f'(saved) (W state + add)`` and the gradient of the weights.

    ``second`` holds the states of sums that are kept in ``out``, or the total of an adjoint. The
    rows of ``gradient`` are for one block of samples each, or there is one that is added to.
    """
    segment = segments + tl.program_id(0).to(tl.int64) * 4
    row, slot = tl.load(segment).to(tl.int64), tl.load(segment + 3).to(tl.int64)
    b = (first_block + tl.program_id(1)) * BLOCK + tl.arange(0, BLOCK)
    inside = b < batch
    at = row * batch + b
    total = tl.zeros([BLOCK], tl.float32)
    if HAS_GRADIENT:
        own = tl.load(saved + at, mask=inside, other=0.0).to(tl.float32)
        if NEEDS_SUMS:
            own = tl.where(row < num_activated, activate(own, CODE=CODE), own)
        into = gradient + tl.program_id(1).to(tl.int64) * num_edges
    end = tl.load(segment + 2)
    for first in range(tl.load(segment + 1), end, CHUNK):
        edge = first + tl.arange(0, CHUNK)
        is_edge = edge < end
        source = tl.load(column + edge, mask=is_edge, other=0).to(tl.int64)
        weight = tl.load(values + edge, mask=is_edge, other=0.0).to(tl.float32)
        is_in = is_edge[:, None] & inside[None, :]
        tile = tl.load(state + source[:, None] * batch + b[None, :], mask=is_in, other=0.0)
        tile = tile.to(tl.float32)
        total += tl.sum(tile * weight[:, None], 0)
        if HAS_GRADIENT:
            products = tl.sum(tile * own[None, :], 1)
            if ADDS_GRADIENT:
                products += tl.load(into + edge, mask=is_edge, other=0.0)
            tl.store(into + edge, products, mask=is_edge)
    if slot >= 0:
        tl.store(partial + slot * batch + b, total, mask=inside)
    else:
        _finish(
            total,
            row,
            at,
            inside,
            add,
            saved,
            out,
            second,
            num_activated,
            CODE,
            IS_ADJOINT,
            NEEDS_SUMS,
            HAS_ADD,
            HAS_SECOND,
        )


@triton.jit
def join(
    long_rows,
    partial,
    add,
    saved,
    out,
    second,
    batch,
    num_activated,
    CODE: tl.constexpr,
    IS_ADJOINT: tl.constexpr,
    NEEDS_SUMS: tl.constexpr,
    HAS_ADD: tl.constexpr,
    HAS_SECOND: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Finish the rows whose sums :func:`gather` left in several slots of ``partial``."""
    long_row = long_rows + tl.program_id(0).to(tl.int64) * 3
    row, end = tl.load(long_row).to(tl.int64), tl.load(long_row + 2)
    b = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = b < batch
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(tl.load(long_row + 1), end, CHUNK):
        slot = (first + tl.arange(0, CHUNK)).to(tl.int64)
        is_in = (slot < end)[:, None] & inside[None, :]
        tile = tl.load(partial + slot[:, None] * batch + b[None, :], mask=is_in, other=0.0)
        total += tl.sum(tile, 0)
    _finish(
        total,
        row,
        row * batch + b,
        inside,
        add,
        saved,
        out,
        second,
        num_activated,
        CODE,
        IS_ADJOINT,
        NEEDS_SUMS,
        HAS_ADD,
        HAS_SECOND,
    )


@triton.jit
def sample(
    segments,
    column,
    grad,
    state,
    gradient,
    batch,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """``gradient_ij += sum_b grad_ib state_jb`` on the edges of the transpose."""
    segment = segments + tl.program_id(0).to(tl.int64) * 4
    row, end = tl.load(segment).to(tl.int64), tl.load(segment + 2)
    for first in range(tl.load(segment + 1), end, CHUNK):
        edge = first + tl.arange(0, CHUNK)
        is_edge = edge < end
        target = tl.load(column + edge, mask=is_edge, other=0).to(tl.int64)
        products = tl.load(gradient + edge, mask=is_edge, other=0.0)
        for start in range(0, batch, BLOCK):
            b = start + tl.arange(0, BLOCK)
            inside = b < batch
            is_in = is_edge[:, None] & inside[None, :]
            own = tl.load(state + row * batch + b, mask=inside, other=0.0).to(tl.float32)
            tile = tl.load(grad + target[:, None] * batch + b[None, :], mask=is_in, other=0.0)
            products += tl.sum(tile.to(tl.float32) * own[None, :], 1)
        tl.store(gradient + edge, products, mask=is_edge)
