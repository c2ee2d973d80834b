"""The normalized cut of a small dense graph and its gradients in one pass, compiled by numba."""

# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy as np

from pyg_modules._numba import njit


# Sums may be reordered, which vector instructions need; NaN and infinity keep their meaning.
@njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def cut_with_gradients(
    magnitude, position, assignment, empty, fixed_volume, of_magnitude, of_assignment
):
    """The soft normalized cut; its gradients are written into the last two.

    Args:
        magnitude: What edges count, ``[e]``.
        position: Their cells, target times n plus source, ``[e]``.
        assignment: Of units to modules, ``[n, K]``.
        empty: A smaller volume is none.
        fixed_volume: Whether the gradient in the magnitudes takes volumes as constants.
        of_magnitude: ``[e]``.
        of_assignment: ``[n, K]``.
    """
    num_units, num_modules = assignment.shape
    one = magnitude.dtype.type(1)
    cells = np.zeros(num_units * num_units, magnitude.dtype)
    for edge in range(len(position)):
        cells[position[edge]] = magnitude[edge]
    matrix = cells.reshape(num_units, num_units)
    # [S, 1], by modules, for rows of many units; and its product with W + W^T.
    both = np.ones((num_modules + 1, num_units), magnitude.dtype)
    both[:num_modules] = assignment.T
    sums = np.zeros_like(both)
    for target in range(num_units):
        for module in range(num_modules + 1):
            own, total = both[module, target], 0 * one
            for source in range(num_units):
                total += matrix[target, source] * both[module, source]
                sums[module, source] += matrix[target, source] * own
            sums[module, target] += total
    # Of a module without volume nothing is kept and has a gradient. NaN spreads.
    kept, half = 0 * one, np.zeros(num_modules, magnitude.dtype)
    inverse, of_volume = np.zeros_like(half), np.zeros_like(half)
    for module in range(num_modules):
        association, volume = 0 * one, 0 * one
        for unit in range(num_units):
            association += both[module, unit] * sums[module, unit]
            volume += both[module, unit] * sums[num_modules, unit]
        if not volume < empty:
            share = association / volume
            kept += share
            inverse[module] = 2 / (num_modules * volume)
            of_volume[module] = share * inverse[module] / 2
            half[module] = inverse[module] / 2 if fixed_volume else of_volume[module]
    for unit in range(num_units):
        for module in range(num_modules):
            pulled = sums[num_modules, unit] * of_volume[module]
            of_assignment[unit, module] = pulled - sums[module, unit] * inverse[module]
    for target in range(num_units):
        constant = 0 * one
        for module in range(num_modules):
            constant += both[module, target] * half[module]
        row = matrix[target]
        row[:] = constant
        for module in range(num_modules):
            slope = half[module] - both[module, target] * inverse[module]
            for source in range(num_units):
                row[source] += slope * both[module, source]
    for edge in range(len(position)):
        of_magnitude[edge] = cells[position[edge]]
    return max(one - kept / num_modules, 0 * one)  # Rounding.
