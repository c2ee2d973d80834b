from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from pyg_modules._brief import brief
from pyg_modules._files import as_path, staged_folder
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.nn.unit_layer import check_layer
from pyg_modules.report.html.layer_study import study_layer
from pyg_modules.report.html.libraries import check_report_libraries
from pyg_modules.report.html.page import render_layer_page
from pyg_modules.report.unit_names import UnitNames, check_names, names_of_columns
from pyg_modules.structure.edge_map import EdgeMap
from pyg_modules.structure.sparse_schedule import SparseSchedule


def report(
    layer: SynchronousGraph,
    x: Any,
    y: Any,
    *,
    labels: Tensor | None = None,
    schedule: SparseSchedule | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    out: str | os.PathLike[str] = "report.html",
) -> Path:
    """Write a page that shows a layer of your own: its units, its modules and what they are worth.

    The layer is left as it is. To say what modules are worth, copies of it are cut and trained for
    one pass over the samples, see :func:`~pyg_modules.train.partition_verdict`.

    Args:
        layer (SynchronousGraph): A trained layer, before the cut or after it.
        x (Tensor or array): Inputs, ``[B, I]``.
        y (Tensor or array): Their classes, integers ``[B]``, or targets, floats ``[B, O]``.
        labels (LongTensor or list, optional): Modules of a layer that is not cut, ``[N]``, as of
            :func:`~pyg_modules.partition_units`. (default: those of a cut layer)
        schedule (SparseSchedule, optional): What its edges were pruned and grown by in training, of
            this layer or of that which it was cut from. (default: not shown)
        input_names (sequence of str, optional): Names of the inputs. (default: the columns of a
            data frame; else they are numbered)
        output_names (sequence of str, optional): Names of the classes, or of the targets. (default:
            they are numbered)
        out (path, optional): The page, which opens anywhere, offline. (default: ``report.html``)

    Returns:
        pathlib.Path: The page. It appears complete, or not at all.

    Raises:
        ImportError: If a library that a report is made with is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If ``x``, ``y``, ``labels``, ``schedule`` or names do not fit the layer,
            ``schedule`` has begun no epoch, or ``out`` cannot be written to.

    Example:
        >>> import torch
        >>> from pyg_modules import SynchronousGraph, UnitGraph, partition_units
        >>> from pyg_modules.report import report
        >>> layer = SynchronousGraph(UnitGraph.complete(4, 8, 2))
        >>> x, y = torch.rand(64, 4), torch.randint(2, (64,))
        >>> report(layer, x, y, labels=partition_units(layer, 2))  # doctest: +SKIP
        PosixPath('report.html')
    """
    check_report_libraries()
    out = as_path("out", out)
    if out.suffix not in ("", ".html", ".htm"):
        raise ValueError(
            f"Expected out to end with .html (got {out}): the report is a web page. Rename it; a"
            " browser prints it as a PDF."
        )
    check_layer(layer)
    if schedule is not None:
        _check_schedule(schedule, layer)
    names = UnitNames(
        check_names("input_names", input_names, layer.graph.num_inputs) or names_of_columns(x),
        check_names("output_names", output_names, layer.graph.num_outputs),
    )
    page = render_layer_page(study_layer(layer, x, y, labels), out.stem, names, schedule)
    with staged_folder(out.absolute().parent) as stage:
        (stage / out.name).write_text(page, encoding="utf-8")
    return out


def _check_schedule(schedule: SparseSchedule, layer: SynchronousGraph) -> None:
    """Raise unless a schedule has a history of the edges of such a layer."""
    if not isinstance(schedule, SparseSchedule):
        raise TypeError(
            f"Expected schedule to be a SparseSchedule (got {brief(schedule)}). Give that one"
            f" alone with which it was trained, or leave it out."
        )
    first, graph = schedule.first_graph, layer.graph
    if (first.num_units, first.hidden) != (graph.num_units, graph.hidden):
        raise ValueError(
            f"Expected the schedule of this layer, or of that which it was cut from (got one of"
            f" {first}, and a layer of {graph}). Give the one that it was trained with."
        )
    if layer is not schedule.layer and EdgeMap.between(schedule.layer.graph, graph).num_added:
        raise ValueError(
            f"Expected the schedule of this layer, or of that which it was cut from (got one of"
            f" {schedule.layer.graph}, which has not all edges of the layer, {graph}). Give the one"
            f" that it was trained with."
        )
    if not schedule.history:
        raise ValueError(
            "Expected a schedule that has begun an epoch (got one without history). Train with it,"
            " fit(layer, ..., schedule=schedule), or leave it out."
        )
