from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyg_modules._arrays import Ints
from pyg_modules._brief import brief
from pyg_modules._checks import (
    as_coefficient,
    as_int,
    as_share,
    check_bool,
    check_choice,
    check_num_modules,
)
from pyg_modules.graph.edges import complete_edges, layered_edges, levels_of, yoked_edges
from pyg_modules.graph.finish import in_order, joined, repaired, warn_of_idle
from pyg_modules.graph.repair import missing_edges, missing_edges_of_levels
from pyg_modules.graph.sampling import (
    Edges,
    bipartite_sample,
    distinct_sources,
    new_rng,
)
from pyg_modules.graph.undirected import (
    near_pairs,
    random_pairs,
    scale_free_pairs,
    small_world_pairs,
)
from pyg_modules.graph.validate import as_sizes

if TYPE_CHECKING:
    from typing_extensions import Self

Sizes = tuple[int, int, int]

#: The graphs of RandWire by name: pairs of ``count`` units with a mean ``degree``.
RANDOM_WIRINGS: dict[str, Callable[[np.random.Generator, int, int], Edges]] = {
    "erdos_renyi": lambda rng, count, degree: random_pairs(rng, count, degree / max(1, count - 1)),
    "scale_free": lambda rng, count, degree: scale_free_pairs(rng, count, degree // 2),
    # The best one of the paper has 4 neighbours and rewires so many.
    "small_world": lambda rng, count, degree: small_world_pairs(rng, count, degree, 0.75),
}


class Generators:
    """Unit graphs by their kind, complete and random ones.

    Random graphs take time and memory of the edges that they have. Their ``generator`` is the
    source of randomness, the global one of torch by default: the same seed gives the same graph.
    Hidden units that no input reaches, or that reach no output, are counted in a ``UserWarning``,
    and so are outputs without an edge; ``repair=True`` adds the fewest edges of the same kind after
    which there are no such units, and an edge into such outputs, and logs their number.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def __init__(
            self, edge_index: Tensor, num_units: int, num_inputs: int, num_outputs: int
        ) -> None: ...

    @classmethod
    def complete(cls, num_inputs: int, num_hidden: int, num_outputs: int) -> Self:
        """All edges input -> hidden, hidden -> hidden (self-loops included), hidden -> output.

        Args:
            num_inputs (int): Number of input units.
            num_hidden (int): Number of hidden units.
            num_outputs (int): Number of output units.
        """
        sizes = as_sizes(num_inputs=num_inputs, num_hidden=num_hidden, num_outputs=num_outputs)
        return cls(complete_edges(*sizes), sum(sizes), num_inputs, num_outputs)

    # Levels ##################################################################################

    @classmethod
    def layered(
        cls,
        sizes: Sequence[int],
        *,
        density: float = 1.0,
        generator: torch.Generator | None = None,
        repair: bool = False,
    ) -> Self:
        """The graph of an MLP: every edge from each level to the next, or some of them.

        Args:
            sizes (sequence of int): Units per level, inputs first, outputs last, e.g.
                ``[64, 35, 10]``.
            density (float, optional): Probability of every edge, in [0, 1]. (default: ``1.0``)
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
            repair (bool, optional): Whether to add edges to the next level until every hidden unit
                takes part. (default: ``False``)
        """
        return cls._of_levels(sizes, layered_edges, False, density, generator, repair)

    @classmethod
    def yoked(
        cls,
        sizes: Sequence[int],
        *,
        density: float = 1.0,
        generator: torch.Generator | None = None,
        repair: bool = False,
    ) -> Self:
        """An MLP whose hidden levels are complete graphs, without self-loops, or a part of it.

        From `Yoked Neural Networks <https://arxiv.org/abs/2306.02157>`_.

        Args:
            sizes (sequence of int): Units per level, inputs first, outputs last, e.g.
                ``[64, 35, 10]``.
            density (float, optional): Probability of every edge, in [0, 1]. (default: ``1.0``)
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
            repair (bool, optional): Whether to add edges to the next level until every hidden unit
                takes part. (default: ``False``)
        """
        return cls._of_levels(sizes, yoked_edges, True, density, generator, repair)

    # Random graphs ###########################################################################

    @classmethod
    def erdos_renyi(
        cls,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int,
        edge_prob: float,
        *,
        generator: torch.Generator | None = None,
        repair: bool = False,
    ) -> Self:
        """A random sparse graph: each edge of :meth:`complete` is kept with ``edge_prob``.

        Args:
            num_inputs (int): Number of input units.
            num_hidden (int): Number of hidden units.
            num_outputs (int): Number of output units.
            edge_prob (float): Probability of an edge, in [0, 1].
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
            repair (bool, optional): Whether to add edges until every hidden unit takes part.
                (default: ``False``)
        """
        edge_prob = as_share("edge_prob", edge_prob)
        sizes = _sizes(num_inputs, num_hidden, num_outputs)
        rng = new_rng(generator)
        edges = bipartite_sample(rng, _blocks(*_roles(sizes)), edge_prob)
        return cls._wired(rng, edges, sizes, repair)

    @classmethod
    def fixed_in_degree(
        cls,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int,
        in_degree: int,
        *,
        generator: torch.Generator | None = None,
        repair: bool = False,
    ) -> Self:
        """Every hidden unit and output keeps as many, random ones of its edges in :meth:`complete`.

        Args:
            num_inputs (int): Number of input units.
            num_hidden (int): Number of hidden units.
            num_outputs (int): Number of output units.
            in_degree (int): Number of edges into each.
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
            repair (bool, optional): Whether to add edges until every hidden unit takes part.
                (default: ``False``)
        """
        sizes = _sizes(num_inputs, num_hidden, num_outputs)
        _, hidden, outputs = _roles(sizes)
        wanted = [(range(hidden.stop), hidden), (hidden, outputs)]
        most = min((len(sources) for sources, targets in wanted if targets), default=0)
        in_degree = as_int("in_degree", in_degree, 0)
        if in_degree > most:
            raise ValueError(
                f"Expected in_degree <= {most}, the number of units that may be sources (got"
                f" {in_degree}). Lower it or raise num_hidden."
            )
        rng = new_rng(generator)
        parts = [distinct_sources(rng, in_degree, *ends) for ends in wanted]
        return cls._wired(rng, joined(*parts), sizes, repair)

    @classmethod
    def small_world(
        cls,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int,
        degree: int,
        rewire_prob: float,
        *,
        end_prob: float | None = None,
        generator: torch.Generator | None = None,
        repair: bool = False,
    ) -> Self:
        """Hidden units on a ring of nearest neighbours, some of whose connections lead elsewhere.

        Connections go both ways. From `Collective dynamics of 'small-world' networks
        <https://doi.org/10.1038/30918>`_, Watts and Strogatz.

        Args:
            num_inputs (int): Number of input units.
            num_hidden (int): Number of hidden units.
            num_outputs (int): Number of output units.
            degree (int): Number of neighbours on the ring, even.
            rewire_prob (float): Probability that a connection leads elsewhere, in [0, 1].
            end_prob (float, optional): Probability of an edge from an input or to an output.
                (default: that of an edge between hidden units)
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
            repair (bool, optional): Whether to add edges until every hidden unit takes part.
                (default: ``False``)
        """
        rewire_prob = as_share("rewire_prob", rewire_prob)
        sizes = _sizes(num_inputs, num_hidden, num_outputs)
        degree = _even_degree(degree, sizes[1])
        rng = new_rng(generator)
        pairs = small_world_pairs(rng, sizes[1], degree, rewire_prob)
        return cls._wired(rng, _both_ways(rng, pairs, sizes, end_prob), sizes, repair)

    @classmethod
    def scale_free(
        cls,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int,
        degree: int,
        *,
        end_prob: float | None = None,
        generator: torch.Generator | None = None,
        repair: bool = False,
    ) -> Self:
        """Hidden units that came one by one and joined those with many connections more often.

        Connections go both ways. From `Emergence of Scaling in Random Networks
        <https://doi.org/10.1126/science.286.5439.509>`_, Barabási and Albert.

        Args:
            num_inputs (int): Number of input units.
            num_hidden (int): Number of hidden units.
            num_outputs (int): Number of output units.
            degree (int): Mean number of neighbours in a large graph, even: each unit that comes
                joins half as many.
            end_prob (float, optional): Probability of an edge from an input or to an output.
                (default: that of an edge between hidden units)
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
            repair (bool, optional): Whether to add edges until every hidden unit takes part.
                (default: ``False``)
        """
        sizes = _sizes(num_inputs, num_hidden, num_outputs)
        degree = _even_degree(degree, sizes[1])
        rng = new_rng(generator)
        pairs = scale_free_pairs(rng, sizes[1], degree // 2)
        return cls._wired(rng, _both_ways(rng, pairs, sizes, end_prob), sizes, repair)

    @classmethod
    def modular(
        cls,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int,
        num_modules: int,
        within_prob: float,
        between_prob: float,
        *,
        generator: torch.Generator | None = None,
        repair: bool = False,
    ) -> Self:
        """Modules of equal size: edges of :meth:`complete` are likelier within them than between.

        The stochastic block model. Inputs, hidden units and outputs are dealt out to the modules in
        the order of their ids, each module in one piece.

        Args:
            num_inputs (int): Number of input units.
            num_hidden (int): Number of hidden units.
            num_outputs (int): Number of output units.
            num_modules (int): Number of modules.
            within_prob (float): Probability of an edge within a module, in [0, 1].
            between_prob (float): Probability of an edge between two modules, in [0, 1].
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
            repair (bool, optional): Whether to add edges within modules until every hidden unit
                takes part along them alone. (default: ``False``)
        """
        within_prob = as_share("within_prob", within_prob)
        between_prob = as_share("between_prob", between_prob)
        sizes = _sizes(num_inputs, num_hidden, num_outputs)
        num_modules = as_int("num_modules", num_modules, 1)
        check_num_modules(num_modules, sizes[1])
        roles, rng = _roles(sizes), new_rng(generator)
        members = [_shares(units, num_modules) for units in roles]
        blocks = [block for parts in zip(*members, strict=True) for block in _blocks(*parts)]
        within = bipartite_sample(rng, blocks, within_prob)
        module = np.concatenate(
            [np.repeat(np.arange(num_modules), list(map(len, parts))) for parts in members]
        )
        edges = within
        if num_modules > 1:
            source, target = bipartite_sample(rng, _blocks(*roles), between_prob)
            between = module[source] != module[target]
            edges = joined(within, (source[between], target[between]))
        return cls._wired(rng, edges, sizes, repair, module)

    @classmethod
    def geometric(
        cls,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int,
        radius: float,
        *,
        generator: torch.Generator | None = None,
        repair: bool = False,
    ) -> Self:
        """Units in a plane, joined both ways if they are near each other.

        Hidden units are anywhere in a square of side 1, their ids in order from left to right;
        inputs are along its left side and outputs along its right side, equally spaced.

        Args:
            num_inputs (int): Number of input units.
            num_hidden (int): Number of hidden units.
            num_outputs (int): Number of output units.
            radius (float): The largest distance of two units that are joined, more than 0. With r
                much less than 1, a hidden unit has about 3.14 r² ``num_hidden`` neighbours.
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
            repair (bool, optional): Whether to add edges, of any length, until every hidden unit
                takes part. (default: ``False``)
        """
        radius = as_coefficient("radius", radius)
        sizes = _sizes(num_inputs, num_hidden, num_outputs)
        inputs, hidden, outputs = _roles(sizes)
        rng = new_rng(generator)
        points = rng.random((sum(sizes), 2))
        for side, ends in ((0.0, inputs), (1.0, outputs)):
            points[ends.start : ends.stop, 0] = side
            points[ends.start : ends.stop, 1] = (np.arange(len(ends)) + 0.5) / max(1, len(ends))
        inner = points[hidden.start : hidden.stop]
        inner[:] = inner[inner[:, 0].argsort()]
        first, second = near_pairs(points, radius)
        source, target = joined((first, second), (second, first))
        allowed = (source < hidden.stop) & (target >= hidden.start)
        allowed &= (source >= hidden.start) | (target < hidden.stop)
        return cls._wired(rng, (source[allowed], target[allowed]), sizes, repair)

    @classmethod
    def random_wired(
        cls,
        num_inputs: int,
        num_hidden: int,
        num_outputs: int,
        kind: str,
        degree: int,
        *,
        generator: torch.Generator | None = None,
    ) -> Self:
        """A random graph without cycles, whose connections lead to the unit with the higher id.

        Units that receive from none receive from all inputs, and units that no other reads go to
        all outputs, so that all take part. From `Exploring Randomly Wired Neural Networks for Image
        Recognition <https://arxiv.org/abs/1904.01569>`_.

        Args:
            num_inputs (int): Number of input units.
            num_hidden (int): Number of hidden units.
            num_outputs (int): Number of output units.
            kind (str): ``"erdos_renyi"``, ``"scale_free"`` or ``"small_world"``, of which three in
                four connections lead elsewhere.
            degree (int): Mean number of connections of a hidden unit, even.
            generator (torch.Generator, optional): Source of randomness. (default: torch's global)
        """
        check_choice("kind", kind, RANDOM_WIRINGS)
        sizes = _sizes(num_inputs, num_hidden, num_outputs)
        degree = _even_degree(degree, sizes[1])
        inputs, hidden, outputs = _roles(sizes)
        pairs = RANDOM_WIRINGS[kind](new_rng(generator), sizes[1], degree)
        source, target = np.minimum(*pairs), np.maximum(*pairs)
        first, last = (
            hidden.start + np.flatnonzero(np.bincount(ends, minlength=len(hidden)) == 0)
            for ends in (target, source)
        )
        edges = joined(
            _all_edges(np.arange(len(inputs)), first),
            (hidden.start + source, hidden.start + target),
            _all_edges(last, np.arange(outputs.start, outputs.stop)),
        )
        return cls(_as_complete(edges, sizes), sum(sizes), sizes[0], sizes[2])

    # What is done with them ##################################################################

    @classmethod
    def _wired(
        cls,
        rng: np.random.Generator,
        edges: Edges,
        sizes: Sizes,
        repair: bool,
        module: Ints | None = None,
    ) -> Self:
        check_bool("repair", repair)
        if repair:
            module = np.zeros(sum(sizes), np.int64) if module is None else module
            edges = repaired(edges, missing_edges(rng, edges, sizes, module))
        edge_index = _as_complete(edges, sizes)
        if not repair:
            warn_of_idle(edge_index, sizes)
        return cls(edge_index, sum(sizes), sizes[0], sizes[2])

    @classmethod
    def _of_levels(
        cls,
        sizes: Sequence[int],
        all_edges: Callable[[Sequence[int]], Tensor],
        is_yoked: bool,
        density: float,
        generator: torch.Generator | None,
        repair: bool,
    ) -> Self:
        check_bool("repair", repair)
        density = as_share("density", density)
        if not isinstance(sizes, Sequence):
            raise TypeError(
                f"Expected sizes to be a sequence of int (got {type(sizes).__name__}:"
                f" {brief(sizes)}). Give one size per level, e.g. [64, 32, 10]."
            )
        sizes = as_sizes(**{f"sizes[{level}]": size for level, size in enumerate(sizes)})
        if len(sizes) < 2:
            raise ValueError(
                f"Expected at least two levels, inputs and outputs (got sizes={brief(sizes)})."
                " Give one size per level, e.g. [64, 32, 10]."
            )
        if 0 in sizes[1:-1]:
            raise ValueError(
                f"Expected units in every level between inputs and outputs (got"
                f" sizes={brief(sizes)}): nothing would get through. Leave that level out."
            )
        counts = sum(sizes), sizes[0], sizes[-1]
        if density == 1:
            return cls(all_edges(sizes), *counts)
        rng, levels = new_rng(generator), levels_of(sizes)
        source, target = edges = bipartite_sample(rng, list(pairwise(levels)), density)
        if is_yoked:
            source, target = bipartite_sample(rng, [(it, it) for it in levels[1:-1]], density)
            apart = source != target
            edges = joined(edges, (source[apart], target[apart]))
        if repair:
            edges = repaired(edges, missing_edges_of_levels(rng, edges, levels))
        level = np.repeat(np.arange(len(sizes)), sizes)
        rank = (level[edges[0]] == level[edges[1]]).astype(np.int64)
        edge_index = in_order(edges, rank, counts[0])
        if not repair:
            warn_of_idle(edge_index, (sizes[0], sum(sizes[1:-1]), sizes[-1]))
        return cls(edge_index, *counts)


def _sizes(num_inputs: int, num_hidden: int, num_outputs: int) -> Sizes:
    sizes = as_sizes(num_inputs=num_inputs, num_hidden=num_hidden, num_outputs=num_outputs)
    return sizes[0], sizes[1], sizes[2]


def _roles(sizes: Sizes) -> tuple[range, range, range]:
    first, last = sizes[0], sizes[0] + sizes[1]
    return range(first), range(first, last), range(last, sum(sizes))


def _as_complete(edges: Edges, sizes: Sizes) -> Tensor:
    """``edges`` in the order of a complete graph: from inputs, among hidden units, to outputs."""
    rank = (edges[0] >= sizes[0]).astype(np.int64) + (edges[1] >= sizes[0] + sizes[1])
    return in_order(edges, rank, sum(sizes))


def _blocks(inputs: range, hidden: range, outputs: range) -> list[tuple[range, range]]:
    """What a complete graph joins."""
    return [(inputs, hidden), (hidden, hidden), (hidden, outputs)]


def _shares(units: range, count: int) -> list[range]:
    """``units`` in ``count`` pieces of about equal size."""
    bounds = [len(units) * place // count for place in range(count + 1)]
    return [units[start:stop] for start, stop in pairwise(bounds)]


def _both_ways(
    rng: np.random.Generator, pairs: Edges, sizes: Sizes, end_prob: float | None
) -> Edges:
    """Edges both ways of ``pairs`` of hidden units, counted from 0, and random ones of the ends."""
    inputs, hidden, outputs = _roles(sizes)
    if end_prob is None:
        end_prob = 2 * pairs[0].size / max(1, len(hidden)) ** 2
    end_prob = as_share("end_prob", end_prob)
    first, second = hidden.start + pairs[0], hidden.start + pairs[1]
    ends = bipartite_sample(rng, [(inputs, hidden), (hidden, outputs)], end_prob)
    return joined((first, second), (second, first), ends)


def _all_edges(sources: Ints, targets: Ints) -> Edges:
    return np.tile(sources, targets.size), np.repeat(targets, sources.size)


def _even_degree(degree: int, num_hidden: int) -> int:
    degree = as_int("degree", degree, 0)
    if degree % 2 or degree > max(0, num_hidden - 1):
        raise ValueError(
            f"Expected an even degree, less than num_hidden (got {degree}, for {num_hidden} hidden"
            f" units)."
            " Choose another degree, or raise num_hidden."
        )
    return degree
