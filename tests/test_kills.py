"""All that the package writes, by writers that are killed, refused, or beside another."""

import random
from functools import partial

import pytest
import torch
import torch.distributed as dist

from pyg_modules import SynchronousGraph, UnitGraph, Unrolled, cut, merge, split
from pyg_modules.datasets import Dataset, load_dataset
from pyg_modules.experiment import ExperimentConfig, load_run, run_experiment, write_run
from pyg_modules.parallel import DistributedModules
from pyg_modules.train.lightning import SafetensorsIO
from tests.strategies import generator
from tests.writers import (
    before_each_call,
    exit_of,
    fails_at_call,
    in_child,
    interleaved,
    killed_at_call,
)

LABELS = torch.tensor([-1, -1, 0, 1, 0, 1, -1])


def layer_of(seed, labels=LABELS):
    layer = SynchronousGraph(UnitGraph.complete(2, 4, 1), Unrolled(2), "tanh")
    layer.reset_parameters(generator(seed))
    return cut(layer, labels)


def on_one_rank(work, layer):
    """``work`` of the modules of ``layer``, without threads that a fork would lose."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        return work(DistributedModules(split(layer)))
    finally:
        dist.destroy_process_group()


def save_distributed(layer, folder):
    on_one_rank(lambda model: model.save(folder), layer)


def load_distributed(folder):
    def load(model):
        model.load(folder)
        return merge(model.parts.values())

    return on_one_rank(load, layer_of(3))


def save_lightning(layer, folder):
    SafetensorsIO().save_checkpoint({"state_dict": dict(layer.state_dict())}, folder / "last.ckpt")


def load_lightning(folder):
    layer = layer_of(3)
    layer.load_state_dict(SafetensorsIO().load_checkpoint(folder / "last.ckpt")["state_dict"])
    return layer


@pytest.fixture(
    params=[
        (SynchronousGraph.save, SynchronousGraph.load),
        (save_lightning, load_lightning),
        (save_distributed, load_distributed),
    ],
    ids=["layer", "lightning", "distributed"],
)
def writer(request):
    """How a layer is saved, and which of the layers 0, 1 and 2 is found in a folder."""
    save, load = request.param

    def number_of(folder):
        same = [torch.equal(load(folder).weight, layer_of(seed).weight) for seed in range(3)]
        return same.index(True)

    return save, number_of


def hidden(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_a_save_that_is_killed_leaves_the_layer_before_or_the_new_one(writer, tmp_path):
    save, number_of = writer
    found, number, is_killed = [], 0, True
    while is_killed:
        number += 1
        folder = tmp_path / str(number) / "saved"
        save(layer_of(0), folder)
        is_killed = killed_at_call(number, folder, partial(save, layer_of(1), folder))
        found.append(number_of(folder))
        save(layer_of(2), folder)
        assert number_of(folder) == 2
        assert not hidden(folder.parent)
    assert found == sorted(found)
    assert {found[0], found[-1]} == {0, 1}


def test_a_first_save_that_is_killed_does_not_stop_the_next(writer, tmp_path):
    save, number_of = writer
    number, is_killed = 0, True
    while is_killed:
        number += 3
        folder = tmp_path / str(number) / "saved"
        is_killed = killed_at_call(number, folder, partial(save, layer_of(1), folder))
        save(layer_of(2), folder)
        assert number_of(folder) == 2
        assert not hidden(folder.parent)
    assert number > 9


def test_a_save_for_which_there_is_no_room_leaves_the_layer_before(writer, tmp_path):
    save, number_of = writer
    number, is_refused = 0, False
    while is_refused is not None:
        number += 1
        folder = tmp_path / str(number) / "saved"
        save(layer_of(0), folder)
        work = partial(save, layer_of(1), folder)
        is_refused = fails_at_call(number, 28, folder, work, once=True)
        if not is_refused:
            assert number_of(folder) == 1
        elif not (folder / ".committed").exists():
            assert number_of(folder) == 0
            assert not hidden(folder)
        else:
            assert number_of(folder) == 1
            save(layer_of(2), folder)
            assert number_of(folder) == 2
            assert not hidden(folder)
    assert number > 9


def test_two_saves_at_once_leave_the_layer_of_one(writer, tmp_path):
    save, number_of = writer
    for seed in range(8):
        folder = tmp_path / str(seed) / "saved"
        save(layer_of(0), folder)
        works = [partial(save, layer_of(number), folder) for number in (1, 2)]
        assert interleaved(seed, folder, works) == [0, 0]
        assert number_of(folder) in (1, 2)
        assert not hidden(folder)


def test_a_save_goes_through_a_link(writer, tmp_path):
    save, number_of = writer
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    for seed in range(2):
        save(layer_of(seed), tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert number_of(tmp_path / "data") == number_of(tmp_path / "link") == seed
    assert not hidden(tmp_path)


def test_a_layer_that_is_read_while_it_is_written_is_whole_or_refused(tmp_path):
    changed = layer_of(1, torch.tensor([-1, -1, 0, 0, 1, 1, -1]))

    def load():
        found = SynchronousGraph.load(tmp_path / "saved")
        expected = layer_of(0), changed
        assert any(
            torch.equal(found.weight, layer.weight) and torch.equal(found.labels, layer.labels)
            for layer in expected
        )

    for seed in range(10):
        layer_of(0).save(tmp_path / "saved")
        works = [partial(changed.save, tmp_path / "saved"), load]
        statuses = interleaved(seed, tmp_path / "saved", works)
        assert statuses[0] == 0
        assert statuses[1] in (0, 3)


@pytest.fixture(scope="module")
def runs():
    """Two runs of the same settings but for the seed."""
    whole = load_dataset("digits")
    parts = (whole.train_x[:80], whole.train_y[:80], whole.test_x[:40], whole.test_y[:40])
    data = Dataset("digits", *parts, image_shape=(8, 8))
    return [
        run_experiment(
            data,
            ExperimentConfig(
                num_modules=2, num_hidden=8, steps=2, epochs=2, finetune_epochs=1, seed=seed
            ),
        )
        for seed in range(2)
    ]


def test_a_run_that_is_killed_while_it_is_written_is_one_of_two(runs, tmp_path):
    write_run(runs[0], tmp_path / "run")
    count = 0

    def counted(number):
        nonlocal count
        count = number

    def work():
        before_each_call(tmp_path / "counted", counted)
        write_run(runs[0], tmp_path / "counted")
        write_run(runs[1], tmp_path / "counted")
        (tmp_path / "calls").write_text(str(count))

    assert exit_of(in_child(work)) == 0
    last = int((tmp_path / "calls").read_text()) // 2
    choose = random.Random(0)
    found = set()
    # Half of them where the files move.
    for number in [choose.randint(1, last) for _ in range(10)] + [*range(last - 30, last, 2)]:
        write_run(runs[0], tmp_path / "run")
        killed_at_call(number, tmp_path / "run", partial(write_run, runs[1], tmp_path / "run"))
        loaded = load_run(tmp_path / "run")
        assert loaded.metrics() == runs[loaded.config.seed].metrics()
        assert torch.equal(loaded.finetuned.weight, runs[loaded.config.seed].finetuned.weight)
        found.add(loaded.config.seed)
    assert found == {0, 1}
    write_run(runs[0], tmp_path / "run")
    assert not hidden(tmp_path / "run")


@pytest.mark.parametrize(
    "name",
    [
        "analysis.safetensors",
        "config.json",
        "free/model.safetensors",
        "history.json",
        "metrics.json",
        "model.safetensors",
        "regularized/model.safetensors",
    ],
)
def test_a_file_of_a_run_of_the_same_sizes_is_refused(runs, tmp_path, name):
    for seed, run in enumerate(runs):
        write_run(run, tmp_path / str(seed))
    path = tmp_path / "0" / name
    path.write_bytes((tmp_path / "1" / name).read_bytes())
    with pytest.raises(ValueError, match=r"of another run.*Copy them again, or train into"):
        load_run(tmp_path / "0")


def test_files_of_two_saves_of_the_same_sizes_are_refused(tmp_path):
    for seed in range(2):
        layer_of(seed).save(tmp_path / str(seed))
    content = (tmp_path / "1" / "model.safetensors").read_bytes()
    (tmp_path / "0" / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors of another save.*the same save"):
        SynchronousGraph.load(tmp_path / "0")
