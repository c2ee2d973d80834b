"""Partitions read off given weights: ours against the best of every other method."""

from __future__ import annotations

import warnings
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.cluster import SpectralClustering

from benchmarks.accuracy.parallel import run_all
from benchmarks.accuracy.partition import networks, planted
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.datasets import load_dataset, planted_problem
from pyg_modules.partition import Units, balanced_labels
from pyg_modules.partition.search.metis import metis_labels
from pyg_modules.partition.search.refine import refined_labels, repair
from pyg_modules.partition.search.size_bounds import SizeBounds
from pyg_modules.partition.units import EdgeList
from pyg_modules.train import fit, seeded

TOLERANCE = 0.03
_GRAPH_UNITS = 1000
#: Number of modules, and probabilities of an edge inside and between, from clear to hidden.
_GRAPHS = ((4, 0.05, 0.01), (4, 0.04, 0.02), (8, 0.1, 0.02), (8, 0.06, 0.03), (8, 0.05, 0.035))
_GRAPHS_EACH = 4
_MINCUT_RESTARTS, _MINCUT_STEPS = 3, 1500


def run(data_root: str | None, *, quick: bool) -> list[dict[str, Any]]:
    """A row per network, number of modules or random graph."""
    jobs: list[tuple[Any, ...]] = [
        ("planted graph", f"{setting} {seed}", data_root, quick)
        for setting in range(len(_GRAPHS))
        for seed in range(_GRAPHS_EACH)
    ]
    cases = [("planted_4", 4), *((name, 4) for name in networks.SETTINGS)]
    cases += [(name, 8) for name in networks.SETTINGS if 8 in networks.MODULES[name]]
    jobs = [("network", f"{name}|{modules}", data_root, quick) for name, modules in cases] + jobs
    if quick:
        jobs = [jobs[0], jobs[-1]]
    return run_all(compare, jobs, quick=quick)


def compare(kind: str, name: str, data_root: str | None, quick: bool) -> dict[str, Any]:
    """The normalized cut of every method, at sizes within the tolerance."""
    if kind == "network":
        network, modules = name.split("|")
        num_modules = int(modules)
        affinity = _network(network, data_root, epochs=2 if quick else None)
    else:
        setting, seed = map(int, name.split())
        num_modules = _GRAPHS[setting][0]
        affinity = _graph(*_GRAPHS[setting], seed=seed, num_units=100 if quick else _GRAPH_UNITS)
    affinity = affinity * (affinity.shape[0] / affinity.sum())
    bounds = SizeBounds.of(affinity.shape[0], num_modules, tolerance=TOLERANCE)
    starts: dict[str, list[NDArray[numpy.int64]]] = {
        "scikit-learn spectral": [
            _spectral(affinity, num_modules, seed, assign)
            for assign in ("kmeans", "cluster_qr")
            for seed in range(3)
        ],
        "METIS": [metis_labels(affinity, bounds, seed=seed) for seed in range(10)],
        "PyG MinCut": [
            _mincut(affinity, num_modules, seed, steps=20 if quick else _MINCUT_STEPS)
            for seed in range(_MINCUT_RESTARTS)
        ],
    }
    # The others get our repair of sizes, which raises their cut least.
    cuts = {
        method: min(repair(affinity, labels, bounds).normalized_cut for labels in of_method)
        for method, of_method in starts.items()
    }
    ours = repair(affinity, refined_labels(affinity, bounds, seed=0), bounds).normalized_cut
    best = min(cuts, key=cuts.__getitem__)
    return {
        "kind": kind,
        "name": name,
        "num_units": affinity.shape[0],
        "num_modules": num_modules,
        "normalized_cut": {**cuts, "ours": ours},
        "best_peer": best,
        "ratio": cuts[best] / ours if ours > 0 else float(cuts[best] <= 0),
    }


def _network(name: str, data_root: str | None, epochs: int | None) -> csr_array[Any]:
    """The affinities of a network trained without a regularizer."""
    if name == "planted_4":
        setting = planted.SETTINGS[name]
        problem = planted_problem(seed=0)
        layer = planted.new_layer(problem, setting, seed=0)
        fit(
            layer,
            problem,
            epochs=epochs or setting.epochs // 2,
            seed=0,
            loss=problem.loss,
            one_cycle=False,
            learning_rate=setting.learning_rate,
            weight_decay=setting.weight_decay,
            batch_size=setting.batch_size,
        )
        return Units(layer, scope="all").affinity_matrix()
    data = load_dataset(name, data_root)
    settings = networks.SETTINGS[name]
    graph = UnitGraph.complete(data.num_features, settings.get("num_hidden", 128), data.num_classes)
    with seeded(0):
        layer = SynchronousGraph(
            graph, Unrolled(settings.get("steps", 6)), settings.get("activation", "relu")
        )
    fit(
        layer,
        data,
        epochs=epochs or 80,
        seed=0,
        **{
            key: settings[key]
            for key in ("learning_rate", "weight_decay", "batch_size")
            if key in settings
        },
    )
    return Units(layer).affinity_matrix()


def _graph(
    num_modules: int, inside: float, between: float, *, seed: int, num_units: int
) -> csr_array[Any]:
    """A planted partition, directed, with weights of both signs and of exponential magnitude."""
    generator = torch.Generator().manual_seed(seed)
    module = torch.randperm(num_units, generator=generator) % num_modules
    probability = torch.where(module[:, None] == module[None], inside, between)
    edges = torch.rand(num_units, num_units, generator=generator) < probability
    edge_index = edges.nonzero().T
    magnitude = torch.empty(edge_index.size(1)).exponential_(generator=generator)
    sign = torch.randint(2, magnitude.shape, generator=generator) * 2 - 1
    return Units(EdgeList.of(edge_index, magnitude * sign, num_units)).affinity_matrix()


def _spectral(
    affinity: csr_array[Any], num_modules: int, seed: int, assign: str
) -> NDArray[numpy.int64]:
    """Not our own method of that name: what it is compared with is scikit-learn as it is."""
    clustering = SpectralClustering(
        num_modules, affinity="precomputed", assign_labels=assign, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels: NDArray[numpy.int64] = clustering.fit_predict(affinity).astype(numpy.int64)
    return labels


def _mincut(
    affinity: csr_array[Any], num_modules: int, seed: int, steps: int
) -> NDArray[numpy.int64]:
    """The losses of ``torch_geometric.nn.dense_mincut_pool``, logits trained to convergence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.nn import dense_mincut_pool

    matrix = torch.from_numpy(affinity.toarray()).float()
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(matrix), num_modules, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(steps):
        _, _, mincut, orthogonality = dense_mincut_pool(matrix, matrix, logits)
        optimizer.zero_grad()
        (mincut + orthogonality).backward()
        optimizer.step()
    return balanced_labels(logits.detach().softmax(-1), tolerance=TOLERANCE).numpy()
