from __future__ import annotations

import copy
import importlib.util
import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pyg_modules._checks import check_choice
from pyg_modules._files import as_path, read_json, staged_folder, write_json
from pyg_modules.modules.joined_parts import fitting_parts, graphs_alone
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.ops.activation import ACTIVATIONS, PRELU
from pyg_modules.solve.unrolled import Unrolled

FORMATS = ("onnx", "pt2")
FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
# What onnxruntime has no kernels for on a CPU: a file of it could be written, and not be opened.
_WITHOUT_KERNELS = {
    torch.float64: ("elu", "gelu", "softplus"),
    torch.bfloat16: (*ACTIVATIONS, PRELU),
}
# Below this share of all edges, a matrix is mostly zeros.
_SPARSE = 1 / 16


def export_parts(
    parts: Iterable[nn.Module], folder: str | os.PathLike[str], *, file_format: str = "onnx"
) -> Path:
    """Write every module into a file of its own, for programs that know nothing of this package.

    The files ``part_0.onnx``, ``part_1.onnx``, ... take inputs ``x`` of ``[B, I]``, for any number
    of samples, and return outputs of ``[B, O]``. ``manifest.json`` names them, and says that the
    outputs of the network are the sum of theirs.

    Args:
        parts (iterable of SynchronousGraph): The modules, e.g. from :func:`split`, on the CPU. They
            are left as they are.
        folder (path): Made if it does not exist. The files of an earlier export are replaced, when
            all have been written.
        file_format (str, optional): ``"onnx"``, or ``"pt2"`` for :func:`torch.export.load`.
            (default: ``"onnx"``)

    Returns:
        Path: The manifest.

    Raises:
        ImportError: If a package has to be installed first.
        TypeError: If a part is not a ``SynchronousGraph``.
        ValueError: If there are no parts, they do not fit together, are not ``Unrolled`` (the steps
            of an ``Equilibrium`` depend on the data), weights are computed by hooks, as of
            ``torch.nn.utils.prune``, onnxruntime could not open the files, or
            ``file_format`` or ``folder`` is wrong.
    """
    listed = graphs_alone(fitting_parts(parts), "export_parts")
    check_choice("file_format", file_format, FORMATS)
    folder = as_path("folder", folder)
    solver = listed[0].solver
    if not isinstance(solver, Unrolled):
        raise ValueError(
            f"Expected parts with the solver Unrolled (got {solver}, whose number of updates"
            f" depends on the data). Set part.solver = Unrolled(steps), with enough steps."
        )
    for part in listed:
        _check_copies(part)
    if file_format == "onnx":
        for part in listed:
            _check_kernels(part)
        _need_onnx()
    files = [f"part_{number}.{file_format}" for number in range(len(listed))]
    with staged_folder(folder, exported_files(folder)) as stage:
        for part, name in zip(listed, files, strict=True):
            _write(part, stage / name, file_format)
        write_json(
            stage / MANIFEST_FILE,
            {
                "format_version": FORMAT_VERSION,
                "file_format": file_format,
                "num_inputs": listed[0].graph.num_inputs,
                "num_outputs": listed[0].graph.num_outputs,
                "dtype": str(listed[0].dtype).removeprefix("torch."),
                "parts": files,
                "outputs": "Give every part the same inputs x [B, num_inputs]; the outputs of the"
                " network, [B, num_outputs], are the sum of theirs.",
            },
        )
    return folder / MANIFEST_FILE


def exported_files(folder: Path) -> list[str]:
    """Names of the parts of the manifest in ``folder``, if there is one."""
    try:
        parts = read_json(folder / MANIFEST_FILE)["parts"]
        return [name for name in parts if re.fullmatch(r"part_\d+\.(onnx|pt2)", name)]
    except (OSError, ValueError, KeyError, TypeError):  # It is another file of this name.
        return []


def _write(part: SynchronousGraph, path: Path, file_format: str) -> None:
    part = copy.deepcopy(part).eval().requires_grad_(False)
    # Of operations that every runtime knows; onnxruntime has no sums of float16 by index.
    is_dense = _density(part) >= _SPARSE or part.weight.dtype == torch.float16
    part.backend = "dense" if is_dense else "scatter"
    if part.dynamics.rate is None and part.dynamics.update_rate != 1:
        # Of a plain number, the file would have no more than a float32.
        rates = part.weight.new_full((part.graph.num_hidden,), part.dynamics.update_rate)
        part.dynamics.rate = nn.Parameter(rates, requires_grad=False)
    x = part.weight.new_zeros(2, part.graph.num_inputs)
    program = torch.export.export(part, (x,), dynamic_shapes={"x": {0: Dim.DYNAMIC}})
    if file_format == "pt2":
        # Its writer of files ends the process where a disk is full.
        buffer = BytesIO()
        torch.export.save(program, buffer)
        path.write_bytes(buffer.getbuffer())
    else:
        _write_onnx(program, x, path)


def _write_onnx(program: ExportedProgram, x: Tensor, path: Path) -> None:
    with _without_asides():
        onnx = torch.onnx.export(
            program, (x,), input_names=["x"], output_names=["outputs"], dynamo=True, verbose=False
        )
    assert onnx is not None
    onnx.save(path)


@contextmanager
def _without_asides() -> Iterator[None]:
    """Without what the exporter warns of that is in its own code; its errors stay."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for kind in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _density(part: SynchronousGraph) -> float:
    graph = part.graph
    return graph.num_edges / max(1, graph.num_units * (graph.num_hidden + graph.num_outputs))


def _check_copies(part: SynchronousGraph) -> None:
    for name, value in vars(part).items():
        if isinstance(value, Tensor) and not value.is_leaf:
            raise ValueError(
                f"Expected parts that can be copied (got one whose {name} a hook computes from"
                f" other parameters, as torch.nn.utils.prune and weight_norm do). Use"
                f" prune.remove(part, {name!r}), or remove_weight_norm;"
                f" torch.nn.utils.parametrizations can stay."
            )


def _check_kernels(part: SynchronousGraph) -> None:
    dtype = part.weight.dtype
    for activation in set(part.dynamics.names()) & set(_WITHOUT_KERNELS.get(dtype, ())):
        raise ValueError(
            f"Expected parts in a dtype that onnxruntime computes the activation {activation!r} in"
            f" (got {dtype}). Use part.float() of each, or file_format='pt2'."
        )


def _need_onnx() -> None:
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The file_format 'onnx' needs {' and '.join(missing)}: pip install"
            f" 'pyg-modules[onnx]'. Or use file_format='pt2'."
        )
