"""Which units take part in many graphs at once, whose edges are among the same ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from pyg_modules._arrays import Bools, Ints

_Words = NDArray[numpy.uint64]
_BITS = 64


class BatchedReach:
    """Breadth-first search in B graphs together: a bit of a word says something of one of them.

    Args:
        source (numpy.ndarray): Of every edge that one of the graphs may have, ``[E]``.
        target (numpy.ndarray): Of these edges, ``[E]``.
        num_units (int): Number of units.
        inputs (range): Where paths start.
        outputs (range): Where they end.
    """

    def __init__(
        self, source: Ints, target: Ints, num_units: int, inputs: range, outputs: range
    ) -> None:
        self._num_units = num_units
        self._from_inputs = _Direction.of(source, target, inputs)
        self._to_outputs = _Direction.of(target, source, outputs)

    def is_alive(self, has: Bools, steps: int | None = None) -> Bools:
        """What :meth:`Reach.is_alive` says of every graph, ``[N, B]``.

        Args:
            has (numpy.ndarray): Which edges every graph has, ``[E, B]``.
            steps (int, optional): Number of updates before the outputs are read. (default: no
                limit)
        """
        num_graphs, num_words = has.shape[1], -(-has.shape[1] // _BITS)
        padded = numpy.zeros((len(has), num_words * _BITS), dtype=bool)
        padded[:, :num_graphs] = has
        words: _Words = numpy.packbits(padded, axis=1).view(numpy.uint64)
        most = self._num_units if steps is None else steps + 1
        reached = self._from_inputs.reached(words, self._num_units, most)
        reaching = self._to_outputs.reached(words, self._num_units, most)
        alive = numpy.zeros_like(reached[0])
        for length, those in enumerate(reached):
            alive |= those & reaching[min(most - length, len(reaching) - 1)]
        bits = numpy.unpackbits(alive.view(numpy.uint8), axis=1, count=num_graphs)
        return bits.astype(bool)


class _Direction(NamedTuple):
    """One way along the edges, which are ordered by where they lead.

    Attributes:
        starts: The units that are reached by no edge at all.
        order: The edges, ``[E]``.
        source: Where they come from, ``[E]``.
        first: Which of them is the first that leads to each of the targets.
        target: The units that edges lead to.
    """

    starts: range
    order: Ints
    source: Ints
    first: Ints
    target: Ints

    @classmethod
    def of(cls, source: Ints, target: Ints, starts: range) -> _Direction:
        order = target.argsort(kind="stable")
        targets, first = numpy.unique(target[order], return_index=True)
        return cls(starts, order, source[order], first, targets)

    def reached(self, has: _Words, num_units: int, most: int) -> list[_Words]:
        """Units that are reached by 0, 1, ... edges or fewer, ``[N, W]``, until there are no more.

        Args:
            has (numpy.ndarray): Which edges are there, ``[E, W]``.
            num_units (int): Number of units.
            most (int): Paths of more edges do not count.
        """
        has = has[self.order]
        reached = [numpy.zeros((num_units, has.shape[1]), dtype=numpy.uint64)]
        reached[0][self.starts.start : self.starts.stop] = ~numpy.uint64(0)
        while len(reached) <= most and len(has):
            further = reached[-1].copy()
            come = reached[-1][self.source] & has
            further[self.target] |= numpy.bitwise_or.reduceat(come, self.first, axis=0)
            if numpy.array_equal(further, reached[-1]):
                break
            reached.append(further)
        return reached
