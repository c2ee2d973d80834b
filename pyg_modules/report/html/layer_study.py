from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pyg_modules.experiment.score import score
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.modules.attribution import input_attribution
from pyg_modules.modules.cut import check_modules, cut
from pyg_modules.modules.independence import Independence, check_independence
from pyg_modules.modules.lesion import LesionStudy, lesion_study
from pyg_modules.modules.split import split
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.nn.unit_layer import check_layer
from pyg_modules.partition.labels import SHARED
from pyg_modules.partition.units import Units
from pyg_modules.partition.verdict import Verdict
from pyg_modules.solve.unrolled import Unrolled
from pyg_modules.train.partition_verdict import partition_verdict
from pyg_modules.train.training_data import as_tensor

_INDEPENDENCE_SAMPLES, _SAMPLES, _ATTRIBUTED = 4, 64, 1024
_STEPS = 6


@dataclass(frozen=True)
class LayerStudy:
    """What a report says of a layer.

    Args:
        layer (SynchronousGraph): The layer, as it was given.
        labels (LongTensor, optional): Its modules, ``[N]``.
        modular (SynchronousGraph, optional): The layer, if it is cut; else, cut into ``labels``.
        num_samples (int): Number of samples that it was measured on.
        samples (Tensor): Some of them, ``[S, I]``.
        is_regression (bool): Whether scores are R², not accuracies.
        score (float): Of ``layer``.
        modular_score (float): Of ``modular``.
        steps (int): Updates that the proof spans.
        verdict (Verdict, optional): What the modules are worth, if ``layer`` is not cut.
        independence (Independence, optional): The proof of the modules.
        lesions (LesionStudy, optional): What is lost without each module, of two at least.
        attribution (Tensor, optional): What each module looks at, ``[K, I]``.
    """

    layer: SynchronousGraph
    labels: Tensor | None
    modular: SynchronousGraph | None
    num_samples: int
    samples: Tensor
    is_regression: bool
    score: float
    modular_score: float
    steps: int
    verdict: Verdict | None = None
    independence: Independence | None = None
    lesions: LesionStudy | None = None
    attribution: Tensor | None = None


def study_layer(layer: SynchronousGraph, x: Any, y: Any, labels: Tensor | None) -> LayerStudy:
    """Measure a layer and its modules; it is left as it is.

    Args:
        layer (SynchronousGraph): A trained layer.
        x (Tensor or array): Inputs, ``[B, I]``.
        y (Tensor or array): Classes, ``[B]``, or targets, ``[B, O]`` or ``[B]``.
        labels (LongTensor, optional): Modules of a layer that is not cut.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the arguments do not fit together.
    """
    check_layer(layer)
    if not isinstance(layer, SynchronousGraph):
        raise TypeError(
            f"Expected a SynchronousGraph (got a {type(layer).__name__}, whose outputs are no"
            f" logits of samples). Use plot_adjacency, plot_unit_graph, plot_module_sizes and"
            f" plot_convergence; and lesion_study and input_attribution, with a head."
        )
    x = as_tensor(x, layer.dtype).to(layer.device, layer.dtype)
    y = _targets(y, x, layer)
    if layer.labels is not None and labels is not None:
        raise ValueError(
            "Expected no labels for a layer that is cut (got some). It has its own; leave labels"
            " out, or give the layer before the cut."
        )
    is_regression = y.is_floating_point()
    steps = layer.solver.steps if isinstance(layer.solver, Unrolled) else _STEPS
    modular, verdict = layer, None
    if layer.labels is not None:
        labels = layer.labels
    elif labels is not None:
        labels = check_modules(layer, labels)
        modular = cut(layer, labels)
        units = Units.with_modules(layer, labels)
        is_less = int(labels.max()) > 0 and modular.graph.num_edges < layer.graph.num_edges
        # Else it is as it was, or no partition could be found in its place.
        if is_less and units is not None and _have_weights(units):
            loss = F.mse_loss if is_regression else F.cross_entropy
            verdict = partition_verdict(_trainable(layer), labels, x, y, loss=loss)
    measured: dict[str, Any] = {}
    if labels is not None:
        parts = split(modular)
        measured = {
            "verdict": verdict,
            "independence": check_independence(modular, x[:_INDEPENDENCE_SAMPLES], steps=steps),
            "lesions": lesion_study(parts, x, y) if len(parts) > 1 else None,
            "attribution": input_attribution(parts, x[:_ATTRIBUTED]).cpu(),
        }
    return LayerStudy(
        layer,
        None if labels is None else labels.cpu(),
        None if labels is None else modular,
        num_samples=len(x),
        samples=x[:_SAMPLES],
        is_regression=is_regression,
        score=score(layer, x, y),
        modular_score=score(modular, x, y),
        steps=steps,
        **measured,
    )


def _have_weights(units: Units) -> bool:
    """Whether any weight between two of the units is not 0."""
    edges = units.edges
    return bool(units.magnitudes()[edges.source != edges.target].any())


def _trainable(layer: SynchronousGraph) -> SynchronousGraph:
    """The layer, or a copy of one that is frozen: cut ones are trained for a while."""
    if any(parameter.requires_grad for parameter in layer.parameters()):
        return layer
    return deepcopy(layer).requires_grad_()


def no_modules(graph: UnitGraph) -> Tensor:
    """Labels of units that are in no module, ``[N]``."""
    return torch.full((graph.num_units,), SHARED, device="cpu")


def _targets(y: Any, x: Tensor, layer: SynchronousGraph) -> Tensor:
    targets = as_tensor(y, layer.dtype).to(layer.device)
    num_inputs, num_outputs = layer.graph.num_inputs, layer.graph.num_outputs
    if x.dim() != 2 or x.size(1) != num_inputs or len(x) == 0:
        raise ValueError(
            f"Expected x of shape [B, {num_inputs}] (got {list(x.shape)})."
            " Give a row per sample, as the layer reads them."
        )
    if not bool(x.isfinite().all()):
        row = int((~x.isfinite()).any(dim=1).nonzero()[0])
        raise ValueError(f"Expected finite x (got NaN or infinity in row {row}). Fill it.")
    if not targets.is_floating_point():
        first, last = int(targets.min()), int(targets.max())
        if targets.shape != (len(x),) or first < 0 or last >= num_outputs:
            raise ValueError(
                f"Expected classes from 0 to {num_outputs - 1}, one for each of {len(x)} samples"
                f" (got y of shape {list(targets.shape)}, from {first} to {last}). Number them from"
                f" 0; for a regression, use floats."
            )
        return targets.long()
    targets = targets.to(layer.dtype)
    if targets.dim() == 1 and num_outputs == 1:
        targets = targets.unsqueeze(1)
    if targets.shape != (len(x), num_outputs):
        raise ValueError(
            f"Expected targets of shape {[len(x), num_outputs]} (got {list(targets.shape)})."
            f" For classes, use y.long()."
        )
    if not bool(targets.isfinite().all()):
        row = int((~targets.isfinite()).any(dim=1).nonzero()[0])
        raise ValueError(
            f"Expected finite targets (got NaN or infinity in row {row}). Leave such rows out."
        )
    if bool((targets == targets[0]).all(dim=0).any()):
        raise ValueError(
            f"Expected two different targets at least of every output (got the same for all"
            f" {len(x)} samples, of which nothing can be explained). Give more samples."
        )
    return targets
