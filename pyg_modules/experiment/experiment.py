from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from pyg_modules._checks import check_device
from pyg_modules._seeding import seeded
from pyg_modules.datasets.dataset import Dataset
from pyg_modules.datasets.encoding import Encoding
from pyg_modules.experiment.baselines import mlp_of_size, num_parameters, random_balanced_labels
from pyg_modules.experiment.experiment_config import ExperimentConfig
from pyg_modules.experiment.progress import NoProgress, Progress
from pyg_modules.experiment.score import score
from pyg_modules.experiment.versions import versions
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.modules.attribution import input_attribution
from pyg_modules.modules.cut import cut
from pyg_modules.modules.independence import Independence, check_independence
from pyg_modules.modules.lesion import LesionStudy, lesion_study
from pyg_modules.modules.split import split
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.partition.methods import partition_units
from pyg_modules.partition.metrics import normalized_cut
from pyg_modules.partition.schedule import PartitionSchedule
from pyg_modules.partition.units import Units
from pyg_modules.partition.verdict import Verdict
from pyg_modules.solve.unrolled import Unrolled
from pyg_modules.train.epoch_record import EpochRecord
from pyg_modules.train.fit import EpochCallback, FitOptions, fit
from pyg_modules.train.organise import Organised, organise

#: The rows of the result, in the order of the table, and what they mean.
MODELS = {
    "mlp": "MLP with one hidden layer and as many parameters",
    "free": "unit graph, no regularizer",
    "regularized": "unit graph, organised by the regularizer",
    "cut": "the same, edges between modules removed",
    "finetuned": "the same, trained on after the cut",
    "random_cut": "the same as organised, cut at random instead, trained on",
    "random_modules": "random balanced modules, trained from scratch",
}
#: Those that are there only if they are asked for.
OPTIONAL_MODELS = ("random_cut",)

_INDEPENDENCE_SAMPLES = 4
_KEPT_SAMPLES = 64


@dataclass(frozen=True)
class ExperimentResult:
    """What :func:`run_experiment` made and measured.

    Args:
        dataset (str): Name of the data set.
        config (ExperimentConfig): The settings.
        free (SynchronousGraph): The unit graph trained without a regularizer.
        free_labels (LongTensor): The best balanced modules found in it, ``[N]``.
        regularized (SynchronousGraph): The unit graph trained with the regularizer.
        finetuned (SynchronousGraph): The same, cut and trained on.
        labels (LongTensor): The learned modules, ``[N]``.
        is_regression (bool): Whether scores are R², not accuracies.
        encoding (Encoding, optional): How rows of a file became inputs, of data from a file.
        test_score (dict): Accuracy or R² on the test data by model, see :data:`MODELS`.
        other_seeds (list of dict): The same of the seeds that follow.
        num_parameters (dict): Number of parameters by model.
        normalized_cut (dict): Normalized cut of ``free``, ``regularized`` and ``cut``.
        cut_fraction (float): Share of the weight magnitude of ``regularized`` that is cut.
        module_sizes (list of int): Units per module.
        verdict (Verdict): What the modules are worth, by the training data.
        independence (Independence): The proof that the modules of ``finetuned`` are independent.
        histories (dict): By model, what every epoch of its training came to; ``"finetuned"`` goes
            on where ``"regularized"`` ends.
        lesions (LesionStudy): Test accuracy or R² of ``finetuned`` without each module, and with
            it alone.
        attribution (Tensor): How strongly each module's outputs depend on each input, ``[K, I]``.
        samples (Tensor): Some test inputs, ``[S, I]``.
        image_shape (tuple of int, optional): Height and width, if the inputs are an image's.
        environment (dict): Number of threads, and versions.
        seconds (float): Duration of the run.
    """

    dataset: str
    config: ExperimentConfig
    free: SynchronousGraph
    free_labels: Tensor
    regularized: SynchronousGraph
    finetuned: SynchronousGraph
    labels: Tensor
    is_regression: bool
    encoding: Encoding | None
    test_score: dict[str, float]
    other_seeds: list[dict[str, float]]
    num_parameters: dict[str, int]
    normalized_cut: dict[str, float]
    cut_fraction: float
    module_sizes: list[int]
    verdict: Verdict
    independence: Independence
    histories: dict[str, list[EpochRecord]]
    lesions: LesionStudy
    attribution: Tensor
    samples: Tensor
    image_shape: tuple[int, int] | None
    environment: dict[str, Any]
    seconds: float

    @property
    def num_modules(self) -> int:
        """Number of modules K, found or given."""
        return len(self.module_sizes)

    @property
    def rows(self) -> dict[str, str]:
        """What every row of its table is, by the name of a model that was trained."""
        rows = {name: meaning for name, meaning in MODELS.items() if name in self.test_score}
        if self.config.finetune_epochs:
            return rows
        del rows["finetuned"]  # It is "cut".
        return {name: meaning.removesuffix(", trained on") for name, meaning in rows.items()}

    def metrics(self) -> dict[str, Any]:
        """All figures and what is needed to get them again, ready for JSON."""
        return {
            "dataset": self.dataset,
            "image_shape": self.image_shape,
            "is_regression": self.is_regression,
            "test_score": self.test_score,
            "other_seeds": self.other_seeds,
            "num_parameters": self.num_parameters,
            "normalized_cut": self.normalized_cut,
            "cut_fraction": self.cut_fraction,
            "num_modules": self.num_modules,
            "module_sizes": self.module_sizes,
            "verdict": self.verdict.figures(),
            "independence": asdict(self.independence),
            "config": asdict(self.config),
            "seed": self.config.seed,
            **self.environment,
            "seconds": self.seconds,
        }


def run_experiment(
    data: Dataset, config: ExperimentConfig, progress: Progress | None = None
) -> ExperimentResult:
    """Organise a unit graph into modules, cut it, and compare it with what it must not lose to.

    All networks see the data equally often: ``config.epochs + config.finetune_epochs`` times; the
    regularized one is cut in between.

    Args:
        data (Dataset): The task.
        config (ExperimentConfig): The settings.
        progress (Progress, optional): Shown the training as it goes. (default: nothing)

    Returns:
        ExperimentResult: The networks, the modules and the figures.

    Raises:
        ValueError: If the device is not available, or the data has too few inputs or outputs.
        DivergedError: If a loss is NaN or infinite.
        RuntimeError: If the modules turn out not to be independent.
    """
    check_device(config.device)
    check_units(data, config)
    started = time.perf_counter()
    data = data.to(config.device)
    bench = _Bench(data, config, progress or NoProgress())
    all_epochs = config.epochs + config.finetune_epochs

    free = _new_layer(data, config)
    with seeded(config.seed, config.device):
        mlp = mlp_of_size(num_parameters(free), data.num_features, data.num_outputs)
        mlp.to(config.device)
    bench.train("mlp", mlp, all_epochs)
    bench.train("free", free, all_epochs)

    organised = bench.organise()
    regularized = cast(SynchronousGraph, organised.uncut)
    finetuned = cast(SynchronousGraph, organised.layer)
    labels = organised.labels.cpu()
    num_modules = len(organised.module_sizes)

    with seeded(config.seed, config.device):
        random_labels = random_balanced_labels(free.graph, num_modules, config.scope)
        random_modules = cut(_new_layer(data, config), random_labels)
        random_modules.reset_parameters()
    bench.train("random_modules", random_modules, all_epochs, phase="cut")
    if config.random_cut:
        random_cut = cut(regularized, random_labels)
        bench.train("random_cut", random_cut, config.finetune_epochs, phase="cut")

    free_labels = partition_units(
        free, num_modules, scope=config.scope, tolerance=config.tolerance, seed=config.seed
    ).cpu()
    parts = split(finetuned)
    return ExperimentResult(
        dataset=data.name,
        config=config,
        free=free,
        free_labels=free_labels,
        regularized=regularized,
        finetuned=finetuned,
        labels=labels,
        is_regression=data.is_regression,
        encoding=data.encoding,
        test_score=bench.test_score,
        other_seeds=[],
        num_parameters=bench.num_parameters,
        normalized_cut={
            "free": normalized_cut(free.graph.edge_index, free.weight, free_labels),
            "regularized": organised.normalized_cut,
            "cut": normalized_cut(finetuned.graph.edge_index, finetuned.weight, labels),
        },
        cut_fraction=organised.cut_fraction,
        module_sizes=organised.module_sizes,
        verdict=replace(organised.verdict, labels=labels),
        independence=check_independence(
            finetuned, data.test_x[:_INDEPENDENCE_SAMPLES], steps=config.steps
        ),
        histories=bench.histories,
        lesions=lesion_study(parts, data.test_x, data.test_y),
        attribution=input_attribution(parts, data.test_x).cpu(),
        samples=data.test_x[:_KEPT_SAMPLES].cpu(),
        image_shape=data.image_shape,
        environment={"num_threads": torch.get_num_threads(), "versions": versions()},
        seconds=time.perf_counter() - started,
    )


def check_units(data: Dataset, config: ExperimentConfig) -> None:
    """Raise a ``ValueError`` if there are too few inputs or outputs for modules of that scope."""
    num_modules = 2 if config.num_modules == "auto" else config.num_modules
    Units(_new_layer(data, config), scope=config.scope).bounds(num_modules)


def organise_as(
    config: ExperimentConfig,
    data: Dataset,
    on_epoch: EpochCallback | None = None,
    on_schedule: Callable[[PartitionSchedule], None] | None = None,
) -> Organised:
    """:func:`organise` with the settings of ``config``, of a new layer."""
    return organise(
        _new_layer(data, config),
        data,
        config.num_modules,
        epochs=config.epochs,
        finetune_epochs=config.finetune_epochs,
        seed=config.seed,
        scope=config.scope,
        tolerance=config.tolerance,
        ncut=config.ncut,
        balance=config.balance,
        on_epoch=on_epoch,
        on_schedule=on_schedule,
        **_options(config, data),
    )


class _Bench:
    """Trains and measures all models in the same way."""

    def __init__(self, data: Dataset, config: ExperimentConfig, progress: Progress) -> None:
        self.data = data
        self.config = config
        self.progress = progress
        self.test_score: dict[str, float] = {}
        self.num_parameters: dict[str, int] = {}
        self.histories: dict[str, list[EpochRecord]] = {}

    def train(self, name: str, model: nn.Module, epochs: int, *, phase: str = "free") -> None:
        with self.progress.phase(MODELS[name], epochs) as on_epoch:
            history = fit(
                model,
                self.data,
                epochs=epochs,
                seed=self.config.seed,
                on_epoch=on_epoch,
                **_options(self.config, self.data),
            )
        self.histories[name] = [record._replace(phase=phase) for record in history]
        self.measure(name, model)

    def organise(self) -> Organised:
        """:func:`organise_as`, shown as two trainings, before the cut and after it."""
        epochs = self.config.epochs
        schedules: list[PartitionSchedule] = []
        with ExitStack() as shown:

            def show(name: str, epochs: int, status: Callable[[int], str]) -> EpochCallback:
                shown.close()
                return shown.enter_context(self.progress.phase(MODELS[name], epochs, status))

            show_epoch = show("regularized", epochs, lambda epoch: _status(schedules[0], epoch))

            def on_epoch(epoch: int, losses: dict[str, float]) -> None:
                nonlocal show_epoch
                show_epoch(epoch if epoch <= epochs else epoch - epochs, losses)
                if epoch == epochs:
                    worth = cache(lambda: _worth(schedules[0].verdict()))
                    show_epoch = show(
                        "finetuned", self.config.finetune_epochs, lambda _epoch: worth()
                    )

            organised = organise_as(self.config, self.data, on_epoch, schedules.append)
        self.histories["regularized"] = organised.history[:epochs]
        self.histories["finetuned"] = organised.history[epochs:]
        self.measure("regularized", organised.uncut)
        self.measure("cut", cut(organised.uncut, organised.labels))
        self.measure("finetuned", organised.layer)
        return organised

    def measure(self, name: str, model: nn.Module) -> None:
        self.test_score[name] = score(model, self.data.test_x, self.data.test_y)
        self.num_parameters[name] = num_parameters(model)


def _status(schedule: PartitionSchedule, epoch: int) -> str:
    """The phase of an epoch, counted from 1, and what the modules were worth when last read."""
    return f"phase {schedule.phase(epoch - 1)}, {_worth(schedule.last_verdict)}"


def _worth(verdict: Verdict | None) -> str:
    return "no modules read yet" if verdict is None else f"modules {verdict.word}"


def _options(config: ExperimentConfig, data: Dataset) -> FitOptions:
    return {
        "loss": data.loss,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "batch_size": config.batch_size,
    }


def _new_layer(data: Dataset, config: ExperimentConfig) -> SynchronousGraph:
    """The layer that every unit graph of a run starts from, with the same weights each time."""
    graph = UnitGraph.complete(data.num_features, config.num_hidden, data.num_outputs)
    with seeded(config.seed, config.device):
        return SynchronousGraph(
            graph, Unrolled(config.steps), config.activation, device=config.device
        )
