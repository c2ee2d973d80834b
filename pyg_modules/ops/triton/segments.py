"""Rows of a sparse matrix in segments that a program of a kernel has to itself."""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

# Edges of a segment: as many that what surrounds them is little.
_LENGTH = 512


class Segments(NamedTuple):
    """Rows of a matrix, the long ones in parts of about equal length.

    Args:
        table (Tensor): Row, first edge, end and slot of every segment, ``[S, 4]``, the longest
            first. The slot is where the sum of a part of a long row is left, −1 for a whole row.
        long_rows (Tensor): Row, first slot and end of the slots of every long row, ``[L, 3]``.
        num_slots (int): Number of slots.
    """

    table: Tensor
    long_rows: Tensor
    num_slots: int

    @classmethod
    def of(cls, offsets: Tensor) -> Segments:
        """The segments of rows that begin at ``offsets`` [rows + 1]."""
        offsets = offsets.long()
        degree = offsets.diff()
        # In the longest row there are then about as many edges in a part as there are parts.
        longest = int(degree.max()) if degree.numel() else 0
        length = max(_LENGTH, isqrt(longest))
        count = ((degree + length - 1) // length).clamp(min=1)
        row = torch.arange(degree.numel(), device=offsets.device).repeat_interleave(count)
        first = count.cumsum(0) - count
        part = torch.arange(row.numel(), device=offsets.device) - first[row]
        start = offsets[row] + part * length
        end = torch.minimum(start + length, offsets[row + 1])
        is_part = count[row] > 1
        slot = torch.where(is_part, is_part.cumsum(0) - 1, -1)
        table = torch.stack([row, start, end, slot], dim=1)
        order = torch.argsort(start - end, stable=True)
        long_row = torch.nonzero(count > 1).view(-1)
        ends = count[long_row].cumsum(0)
        long_rows = torch.stack([long_row, ends - count[long_row], ends], dim=1)
        num_slots = int(is_part.sum())
        return cls(table[order], long_rows, num_slots)
