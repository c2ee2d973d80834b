"""A run of a large network, without its training."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, cut, split
from pyg_modules.datasets import Dataset
from pyg_modules.experiment import ExperimentConfig, ExperimentResult, run_experiment
from pyg_modules.experiment.baselines import num_parameters, random_balanced_labels
from pyg_modules.modules import input_attribution, lesion_study
from pyg_modules.partition import module_sizes

NUM_INPUTS, NUM_OUTPUTS = 64, 10


def large_run(num_hidden: int, num_edges: int, num_modules: int) -> ExperimentResult:
    """A run whose cut layer has ``num_edges`` edges at random, and as many that were removed.

    Weights and modules are random. What takes a training, such as accuracies, is that of a short
    run of a small network.
    """
    data = _data()
    small = ExperimentConfig(
        num_modules=num_modules, num_hidden=4 * num_modules, steps=2, epochs=40, finetune_epochs=40
    )
    run = run_experiment(data, small)
    complete = UnitGraph.complete(NUM_INPUTS, num_hidden, NUM_OUTPUTS)
    labels = random_balanced_labels(complete, num_modules)
    source, target = labels[complete.edge_index]
    crossing = (source != target) & (source >= 0) & (target >= 0)
    kept = torch.cat([_some(~crossing, num_edges), _some(crossing, num_edges)]).sort().values
    graph = UnitGraph(complete.edge_index[:, kept], complete.num_units, NUM_INPUTS, NUM_OUTPUTS)
    layer = SynchronousGraph(graph, Unrolled(6))
    modular = cut(layer, labels)
    parts = split(modular)
    sizes = {
        "free": num_parameters(layer),
        "regularized": num_parameters(layer),
        "cut": num_parameters(modular),
        "finetuned": num_parameters(modular),
    }
    return replace(
        run,
        config=replace(small, num_hidden=num_hidden, steps=6),
        free=layer,
        free_labels=labels,
        regularized=layer,
        finetuned=modular,
        labels=labels,
        num_parameters={**run.num_parameters, **sizes},
        module_sizes=module_sizes(labels),
        lesions=lesion_study(parts, data.test_x, data.test_y),
        attribution=input_attribution(parts, data.test_x),
    )


def _data() -> Dataset:
    x, y = torch.rand(128, NUM_INPUTS), torch.arange(128) % NUM_OUTPUTS
    return Dataset("random", x[:64], y[:64], x[64:], y[64:], image_shape=(8, 8))


def _some(mask: Tensor, num: int) -> Tensor:
    """The places of ``num`` true elements, drawn at random."""
    places = mask.nonzero().view(-1)
    return places[torch.randperm(len(places))[:num]]
