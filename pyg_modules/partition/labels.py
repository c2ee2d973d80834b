"""Hard labels and soft assignments, and what they must look like."""

from __future__ import annotations

import numpy
import torch
from torch import Tensor

from pyg_modules._brief import brief
from pyg_modules._checks import check_plain, check_values
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.ops.tracing import is_tracing

#: The label of units that all modules share.
SHARED = -1
# How far from 1 a sum of shares may be in single and double precision.
_TOLERANCE = 1e-3


def check_labels(labels: Tensor, num_units: int) -> int:
    """The number of modules in ``labels``.

    Args:
        labels (LongTensor): Module of every unit, ``[N]``, −1 for units that all modules share; a
            list or a NumPy array of integers will do, here and wherever labels are taken.
        num_units (int): Number of units :math:`N`.

    Raises:
        TypeError: If ``labels`` are no integers.
        ValueError: If it has another length, another negative value or a module without units.
    """
    return read_labels(labels, num_units)[1]


def read_labels(labels: Tensor, num_units: int | None = None) -> tuple[Tensor, int]:
    """``labels`` as a tensor, and the number of modules; as :func:`check_labels` in all else.

    Args:
        labels (LongTensor): Module of every unit, ``[N]``.
        num_units (int, optional): Number of units :math:`N`. (default: that of ``labels``)
    """
    if isinstance(labels, list | tuple | numpy.ndarray):
        values = numpy.asarray(labels)
        if values.dtype.kind in "iu":
            labels = torch.as_tensor(values.astype(numpy.int64), device="cpu")
    if not isinstance(labels, Tensor) or labels.dtype not in (torch.int64, torch.int32):
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        remedy = "torch.as_tensor(labels).long()"
        if hasattr(labels, "labels"):  # A regularizer, a verdict, or a layer that is cut.
            remedy = "its labels"
        elif isinstance(labels, Tensor) and labels.dim() == 2:
            remedy = "assignment.argmax(dim=1) of a soft assignment"
        raise TypeError(f"Expected labels to be a LongTensor (got {got}). Use {remedy}.")
    check_values("labels", labels)
    if labels.dim() != 1 or len(labels) != (len(labels) if num_units is None else num_units):
        raise ValueError(
            f"Expected labels of shape [{'N' if num_units is None else num_units}], one per unit,"
            f" inputs and outputs included (got {list(labels.shape)}). Give {SHARED} to units that"
            " all modules share."
        )
    modules = torch.unique(labels)
    if modules.numel() and int(modules[0]) < SHARED:
        raise ValueError(
            f"Expected labels >= {SHARED} (got {int(modules[0])}); {SHARED} marks shared units."
            " Correct the others."
        )
    modules = modules[modules >= 0]
    num_modules: int = modules.numel()
    if not torch.equal(modules, torch.arange(num_modules, device=modules.device)):
        raise ValueError(
            f"Expected modules 0..K-1, each with a unit (got the modules"
            f" {brief(modules.tolist())}). Renumber them, e.g. with"
            " labels.unique(return_inverse=True)."
        )
    return labels, num_modules


def check_assignment(assignment: Tensor) -> None:
    """Raise unless ``assignment`` is a floating ``[N, K]`` tensor of at least one unit."""
    if not isinstance(assignment, Tensor):
        raise TypeError(
            f"Expected assignment to be a Tensor (got {type(assignment).__name__})."
            " Use torch.as_tensor(assignment)."
        )
    check_plain("assignment", assignment)
    if assignment.dim() != 2 or not assignment.is_floating_point() or not len(assignment):
        raise ValueError(
            f"Expected a soft assignment of shape [num_units, num_modules], e.g. from softmax (got"
            f" {assignment.dtype}, {list(assignment.shape)})."
            " Use torch.nn.functional.one_hot(labels).float() of labels."
        )


def check_soft_assignment(assignment: Tensor) -> None:
    """Raise unless ``assignment`` is as above and its rows are shares that sum to 1, or NaN.

    Its values are looked at, for which a GPU is waited for: not for every step of a training.
    """
    check_assignment(assignment)
    if assignment.is_meta or is_tracing():  # There are no values to look at.
        return
    values = assignment.detach().to(torch.promote_types(assignment.dtype, torch.float32))
    tolerance = max(_TOLERANCE, 8 * torch.finfo(assignment.dtype).eps)
    is_wrong = ((values.sum(dim=1) - 1).abs() > tolerance) | (values < -tolerance).any(dim=1)
    if bool(is_wrong.any()):
        row = int(is_wrong.int().argmax())
        least, total = float(values[row].min()), float(values[row].sum())
        raise ValueError(
            f"Expected an assignment whose rows are shares >= 0 that sum to 1 (got row {row} with"
            f" the sum {total:.4g}, its least value {least:.4g}). Use assignment.softmax(dim=1) of"
            f" logits."
        )


def stays_independent(graph: UnitGraph, labels: Tensor) -> Tensor:
    """Which edges carry no state from one module into another, ``[E]``.

    Args:
        graph (UnitGraph): The units.
        labels (LongTensor): Module of every unit, ``[N]``, on the CPU, −1 for shared ones.
    """
    source_id = graph.edge_index[0]
    source, target = labels[graph.edge_index]
    return may_join(source, target, source_id < graph.num_inputs)


def may_join(source: Tensor, target: Tensor, is_input: Tensor) -> Tensor:
    """Whether an edge carries no state from one module into another.

    Args:
        source (LongTensor): Label of its source.
        target (LongTensor): Label of its target.
        is_input (BoolTensor): Whether the source is an input.
    """
    joins: Tensor = (
        (source == target)
        | ((source == SHARED) & is_input)
        | ((source != SHARED) & (target == SHARED))
    )
    return joins
