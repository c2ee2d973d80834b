"""Random edges in time and memory of the edges that are drawn, never of those that could be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pyg_modules._arrays import Ints
from pyg_modules._checks import check_generator

Edges = tuple[Ints, Ints]  # Sources and targets.

# Numbers are drawn until enough are found; so many standard deviations are drawn at once.
_SPREAD = 5


def new_rng(generator: torch.Generator | None) -> np.random.Generator:
    """A generator of NumPy's, seeded by one of torch's; by the global one for ``None``."""
    check_generator(generator)
    seed = torch.randint(2**63 - 1, (), generator=generator, device="cpu")
    return np.random.default_rng(int(seed))


def distinct(values: Ints) -> Ints:
    """Each of ``values`` once, ascending; sorting is faster than the hashing of NumPy."""
    ascending = np.sort(values)
    once: Ints = ascending[np.diff(ascending, prepend=-1) != 0]
    return once


def positions(rng: np.random.Generator, count: int, prob: float) -> Ints:
    """Those of ``count`` positions that are kept, each with ``prob``, ascending.

    The distances between them are drawn, which are geometric.
    """
    found: list[Ints] = []
    last = -1
    while prob > 0 and last < count - 1:
        expected = (count - 1 - last) * prob
        gaps = rng.geometric(prob, int(expected + _SPREAD * expected**0.5) + _SPREAD)
        # Where nothing follows, gaps may be of any length.
        found.append(last + np.cumsum(np.minimum(gaps, count + 1)))
        last = int(found[-1][-1])
    kept = np.concatenate([np.empty(0, np.int64), *found])
    return kept[: np.searchsorted(kept, count)]


def bipartite_sample(
    rng: np.random.Generator, blocks: Sequence[tuple[range, range]], prob: float
) -> Edges:
    """Edges from the first to the second units of every block, each kept with ``prob``.

    They are in the order of the blocks, in each by target, then source.
    """
    sizes = [len(sources) * len(targets) for sources, targets in blocks]
    starts = np.array([0, *np.cumsum(sizes, dtype=np.int64)])
    kept = positions(rng, int(starts[-1]), prob)
    counts = np.diff(np.searchsorted(kept, starts))
    widths, first_source, first_target = (
        np.repeat(np.array(values, dtype=np.int64), counts)
        for values in (
            [max(1, len(sources)) for sources, _ in blocks],
            [sources.start for sources, _ in blocks],
            [targets.start for _, targets in blocks],
        )
    )
    target, source = np.divmod(kept - np.repeat(starts[:-1], counts), widths)
    return first_source + source, first_target + target


def distinct_sources(
    rng: np.random.Generator, degree: int, sources: range, targets: range
) -> Edges:
    """Edges into every unit of ``targets`` from ``degree`` different ones of ``sources``."""
    width, num_targets = len(sources), len(targets)
    if degree <= width // 2:
        cells = _distinct_cells(rng, degree, width, num_targets)
    else:  # Those that are left out are fewer.
        kept = np.ones(width * num_targets, dtype=bool)
        kept[_distinct_cells(rng, width - degree, width, num_targets)] = False
        cells = np.flatnonzero(kept)
    target, source = np.divmod(cells, max(1, width))
    return sources.start + source, targets.start + target


def _distinct_cells(rng: np.random.Generator, count: int, width: int, num_rows: int) -> Ints:
    """``count`` different cells in each of ``num_rows`` rows of ``width``.

    Drawing until there are enough that differ makes all sets equally likely.
    """
    finished = drawn = np.empty(0, np.int64)
    unfinished = np.arange(num_rows if count else 0)
    while unfinished.size:
        found = np.bincount(drawn // width, minlength=num_rows)
        rows = np.repeat(unfinished, count - found[unfinished])
        drawn = distinct(np.append(drawn, rows * width + rng.integers(0, width, rows.size)))
        row = drawn // width
        is_full = np.bincount(row, minlength=num_rows) == count
        finished = np.append(finished, drawn[is_full[row]])
        drawn = drawn[~is_full[row]]
        unfinished = unfinished[~is_full[unfinished]]
    return finished
