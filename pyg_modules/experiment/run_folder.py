"""A run as a folder: what :func:`run_experiment` returned, without pickle."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from pyg_modules._files import as_path, digest_of, read_json, staged_folder, write_json
from pyg_modules._safetensors import read_tensors, write_tensors
from pyg_modules.datasets.encoding import DIGESTS, ENCODING_FILE, METRICS_FILE, load_encoding
from pyg_modules.experiment.experiment import MODELS, OPTIONAL_MODELS, ExperimentResult
from pyg_modules.experiment.experiment_config import ExperimentConfig
from pyg_modules.modules.independence import Independence
from pyg_modules.modules.lesion import LesionStudy
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.partition.metrics import module_sizes
from pyg_modules.partition.verdict import Verdict
from pyg_modules.train.epoch_record import EpochRecord

LABELS_FILE = "labels.json"
#: What is made of the other files of a run, to be looked at.
REPORT_FILE, PICTURE_FILE = "report.html", "partition.png"
_HISTORY = "history.json"
_ANALYSIS = "analysis.safetensors"
_FREE, _REGULARIZED = "free", "regularized"
_LESIONS = "lesions."
_SCORES = "all", "without", "only", "num_samples"
_LAYER = "config.json", "model.safetensors"
_FOLDERS = "", f"{_FREE}/", f"{_REGULARIZED}/"
_ENCODINGS = tuple(f"{folder}{ENCODING_FILE}" for folder in _FOLDERS)
_OTHERS = (
    *_LAYER,
    *(f"{name}/{file}" for name in (_FREE, _REGULARIZED) for file in _LAYER),
    LABELS_FILE,
    f"{_FREE}/{LABELS_FILE}",
    _HISTORY,
    _ANALYSIS,
)


def write_run(result: ExperimentResult, folder: str | os.PathLike[str]) -> None:
    """Write what a run made into ``folder``; all files appear, or none.

    Args:
        result (ExperimentResult): The run.
        folder (path): Gets ``metrics.json``, ``labels.json`` (the module of each unit), the cut and
            fine-tuned layer: ``config.json`` and ``model.safetensors``; and for the report:
            ``history.json``, ``analysis.safetensors``, and the folders ``free`` and ``regularized``
            with the layers before the cut. Beside every layer that was trained on a file is
            ``data.json``, how rows become inputs. A run that is there is replaced, all of it.

    Raises:
        ValueError: If ``folder`` is a file, or cannot be written to.
    """
    with staged_folder(folder, files_of_run(folder)) as stage:
        result.finetuned.save(stage)
        result.free.save(stage / _FREE)
        result.regularized.save(stage / _REGULARIZED)
        write_json(stage / LABELS_FILE, result.labels.tolist())
        write_json(stage / _FREE / LABELS_FILE, result.free_labels.tolist())
        write_json(
            stage / _HISTORY,
            {
                name: [record._asdict() for record in history]
                for name, history in result.histories.items()
            },
        )
        tensors = {"attribution": result.attribution, "samples": result.samples}
        for name in _SCORES:
            tensors[_LESIONS + name] = getattr(result.lesions, name)
        write_tensors(stage / _ANALYSIS, tensors)
        names = list(_OTHERS)
        if result.encoding is not None:
            names += _ENCODINGS
            for folder_of_layer in _FOLDERS:
                result.encoding.save(stage / folder_of_layer)
        digests = {name: digest_of(stage / name) for name in names}
        write_json(stage / METRICS_FILE, {**result.metrics(), DIGESTS: digests})


def names_of_run() -> list[str]:
    """Names of all files that a run may have."""
    return [*_OTHERS, *_ENCODINGS, METRICS_FILE, REPORT_FILE, PICTURE_FILE]


def files_of_run(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the files of the run in ``folder``; none if there is no run."""
    try:
        written = set(read_json(as_path("folder", folder) / METRICS_FILE)[DIGESTS])
    except (LookupError, OSError, TypeError, ValueError):
        return []
    names = [name for name in (*_OTHERS, *_ENCODINGS) if name in written]
    # Else they are the figures of something else.
    return [*names, METRICS_FILE, REPORT_FILE, PICTURE_FILE] if names else []


def load_run(folder: str | os.PathLike[str]) -> ExperimentResult:
    """What :func:`write_run` wrote into ``folder``, with its layers on the CPU.

    Args:
        folder (path): The folder of a run.

    Returns:
        ExperimentResult: The run.

    Raises:
        ValueError: If ``folder`` does not hold a complete run.
    """
    folder = as_path("folder", folder)
    try:
        metrics = read_json(folder / METRICS_FILE)
    except PermissionError as error:
        raise ValueError(
            f"Expected a folder that can be read (got {folder}: {error.strerror}). Correct its"
            f" permissions."
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"Expected the folder of a run (got {folder}, without {METRICS_FILE}). Name another, or"
            f" make one by pyg-modules train."
        ) from error
    except (OSError, ValueError) as error:
        raise _incomplete(folder, f"{type(error).__name__}: {error}") from error
    try:
        digests = metrics[DIGESTS]
        names = (*_OTHERS, *(_ENCODINGS if ENCODING_FILE in digests else ()))
        foreign = [name for name in names if digest_of(folder / name) != digests[name]]
        if not foreign:
            run = _load_run(folder, metrics)
            foreign = _files_of_another_run(run)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise _incomplete(folder, f"{type(error).__name__}: {error}") from error
    if foreign:
        raise _incomplete(
            folder, f"{', '.join(foreign)} of another run than {METRICS_FILE}, or changed"
        )
    return run


def _load_run(folder: Path, metrics: dict[str, Any]) -> ExperimentResult:
    tensors = read_tensors(folder / _ANALYSIS)
    config = ExperimentConfig(**metrics["config"])
    models = [name for name in MODELS if config.random_cut or name not in OPTIONAL_MODELS]
    is_regression = _truth(metrics["is_regression"])
    lesions = LesionStudy(
        **{name: tensors[_LESIONS + name] for name in _SCORES}, is_regression=is_regression
    )
    labels = torch.tensor(read_json(folder / LABELS_FILE), device="cpu")
    return ExperimentResult(
        dataset=_text(metrics["dataset"]),
        config=config,
        free=SynchronousGraph.load(folder / _FREE),
        free_labels=torch.tensor(read_json(folder / _FREE / LABELS_FILE), device="cpu"),
        regularized=SynchronousGraph.load(folder / _REGULARIZED),
        finetuned=SynchronousGraph.load(folder),
        labels=labels,
        is_regression=is_regression,
        encoding=load_encoding(folder) if ENCODING_FILE in metrics[DIGESTS] else None,
        test_score=_numbers(metrics["test_score"], models),
        other_seeds=[_numbers(scores, models) for scores in metrics["other_seeds"]],
        num_parameters=_numbers(metrics["num_parameters"], models),
        normalized_cut=_numbers(metrics["normalized_cut"], (_FREE, _REGULARIZED, "cut")),
        cut_fraction=_number(metrics["cut_fraction"]),
        module_sizes=metrics["module_sizes"],
        verdict=_verdict(labels, metrics["verdict"]),
        independence=Independence(
            **_numbers(metrics["independence"], [field.name for field in fields(Independence)])
        ),
        histories={
            name: [
                EpochRecord(_text(record["phase"]), _numbers(record["losses"], record["losses"]))
                for record in history
            ]
            for name, history in read_json(folder / _HISTORY).items()
        },
        lesions=lesions,
        attribution=tensors["attribution"],
        samples=tensors["samples"],
        image_shape=_image_shape(metrics["image_shape"], tensors["samples"].size(1)),
        environment={
            "num_threads": _number(metrics["num_threads"]),
            "versions": {name: _text(of) for name, of in metrics["versions"].items()},
        },
        seconds=_number(metrics["seconds"]),
    )


def _verdict(labels: torch.Tensor, figures: dict[str, Any]) -> Verdict:
    others = {"random", "separated"}
    names = {field.name for field in fields(Verdict)} - {"labels", *others}
    numbers = _numbers({name: figures[name] for name in figures if name not in others}, names)
    if figures.get("separated") is not None:
        numbers["separated"] = _number(figures["separated"])
    random = tuple(_number(loss) for loss in figures["random"])
    if not random:
        raise ValueError("a verdict without a cut at random")
    return Verdict(labels, random=random, **numbers)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} instead of a text")
    value.encode()  # Not all that is a text in JSON can be written.
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} instead of true or false")
    return value


def _image_shape(value: Any, num_inputs: int) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = value
    if not type(height) is type(width) is int or height < 0 or height * width != num_inputs:
        raise ValueError(f"image_shape {value!r} of {num_inputs} inputs")
    return height, width


def _number(value: Any) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} instead of a number")
    float(value)  # Too large an integer is none.
    return value


def _numbers(value: Any, names: Iterable[str]) -> dict[str, Any]:
    """``value``, if it has a number for each of ``names``."""
    if set(value) != set(names):
        raise ValueError(f"{value!r} instead of numbers for {', '.join(names)}")
    return {name: _number(number) for name, number in value.items()}


def _files_of_another_run(run: ExperimentResult) -> list[str]:
    """Names of files that do not fit what the others say."""
    config, graph = run.config, run.finetuned.graph
    all_epochs = config.epochs + config.finetune_epochs
    epochs = {
        "mlp": all_epochs,
        "free": all_epochs,
        "regularized": config.epochs,
        "finetuned": config.finetune_epochs,
        "random_modules": all_epochs,
    }
    if config.random_cut:
        epochs["random_cut"] = config.finetune_epochs
    fits = {
        "config.json": graph.num_hidden == config.num_hidden,
        LABELS_FILE: run.finetuned.labels is not None
        and torch.equal(run.finetuned.labels, run.labels)
        and module_sizes(run.labels) == run.module_sizes
        and config.num_modules in ("auto", run.num_modules),
        f"{_FREE}/config.json": _is_like(run.free, run.finetuned),
        f"{_FREE}/{LABELS_FILE}": run.free_labels.shape == run.labels.shape,
        f"{_REGULARIZED}/config.json": _is_like(run.regularized, run.finetuned),
        _HISTORY: {name: len(history) for name, history in run.histories.items()} == epochs,
        _ANALYSIS: run.attribution.shape == (run.num_modules, graph.num_inputs)
        and run.lesions.only.shape == (run.num_modules, graph.num_outputs)
        and run.samples.shape[1:] == (graph.num_inputs,),
    }
    return [name for name, is_right in fits.items() if not is_right]


def _is_like(layer: SynchronousGraph, other: SynchronousGraph) -> bool:
    """Whether both have the same numbers of units."""
    sizes = [
        (of.graph.num_inputs, of.graph.num_hidden, of.graph.num_outputs) for of in (layer, other)
    ]
    return sizes[0] == sizes[1]


def _incomplete(folder: Path, reason: str) -> ValueError:
    return ValueError(
        f"Expected all files of one run of this version in {folder} (got {reason}). Copy"
        f" them again, or train into another folder."
    )
