"""What a cut buys: ``python -m benchmarks.accuracy.cut_costs``.

Accuracy on optdigits against operations, time and energy per sample: a complete unit graph, the
same cut into 2 to 32 modules, and MLPs of many sizes. All kinds may try as many recipes. It goes on
where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

from torch import Tensor, nn

from benchmarks.accuracy.comparison.inference import microseconds
from benchmarks.accuracy.comparison.networks import Noise
from benchmarks.accuracy.comparison.problem import on_model
from benchmarks.accuracy.held_out import held_out
from benchmarks.accuracy.recipes import mean_and_spread, measure
from benchmarks.markdown import table
from benchmarks.options import parse
from pyg_modules import SynchronousGraph, UnitGraph, Unrolled
from pyg_modules.datasets import load_dataset
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.train import fit, organise, seeded

RESULTS = Path(__file__).with_name("cut_costs.json")
TASK, EPOCHS, NUM_HIDDEN = "optdigits", 20, 512
#: Numbers of modules, 1 is not cut; and widths of MLPs.
MODULES, WIDTHS = (1, 2, 4, 8, 16, 32), (16, 32, 64, 128, 256, 512)
#: Updates of unit graphs and levels of MLPs, by the way of a recipe.
UPDATES, LEVELS = (2, 4), (1, 2)
RECIPES = list(product((0, 1), (1e-3, 3e-3)))
_BATCHES = (1, 256)
#: Picojoules of a multiplication and an addition of 32 bits, and of 32 bits from memory, at 45 nm:
#: Horowitz, Computing's Energy Problem, ISSCC 2014.
_OPERATION, _FROM_MEMORY = 3.7 + 0.9, 640.0


def run(
    _task: str, name: str, way: int, rate: float, seed: int, epochs: int, *, data_root: str | None
) -> dict[str, Any]:
    """One training on four fifths of the data; its scores on the last one and on the test data."""
    data, begin = load_dataset(TASK, data_root), process_time()
    part = held_out(data, seed)
    kind, _, number = name.partition(" ")
    options: Any = {"seed": seed, "learning_rate": rate, "weight_decay": 0.1, "batch_size": 64}
    num_inputs, num_outputs = data.train_x.size(1), int(data.train_y.max()) + 1
    with seeded(seed):
        if kind == "MLP":
            network: nn.Module = _mlp([num_inputs, *[int(number)] * LEVELS[way], num_outputs])
        else:
            graph = UnitGraph.complete(num_inputs, NUM_HIDDEN, num_outputs)
            network = SynchronousGraph(graph, Unrolled(UPDATES[way]))
    model = nn.Sequential(Noise(0.1), network)
    if kind == "cut":
        until = epochs // 2
        organise(model, part, int(number), epochs=until, finetune_epochs=epochs - until, **options)
    else:
        fit(model, part, epochs=epochs, **options)
    train_seconds = process_time() - begin
    return {
        "val": _accuracy(model, part.test_x, part.test_y),
        "test": _accuracy(model, data.test_x, data.test_y),
        "num_parameters": num_parameters(model),
        "operations": _operations(model[-1]),
        "microseconds": [_time(model, data.test_x[:batch]) for batch in _BATCHES],
        "seconds": train_seconds,
    }


def cut_costs(path: Path = RESULTS) -> str:
    """A row per network: accuracy, and what a sample takes alone and in a batch."""
    cells = {
        cell["model"]: cell["runs"]
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    }
    accuracy = {name: mean(one["test"] for one in runs) for name, runs in cells.items()}
    mlps = [name for name in cells if name.startswith("MLP")]
    rows = []
    for name, runs in cells.items():
        size, operations = runs[0]["num_parameters"], runs[0]["operations"]
        as_good = [mlp for mlp in mlps if accuracy[mlp] >= accuracy[name]]
        rows.append(
            [
                name,
                mean_and_spread([100 * one["test"] for one in runs]),
                f"{size:,}",
                f"{operations:,}",
                *(
                    f"{mean(one['microseconds'][place] for one in runs):,.1f}"
                    for place in range(len(_BATCHES))
                ),
                *(f"{_microjoules(operations, size, batch):,.2f}" for batch in _BATCHES),
                "" if name in mlps else as_good[0] if as_good else "none",
            ]
        )
    header = ["network", "test accuracy, %", "parameters", "operations"]
    header += [f"µs, {batch} at once" for batch in _BATCHES]
    header += [f"µJ, {batch} at once" for batch in _BATCHES]
    return table([*header, "smallest MLP of the same recipes as good"], rows)


def _mlp(sizes: list[int]) -> nn.Module:
    levels: list[nn.Module] = []
    for before, after in pairwise(sizes):
        levels += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*levels[:-1])


def _operations(network: nn.Module) -> int:
    """Multiplications with additions per sample."""
    if not isinstance(network, SynchronousGraph):
        return sum(one.weight.numel() for one in network.modules() if isinstance(one, nn.Linear))
    graph, solver = network.graph, network.solver
    assert isinstance(solver, Unrolled)
    source, target = graph.edge_index
    is_hidden = (source >= graph.num_inputs) & (target < graph.outputs.start)
    among = int(is_hidden.sum())
    # States begin at 0, so that the first update reads none.
    return graph.num_edges - among + (solver.steps - 1) * among


def _microjoules(operations: int, size: int, batch: int) -> float:
    """An estimate: parameters come from memory once for every batch, all else is near."""
    return 1e-6 * (_OPERATION * operations + _FROM_MEMORY * size / batch)


def _accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((on_model(model, x).argmax(dim=1) == y).double().mean())


def _time(model: nn.Module, x: Tensor) -> float:
    infer: Callable[[], Tensor] = partial(on_model, model, x)
    return microseconds(infer, len(x))


def main(arguments: list[str] | None = None) -> None:
    """Train, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.cut_costs")
    parser.add_argument("--data-root", metavar="DIR", help="local copies of data sets")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default: %(default)s")
    options = parse(parser, arguments, RESULTS, quick="one recipe, one seed")
    names = ["uncut", *(f"cut {number}" for number in MODULES[1:])]
    names += [f"MLP {width}" for width in WIDTHS]
    measure(
        partial(run, data_root=options.data_root),
        {(TASK, name): RECIPES for name in names},
        {TASK: options.epochs},
        options.out,
        quick=options.quick,
    )
    print(cut_costs(options.out))


if __name__ == "__main__":
    main()
