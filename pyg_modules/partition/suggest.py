from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

from pyg_modules._arrays import Floats
from pyg_modules._checks import as_int
from pyg_modules.partition.search.links import has_links
from pyg_modules.partition.units import Partitionable, Units

_MAX_MODULES = 16
# Up to here all eigenvalues of a dense matrix are faster than a few of a sparse one.
_DENSE_UNITS = 1000
# Differences of eigenvalues, which lie in [0, 2], below this are rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ModuleSuggestion:
    r"""How many modules the units seem to form, and the evidence; ``print`` shows it as a table.

    Args:
        num_modules (int): The number of modules with the largest gap.
        eigenvalues (list of float): The smallest eigenvalues :math:`\lambda_1 \le \lambda_2 \le
            \dots` of the normalised Laplacian, one more than the modules that were considered.
        gaps (dict of int to float): :math:`\lambda_{K+1} - \lambda_K` for every number of modules
            :math:`K` that was considered.
    """

    num_modules: int
    eigenvalues: list[float]
    gaps: dict[int, float]

    def __str__(self) -> str:
        lines = ["modules  eigenvalue  next eigenvalue     gap"]
        for num_modules, gap in self.gaps.items():
            this, following = self.eigenvalues[num_modules - 1 : num_modules + 1]
            mark = "  <- suggested" if num_modules == self.num_modules else ""
            lines.append(f"{num_modules:7}  {this:10.4f}  {following:15.4f}  {gap:6.4f}{mark}")
        return "\n".join(lines)


def suggest_num_modules(
    layer: Partitionable,
    *,
    max_modules: int | None = None,
    scope: str = "hidden",
    affinity: str = "abs",
) -> ModuleSuggestion:
    r"""The number of modules that the weights suggest: the one with the largest eigengap.

    .. math::
        \max_{2 \le K \le K_{\max}} \lambda_{K+1} - \lambda_K, \qquad
        \lambda_1 \le \lambda_2 \le \dots \text{ of } I - D^{-1/2} A D^{-1/2}, \qquad
        a_{ij} = \tfrac{1}{2} (|w_{ij}| + |w_{ji}|)

    With :math:`K` modules that nothing joins, :math:`\lambda_K = 0 < \lambda_{K+1}`. Isolated
    units, without affinity to any other unit, are left out: each would add an eigenvalue of 0 and
    count as a module. Among gaps that are equal to rounding, the smallest :math:`K` is taken. One
    module is never suggested: where all gaps are small, the units form no modules.

    From `A tutorial on spectral clustering <https://doi.org/10.1007/s11222-007-9033-z>`_.

    Args:
        layer (Partitionable): A layer, usually a trained one. It is left as it is.
        max_modules (int, optional): Largest number of modules :math:`K_{\max}` to consider, from 2
            to the number of units that are not isolated less one. (default: 16, or that number
            where it is less, or as many as there are inputs and outputs for modules to own)
        scope (str, optional): ``"hidden"`` looks at the edges among hidden units, ``"inputs"`` at
            those among inputs and hidden units, ``"all"`` at all. (default: ``"hidden"``)
        affinity (str, optional): ``"abs"`` as above, or ``"square"`` with :math:`w^2` in the place
            of :math:`|w|`. (default: ``"abs"``)

    Returns:
        ModuleSuggestion: The number of modules, the eigenvalues and the gaps.

    Raises:
        TypeError: If ``layer`` is not ``Partitionable`` or ``max_modules`` not an integer.
        ValueError: If ``max_modules``, ``scope`` or ``affinity`` is out of range, there is no
            finite weight other than 0 among the units, or they fall into more parts than
            ``max_modules``.

    Example:
        >>> from pyg_modules import SynchronousGraph, UnitGraph
        >>> from pyg_modules.partition import suggest_num_modules
        >>> layer = SynchronousGraph(UnitGraph.complete(64, 32, 10))
        >>> sorted(suggest_num_modules(layer, max_modules=4).gaps)
        [2, 3, 4]
    """
    units = Units(layer, scope=scope, affinity=affinity)
    if max_modules is not None:
        max_modules = as_int("max_modules", max_modules, smallest=2)
    matrix = units.affinity_matrix()
    linked = has_links(matrix)
    matrix = matrix[linked][:, linked]
    max_modules = _checked(max_modules, matrix.shape[0], units.num_ends() or matrix.shape[0])
    values = _smallest_eigenvalues(matrix, max_modules + 1)
    if values[-1] < _ROUNDING:
        raise ValueError(
            f"Expected max_modules of at least the number of parts that no weight joins (got"
            f" {max_modules}, and more parts than that). Raise max_modules, up to"
            f" {matrix.shape[0] - 1}."
        )
    gaps = {k: values[k] - values[k - 1] for k in range(2, max_modules + 1)}
    largest = max(gaps.values())
    num_modules = min(k for k, gap in gaps.items() if gap >= largest - _ROUNDING)
    return ModuleSuggestion(num_modules, values, gaps)


def _checked(max_modules: int | None, num_units: int, num_ends: int) -> int:
    if num_units < 3:
        raise ValueError(
            f"Expected at least 3 units with weights between them (got {num_units}). There is"
            f" nothing to choose from."
            " Give a layer with more, or num_modules=2."
        )
    if max_modules is None:
        return max(2, min(_MAX_MODULES, num_units - 1, num_ends))
    if max_modules >= num_units:
        raise ValueError(
            f"Expected max_modules from 2 to {num_units - 1}, one less than the units with weights"
            f" to others (got {max_modules}). Use max_modules={num_units - 1}."
        )
    return max_modules


def _smallest_eigenvalues(matrix: csr_array[Any], count: int) -> list[float]:
    """The ``count`` smallest eigenvalues of the normalised Laplacian, ascending.

    They are those of the connected parts. Each part has the eigenvalue 0 once; an iterative solver
    would not find all of those of several parts.
    """
    num_parts, part = connected_components(matrix, directed=False)
    if num_parts >= count:
        return [0.0] * count
    values: list[float] = []
    for number in range(num_parts):
        units = numpy.flatnonzero(part == number)
        # Of the others at least their 0 is among the smallest.
        largest = _largest_eigenvalues(matrix[units][:, units], count - num_parts + 1)
        values += (1 - largest).clip(min=0).tolist()
    return sorted(values)[:count]


def _largest_eigenvalues(matrix: csr_array[Any], count: int) -> Floats:
    """Those of the normalised affinities, 1 less those of the Laplacian; all where they are few."""
    num_units = matrix.shape[0]
    scale = diags_array(matrix.sum(axis=1) ** -0.5)
    normalised = (scale @ matrix @ scale).tocsr()
    if num_units <= _DENSE_UNITS or 10 * count > num_units:
        dense: Floats = numpy.linalg.eigvalsh(normalised.toarray())
        return dense
    # An iterative solver finds the largest ones fast.
    start = numpy.random.default_rng(0).standard_normal(num_units)
    largest: Floats = eigsh(normalised, count, which="LA", v0=start, return_eigenvectors=False)
    return largest
