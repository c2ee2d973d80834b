import random
import signal

import numpy
import pytest
import torch

from pyg_modules.train.lightning.random_state import random_state, set_random_state
from tests.processes import exit_of_fresh
from tests.train.lightning import training
from tests.train.lightning.training import CUT, EPOCHS, STEPS, every_epoch, everything, train

pytestmark = training.advisories


@pytest.fixture(scope="module")
def uninterrupted():
    return everything(*train())


def check_same(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def killed(folder, step):
    """The state of the checkpoint that a process leaves that is killed when ``step`` begins."""
    assert exit_of_fresh(training.train_until_killed, folder, step) == -signal.SIGKILL
    assert sorted(path.suffix for path in folder.iterdir()) == [".ckpt", ".ckpt"]
    state = training.SafetensorsIO().load_checkpoint(folder / "last.ckpt")
    assert state["global_step"] == step - step % STEPS
    return state


def test_a_training_killed_before_and_after_the_cut_ends_as_one_that_was_not(
    uninterrupted, tmp_path
):
    before = killed(tmp_path, (CUT - 2) * STEPS + 1)
    assert before["callbacks"]["PartitionCallback"]["labels"] is None
    after = killed(tmp_path, (CUT + 2) * STEPS + 2)
    labels = after["callbacks"]["PartitionCallback"]["labels"]
    assert torch.equal(labels, uninterrupted["labels"])
    check_same(everything(*train(seed=9, checkpoint=tmp_path / "last.ckpt")), uninterrupted)


@pytest.mark.parametrize("after_validation", [True, False])
def test_every_checkpoint_resumes_exactly_whenever_it_was_made(
    uninterrupted, after_validation, tmp_path
):
    checkpoints = every_epoch(tmp_path, save_on_train_epoch_end=not after_validation)
    check_same(everything(*train(checkpoints)), uninterrupted)
    for epoch in range(EPOCHS - 1):
        path = tmp_path / f"epoch={epoch}.ckpt"
        check_same(everything(*train(seed=9, checkpoint=path)), uninterrupted)


def test_a_checkpoint_of_lightning_itself_resumes_exactly_too(uninterrupted, tmp_path):
    train(every_epoch(tmp_path), plugins=[])
    path = tmp_path / f"epoch={CUT}.ckpt"
    check_same(everything(*train(seed=9, checkpoint=path, plugins=[])), uninterrupted)


def test_testing_a_checkpoint_leaves_the_random_states_alone(tmp_path):
    module, partition, _ = train(every_epoch(tmp_path))
    trainer = training.new_trainer(partition)
    trainer.test(module, training.loaders()[1], ckpt_path=tmp_path / "epoch=3.ckpt", verbose=False)
    resumed = torch.get_rng_state()
    torch.manual_seed(5)
    trainer.test(module, training.loaders()[1], ckpt_path=tmp_path / "epoch=3.ckpt", verbose=False)
    found = torch.get_rng_state()
    torch.manual_seed(5)
    assert not torch.equal(found, resumed)
    torch.empty((), dtype=torch.int64).random_()  # A loader draws a seed for its workers.
    assert torch.equal(found, torch.get_rng_state())


def test_another_number_of_ranks_is_told_and_resumes_with_other_random_numbers(tmp_path):
    train(every_epoch(tmp_path))
    io = training.SafetensorsIO()
    checkpoint = io.load_checkpoint(tmp_path / "epoch=3.ckpt")
    checkpoint["random_state"] = {
        name: rows.expand(2, -1) for name, rows in checkpoint["random_state"].items()
    }
    io.save_checkpoint(checkpoint, tmp_path / "two.ckpt")
    with pytest.warns(UserWarning, match=r"ranks that wrote the checkpoint, 2 \(got 1\)"):
        train(checkpoint=tmp_path / "two.ckpt")


def test_the_random_states_come_back_as_they_were():
    device = torch.device("cpu")
    for draws in (0, 1):  # After one draw, Python and NumPy keep a second Gaussian number.
        random.seed(1)
        numpy.random.seed(1)
        torch.manual_seed(1)

        def draw(count):
            return [
                (random.gauss(0, 1), numpy.random.normal(), torch.rand(()).item())
                for _ in range(count)
            ]

        draw(draws)
        state = random_state(device)
        expected = draw(3)
        set_random_state(state, device)
        assert draw(3) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_random_state_of_a_cuda_device_comes_back_as_it_was():
    device = torch.device("cuda", 0)
    state = random_state(device)
    expected = torch.rand(5, device=device)
    set_random_state(state, device)
    assert torch.equal(torch.rand(5, device=device), expected)


def test_a_training_in_double_precision_resumes_exactly(tmp_path):
    expected = everything(*train(every_epoch(tmp_path), precision="64-true"))
    assert expected["model.1.weight"].dtype == torch.float64
    for epoch in (0, EPOCHS - 2):
        path = tmp_path / f"epoch={epoch}.ckpt"
        check_same(everything(*train(seed=9, checkpoint=path, precision="64-true")), expected)
