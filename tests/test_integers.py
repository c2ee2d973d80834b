"""Integers for which torch and NumPy have no place are refused by their names."""

import importlib
import inspect

import numpy
import pytest
import torch
from torch.nn import functional as F

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousConv,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
    split,
)
from pyg_modules.datasets import planted_problem
from pyg_modules.experiment import ExperimentConfig
from pyg_modules.modules import check_independence
from pyg_modules.parallel import place_modules
from pyg_modules.partition import (
    Units,
    balance_loss,
    balanced_labels,
    suggest_num_modules,
)
from pyg_modules.structure import SparseSchedule, Topology, TopologySpace, search_topology
from pyg_modules.train import (
    EdgeGradient,
    ModularClassifier,
    ModularRegressor,
    Probe,
    TopologyTraining,
    fit,
    organise,
    partition_verdict,
    seeded,
)
from pyg_modules.train.lightning import LitModular

TOO_LARGE = {
    "2**63": 2**63,
    "2**64": 2**64,
    "2**70": 2**70,
    "many digits": 10**5000,
    "of NumPy": numpy.uint64(2**63),
}
LABELS = torch.tensor([-1, -1, 0, 0, 1, 1, -1])
DATA = torch.rand(8, 2), torch.rand(8, 1)
NO_EDGES = torch.zeros(2, 0, dtype=torch.long)


def layer():
    return SynchronousGraph(UnitGraph.complete(2, 4, 1))


def schedule(**settings):
    return PartitionSchedule(PartitionRegularizer(layer(), 2), **{"epochs": 4, **settings})


def sparse(**settings):
    return SparseSchedule(layer(), **{"epochs": 4, "num_edges": 12, **settings})


def topology(**settings):
    others = {"generator": "complete", "density": None, "activation": "relu"}
    sizes = {"num_inputs": 1, "num_outputs": 1, "max_parameters": 99, "num_updates": 2}
    return Topology(**{**others, **sizes, **settings})


def space(**settings):
    return TopologySpace(**{"num_inputs": 1, "num_outputs": 1, "max_parameters": 99, **settings})


def searched(**settings):
    return search_topology(lambda *_: 0.0, space(), **{"num_trials": 1, **settings})


def train(**settings):
    fit(layer(), DATA, **{"epochs": 1, "seed": 0, "loss": F.mse_loss, **settings})


def organised(**settings):
    organise(layer(), DATA, **{"num_modules": 2, "epochs": 2, "loss": F.mse_loss, **settings})


def estimator(kind, **settings):
    targets = torch.arange(8).numpy() % 2
    kind(**{"num_modules": 2, "num_hidden": 4, "epochs": 2, **settings}).fit(
        DATA[0].numpy(), targets
    )


def seeded_by(seed):
    with seeded(seed):
        pass


def probe(**settings):
    Probe(layer(), DATA, loss=F.mse_loss, **settings)


def judged(**settings):
    partition_verdict(layer(), LABELS, *DATA, loss=F.mse_loss, **settings)


def lit_probe(**settings):
    module = LitModular(layer(), F.mse_loss)
    module.new_probe(module.model, DATA, **{"steps": 1, "seed": 0, **settings})


def modular():
    return ModularGraph(split(cut(layer(), LABELS)))


def by_name(function, *names, **others):
    """A call for each of ``names``, which gives it alone."""
    return {name: lambda n, name=name: function(**{name: n}, **others) for name in names}


SIZES = {"num_inputs": 1, "num_hidden": 1, "num_outputs": 1}
SETTINGS = ("num_modules", "num_hidden", "steps", "epochs", "finetune_epochs", "batch_size")
CALLS = {
    "Unrolled": by_name(Unrolled, "steps"),
    "Equilibrium": by_name(Equilibrium, "max_steps", "memory"),
    "SynchronousConv2d": {
        "kernel_size": lambda n: SynchronousConv2d(UnitGraph.complete(2, 4, 2), n)
    },
    "UnitGraph": by_name(
        lambda **sizes: UnitGraph(
            NO_EDGES, **{"num_units": 3, "num_inputs": 1, "num_outputs": 1, **sizes}
        ),
        "num_units",
        "num_inputs",
        "num_outputs",
    ),
    "UnitGraph.complete": by_name(lambda **sizes: UnitGraph.complete(**SIZES | sizes), *SIZES),
    "UnitGraph.erdos_renyi": by_name(
        lambda **sizes: UnitGraph.erdos_renyi(**SIZES | sizes, edge_prob=0.5), *SIZES
    ),
    "UnitGraph.fixed_in_degree": by_name(
        lambda **sizes: UnitGraph.fixed_in_degree(**SIZES | {"in_degree": 1} | sizes),
        *SIZES,
        "in_degree",
    ),
    "UnitGraph.small_world": by_name(
        lambda **sizes: UnitGraph.small_world(**SIZES | {"degree": 0} | sizes, rewire_prob=0.5),
        *SIZES,
        "degree",
    ),
    "UnitGraph.scale_free": by_name(
        lambda **sizes: UnitGraph.scale_free(**SIZES | {"degree": 0} | sizes), *SIZES, "degree"
    ),
    "UnitGraph.modular": by_name(
        lambda **sizes: UnitGraph.modular(
            **SIZES | {"num_modules": 1} | sizes, within_prob=0.5, between_prob=0.5
        ),
        *SIZES,
        "num_modules",
    ),
    "UnitGraph.geometric": by_name(
        lambda **sizes: UnitGraph.geometric(**SIZES | sizes, radius=0.5), *SIZES
    ),
    "UnitGraph.random_wired": by_name(
        lambda **sizes: UnitGraph.random_wired(**SIZES | {"degree": 0} | sizes, kind="small_world"),
        *SIZES,
        "degree",
    ),
    "UnitGraph.layered": {"sizes": lambda n: UnitGraph.layered([1, n, 1])},
    "UnitGraph.yoked": {"sizes": lambda n: UnitGraph.yoked([1, n, 1])},
    "SynchronousConv.backend_report": {
        "batch": lambda n: SynchronousConv(UnitGraph.complete(2, 4, 2)).backend_report(n)
    },
    "SynchronousGraph.backend_report": {"batch": lambda n: layer().backend_report(n)},
    "ModularGraph.execution_report": {"batch": lambda n: modular().execution_report(n)},
    "PartitionRegularizer": {
        "num_modules": lambda n: PartitionRegularizer(layer(), n),
        "capacities": lambda n: PartitionRegularizer(layer(), 2, capacities=[2, n]),
    },
    "PartitionRegularizer.labels": {
        "seed": lambda n: PartitionRegularizer(layer(), 2).labels(seed=n)
    },
    "PartitionSchedule": by_name(schedule, "epochs", "seed"),
    "PartitionSchedule.step": {"epoch": lambda n: schedule().step(n)},
    "PartitionSchedule.phase": {"epoch": lambda n: schedule().phase(n)},
    "SparseSchedule": by_name(sparse, "epochs", "num_edges", "max_in_degree", "seed"),
    "SparseSchedule.step": {"epoch": lambda n: sparse().step(n)},
    "Topology": by_name(
        topology, "num_inputs", "num_outputs", "max_parameters", "num_updates", "num_modules"
    ),
    "Topology.graph": {"seed": lambda n: topology().graph(n)},
    "Topology.layer": {"seed": lambda n: topology().layer(n)},
    "Topology.smallest_graph": {"seed": lambda n: topology().smallest_graph(n)},
    "TopologySpace": by_name(space, "num_inputs", "num_outputs", "max_parameters")
    | {
        "num_updates": lambda n: space(num_updates=(1, n)),
        "num_modules": lambda n: space(num_modules=(1, n)),
    },
    "TopologyTrial.layer": {"seed": lambda n: searched().best.layer(n)},
    "TopologyTraining": by_name(
        lambda **settings: TopologyTraining(*DATA, **{"epochs": 1, **settings}), "epochs", "seed"
    ),
    "search_topology": by_name(searched, "num_trials", "seed"),
    "partition_units": {
        "num_modules": lambda n: partition_units(layer(), n),
        "capacities": lambda n: partition_units(layer(), 2, capacities=[2, n]),
        "seed": lambda n: partition_units(layer(), 2, seed=n),
    },
    "Units": {"capacities": lambda n: Units(layer(), capacities=[2, n]).bounds(2)},
    "Units.bounds": {"num_modules": lambda n: Units(layer()).bounds(n)},
    "balance_loss": {
        "capacities": lambda n: balance_loss(torch.full((4, 2), 0.5), capacities=[2, n])
    },
    "balanced_labels": {
        "capacities": lambda n: balanced_labels(torch.rand(4, 2), capacities=[2, n])
    },
    "suggest_num_modules": {"max_modules": lambda n: suggest_num_modules(layer(), max_modules=n)},
    "check_independence": {
        "steps": lambda n: check_independence(cut(layer(), LABELS), DATA[0], steps=n)
    },
    "place_modules": {"num_ranks": lambda n: place_modules([1, 2], n)},
    "PlantedProblem.owners": {
        "num_hidden": lambda n: planted_problem(2, num_train=1, num_test=1).owners(n)
    },
    "planted_problem": by_name(
        planted_problem, "num_tasks", "num_noise", "num_train", "num_test", "seed"
    )
    | {"sizes": lambda n: planted_problem(2, sizes=[3, n])},
    "ModularClassifier": by_name(
        lambda **settings: estimator(ModularClassifier, **settings), *SETTINGS, "random_state"
    ),
    "ModularRegressor": by_name(
        lambda **settings: estimator(ModularRegressor, **settings), *SETTINGS, "random_state"
    ),
    "Probe": by_name(probe, "steps", "batch_size", "seed"),
    "EdgeGradient": {"batch_size": lambda n: EdgeGradient(layer(), DATA, batch_size=n)},
    "fit": by_name(train, "epochs", "seed", "patience", "batch_size"),
    "partition_verdict": by_name(judged, "steps", "batch_size", "seed"),
    "organise": by_name(organised, "num_modules", "epochs", "finetune_epochs", "seed", "patience")
    | {"capacities": lambda n: organised(capacities=[2, n])},
    "seeded": {"seed": seeded_by},
    "LitModular.new_probe": by_name(lit_probe, "steps", "seed"),
    "ExperimentConfig": by_name(ExperimentConfig, *SETTINGS, "seed"),
}
#: What is no setting: results, and what others are told.
OTHERS = {
    "Dataset",
    "EdgeRecord",
    "ExperimentResult",
    "LitModular.predict_step",  # Of Lightning.
    "LitModular.test_step",
    "LitModular.validation_step",
    "ModularGraph.drop",  # Names of what is there: larger ones are missing.
    "ModularGraph.only",
    "ModuleSuggestion",
    "Independence",
    "Organised",
    "Origin",
    "Schedule.step",
    "Solution",
    "SynchronousConv.collect",  # Of PyG.
    "SynchronousConv.explain_message",
    "SynchronousConv.propagate",
    "SynchronousGraph.collect",
    "SynchronousGraph.propagate",
    "TopologyTrial",
    "UnitLayer",  # What makes layers, which say what an edge has.
    "Units.check_paths",
    "Units.classes",
    "Units.labels_of_members",
    "Units.num_paths",
    "Units.paths",
    "Verdict",
    "check_labels",
    *(f"{name}.phase" for name in ("Progress", "NoProgress", "LineProgress", "BarProgress")),
}
ROOMS = [
    "graph",
    "solve",
    "nn",
    "partition",
    "structure",
    "modules",
    "parallel",
    "datasets",
    "train",
]
ROOMS += ["train.lightning", "experiment"]


@pytest.mark.parametrize(
    ("call", "name"), [(call, name) for call, names in CALLS.items() for name in names]
)
def test_an_integer_that_is_too_large_is_refused_by_its_name(call, name):
    for value in TOO_LARGE.values():
        expected = rf"{name}(\[\d+\])? (<=|from|to be used|that) |Seed must be"
        with pytest.raises(ValueError, match=expected):
            CALLS[call][name](value)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_coefficient_that_no_float_holds_is_refused_by_its_name(sign):
    with pytest.raises(ValueError, match="ncut to fit into a float"):
        PartitionRegularizer(layer(), 2, ncut=sign * 10**400)
    with pytest.raises(ValueError, match="learning_rate to fit into a float"):
        ExperimentConfig(learning_rate=sign * 10**400)
    with pytest.raises(ValueError, match=r"steps >= 1 \(got one of 16610 bits\)"):
        Unrolled(-(10**5000))


def test_the_largest_integers_are_taken():
    assert Unrolled(2**63 - 1).steps == 2**63 - 1
    assert UnitGraph(NO_EDGES, 3_037_000_499, 1, 1).num_units == 3_037_000_499
    labels = partition_units(layer(), 2, seed=2**63 - 1)
    assert labels.unique().tolist() == [-1, 0, 1]
    with seeded(2**63 - 1):
        assert torch.rand(1).isfinite()


def test_no_public_integer_is_forgotten():
    found = set()
    for room in ROOMS:
        module = importlib.import_module(f"pyg_modules.{room}")
        for name in module.__all__:
            found |= set(integers(name, getattr(module, name)))
    named = {(call, name) for call, names in CALLS.items() for name in names}
    found.remove(("place_modules", "costs"))  # Python adds them up, however large.
    assert {pair for pair in found if pair[0] not in OTHERS} == named


def integers(name, value):
    """Every callable of ``value`` with each of its parameters that is an integer."""
    members = {name: value}
    if inspect.isclass(value):
        kinds = [kind for kind in value.__mro__ if kind.__module__.startswith("pyg_modules")]
        public = {key for kind in kinds for key in vars(kind) if not key.startswith("_")}
        members |= {f"{name}.{key}": getattr(value, key) for key in public}
    for path, member in members.items():
        if callable(member):
            try:
                parameters = inspect.signature(member).parameters.values()
            except ValueError:  # Of a class without one.
                continue
            for parameter in parameters:
                kinds = str(parameter.annotation).replace("[", " ").replace("]", " ").split()
                if "int" in kinds or parameter.annotation is int:
                    yield path, parameter.name
