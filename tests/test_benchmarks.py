import json
from collections import deque
from dataclasses import replace
from itertools import accumulate, product
from operator import xor
from statistics import mean
from subprocess import CalledProcessError

import numpy
import pytest
import torch
from scipy import ndimage
from torch_geometric.data import Data

from benchmarks.accuracy import citation, cut_costs, images, recipes, sparsity, topology
from benchmarks.accuracy.additive import __main__ as additive
from benchmarks.accuracy.additive.tasks import TASKS as ADDITIVE_TASKS
from benchmarks.accuracy.additive.training import MODELS as ADDITIVE_MODELS
from benchmarks.accuracy.comparison import __main__ as comparison
from benchmarks.accuracy.comparison import claims, classical, networks, recipe, search
from benchmarks.accuracy.comparison.results import rows_measured
from benchmarks.accuracy.extrapolation import __main__ as extrapolation
from benchmarks.accuracy.extrapolation import training
from benchmarks.accuracy.extrapolation.models import MODELS as EXTRAPOLATING
from benchmarks.accuracy.extrapolation.tasks import TASKS as EXTRAPOLATED
from benchmarks.accuracy.intervals import half_interval, half_interval_of_searches
from benchmarks.accuracy.parallel import run_all
from benchmarks.accuracy.partition import __main__ as partition
from benchmarks.accuracy.propagation import __main__ as propagation
from benchmarks.accuracy.propagation.models import MODELS
from benchmarks.accuracy.propagation.tasks import TASKS
from benchmarks.speed import __main__ as speed
from benchmarks.speed import first_use, generators, neighbours, plan, ranks
from benchmarks.speed.peers import PEERS
from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph
from pyg_modules._files import write_json
from pyg_modules.datasets import Dataset, load_dataset
from pyg_modules.experiment.baselines import num_parameters
from tests.strategies import generator
from tests.writers import exit_of, in_child, kill


@pytest.mark.filterwarnings("default")  # Peers may warn.
def test_the_quick_speed_benchmark_measures_everything_and_reports_what_is_missing(
    tmp_path, capsys
):
    speed.main(["--quick", "--out", str(tmp_path / "speed.json")])
    results = json.loads((tmp_path / "speed.json").read_text())
    assert {row["peer"] for row in results["training_step"]} == set(PEERS)
    for row in results["training_step"]:
        assert row["is_installed"] == ("ratio" in row)
    assert results["equilibrium"]["gradient_error"] <= 1e-8
    steps = results["acceleration"][0]["steps"]
    assert steps["plain"] == steps["default"]
    assert results["memory"]["million"]["num_edges"] == 100_000
    printed = capsys.readouterr().out
    assert all(name in printed for name in PEERS)


def test_the_quick_partition_benchmark_measures_everything(tmp_path):
    pytest.importorskip("pymetis")
    partition.main(["--quick", "--out", str(tmp_path / "partition.json")])
    results = json.loads((tmp_path / "partition.json").read_text())
    for name in ("planted_4", "planted_8", "planted_unequal"):
        result = results[name]
        assert sum(result["runs"][0]["module_sizes"]) > result["setting"]["num_hidden"]
    assert [run["config"]["num_modules"] for run in results["networks"]] == [4, 8]
    assert [row["kind"] for row in results["post_hoc"]] == ["network", "planted graph"]
    methods = {"scikit-learn spectral", "METIS", "PyG MinCut", "ours"}
    assert all(set(row["normalized_cut"]) == methods for row in results["post_hoc"])
    assert results["scale"]["million"]["num_edges"] == 10_000


def test_the_benchmark_of_what_is_far_away_measures_everything(tmp_path, capsys):
    out = tmp_path / "propagation.json"
    only = ["chains of 10", "trees of radius 2"]
    propagation.main(["--quick", "--epochs", "10", "--only", *only, "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    assert [(one["task"], one["model"]) for one in cells] == list(product(only, MODELS))
    assert all(0 <= run["test"] <= 1 for one in cells for run in one["runs"])
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in MODELS)


@pytest.fixture
def papers(monkeypatch):
    """Two sets of 40 papers, and no files."""
    draw, node = generator(0), torch.arange(40)
    x = (torch.rand(40, 12, generator=draw) < 0.3).float()
    edges = torch.randint(40, (2, 120), generator=draw)
    masks = {
        "train_mask": node % 4 < 2,
        "val_mask": node % 4 == 2,
        "test_mask": node % 4 == 3,
    }
    data = Data(x=x, edge_index=edges, y=node % 3, words=x.nonzero().T, **masks)
    monkeypatch.setattr(citation, "load", lambda *_: data)


@pytest.mark.usefixtures("papers")
def test_the_quick_benchmark_of_citations_measures_every_network(tmp_path, capsys):
    out = tmp_path / "citation.json"
    with pytest.raises(SystemExit):
        citation.main(["--quick", "--data-root", str(tmp_path), "--out", str(out)])
    for name in ("Cora", "CiteSeer"):
        (tmp_path / "Planetoid" / name / "raw").mkdir(parents=True)
    citation.main(["--quick", "--data-root", str(tmp_path), "--out", str(out)])
    sets = json.loads(out.read_text())["sets"]
    assert list(sets) == ["Cora", "CiteSeer"]
    for result in sets.values():
        assert list(result["trials"]) == ["GCN", "SynchronousConv"]
        assert [(one["seed"], one["row"]) for one in result["runs"]] == list(
            product(range(2), citation.ROWS)
        )
        sizes = {one["row"]: one["num_parameters"] for one in result["runs"]}
        # 12 words and 3 classes; 11 hidden units, each with an input of its own.
        assert sizes["GCN"] == 12 * 32 + 32 + 32 * 3 + 3
        among, whole = 11 * 11, 12 * 11 + 2 * (11 + 11 * 11 + 11 * 3) + 11 + 3
        assert sizes["SynchronousConv"] == whole
        # Blocks of 3, 3, 3 and 2 units.
        cut = whole - 2 * (among - 3 * 9 - 4)
        assert [sizes[row] for row in list(citation.ROWS)[2:]] == [cut] * 4
    printed = capsys.readouterr().out
    assert all(f"| CiteSeer: {row} |" in printed for row in citation.ROWS)


def test_the_benchmark_of_sums_measures_everything_with_as_many_parameters(tmp_path, capsys):
    out = tmp_path / "additive.json"
    only = ["retina, or, 64 samples", "teachers, 400 samples"]
    additive.main(["--quick", "--steps", "20", "--only", *only, "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    assert [(one["task"], one["model"]) for one in cells] == list(product(only, ADDITIVE_MODELS))
    for task in only:
        sizes = [one["runs"][0]["num_parameters"] for one in cells if one["task"] == task]
        assert max(sizes) < 1.03 * min(sizes)
    (true,) = (cell["runs"][0] for cell in cells[:5] if cell["model"] == "true")
    assert true["ari"] == 1
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in only)


@pytest.mark.parametrize("name", ["retina, and, 64 samples", "retina, or, 64 samples"])
def test_an_object_is_seen_by_the_rule_and_by_no_side_alone(name):
    task = ADDITIVE_TASKS[name](0)
    x = torch.cat([task.train_x, task.test_x]) > 0
    y = torch.cat([task.train_y, task.test_y]).flatten() > 0.5
    objects = []
    for pixels in x.tolist():
        sides = ((pixels[:2], pixels[2:4]), (pixels[6:], pixels[4:6]))
        objects.append(
            [sum(outer + inner) >= 3 or (any(outer) and not any(inner)) for outer, inner in sides]
        )
    expected = [all(one) if "and" in name else any(one) for one in objects]
    assert y.tolist() == expected
    assert len({tuple(pixels) for pixels in x.tolist()}) == 256
    for pixels in (x[:, :4], x[:, 4:]):
        codes = (pixels.long() * torch.tensor([1, 2, 4, 8])).sum(dim=1)
        rates = torch.stack([y[codes == code].float().mean() for code in range(16)])
        assert float(torch.maximum(rates, 1 - rates).mean()) == 0.75


def test_sums_have_terms_of_three_inputs_and_of_equal_variance():
    for name in ("sines, 400 samples", "teachers, 400 samples"):
        task = ADDITIVE_TASKS[name](3)
        x = torch.cat([task.train_x, task.test_x])
        assert task.owner.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
        assert float(torch.cat([task.train_y, task.test_y]).var()) == pytest.approx(1, abs=0.2)
        assert float(x.std()) == pytest.approx(1, abs=0.02)
        other = ADDITIVE_TASKS[name](4)
        assert not torch.equal(other.train_y, task.train_y)


def test_a_task_far_away_has_its_answer_there():
    task = TASKS["trees of radius 2"](0)
    size, num_leaves = 7, 4
    for root in task.test.tolist():
        asked = int(task.x[root].argmax())
        shown = task.x[root + size - num_leaves : root + size]
        leaf = shown[:, :num_leaves].argmax(dim=1).tolist().index(asked)
        assert int(shown[leaf, num_leaves:].argmax()) == int(task.y[root])
    ring = TASKS["rings, 6 apart"](0)
    assert bool((ring.x[ring.test + 6].argmax(dim=1) == ring.y[ring.test]).all())
    chain = TASKS["chains of 10"](0)
    assert int((chain.x.sum(dim=1) > 0).sum()) == 40
    assert (chain.train.numel(), chain.val.numel()) == (20, 40)


def test_the_benchmark_of_larger_cases_measures_everything_and_goes_on(
    tmp_path, monkeypatch, capsys
):
    for name in ("VALIDATED", "TESTED", "BATCH"):
        monkeypatch.setattr(training, name, 2)
    out = tmp_path / "extrapolation.json"
    extrapolation.main(["--quick", "--batches", "2", "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    both = "synchronous", "residual, tied"
    chains, images = [*both, "GRU", "feed-forward"], [*both, "feed-forward"]
    kinds = {
        name: chains if task.num_places == 1 else images for name, task in EXTRAPOLATED.items()
    }
    expected = [(task, model) for task, models in kinds.items() for model in models]
    assert [(one["task"], one["model"]) for one in cells] == expected
    sizes = {name: ["32", "64", "128"] for name in kinds}
    sizes |= {"regions": ["9", "18", "36"], "mazes": ["9", "17"]}
    for cell in cells:
        (one,) = cell["runs"]
        assert list(one["test"]) == sizes[cell["task"]]
        assert all(0 <= part <= 1 for parts in one["test"].values() for part in parts)
        most = EXTRAPOLATED[cell["task"]].max_parameters
        assert 0.75 * most < one["num_parameters"] <= most
    printed = capsys.readouterr().out
    assert all(f"| {name}, {size} |" in printed for name in kinds for size in sizes[name])
    assert "| synchronous | 2 times the updates | residual, tied | 2 times the updates |" in printed
    # What is there is not measured again.
    monkeypatch.setattr(recipes, "run_all", None)
    extrapolation.main(["--out", str(out)])
    assert json.loads(out.read_text())["cells"] == cells


def test_what_a_cut_buys_is_measured_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cut_costs, "load_dataset", lambda *_: load_dataset("digits"))
    for name, value in (("MODULES", (1, 2)), ("WIDTHS", (16, 32)), ("NUM_HIDDEN", 16)):
        monkeypatch.setattr(cut_costs, name, value)
    out = tmp_path / "cut_costs.json"
    cut_costs.main(["--quick", "--epochs", "2", "--out", str(out)])
    cells = json.loads(out.read_text())["cells"]
    assert [cell["model"] for cell in cells] == ["uncut", "cut 2", "MLP 16", "MLP 32"]
    (uncut,), (halves,), (mlp,), _ = (cell["runs"] for cell in cells)
    # The second of two updates reads the edges among 16 hidden units.
    assert uncut["operations"] == 16 * (64 + 10) + 16**2
    assert uncut["num_parameters"] == 16 * (64 + 10) + 16**2 + 16 + 10
    assert halves["operations"] == uncut["operations"] - 2 * 8**2
    assert mlp["operations"] == 16 * (64 + 10)
    assert mlp["num_parameters"] == 16 * (64 + 10) + 16 + 10
    assert cut_costs._microjoules(1000, 100, 10) == pytest.approx(1e-6 * (4600 + 6400))
    printed = capsys.readouterr().out
    assert all(f"| {cell['model']} |" in printed for cell in cells)
    monkeypatch.setattr(recipes, "run_all", None)
    cut_costs.main(["--out", str(out)])
    assert json.loads(out.read_text())["cells"] == cells


def test_models_without_a_network_are_fitted_and_stand_beside_networks(tmp_path, capsys):
    out = tmp_path / "classical.json"
    classical.main(["--quick", "--out", str(out)])
    runs = json.loads(out.read_text())["runs"]
    assert [(run["problem"], run["model"], run["seed"]) for run in runs] == [
        ("wine", "linear", 10),
        ("wine", "boosting", 10),
    ]
    assert all(run["score"] > 0.9 for run in runs)
    mlp = 100 * mean(run["score"] for run in rows_measured("wine")["mlp"][0])
    assert f"| wine | {100 * runs[0]['score']:.2f} |" in capsys.readouterr().out
    assert f"| {mlp:.2f} ±" in classical.classical(out)


def test_work_that_other_processes_do_not_import_is_refused_by_a_quick_run_too():
    with pytest.raises(ValueError, match="Move it to a file beside"):
        run_all(extrapolation.main, [()], quick=True)


def test_who_learns_nothing_starts_again_with_other_parameters_until_batches_end(monkeypatch):
    for name, number in (("LOOK", 1), ("PATIENCE", 2), ("BATCH", 2)):
        monkeypatch.setattr(training, name, number)
    task, starts = EXTRAPOLATED["prefix sums"], []

    def make():
        starts.append(EXTRAPOLATING["GRU"][0](task))
        return starts[-1]

    # With a rate of 0: after 2, 4 and 6 batches, and not after the last one.
    model, found = training._train(make, task, 0.0, 3, 8, grows=True)
    assert (found["starts"], found["batch"], found["learned"]) == (4, 8, 2)
    assert model is starts[-1]
    assert len({one.read.bias.item() for one in starts}) == len(starts) == 4
    # Who has all sizes from the beginning goes on.
    _, found = training._train(make, task, 0.0, 3, 8, grows=False)
    assert (found["starts"], found["batch"], found["learned"]) == (1, 8, 32)


def test_cases_are_a_little_off_in_training_and_their_answers_are_not():
    task = EXTRAPOLATED["prefix sums"]
    x, y = training._noisy(task, 1000, 9, generator(2))
    bits, parities = task.make(1000, 9, generator(2))
    assert torch.equal(y, parities)
    off = x - bits
    assert float(off.std()) == pytest.approx(training.NOISE, rel=0.05)


def test_updates_without_gradient_change_no_output_and_cut_gradients_off():
    task = EXTRAPOLATED["prefix sums"]
    x = task.make(3, 6, generator(0))[0]
    for name, way in (("synchronous", 0), ("synchronous", 1), ("residual, tied", 1)):
        model = EXTRAPOLATING[name][way](task)
        assert torch.allclose(model(x, 9), model(x, 9, 4), rtol=0, atol=1e-6)
        bits = x.clone().requires_grad_()
        # With k updates and the readout, a place hears from k places before it.
        model(bits, 9, 7)[..., 5].sum().backward()
        assert bits.grad.abs().sum(dim=(0, 1)).bool().tolist() == [False, False] + [True] * 4


def test_prefix_sums_are_those_of_a_loop():
    x, y = EXTRAPOLATED["prefix sums"].make(20, 17, generator(1))
    assert x.shape == y.shape == (20, 1, 17)
    for bits, parities in zip(x[:, 0].int().tolist(), y[:, 0].int().tolist(), strict=True):
        assert parities == list(accumulate(bits, xor))
    assert 0 < float(x.mean()) < 1


def test_latest_bits_are_those_of_a_loop():
    x, y = EXTRAPOLATED["latest bits"].make(200, 12, generator(1))
    assert x.shape == (200, 2, 12)
    assert y.shape == (200, 1, 12)
    for case in range(200):
        last = 0.0
        for zero, one, answer in zip(*x[case].tolist(), y[case, 0].tolist(), strict=True):
            assert not (zero and one)
            last = 0.0 if zero else 1.0 if one else last
            assert answer == last
    assert float(x.sum(dim=(1, 2)).mean()) == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize("size", [1, 5, 40])
def test_binary_addition_is_that_of_integers(size):
    x, y = EXTRAPOLATED["binary addition"].make(100, size, generator(size))
    power = 2 ** torch.arange(size)
    first, second = (x.long() * power).sum(dim=2).T
    assert torch.equal((first + second) % 2**size, (y[:, 0].long() * power).sum(dim=1))


@pytest.mark.parametrize("size", [3, 18])
def test_regions_are_the_components_of_the_start(size):
    x, y = EXTRAPOLATED["regions"].make(100, size, generator(size))
    for (is_open, is_start), answer in zip(x.numpy(), y[:, 0].numpy(), strict=True):
        labels, _ = ndimage.label(is_open)
        assert is_start.sum() == 1
        assert numpy.array_equal(labels == labels[is_start == 1], answer == 1)
    assert float(x[:, 0].mean()) == pytest.approx(0.6, abs=0.1)


def test_a_dilated_stack_sees_all_of_the_largest_case_and_a_plain_one_does_not():
    for name in ("prefix sums", "regions"):
        task = EXTRAPOLATED[name]
        for way, sees_all in ((0, True), (1, False)):
            model = EXTRAPOLATING["feed-forward"][way](task)
            x = task.make(1, max(task.larger), generator(0))[0].requires_grad_()
            model(x, 1).select(-1, -1).sum().backward()
            assert bool(x.grad.select(-1, 0).abs().sum() > 0) == sees_all


@pytest.mark.parametrize("size", [3, 9, 17])
def test_mazes_are_trees_and_their_answer_is_the_shortest_path(size):
    x, y = EXTRAPOLATED["mazes"].make(10, size, generator(size))
    num_rooms = ((size + 1) // 2) ** 2
    for (is_open, starts, ends), (answer,) in zip(x.int(), y.int(), strict=True):
        cells = {tuple(cell) for cell in is_open.nonzero().tolist()}
        (start,), (end,) = starts.nonzero().tolist(), ends.nonzero().tolist()
        assert len(cells) == 2 * num_rooms - 1  # Rooms, and a door less than rooms.
        came_from, queue = {tuple(start): None}, deque([tuple(start)])
        while queue:
            row, column = queue.popleft()
            for cell in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                if cell in cells and cell not in came_from:
                    came_from[cell] = row, column
                    queue.append(cell)
        assert came_from.keys() == cells
        path, cell = set(), tuple(end)
        while cell is not None:
            path.add(cell)
            cell = came_from[cell]
        assert path == {tuple(cell) for cell in answer.nonzero().tolist()}
        assert len(path) > 1
    again = EXTRAPOLATED["mazes"].make(10, size, generator(size))
    assert torch.equal(again[0], x)
    assert len({tuple(one.flatten().tolist()) for one in x}) > 1


def test_the_sparsity_benchmark_measures_everything(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sparsity, "NUM_HIDDEN", 16)
    monkeypatch.setattr(sparsity, "DENSITY", 0.2)
    out = str(tmp_path / "sparsity.json")
    sparsity.main(["--seeds", "1", "--epochs", "2", "--out", out])
    runs = json.loads((tmp_path / "sparsity.json").read_text())["runs"]
    assert [one["way"] for one in runs] == list(sparsity.WAYS)
    assert [one["num_edges"] for one in runs[:6]] == [1440] + [288] * 5
    printed = capsys.readouterr().out
    assert all(f"| {way} |" in printed for way in sparsity.WAYS)


def test_a_search_of_topologies_that_is_killed_goes_on_and_measures_everything(
    tmp_path, monkeypatch, capsys
):
    x, y = torch.randn(50, 40, generator=generator(0)), torch.arange(50) % 10
    data = Dataset("mnist1d", x[:40], y[:40], x[40:], y[40:])
    monkeypatch.setattr(topology, "load_dataset", lambda _: data)
    train, trained = topology.train, []

    def recorded(epochs, layer, trial):
        trained.append((trial.study.study_name, trial.user_attrs["number"]))
        return train(epochs, layer, trial)

    monkeypatch.setattr(topology, "train", recorded)

    def run_and_be_killed():
        monkeypatch.setattr(topology, "train", lambda *of: kill() if trained else recorded(*of))
        topology.main(["--quick", "--out", str(tmp_path / "topology.json")])

    assert exit_of(in_child(run_and_be_killed)) == -9
    assert not (tmp_path / "topology.json").exists()
    topology.main(["--quick", "--out", str(tmp_path / "topology.json")])
    names = "any, 1 epochs", "complete, 1 epochs"
    assert trained == [(names[0], 1), (names[1], 0), (names[1], 1)]
    results = json.loads((tmp_path / "topology.json").read_text())
    for name, found in results["searches"].items():
        assert [trial["number"] for trial in found["trials"]] == [0, 1]
        runs = results["fresh"][name]
        assert [run["seed"] for run in runs] == [1_000_000, 1_000_001]
        assert all(14_000 < run["num_parameters"] <= topology.MAX_PARAMETERS for run in runs)
    assert {trial["topology"]["generator"] for trial in found["trials"]} == {"complete"}
    printed = capsys.readouterr().out
    assert "| MNIST-1D, best of 2 trials |" in printed
    again = ["--quick", "--out", str(tmp_path / "topology.json")]
    trained.clear()
    topology.main(again)
    assert not trained


def test_a_quick_search_of_topologies_is_no_measurement(capsys):
    with pytest.raises(SystemExit):
        topology.main(["--quick"])
    assert "--quick goes with --out" in capsys.readouterr().err


def test_the_plan_counts_time_and_traffic_as_it_says():
    rank = plan.Rank(units=1000, edges=8000, batch=4, updates=3, seconds=1.0, gigabytes=2.0)
    even = plan.Assumptions(spread_of_sizes=0.0, spread_of_speed=0.0)
    alone = plan.simulate(rank, even, 1)
    for kind in ("modules", "slices"):
        assert alone[kind]["seconds"] == alone[kind]["efficiency"] == 1.0
        assert alone[kind]["bytes_per_rank"] == 0
    two = plan.simulate(rank, even, 2)
    assert (two["units"], two["edges"]) == (2000, 16000)
    outputs, states = 4 * 100 * 4, 4 * 2000 * 4
    assert two["modules"]["bytes_per_rank"] == outputs
    assert two["slices"]["bytes_per_rank"] == 4 * states / 2
    hop = 20e-6
    assert two["modules"]["seconds"] == pytest.approx(1 + 2 * (hop + outputs / 2 / 3.1e9))
    assert two["slices"]["seconds"] == pytest.approx(1 + 4 * (hop + states / 2 / 3.1e9))
    assert two["modules"]["gigabytes"] == pytest.approx(2 + 2 * 8000 * 4 / 2**30)
    # Unequal modules and waiting cost time; the same seed gives the same numbers.
    uneven = plan.simulate(rank, plan.Assumptions(), 10)
    assert uneven["modules"]["seconds"] > 1.05
    assert uneven == plan.simulate(rank, plan.Assumptions(), 10)


def test_the_quick_benchmark_of_ranks_counts_one_all_reduce():
    result = ranks.run(torch.device("cpu"), quick=True)
    if "skipped" not in result:
        assert result["collectives"] == {"c10d.allreduce_": 1}
        assert result["bytes_per_step"] == result["bytes_of_outputs"] == 128 * 16 * 4


@pytest.mark.parametrize("name", ["smaller", "modular", "yoked", "layer", "rewiring"])
@pytest.mark.filterwarnings("ignore:.* hidden units take no part")
def test_large_graphs_are_measured_at_any_size(name):
    row = generators.measure(name, 4000)
    sizes = {"smaller": 262, "rewiring": 400}
    assert row["num_units"] == sizes.get(name, 4000) + 20
    mean = {"smaller": 0.0005 * 262 * 282}.get(name, 10 * sizes.get(name, 4000))
    assert row["num_edges"] == pytest.approx(mean, rel=0.5)


def test_the_quick_comparison_measures_what_needs_no_data_and_says_what_it_skips(tmp_path, capsys):
    comparison.main(["--quick", "--data-root", str(tmp_path), "--out", str(tmp_path / "it.json")])
    assert "Skipped cora: Expected the folder" in capsys.readouterr().out
    results = json.loads((tmp_path / "it.json").read_text())
    assert set(results) == {"wine", "diabetes", "motifs", "toys"}
    (search,) = results["wine"]["searches"]
    assert list(search["rows"]) == list(comparison.rows_of(comparison.PROBLEMS["wine"]))
    # What is there is not measured again, unless it was trained by another recipe.
    search["recipes"]["free"] = "another"
    write_json(tmp_path / "it.json", results)
    again = ["--quick", "--out", str(tmp_path / "it.json"), "--only", "wine"]
    comparison.main(again)
    (other,) = json.loads((tmp_path / "it.json").read_text())["wine"]["searches"]
    changed = [row for row in search["rows"] if other["rows"][row] != search["rows"][row]]
    assert changed == ["free"]
    assert other["rows"]["free"][0]["score"] == search["rows"]["free"][0]["score"]
    assert other["recipes"]["free"] != "another"


def test_a_search_gives_every_kind_as_many_trainings_and_goes_on(tmp_path, monkeypatch):
    out = tmp_path / "search.json"
    arguments = ["--search", "--quick", "--only", "wine", "--out", str(out)]
    monkeypatch.setitem(
        comparison.PROBLEMS, "wine", replace(comparison.PROBLEMS["wine"], num_searches=2)
    )
    comparison.main(arguments)
    first, second = json.loads(out.read_text())["wine"]
    assert first.keys() - second.keys() == {"equilibrium"}
    for kind, found in first.items():
        scores = [len(trial[key]) for trial in found["trials"] for key in search.SCORES]
        assert (len(found["trials"]), sum(scores)) == (3, 3 * 3 + 2 * 5)
        tried = [trial["recipe"] for trial in found["trials"]]
        assert tried == list(recipe.recipes("wine", kind, 0, 3))
        means = {
            trial["recipe"]: mean(trial["further_scores"])
            for trial in found["trials"]
            if trial["further_scores"]
        }
        assert means[found["best"]] == max(means.values()) == found["validation_score"]
        assert search.recipe_for("wine", kind, 0, out).text(kind) == found["best"]
    assert search.recipe_for("wine", "equilibrium", 1, out) is None
    with pytest.raises(ValueError, match="in search 2 of"):
        search.recipe_for("wine", "free", 2, out)
    monkeypatch.setattr(search, "train", None)
    comparison.main(arguments)
    assert json.loads(out.read_text())["wine"] == [first, second]


def test_recipes_are_those_of_before_and_then_draws_of_the_search():
    of = {number: recipe.recipes("mnist1d", "free", number, 30) for number in (0, 1)}
    earlier = json.loads(recipe.EARLIER.read_text())["mnist1d"]
    assert all(recipe.Recipe(**one) in of[0].values() for one in earlier)
    shared = set(of[0]) & set(of[1])
    assert {recipe.Recipe(**one).text("free") for one in earlier} <= shared
    assert len(shared) < 20
    # Recipes that a kind does not tell apart are one.
    assert len(recipe.recipes("mnist1d", "mlp", 0, 30)) == 30
    for one, two in zip(
        recipe.recipes("mnist1d", "modules", 0, 30).values(),
        recipe.recipes("mnist1d", "post_hoc", 0, 30).values(),
        strict=True,
    ):
        assert one == two


def test_sentences_are_held_against_other_results(tmp_path, monkeypatch, capsys):
    def runs(*scores):
        return [{"score": score} for score in scores]

    rows = {"free": runs(0.9, 0.92), "mlp": runs(0.8, 0.83), "dag": runs(0.7, 0.92)}
    write_json(tmp_path / "it.json", {"mnist1d": {"searches": [{"rows": rows}]}})
    (tmp_path / "page.md").write_text(
        "<!-- holds: mnist1d: mlp > free, dag ~ mlp -->\n<!-- holds: mnist1d: * > mlp -->\n"
        "With 0.5 it is\nahead. And more.\n<!-- holds: wine: free >= mlp -->\nSo it is: yes.\n"
    )
    monkeypatch.setattr(claims, "PAGES", [tmp_path / "page.md"])
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as ended:
        claims.main([str(tmp_path / "it.json")])
    assert ended.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        "page.md: mnist1d: mlp > free (mlp - free: -9.500 ± 6.353):",
        "  With 0.5 it is ahead.",
        "page.md: mnist1d: * > mlp (dag - mlp: -0.500 ± 120.709):",
        "  With 0.5 it is ahead.",
        "4 claims: 2 do not hold, 1 were not measured.",
    ]
    with pytest.raises(ValueError, match="in a line of its own"):
        list(claims.claims("<!-- holds: free > mlp --> It is."))


def test_an_interval_of_several_searches_is_at_least_that_of_their_means():
    searches = [[1.0, 3.0], [2.0, 6.0], [3.0, 3.0]]
    assert half_interval_of_searches(searches) == half_interval([2.0, 4.0, 3.0])
    alike = [[1.0, 5.0], [2.0, 4.0], [3.0, 3.1]]
    assert half_interval_of_searches(alike) == half_interval([1.0, 5.0, 2.0, 4.0, 3.0, 3.1])
    assert half_interval_of_searches(searches[:1], 1.0) == half_interval([1.0, 3.0], 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "wine", "--rows", "dag"], "the rows of 'wine' are: 'mlp', 'free'"),
        (["--only", "cora", "--rows", "mlp"], "--rows goes with --only and some of"),
        (["--only", "cora", "--search"], "--search goes with --only and some of: 'optdigits 45'"),
        (["--search", "--quick"], "--search --quick goes with --out"),
        (["--first-seed", "50"], "--first-seed goes with --out"),
    ],
)
def test_the_comparison_refuses_what_it_would_not_measure(arguments, message, capsys):
    with pytest.raises(SystemExit):
        comparison.main(arguments)
    assert message in capsys.readouterr().err


def test_networks_of_the_comparison_have_about_as_many_parameters():
    size = networks.size_of_complete(64, 35, 10)
    assert size == num_parameters(SynchronousGraph(UnitGraph.complete(64, 35, 10))) == 3860
    for depth in (1, 2, 3):
        mlp = networks.layered(size, 64, 10, depth, "relu")
        assert abs(num_parameters(mlp) - size) < 75
        dag = networks.dag(size, 64, 10, depth, "relu")
        assert abs(num_parameters(dag) - size) < 150
    num_hidden = networks.hidden_of_size(size, 64, 10, num_modules=4)
    assert abs(networks.size_of_complete(64, num_hidden, 10, 4) - size) < 100
    assert num_hidden > 35


def test_the_yoked_network_solves_the_published_rule():
    layer = networks.yoked(3, 4, 2, "tanh").double()
    layer.solver = Equilibrium(tol=1e-12, max_steps=1000, contraction=0.95)
    x = torch.rand(5, 3, dtype=torch.float64)
    with torch.no_grad():
        states, weight = layer.states(x), layer.scaled_weight()
    matrix = torch.zeros(13, 13, dtype=torch.float64)
    matrix[layer.graph.edge_index[1], layer.graph.edge_index[0]] = weight
    fed, units = slice(3, 7), slice(7, 11)
    bias = layer.bias.detach()
    meta = torch.tanh(x @ matrix[fed, :3].T + bias[:4])
    among = matrix[units, units]
    own = matrix[units, fed].diagonal()
    assert not among.diagonal().any()
    assert torch.equal(matrix[units, fed], own.diag())
    sums = states[:, units] @ among.T + meta * own + bias[4:8]
    torch.testing.assert_close(states[:, units], torch.tanh(sums), rtol=1e-9, atol=1e-10)


def test_the_quick_benchmark_of_images_measures_every_network(tmp_path, capsys):
    out = tmp_path / "images.json"
    with pytest.raises(SystemExit, match="Use --search first"):
        images.main(["--quick", "--out", str(out)])
    images.main(["--quick", "--search", "--out", str(out)])
    assert [trial["row"] for trial in json.loads(out.read_text())["trials"]] == list(images.KINDS)
    images.main(["--quick", "--out", str(out)])
    runs = {one["row"]: one for one in json.loads(out.read_text())["runs"]}
    assert list(runs) == list(images.ROWS)
    for row in ("SynchronousConv2d", "CNN"):
        assert 5800 <= runs[row]["num_parameters"] <= 6500
    # 4 inputs, 20 hidden units, 8 outputs, 9 numbers and 16 pixels each, two updates; the head.
    kernels = 4 * 20 + 20 * 20 + 8 * 20
    assert runs["SynchronousConv2d"]["products"] == 9 * 16 * kernels + 32 * 10
    assert runs["cut at random"]["products"] == runs["cut into 4 modules"]["products"] < 60_000
    printed = capsys.readouterr().out
    assert all(f"| {row} |" in printed for row in images.ROWS)


def test_the_quick_benchmark_of_units_on_graphs_compares_the_same_function(tmp_path, capsys):
    # It raises where a peer has another loss.
    neighbours.main(["--quick", "--out", str(tmp_path / "neighbours.json")])
    rows = json.loads((tmp_path / "neighbours.json").read_text())["cpu"]["rows"]
    assert [(row["num_hidden"], row["density"]) for row in rows] == list(neighbours.QUICK)
    assert all(set(row["milliseconds"]) == {"ours", "dense, coo", "dense, csr"} for row in rows)
    assert "times faster" in capsys.readouterr().out


def test_the_first_use_is_measured_of_programs_that_end_well(tmp_path, monkeypatch):
    out = str(tmp_path / "first_use.json")
    monkeypatch.setattr(first_use, "WAITS", {"a program": (("-c", "print()"), 1.5)})
    first_use.main(["--quick", "--out", out])
    assert "a program" in first_use.first_use(tmp_path / "first_use.json")
    monkeypatch.setattr(first_use, "WAITS", {"another": (("-c", "raise ValueError"), 1.5)})
    with pytest.raises(CalledProcessError):
        first_use.main(["--quick", "--out", out])
