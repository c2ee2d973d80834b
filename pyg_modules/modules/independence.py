from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order
from torch import Tensor

from pyg_modules._checks import as_int
from pyg_modules.modules.split import split
from pyg_modules.nn.evaluating import evaluating
from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.ops.autocast import has_autocast, without_autocast
from pyg_modules.partition.labels import check_labels
from pyg_modules.solve.equilibrium import Equilibrium

_ROWS_AT_ONCE = 512
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Independence:
    """The evidence that the modules of a cut layer are independent.

    Args:
        paths (int): Ordered pairs of modules with a path from a unit of the one to a unit of the
            other that does not lead through an input.
        max_cross_jacobian (float): Largest magnitude in the Jacobian of one module's states after
            all updates with respect to another module's initial states.
        max_split_difference (float): Largest difference between the layer and the sum of its
            parts, relative to the largest output (at least 1).
    """

    paths: int
    max_cross_jacobian: float
    max_split_difference: float


def check_independence(
    layer: UnitLayer,
    x: Tensor,
    *others: Any,
    steps: int = 6,
    tolerance: float | None = None,
    **named: Any,
) -> Independence:
    """Prove that the modules of a cut layer are independent in evaluation, in three ways.

    Args:
        layer (UnitLayer): A layer made by :func:`cut`.
        x (Tensor): Some inputs, ``[B, I]``, or as the layer takes them. Takes time for the Jacobian
            of each of them.
        *others: What the layer takes beside ``x``.
        steps (int, optional): Updates that the Jacobian spans. (default: 6)
        tolerance (float, optional): Bound on ``max_split_difference``; the two others must be
            exactly 0. (default: 1e-5, or 10 times the ``tol`` of an ``Equilibrium`` if that is
            more: the parts stop by themselves; or 10 times the rounding of the layer's numbers)
        **named: What the layer takes by name, as ``edge_weight`` of a :class:`SynchronousConv`.

    Returns:
        Independence: The evidence.

    Raises:
        TypeError: If ``layer`` is no layer of units, ``x`` no tensor, or ``steps`` no integer.
        ValueError: If ``layer`` was not made by :func:`cut`, ``x`` holds no sample, or ``steps`` is
            less than 1.
        RuntimeError: If the modules are not independent.
    """
    check_layer(layer)
    if tolerance is None:
        tol = layer.solver.tol if isinstance(layer.solver, Equilibrium) else 0.0
        tolerance = max(_TOLERANCE, 10 * tol, 10 * torch.finfo(layer.dtype).eps)
    if not isinstance(x, Tensor):
        raise TypeError(
            f"Expected x to be a Tensor (got {type(x).__name__}). Give some inputs of the layer."
        )
    steps = as_int("steps", steps, smallest=1)  # Without an update, nothing depends on anything.
    if has_autocast(layer.device) and x.is_floating_point():
        x = x.to(layer.dtype)  # A proof is not rounded.
    num_dims = 1 + len(layer.positions)
    # Nodes and pixels are no samples.
    samples = x.unsqueeze(0) if x.dim() == num_dims > 1 else x
    sizes = list(samples.shape)
    if samples.dim() == num_dims + 1:
        del sizes[layer.unit_dim]
    if samples.dim() != num_dims + 1 or 0 in sizes:
        raise ValueError(
            f"Expected x of shape {layer.input_shape('B')} with"
            f" {', '.join(('B', *layer.positions))} >= 1 (got {list(x.shape)})."
            " Give a batch of inputs of the layer."
        )
    paths = _count_paths(layer)

    def step(states: Tensor) -> Tensor:
        following: Tensor = layer.step(states, *others, **named)
        return following

    with evaluating(layer), without_autocast(layer.device):
        with torch.no_grad():
            states = [layer.states(sample, *others, **named) for sample in samples]
        jacobian = max(_max_cross_jacobian(layer, step, each, steps) for each in states)
    if paths > 0 or not jacobian == 0:
        raise RuntimeError(
            f"Expected no path between modules and a cross Jacobian of exactly 0 (got {paths} pairs"
            f" of modules with a path, {jacobian:g}). Make the layer with cut(layer, labels)."
        )
    with evaluating(layer), without_autocast(layer.device), torch.no_grad():
        expected = layer(x, *others, **named)
        outputs = [part(x, *others, **named) for part in split(layer)]
        difference = (sum(outputs) - expected).abs().max()
        difference = difference / expected.abs().max().clamp(min=1)
    if not bool(expected.isfinite().all()):
        raise RuntimeError(
            "Expected finite outputs to compare (got NaN or infinity). Look for inputs or weights"
            " that are not finite."
        )
    if not difference <= tolerance:
        raise RuntimeError(
            f"Expected the parts to add up to the layer within {tolerance:g} (got a difference of"
            f" {difference:g}). Compare again in double precision: layer.double()."
        )
    return Independence(
        paths=paths, max_cross_jacobian=jacobian, max_split_difference=float(difference)
    )


def _count_paths(layer: UnitLayer) -> int:
    graph, labels = layer.graph, _labels(layer).cpu().numpy()
    num_modules, num_units = int(labels.max()) + 1, graph.num_units
    source, target = graph.edge_index.numpy()
    # One extra node per module, with an edge to each of its units, starts the search from all.
    members = numpy.flatnonzero(labels >= 0)
    from_input = source < graph.num_inputs
    rows = numpy.concatenate([source[~from_input], num_units + labels[members]])
    cols = numpy.concatenate([target[~from_input], members])
    size = num_units + num_modules
    adjacency = coo_array((numpy.ones(len(rows), dtype=bool), (rows, cols)), (size, size)).tocsr()
    paths = 0
    for module in range(num_modules):
        reached = breadth_first_order(
            adjacency, num_units + module, directed=True, return_predecessors=False
        )
        reached_modules = set(labels[reached[reached < num_units]].tolist())
        paths += len(reached_modules - {module, -1})
    return paths


@torch.inference_mode(False)
@torch.enable_grad()
def _max_cross_jacobian(
    layer: UnitLayer, step: Callable[[Tensor], Tensor], states: Tensor, steps: int
) -> float:
    """The largest cross derivative of some steps from ``states``, those of one sample.

    The states of a unit at all its positions are added up.
    """
    labels = _labels(layer)
    units = torch.nonzero((labels >= 0) & (_unit_ids(layer) >= layer.graph.num_inputs)).view(-1)
    if not len(units):
        return 0.0
    largest, num_positions = 0.0, states.numel() // layer.graph.num_units
    for rows in torch.split(units, max(1, _ROWS_AT_ONCE // num_positions)):
        # One copy of the states per row: the gradient of copy r is row r of the Jacobian.
        initial = states.expand(len(rows), *states.shape).clone().requires_grad_()
        final = initial
        for _ in range(steps):
            final = step(final)
        of_units = final.movedim(layer.unit_dim, 1)
        (gradient,) = torch.autograd.grad(
            of_units[torch.arange(len(rows), device=rows.device), rows].sum(), initial
        )
        jacobian = gradient.movedim(layer.unit_dim, 1)[:, units].abs()
        crossing = labels[rows].unsqueeze(1) != labels[units].unsqueeze(0)
        cross = jacobian.flatten(2).amax(dim=2) if jacobian.dim() > 2 else jacobian
        largest = max(largest, float((cross * crossing).max()))
    return largest


def _labels(layer: UnitLayer) -> Tensor:
    if layer.labels is None:
        raise ValueError(
            "Expected a layer made by cut(layer, labels) (got one without labels). Cut it first."
        )
    check_labels(layer.labels, layer.graph.num_units)
    return layer.labels


def _unit_ids(layer: UnitLayer) -> Tensor:
    return torch.arange(layer.graph.num_units, device=layer.device)
