"""Two ranks are processes on this machine; what they end with is read from files."""

import random

import lightning as L
import numpy
import pytest
import torch

from tests.processes import free_port, set_rank, start_ranks
from tests.train.lightning.training import CUT, every_epoch, everything, train

#: Before and after the cut.
RESUMED_AT = (1, CUT - 1, CUT)


class OwnNoise(L.Callback):
    """Lightning seeds all ranks alike; here each gets noise and dropout of its own."""

    def on_train_start(self, trainer, *_):
        seed = trainer.global_rank
        random.seed(seed)
        numpy.random.seed(seed)
        torch.manual_seed(seed)


def _run(rank, port, folder):
    set_rank(rank, 2, port)
    settings = {"strategy": "ddp", "devices": 2}
    found = {"whole": everything(*train(OwnNoise(), every_epoch(folder / "all"), **settings))}
    for epoch in RESUMED_AT:
        path = folder / "all" / f"epoch={epoch}.ckpt"
        found[epoch] = everything(*train(seed=7, checkpoint=path, **settings))
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    start_ranks(_run, 2, free_port(), folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_two_ranks_end_with_the_same_weights_logits_and_modules(ranks):
    first, second = (rank["whole"] for rank in ranks)
    own = {"random", "numpy", "python"}
    assert first.keys() == second.keys()
    assert {name for name in first if not torch.equal(first[name], second[name])} == own
    assert not first["model.1.edge_mask"].all()


def test_two_ranks_resume_exactly_before_and_after_the_cut(ranks):
    for rank in ranks:
        for epoch in RESUMED_AT:
            found, expected = rank[epoch], rank["whole"]
            assert found.keys() == expected.keys()
            assert [it for it in expected if not torch.equal(found[it], expected[it])] == []
