import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_modules.ops.triton import segments
from pyg_modules.ops.triton.segments import Segments
from pyg_modules.ops.triton.tiling import tiling


def offsets_of(degrees):
    return torch.tensor([0, *degrees], dtype=torch.int32).cumsum(0)


@given(st.lists(st.one_of(st.integers(0, 3), st.integers(500, 2000)), max_size=8))
def test_every_edge_is_in_one_segment_and_every_part_of_a_row_has_a_slot(degrees):
    offsets = offsets_of(degrees)
    table, long_rows, num_slots = Segments.of(offsets)
    edges = [edge for _, start, end, _ in table.tolist() for edge in range(start, end)]
    assert sorted(edges) == list(range(sum(degrees)))
    assert all(end - start <= 512 for _, start, end, _ in table.tolist())
    slots = {slot: row for row, _, _, slot in table.tolist() if slot >= 0}
    assert sorted(slots) == list(range(num_slots))
    assert {slot: row for row, first, end in long_rows.tolist() for slot in range(first, end)} == (
        slots
    )
    whole = [row for row, _, _, slot in table.tolist() if slot < 0]
    assert sorted(whole + long_rows[:, 0].tolist()) == list(range(len(degrees)))
    for row, start, end, _ in table.tolist():
        assert offsets[row] <= start <= end <= offsets[row + 1]


@pytest.mark.parametrize("degree", [10**5, 10**7])
def test_parts_of_a_huge_row_are_neither_long_nor_many(degree):
    table, long_rows, num_slots = Segments.of(offsets_of([1, degree, 0]))
    longest = max(segments._LENGTH, int(degree**0.5))
    assert (table[:, 2] - table[:, 1]).max() == longest
    assert num_slots == -(-degree // longest)
    assert long_rows.tolist() == [[1, 0, num_slots]]


@given(st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**5))
def test_tiles_are_powers_of_two_that_fit_into_registers(num_segments, num_edges, batch):
    block, chunk, num_warps = tiling(num_segments, num_edges, batch)
    assert block & (block - 1) == chunk & (chunk - 1) == 0
    assert block * chunk <= 1024 * num_warps * 2
    assert block <= 128
    assert 4 <= chunk <= 64
