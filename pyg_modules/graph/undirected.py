"""Random undirected graphs: pairs ``(lower, higher)`` of units, each once, in any order."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from pyg_modules._arrays import Ints
from pyg_modules.graph.sampling import Edges, positions

# Rounds in which a rewired pair looks for a place of its own by chance; in a graph with half of all
# pairs hardly one in a million is left then, and all places can be listed.
_ROUNDS = 20


def random_pairs(rng: np.random.Generator, count: int, prob: float) -> Edges:
    """Each pair of ``count`` units with ``prob``, as Gilbert, and Erdős and Rényi, drew them."""
    return _pairs(positions(rng, count * (count - 1) // 2, prob))


def small_world_pairs(
    rng: np.random.Generator, count: int, degree: int, rewire_prob: float
) -> Edges:
    """A ring of ``degree`` nearest neighbours, of whose pairs some get another end.

    As Watts and Strogatz drew them, and networkx does: the number of pairs stays the same, and a
    pair that moves leaves its place, which is free for those whose turn comes later.
    """
    first = np.tile(np.arange(count), degree // 2)
    second = (first + np.repeat(np.arange(1, degree // 2 + 1), count)) % count
    ring = _position(first, second)
    by_place = np.argsort(ring)
    moves = rng.random(first.size) < rewire_prob
    present = np.sort(ring[~moves])
    homeless = np.flatnonzero(moves)  # Which pairs, by their turn.
    for _ in range(_ROUNDS):
        if not homeless.size:
            break
        end = first[homeless]
        drawn = _position(end, (end + rng.integers(1, count, end.size)) % count)
        order = np.argsort(drawn, kind="stable")
        homeless, drawn = homeless[order], drawn[order]
        settles = np.diff(drawn, prepend=-1) != 0
        settles &= np.append(present, -1)[np.searchsorted(present, drawn)] != drawn
        # A place on the ring is free when its own pair has had its turn, which is before.
        turn = by_place[np.searchsorted(ring, drawn, sorter=by_place).clip(max=ring.size - 1)]
        settles &= (ring[turn] != drawn) | (turn < homeless)
        present = np.sort(np.append(present, drawn[settles]))
        homeless = homeless[~settles]
    if homeless.size:
        free = np.ones(count * (count - 1) // 2, dtype=bool)
        free[present] = False
        settled = rng.choice(np.flatnonzero(free), homeless.size, replace=False)
        present = np.append(present, settled)
    return _pairs(present)


def scale_free_pairs(rng: np.random.Generator, count: int, attached: int) -> Edges:
    """Units come one by one and join ``attached`` others, those with many pairs more often.

    As Barabási and Albert drew them, and networkx does, from a star of ``attached + 1`` units. An
    end of a random earlier pair is a unit with a probability in proportion to its number of pairs;
    all of them are drawn at once, as places in the list of ends, and looked up then.
    """
    # The ends of pair e are at 2e, the newer one, and at 2e + 1, the older one.
    new = np.arange(attached + 1, count)
    newer = np.append(np.arange(1, attached + 1), np.repeat(new, attached))
    older = np.zeros(newer.size, np.int64)
    num_known, num_done = attached, 0
    while attached and num_done < new.size:
        # Twice as many at a time: what they look up is known, or not far back.
        num_done = min(new.size, 2 * num_done + 1)
        pairs = slice(num_known, attached * (num_done + 1))
        _attach(rng, newer[: pairs.stop], older[: pairs.stop], num_known, attached)
        num_known = pairs.stop
    return older, newer


def _attach(
    rng: np.random.Generator, newer: Ints, older: Ints, num_known: int, attached: int
) -> None:
    """Find the ``older`` ends of all pairs but those that are known."""
    num_earlier = 2 * attached * (np.arange(num_known, newer.size) // attached)
    place = rng.integers(0, num_earlier)
    again = place[:0]
    while True:
        place[again] = rng.integers(0, num_earlier[again])
        pending, at = np.arange(place.size), place
        while pending.size:
            pair = at // 2
            is_found = (at % 2 == 0) | (pair < num_known)
            found = pair[is_found]
            ends = np.where(at[is_found] % 2 == 0, newer[found], older[found])
            older[num_known + pending[is_found]] = ends
            pending = pending[~is_found]
            at = place[pair[~is_found] - num_known]
        chosen = older[num_known:].reshape(-1, attached)
        order = np.argsort(chosen, axis=1)
        ascending = np.take_along_axis(chosen, order, axis=1)
        row, column = np.nonzero(ascending[:, 1:] == ascending[:, :-1])
        again = row * attached + order[row, column + 1]
        if not again.size:
            return


def near_pairs(points: np.ndarray, radius: float) -> Edges:
    """Pairs of ``points`` ``[n, 2]`` that are at most ``radius`` apart."""
    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
    return pairs[:, 0], pairs[:, 1]


def _position(first: Ints, second: Ints) -> Ints:
    """Where a pair stands among those of all units, by the higher unit, then the lower one."""
    higher = np.maximum(first, second)
    position: Ints = higher * (higher - 1) // 2 + np.minimum(first, second)
    return position


def _pairs(position: Ints) -> Edges:
    higher = ((1 + np.sqrt(1 + 8 * position.astype(np.float64))) / 2).astype(np.int64)
    # A root is rounded.
    higher -= higher * (higher - 1) // 2 > position
    higher += higher * (higher + 1) // 2 <= position
    return position - higher * (higher - 1) // 2, higher
