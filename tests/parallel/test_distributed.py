"""Ranks are processes on this machine; what they find is read from files."""

import copy
import json
import os
import pickle
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from pyg_modules import ModularGraph, SynchronousGraph, UnitGraph, Unrolled, cut, split
from pyg_modules.parallel import (
    DistributedModules,
    clip_grad_norm_,
    distributed_modules,
    place_modules,
)
from pyg_modules.train import fit
from tests.processes import start_fresh, start_ranks
from tests.strategies import generator, normal

SIZES = (5, 3, 4, 2)


def cut_layer(seed=0, sizes=SIZES):
    graph = UnitGraph.complete(3, sum(sizes), 2)
    layer = SynchronousGraph(graph, Unrolled(4), "tanh", dtype=torch.float64)
    layer.reset_parameters(generator(seed))
    labels = torch.full((graph.num_units,), -1)
    labels[3:-2] = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return cut(layer, labels)


def optimizer_of(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def train(model, optimizer, steps, samples=slice(None)):
    x, y = normal(16, 3, seed=1)[samples], normal(16, 2, seed=2)[samples]
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def start(rank, num_ranks, folder, timeout=60):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=num_ranks,
        timeout=timedelta(seconds=timeout),
    )


def on_ranks(work, num_ranks, folder, *arguments):
    """What ``work(*arguments)`` returns on every rank."""
    folder.mkdir()
    start_ranks(_run, num_ranks, work, num_ranks, folder, arguments)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(num_ranks)]


def _run(rank, work, num_ranks, folder, arguments):
    start(rank, num_ranks, folder)
    found = work(*arguments)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def alone(steps):
    """The losses of a single process, and its parameters by module."""
    model = ModularGraph(split(cut_layer()))
    losses = train(model, optimizer_of(model), steps)
    return losses, {str(k): part.weight.tolist() for k, part in enumerate(model.parts)}


def train_and_save(checkpoint):
    model = DistributedModules(split(cut_layer()))
    optimizer = optimizer_of(model)
    with CommDebugMode() as communication:
        losses = train(model, optimizer, 1)
    counts = {str(name): count for name, count in communication.get_comm_counts().items()}
    losses += train(model, optimizer, 9)
    model.save(checkpoint, optimizer=optimizer)
    losses += train(model, optimizer, 10)
    x = normal(4, 3, seed=5).requires_grad_()
    with CommDebugMode() as communication:
        model(x).square().sum().backward()
    return {
        "losses": losses,
        "counts": counts,
        "counts_with_x": communication.get_total_counts(),
        "gradient_of_x": x.grad.tolist(),
        "modules_of_ranks": model.modules_of_ranks,
        "weights": {name: part.weight.tolist() for name, part in model.parts.items()},
        "refusals": refusals(checkpoint, optimizer),
        "sharded": with_sharded_inputs(),
        "drawn": drawn(),
    }


def drawn():
    """Which units the modules of this rank drop, and a number that is drawn afterwards."""
    torch.manual_seed(0)
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2), dropout=0.5)
    labels = torch.tensor([-1] * 3 + [0, 1] * 4 + [-1] * 2)
    model = DistributedModules(split(cut(layer, labels)))
    ((dynamics,),) = ([part.dynamics for part in model.parts.values()],)
    masks, draw = [], dynamics.draw_mask

    def recorded(*sizes):
        masks.append(draw(*sizes))
        return masks[-1]

    dynamics.draw_mask = recorded
    for _ in range(2):
        model(torch.rand(16, 3))
    return {"masks": [mask.tolist() for mask in masks], "after": torch.rand(2).tolist()}


def layer_with_partitioned_inputs():
    """Inputs 0, 2 and outputs 0 of module 0, inputs 1, 3 and output 1 of module 1."""
    layer = SynchronousGraph(UnitGraph.complete(4, 6, 2), Unrolled(4), "tanh", dtype=torch.float64)
    layer.reset_parameters(generator(0))
    return cut(layer, torch.arange(12) % 2)


def with_sharded_inputs():
    model = DistributedModules(split(layer_with_partitioned_inputs()), shard_inputs=True)
    x = normal(5, 4)[:, model.input_ids].requires_grad_()
    with CommDebugMode() as communication:
        outputs = model(x)
        outputs.square().sum().backward()
    return {
        "input_ids": model.input_ids.tolist(),
        "outputs": outputs.tolist(),
        "gradient": x.grad.tolist(),
        "counts": communication.get_total_counts(),
    }


def refusals(checkpoint, optimizer):
    """Messages about bad input; every rank meets the same."""
    messages = []

    def refuse(error, action):
        with pytest.raises(error) as caught:
            action()
        messages.append(str(caught.value))

    other = DistributedModules(split(cut_layer(sizes=(4, 4, 4, 2))))
    refuse(ValueError, lambda: other.load(checkpoint))
    refuse(ValueError, lambda: other.load(checkpoint / "nothing"))
    other.save(checkpoint.with_name("without"))
    without = checkpoint.with_name("without")
    refuse(ValueError, lambda: other.load(without, optimizer=optimizer_of(other)))
    refuse(ValueError, lambda: DistributedModules(list(split(cut_layer()))[:1]))
    refuse(
        ValueError,
        lambda: DistributedModules(split(cut_layer(sizes=(4, 4, 4, 2 + dist.get_rank())))),
    )
    same = DistributedModules(split(cut_layer()))
    refuse(ValueError, lambda: same.load(checkpoint, optimizer=optimizer))
    momentum = torch.optim.SGD(same.parameters(), lr=0.1, momentum=0.9)
    refuse(ValueError, lambda: same.load(checkpoint, optimizer=momentum))
    refuse(ValueError, lambda: same.save(without, optimizer=optimizer))
    complete = SynchronousGraph(UnitGraph.complete(3, 14, 2), Unrolled(4), "relu")
    relu = DistributedModules(split(cut(complete, cut_layer().labels)))
    refuse(ValueError, lambda: relu.load(checkpoint))
    (checkpoint.parent / "notes").mkdir(exist_ok=True)
    (checkpoint.parent / "notes" / "thesis.tex").write_text("x")
    refuse(ValueError, lambda: same.save(checkpoint.parent / "notes"))
    refuse(ValueError, lambda: same.save(checkpoint.parent / "notes" / "thesis.tex"))
    refuse(ValueError, lambda: same.save(checkpoint.parent / "notes" / "thesis.tex" / "deep"))
    x = normal(4, 3).requires_grad_()
    outputs = same(x).square().sum()
    refuse(RuntimeError, lambda: torch.autograd.grad(outputs, x, create_graph=True))
    return messages


def load_and_train(checkpoint):
    model = DistributedModules(split(cut_layer(seed=7)))
    optimizer = optimizer_of(model)
    model.load(checkpoint, optimizer=optimizer)
    return train(model, optimizer, 10)


def train_on_a_mesh():
    mesh = init_device_mesh(
        "cpu", (2, dist.get_world_size() // 2), mesh_dim_names=("data", "modules")
    )
    model = DistributedModules(split(cut_layer()), group=mesh["modules"].get_group())
    data = mesh["data"]
    parallel = DistributedDataParallel(model, process_group=data.get_group())
    own = slice(data.get_local_rank(), None, 2)
    train(parallel, optimizer_of(model), 20, samples=own)
    return {name: part.weight.tolist() for name, part in model.parts.items()}


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    return folder / "checkpoint", on_ranks(train_and_save, 2, folder / "two", folder / "checkpoint")


@pytest.fixture(scope="module")
def expected():
    return alone(steps=20)


def test_two_ranks_train_as_one_process_does(two_ranks, expected):
    losses, weights = expected
    found = {}
    for rank in two_ranks[1]:
        assert rank["losses"] == pytest.approx(losses, rel=1e-6)
        found |= rank["weights"]
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        assert found[name] == pytest.approx(weight, rel=1e-6, abs=1e-9)


def test_modules_of_two_ranks_with_one_seed_drop_units_of_their_own(two_ranks):
    first, second = (rank["drawn"] for rank in two_ranks[1])
    masks = [*first["masks"], *second["masks"]]
    assert len(masks) == 4
    assert all(masks.count(mask) == 1 for mask in masks)
    # All else is drawn alike on both, before and afterwards.
    assert first["after"] == second["after"]


def test_a_training_step_is_one_all_reduce_and_nothing_else(two_ranks):
    for rank in two_ranks[1]:
        assert list(rank["counts"].values()) == [1]
        assert "allreduce" in next(iter(rank["counts"]))


def test_a_gradient_of_the_input_is_a_second_all_reduce(two_ranks):
    model = ModularGraph(split(cut_layer()))
    train(model, optimizer_of(model), 20)
    x = normal(4, 3, seed=5).requires_grad_()
    model(x).square().sum().backward()
    for rank in two_ranks[1]:
        assert rank["counts_with_x"] == 2
        torch.testing.assert_close(
            torch.tensor(rank["gradient_of_x"], dtype=torch.float64), x.grad, rtol=1e-6, atol=1e-9
        )


def test_a_rank_can_be_given_the_inputs_of_its_modules_alone(two_ranks):
    x = normal(5, 4).requires_grad_()
    outputs = layer_with_partitioned_inputs()(x)
    outputs.square().sum().backward()
    found = [rank["sharded"] for rank in two_ranks[1]]
    assert [rank["input_ids"] for rank in found] == [[0, 2], [1, 3]]
    for rank in found:
        assert rank["counts"] == 1
        for name, expected in (("outputs", outputs), ("gradient", x.grad[:, rank["input_ids"]])):
            actual = torch.tensor(rank[name], dtype=torch.float64)
            torch.testing.assert_close(actual, expected.detach(), rtol=1e-6, atol=1e-9)


def test_every_rank_has_modules_of_about_equal_cost(two_ranks):
    # In order of their edges: module 0 (5 units), 2 (4), 1 (3), 3 (2).
    assert two_ranks[1][0]["modules_of_ranks"] == [[0, 3], [1, 2]]
    assert [list(rank["weights"]) for rank in two_ranks[1]] == [["0", "3"], ["1", "2"]]


def test_a_checkpoint_is_safetensors_and_json(two_ranks):
    names = sorted(path.suffix for path in two_ranks[0].iterdir())
    assert names == [".json", ".safetensors", ".safetensors"]
    assert not list(two_ranks[0].parent.glob(".*"))


def test_four_ranks_go_on_where_two_have_stopped(two_ranks, expected, tmp_path):
    checkpoint, _ = two_ranks
    for losses in on_ranks(load_and_train, 4, tmp_path / "four", checkpoint):
        assert losses == pytest.approx(expected[0][10:], rel=1e-6)


def freeze_those_of_a_rank(folder):
    """Without an optimizer there; the state of the others is kept, and what comes next is equal."""
    model, frozen = DistributedModules(split(cut_layer())), 0
    if dist.get_rank() == frozen:
        model.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained) if trained else None
    losses = []
    for save in (True, False):
        if not save:
            model.load(folder, optimizer=optimizer)
        loss = model(normal(4, 3)).square().sum()
        loss.backward()
        losses.append(loss.item())
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
        if save:
            model.save(folder, optimizer=optimizer)
    steps = [] if optimizer is None else [one["step"].item() for one in optimizer.state.values()]
    return {"losses": losses, "steps": sorted(set(steps))}


def test_a_checkpoint_has_the_state_of_ranks_that_are_trained(tmp_path):
    first, second = on_ranks(freeze_those_of_a_rank, 2, tmp_path / "two", tmp_path / "frozen")
    assert (first["steps"], second["steps"]) == ([], [2.0])
    assert first["losses"][1] < first["losses"][0]


def test_modules_times_data_train_as_one_process_does(expected, tmp_path):
    found = {}
    for weights in on_ranks(train_on_a_mesh, 4, tmp_path / "mesh"):
        for name, weight in weights.items():
            # Every module is on two ranks, with the same weights.
            assert found.setdefault(name, weight) == weight
    for name, weight in expected[1].items():
        assert found[name] == pytest.approx(weight, rel=1e-6, abs=1e-9)


def test_what_does_not_fit_is_refused_on_every_rank(two_ranks):
    for rank in two_ranks[1]:
        partition, nothing, optimizer, ranks, differ, *more = rank["refusals"]
        assert "checkpoint of these 4 modules (got one of 4 others" in partition
        assert "Expected a checkpoint in" in nothing
        assert "with the state of AdamW (got one with that of no optimizer" in optimizer
        assert "as many ranks as modules, 1 (got 2)" in ranks
        assert "the same modules on every rank (got others on rank 1" in differ
        others, momentum, saved, relu, notes, file, below, second = more
        assert "Expected the optimizer of the model (got one without its parts." in others
        assert "with the state of SGD (got one with AdamW" in momentum
        assert "Expected the optimizer of the model" in saved
        assert "checkpoint of these 4 modules" in relu
        assert "Expected an earlier checkpoint, an empty folder or none (got something" in notes
        assert "Expected a folder (got the file" in file
        assert "Expected a folder (got the file" in below
        assert "a sum over ranks has no second derivatives. Use ModularGraph on one rank" in second
    assert (two_ranks[0].parent / "notes" / "thesis.tex").read_text() == "x"


def _survive(rank, folder):
    start(rank, 2, folder, timeout=20)
    model = DistributedModules(split(cut_layer()))
    optimizer = optimizer_of(model)
    train(model, optimizer, 10)
    model.save(folder / "checkpoint", optimizer=optimizer)
    if rank == 1:
        os._exit(1)  # As if it was killed: nothing is closed, nobody is told.
    try:
        train(model, optimizer, 10)
    except RuntimeError as error:
        (folder / "message").write_text(str(error))
        os._exit(0)


def test_the_others_stop_when_a_rank_is_killed_and_the_run_resumes(expected, tmp_path):
    folder = tmp_path / "killed"
    folder.mkdir()
    processes = [start_fresh(_survive, rank, folder) for rank in range(2)]
    for process in processes:
        process.join(timeout=90)
    assert [process.exitcode for process in processes] == [0, 1]
    message = (folder / "message").read_text()
    assert "all ranks to take part" in message
    assert "start all ranks again from the last checkpoint" in message
    for losses in on_ranks(load_and_train, 2, tmp_path / "again", folder / "checkpoint"):
        assert losses == pytest.approx(expected[0][10:], rel=1e-6)


@pytest.fixture
def single_rank(tmp_path):
    start(0, 1, tmp_path)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("single_rank")
def test_one_rank_computes_the_cut_layer():
    modular = cut_layer()
    model = DistributedModules(split(modular))
    x = normal(2, 5, 3)
    torch.testing.assert_close(model(x), modular(x), rtol=1e-10, atol=1e-12)
    assert model.float()(x.float()).dtype == torch.float32
    assert "modules_of_ranks=[[0, 1, 2, 3]]" in repr(model)
    sharded = DistributedModules(split(modular), shard_inputs=True)
    with pytest.raises(ValueError, match=r"the 3 inputs of this rank \(got \[5, 4\]\)"):
        sharded(normal(5, 4))
    assert list(model.state_dict())[:2] == ["parts.0.weight", "parts.0.bias"]


@pytest.mark.usefixtures("single_rank")
def test_a_module_that_is_replaced_takes_part():
    model = DistributedModules(split(cut_layer()))
    others, x = split(cut_layer(seed=3)), normal(4, 3)
    model.parts["1"] = others[1]
    expected = sum(part(x) for part in model.parts.values())
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    model.float()
    assert model(x.float()).dtype == torch.float32


@pytest.mark.usefixtures("single_rank")
def test_a_norm_may_be_asked_for_without_a_limit():
    model = DistributedModules(split(cut_layer()))
    model(normal(4, 3)).square().sum().backward()
    before = [parameter.grad.clone() for parameter in model.parameters()]
    norm = clip_grad_norm_(model, float("inf"))
    assert norm.item() == pytest.approx(torch.stack([one.norm() for one in before]).norm().item())
    assert all(map(torch.equal, before, [one.grad for one in model.parameters()]))
    with pytest.raises(ValueError, match="max_norm"):
        clip_grad_norm_(model, float("nan"))


@pytest.mark.usefixtures("single_rank")
@pytest.mark.parametrize("length", [4, 300, -8])
def test_a_truncated_checkpoint_is_refused_and_changes_nothing(tmp_path, length):
    model = DistributedModules(split(cut_layer()))
    model.save(tmp_path / "checkpoint")
    (file,) = (tmp_path / "checkpoint").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:length])
    other = DistributedModules(split(cut_layer(seed=1)))
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match=r"Expected a complete checkpoint in .*checkpoint"):
        other.load(tmp_path / "checkpoint")
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


@pytest.mark.usefixtures("single_rank")
def test_saving_again_replaces_the_checkpoint(tmp_path):
    first = DistributedModules(split(cut_layer()))
    second = DistributedModules(split(cut_layer(seed=1)))
    for model in (first, second):
        model.save(tmp_path / "checkpoint")
    first.load(tmp_path / "checkpoint")
    x = normal(4, 3)
    torch.testing.assert_close(first(x), second(x))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "store"]


def test_a_world_that_was_not_initialised_is_refused():
    with pytest.raises(RuntimeError, match=r"init_process_group\(\) first"):
        DistributedModules(split(cut_layer()))


def test_modules_are_placed_so_that_no_rank_has_much_more_than_another():
    assert place_modules([7, 7, 6, 6, 5, 5, 4, 4, 4], 3) == [[0, 4, 6], [1, 5, 7], [2, 3, 8]]
    assert place_modules([0, 0, 0], 3) == [[0], [1], [2]]
    assert place_modules([1, 9, 1], 2) == [[1], [0, 2]]
    with pytest.raises(ValueError, match=r"as many ranks as modules, 2 \(got 3\)"):
        place_modules([1, 1], 3)
    with pytest.raises(ValueError, match=r"Expected num_ranks >= 1 \(got 0\)"):
        place_modules([1], 0)
    with pytest.raises(ValueError, match=r"as many ranks as modules, 0 \(got 1\)"):
        place_modules([], 1)
    with pytest.raises(ValueError, match=r"Expected costs >= 0 \(got -1\)"):
        place_modules([1, -1], 1)


@pytest.mark.usefixtures("single_rank")
def test_what_is_added_up_over_ranks_is_contiguous(monkeypatch):
    seen = []
    monkeypatch.setattr(
        distributed_modules, "all_reduce", lambda total, _: seen.append(total.is_contiguous())
    )
    model = DistributedModules(split(cut_layer()))
    x = normal(5, 3).requires_grad_()
    (model(x) * normal(2, 5).T).sum().backward()
    assert seen == [True, True]


def save_and_load_in_a_group(folder):
    group = dist.new_group([0, 1])
    if dist.get_rank() > 1:
        return True
    model = DistributedModules(split(cut_layer()), group=group)
    optimizer = optimizer_of(model)
    train(model, optimizer, 2)
    model.save(folder, optimizer=optimizer)
    other = DistributedModules(split(cut_layer(seed=1)), group=group)
    other.load(folder, optimizer=optimizer_of(other))
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return all(torch.equal(saved, loaded) for saved, loaded in pairs)


def test_a_group_of_some_ranks_saves_and_loads_alone(tmp_path):
    found = on_ranks(save_and_load_in_a_group, 3, tmp_path / "ranks", tmp_path / "checkpoint")
    assert found == [True] * 3


def train_some(folder):
    """What is trained of the modules, frozen ones and a head, with gradients clipped."""
    rank = dist.get_rank()
    parts = split(cut_layer())
    for part in parts[:2]:  # With four modules on four ranks, two ranks have nothing to train.
        part.requires_grad_(False)
    modules = DistributedModules(parts)
    model = torch.nn.Sequential(modules, head())
    if any(int(module) < 2 for module in modules.parts):
        assert not any(one.requires_grad for one in modules.parameters())
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.01)
    norms = []
    for _ in range(3):
        loss_of(model).backward()
        norms.append(float(clip_grad_norm_(model, 0.05)))
        optimizer.step()
        optimizer.zero_grad()
    fitted = torch.nn.Sequential(DistributedModules(split(cut_layer())), head())
    fit(fitted, (normal(16, 3, seed=1), normal(16, 2, seed=2)), loss=mse_loss, epochs=3, seed=0)
    modules.save(folder, optimizer=optimizer)
    again = DistributedModules(split(cut_layer(seed=1)))
    again.load(folder)
    x = normal(4, 3, seed=5)
    assert torch.equal(again(x), modules(x))
    assert rank == dist.get_rank()
    return {
        "norms": norms,
        "outputs": model(x).tolist(),
        "fitted": fitted(x).tolist(),
    }


def head():
    linear = torch.nn.Linear(2, 2, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(normal(2, 2, seed=7))
        linear.bias.zero_()
    return linear


def loss_of(model):
    return (model(normal(16, 3, seed=1)) - normal(16, 2, seed=2)).square().mean()


def test_some_of_the_modules_are_trained_with_clipped_gradients_as_in_one_process(tmp_path):
    parts = split(cut_layer())
    for part in parts[:2]:
        part.requires_grad_(False)
    model = torch.nn.Sequential(ModularGraph(parts), head())
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.01)
    norms = []
    for _ in range(3):
        loss_of(model).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)))
        optimizer.step()
        optimizer.zero_grad()
    fitted = torch.nn.Sequential(ModularGraph(split(cut_layer())), head())
    fit(fitted, (normal(16, 3, seed=1), normal(16, 2, seed=2)), loss=mse_loss, epochs=3, seed=0)
    x = normal(4, 3, seed=5)
    for found in on_ranks(train_some, 4, tmp_path / "ranks", tmp_path / "checkpoint"):
        assert found["norms"] == pytest.approx(norms, rel=1e-10)
        for name, expected in (("outputs", model(x)), ("fitted", fitted(x))):
            torch.testing.assert_close(torch.tensor(found[name]).double(), expected.detach())


@pytest.mark.usefixtures("single_rank")
def test_an_optimizer_may_hold_more_than_the_modules(tmp_path):
    model = DistributedModules(split(cut_layer()))
    linear = head()
    optimizer = torch.optim.AdamW([*model.parameters(), *linear.parameters()])
    train(torch.nn.Sequential(model, linear), optimizer, 2)
    model.save(tmp_path / "checkpoint", optimizer=optimizer)
    other = DistributedModules(split(cut_layer(seed=1))).float()
    around = torch.optim.AdamW([*other.parameters(), *head().parameters()])
    other.load(tmp_path / "checkpoint", optimizer=around)
    saved, loaded = (
        optimizer.state[next(iter(one.parameters()))]
        for one, optimizer in ((model, optimizer), (other, around))
    )
    assert loaded["exp_avg"].dtype == torch.float32
    torch.testing.assert_close(loaded["exp_avg"].double(), saved["exp_avg"])
    assert len(around.state) == len(list(other.parameters()))
    next(iter(optimizer.state.values()))["note"] = 3
    with pytest.raises(ValueError, match=r"remembers tensors \(got 'note' of parts.0.weight"):
        model.save(tmp_path / "checkpoint", optimizer=optimizer)


@pytest.mark.usefixtures("single_rank")
def test_edges_that_were_pruned_stay_so_in_a_checkpoint(tmp_path):
    parts, others = split(cut_layer()), split(cut_layer(seed=1))
    parts[0].edge_mask = torch.arange(parts[0].graph.num_edges) % 3 > 0
    others[1].edge_mask = torch.arange(others[1].graph.num_edges) % 3 > 0
    model, other = DistributedModules(parts), DistributedModules(others)
    model.save(tmp_path / "checkpoint")
    other.load(tmp_path / "checkpoint")
    assert torch.equal(other.parts["0"].edge_mask, parts[0].edge_mask)
    assert other.parts["1"].edge_mask is None
    x = normal(4, 3)
    assert torch.equal(other(x), model(x))


@pytest.mark.usefixtures("single_rank")
def test_copies_have_the_same_ranks_and_their_own_weights():
    group = dist.new_group([0])
    model = DistributedModules(split(cut_layer()), group=group, shard_inputs=True)
    averaged = AveragedModel(model, use_buffers=True)
    averaged.update_parameters(model)
    x = normal(4, 3)
    assert torch.equal(averaged(x), model(x))
    with pytest.raises(TypeError, match=r"with group=.*model.save\(folder\)"):
        pickle.dumps(model)
    # What is read of the inputs is not lost with the weights.
    assert torch.equal(
        copy.deepcopy(model).to("meta").to_empty(device="cpu").input_ids, torch.arange(3)
    )
    same = pickle.loads(pickle.dumps(DistributedModules(split(cut_layer()))))
    assert torch.equal(same(x), model(x))


@pytest.mark.usefixtures("single_rank")
def test_jacobians_at_once_are_those_one_by_one():
    model, x = DistributedModules(split(cut_layer())), normal(3)
    found = (torch.autograd.functional.jacobian(model, x, vectorize=at_once) for at_once in (0, 1))
    torch.testing.assert_close(*found)


@pytest.mark.filterwarnings("ignore:for parts.*to a meta parameter")
@pytest.mark.usefixtures("single_rank")
def test_counts_of_steps_go_where_the_kernels_of_an_optimizer_read_them(tmp_path):
    model = DistributedModules(split(cut_layer()))
    optimizer = optimizer_of(model)
    train(model, optimizer, 2)
    model.save(tmp_path / "checkpoint", optimizer=optimizer)
    model.to("meta")
    for fused, device in ((False, "cpu"), (True, "meta")):
        optimizer = torch.optim.AdamW(model.parameters())
        optimizer.param_groups[0]["fused"] = fused
        model.load(tmp_path / "checkpoint", optimizer=optimizer)
        states = optimizer.state.values()
        assert {state["step"].device.type for state in states} == {device}
        assert {state["exp_avg"].device.type for state in states} == {"meta"}


@pytest.mark.usefixtures("single_rank")
@pytest.mark.parametrize(
    "change",
    [{"files": None}, {"files": [1]}, {"files": ["nowhere"]}, {"files": []}, {"format_version": 1}],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path, change):
    model = DistributedModules(split(cut_layer()))
    model.save(tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "modules.json"
    for content in (json.dumps({**json.loads(path.read_text()), **change}), "[]", "[" * 100_000):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"Expected .* in .*checkpoint"):
            model.load(tmp_path / "checkpoint")


@pytest.mark.usefixtures("single_rank")
def test_a_checkpoint_of_other_shapes_is_refused_and_changes_nothing(tmp_path):
    model = DistributedModules(split(cut_layer()))
    model.save(tmp_path / "checkpoint")
    (path,) = (tmp_path / "checkpoint").glob("*.safetensors")
    save_file({name: value[:1] for name, value in load_file(path).items()}, path)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"a complete checkpoint .*of shape \[1\]"):
        model.load(tmp_path / "checkpoint")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
