"""The fewest edges after which all nodes of an acyclic graph reach each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from pyg_modules._arrays import Ints
from pyg_modules.graph.sampling import Edges


def strong_augmentation(edges: Edges, group: Ints) -> Edges:
    """The fewest edges after which all nodes of a group reach each other, in the time of the edges.

    From `Augmentation Problems <https://doi.org/10.1137/0205044>`_, Eswaran and Tarjan: where
    nothing enters s nodes of a group and nothing leaves t, these are max(s, t).

    Args:
        edges (tuple): Sources and targets of an acyclic graph, each edge within a group.
        group (numpy.ndarray): Group of every node, from 0.
    """
    source, target = edges
    has_in, has_out = np.zeros((2, group.size), dtype=bool)
    has_in[target] = has_out[source] = True
    is_single = np.bincount(group)[group] == 1  # It reaches all of its group.
    firsts = np.flatnonzero(~has_in & has_out).tolist()
    pairs = _matched(edges, group.size, firsts)
    matched = {*pairs.keys(), *pairs.values()}
    groups: dict[int, _Group] = defaultdict(_Group)
    for pair in pairs.items():
        groups[int(group[pair[0]])].pairs.append(pair)
    for first in firsts:
        if first not in matched:
            groups[int(group[first])].firsts.append(first)
    for last in np.flatnonzero(has_in & ~has_out).tolist():
        if last not in matched:
            groups[int(group[last])].lasts.append(last)
    for node in np.flatnonzero(~has_in & ~has_out & ~is_single).tolist():
        groups[int(group[node])].alone.append(node)
    joined = [edge for one in groups.values() for edge in one.augmentation()]
    leaving, entered = np.array(joined, dtype=np.int64).reshape(-1, 2).T
    return leaving, entered


@dataclass
class _Group:
    """Where a group begins and ends.

    Args:
        pairs (list): Nodes that nothing enters, each with one that it reaches and nothing leaves.
        firsts (list): Others that nothing enters; each reaches a node of a pair.
        lasts (list): Others that nothing leaves; each is reached by a node of a pair.
        alone (list): Nodes without edges.
    """

    pairs: list[tuple[int, int]] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    alone: list[int] = field(default_factory=list)

    def augmentation(self) -> list[tuple[int, int]]:
        """Edges that close a circle through all pairs, on which the others hang."""
        both = min(len(self.firsts), len(self.lasts))
        joined = [(last, first) for (_, last), (first, _) in pairwise(self.pairs)]
        joined += zip(self.lasts[:both], self.firsts[:both], strict=True)
        rest = [*self.lasts[both:], *self.alone, *self.firsts[both:]]
        before, after = ([self.pairs[-1][1]], self.pairs[0][0]) if self.pairs else ([], rest[0])
        return joined + list(pairwise([*before, *rest, after]))


def _matched(edges: Edges, num_nodes: int, firsts: list[int]) -> dict[int, int]:
    """A node that nothing leaves, of its own, for as many of ``firsts`` as a search gives one.

    Those without one reach one that is taken, and each that is not taken is reached by one with.
    """
    order = np.argsort(edges[0], kind="stable")
    starts = np.searchsorted(edges[0][order], np.arange(num_nodes + 1)).tolist()
    following = edges[1][order].tolist()
    is_visited = bytearray(num_nodes)
    found = {}
    for first in firsts:
        pending = [first]
        while pending:
            node = pending.pop()
            if is_visited[node]:
                continue
            is_visited[node] = True
            start, stop = starts[node], starts[node + 1]
            if start == stop:
                found[first] = node
                break
            pending += following[start:stop]
    return found
