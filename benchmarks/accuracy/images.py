"""Units on images against convolutional networks: ``python -m benchmarks.accuracy.images``.

MNIST-10k by a synchronous layer of about 6,400 parameters and by convolutional networks of as many,
and of three times as many; the layer organised into four modules and cut, and cut at random. Every
kind of network has as many trials on the fifth of the training data that is left out (``--search``,
which comes first), and the best is trained on all of it. It goes on where it was stopped.
``--quick`` is a look at small digits.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.accuracy.held_out import held_out
from benchmarks.accuracy.intervals import mean_difference
from benchmarks.accuracy.parallel import by_name, run_all
from benchmarks.accuracy.random_labels import random_labels
from benchmarks.markdown import table
from benchmarks.options import parse
from pyg_modules import SynchronousConv2d, UnitGraph, Unrolled, cut
from pyg_modules._files import write_json
from pyg_modules.datasets import load_dataset
from pyg_modules.experiment.baselines import num_parameters
from pyg_modules.experiment.versions import versions
from pyg_modules.train import accuracy, fit, organise, seeded

RESULTS = Path(__file__).with_suffix(".json")
NUM_MODULES, NUM_MAPS = 4, 8
_AT_ONCE = 6
#: What may be chosen, as many trials for every kind: the number of updates, or of convolutions,
#: and the learning rate.
DEPTHS, LEARNING_RATES = (2, 3, 4), (3e-3, 1e-2, 3e-2)


def synchronous(shape: tuple[int, int], num_classes: int, depth: int, hidden: int) -> nn.Module:
    """Units on quarters of the image, so that four pixels are its inputs; pooling, and a Linear."""
    graph = UnitGraph.complete(4, hidden, NUM_MAPS)
    return nn.Sequential(
        nn.Unflatten(1, (1, *shape)),
        nn.PixelUnshuffle(2),
        SynchronousConv2d(graph, 3, Unrolled(depth)),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * NUM_MAPS, num_classes),
    )


def convolutional(shape: tuple[int, int], num_classes: int, depth: int, hidden: int) -> nn.Module:
    """As many convolutions, each with channels of its own, on the same quarters."""
    modules: list[nn.Module] = [nn.Unflatten(1, (1, *shape)), nn.PixelUnshuffle(2)]
    for number in range(depth):
        modules += [nn.Conv2d(hidden if number else 4, hidden, 3, padding=1), nn.ReLU()]
        if number == 0:
            modules.append(nn.MaxPool2d(2))
    head = [nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(4 * hidden, num_classes)]
    return nn.Sequential(*modules, *head)


Network = Callable[[tuple[int, int], int, int, int], nn.Module]
#: The kinds of network, and how many parameters each may have at most.
KINDS: dict[str, tuple[Network, int]] = {
    "SynchronousConv2d": (synchronous, 6500),
    "CNN": (convolutional, 6500),
    "CNN, three times as large": (convolutional, 19500),
}
#: The rows: what is trained, how many times its units, and how it is cut.
ROWS: dict[str, tuple[str, int, str | None]] = {
    "SynchronousConv2d": ("SynchronousConv2d", 1, None),
    "cut into 4 modules": ("SynchronousConv2d", 1, "organised"),
    "cut at random": ("SynchronousConv2d", 1, "random"),
    "twice the units, cut into 4": ("SynchronousConv2d", 2, "organised"),
    "CNN": ("CNN", 1, None),
    "CNN, three times as large": ("CNN, three times as large", 1, None),
}


def made(kind: str, shape: tuple[int, int], num_classes: int, depth: int, times: int) -> nn.Module:
    """The widest network of its kind that has no more parameters than it may have."""
    network, most = KINDS[kind]
    hidden = 1
    while num_parameters(network(shape, num_classes, depth, hidden + 1)) <= most:
        hidden += 1
    return network(shape, num_classes, depth, times * hidden)


def products(model: nn.Module, shape: tuple[int, int]) -> int:
    """Multiplications for an image, without those by weights that are 0."""
    counted = 0

    def count(module: nn.Module, _: Any, outputs: Tensor) -> None:
        nonlocal counted
        if isinstance(module, SynchronousConv2d):
            assert isinstance(module.solver, Unrolled)
            injection, recurrent, readout, direct = map(len, module.weights_by_edge_set())
            kernels = injection + (module.solver.steps - 1) * recurrent + readout + direct
            counted += kernels * module.kernel_size**2 * outputs.shape[-2:].numel()
        elif isinstance(module, nn.Conv2d):
            counted += module.weight.numel() * outputs.shape[-2:].numel()
        elif isinstance(module, nn.Linear):
            counted += module.weight.numel()

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    with torch.no_grad():
        model(torch.zeros(1, shape[0] * shape[1]))
    for hook in hooks:
        hook.remove()
    return counted


def run(
    row: str, depth: int, learning_rate: float, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """One training, and what came of it."""
    whole = load_dataset(options["data"], options["data_root"])
    data = held_out(whole) if options["search"] else whole
    shape = whole.image_shape
    assert shape is not None
    kind, times, way = ROWS[row]
    epochs = options["epochs"]
    settings: Any = {"learning_rate": learning_rate, "batch_size": 128}
    with seeded(seed):
        model: Any = made(kind, shape, data.num_classes, depth, times)
    start = process_time()
    if way == "organised":
        half = epochs // 2
        model = organise(
            model,
            data,
            NUM_MODULES,
            epochs=half,
            finetune_epochs=epochs - half,
            seed=seed,
            **settings,
        ).network
    elif way == "random":
        half = epochs // 2
        fit(model, data, epochs=half, seed=seed, **settings)
        model[2] = cut(model[2], random_labels(model[2].graph, NUM_MODULES, seed))
        fit(model, data, epochs=epochs - half, seed=seed, **settings)
    else:
        fit(model, data, epochs=epochs, seed=seed, **settings)
    seconds = process_time() - start
    model.eval()
    with torch.no_grad():
        loss = float(F.cross_entropy(model(data.train_x), data.train_y))
    return {
        "num_parameters": num_parameters(model),
        "products": products(model, shape),
        "training_loss": loss,
        "accuracy": accuracy(model, data.test_x, data.test_y),
        "seconds": seconds,
    }


def best(trials: list[dict[str, Any]], kind: str) -> tuple[int, float]:
    """The depth and the learning rate of the best trial of a kind of network."""
    found = [trial for trial in trials if trial["row"] == kind]
    if not found:
        raise SystemExit(f"Expected trials of {kind!r} in the JSON file. Use --search first.")
    chosen = max(found, key=lambda trial: float(trial["accuracy"]))
    return chosen["depth"], chosen["learning_rate"]


def images(path: Path = RESULTS) -> str:
    """A row per network; differences are paired by seed."""
    results = json.loads(path.read_text(encoding="utf-8"))
    rows, scores = [], by_name([(one["row"],) for one in results["runs"]], results["runs"])
    peers = [100 * one["accuracy"] for one in scores["CNN"]]
    for row, found in scores.items():
        values = [100 * one["accuracy"] for one in found]
        spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
        is_compared = row != "CNN" and len(values) > 1
        products_, loss, seconds = (
            mean(one[name] for one in found) for name in ("products", "training_loss", "seconds")
        )
        rows.append([row, f"{mean(one['num_parameters'] for one in found):,.0f}"])
        rows[-1] += [f"{products_ / 1e6:.2f}", f"**{mean(values):.2f}**{spread}"]
        rows[-1] += [mean_difference(values, peers) if is_compared else ""]
        rows[-1] += [f"{loss:.4f}", f"{seconds:.0f}"]
    num_seeds = len({one["seed"] for one in results["runs"]})
    header = [f"{results['data']}, {num_seeds} seeds", "parameters", "million products per image"]
    return table([*header, "test accuracy, %", "− CNN", "training loss", "CPU s"], rows)


def main(arguments: list[str] | None = None) -> None:
    """Search or measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.images")
    parser.add_argument("--epochs", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--search", action="store_true", help="choose settings, on held-out data")
    parser.add_argument("--data-root", type=Path, help="folder with mnist/")
    options = parse(parser, arguments, RESULTS, quick="small digits, an epoch, one seed")
    name = "digits" if options.quick else "mnist10k"
    shared = {"data": name, "data_root": options.data_root, "search": options.search}
    shared["epochs"] = 2 if options.quick else options.epochs
    kept = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    setting = {"data": name, "epochs": shared["epochs"]}
    if any(kept.get(key, value) != value for key, value in setting.items()):
        raise SystemExit(f"Expected a file of {setting} (got another). Name a new one: --out FILE.")
    jobs: list[tuple[Any, ...]]
    if options.search:
        depths, rates = (
            (DEPTHS[:1], LEARNING_RATES[:1]) if options.quick else (DEPTHS, LEARNING_RATES)
        )
        jobs = [(*job, 0, shared) for job in itertools.product(KINDS, depths, rates)]
    else:
        chosen = {row: best(kept.get("trials", []), kind) for row, (kind, *_) in ROWS.items()}
        seeds = range(1 if options.quick else options.seeds)
        jobs = [(row, *chosen[row], seed, shared) for seed in seeds for row in ROWS]
    part, names = "trials" if options.search else "runs", ("row", "depth", "learning_rate", "seed")
    runs = kept.get(part, [])
    known = {tuple(one[name] for name in names) for one in runs}
    jobs = [job for job in jobs if job[:-1] not in known]
    # Written now and then, so that it goes on where it was stopped.
    for start in range(0, len(jobs), _AT_ONCE):
        some = jobs[start : start + _AT_ONCE]
        results = run_all(run, some, quick=options.quick)
        runs += [
            dict(zip(names, job[:-1], strict=True)) | result
            for job, result in zip(some, results, strict=True)
        ]
        write_json(options.out, kept | setting | {"versions": versions(), part: runs})
    if not options.search:
        print(images(options.out))


if __name__ == "__main__":
    main()
