"""What a SparseSchedule does under Lightning is what it does in a loop by hand."""

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    StochasticWeightAveraging,
)
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.partition.labels import stays_independent
from pyg_modules.structure import SparseSchedule, rewire
from pyg_modules.train import EdgeGradient, fit, optimization
from pyg_modules.train.lightning import LitModular, PartitionCallback, SafetensorsIO, SparseCallback
from pyg_modules.train.lightning.new_loader import new_loader
from tests.processes import free_port, set_rank, start_ranks
from tests.strategies import KnowsItsTask
from tests.train.lightning.training import Noisy, advisories, every_epoch, new_trainer

pytestmark = advisories

EPOCHS = 8
NUM_EDGES = 50


def new_layer():
    torch.manual_seed(0)
    return SynchronousGraph(UnitGraph.complete(3, 12, 2))


def new_schedule(layer, **settings):
    return SparseSchedule(layer, **{"epochs": EPOCHS, "num_edges": NUM_EDGES, **settings})


def new_module(layer):
    return LitModular(nn.Sequential(nn.Dropout(0.1), layer))


def loader(**settings):
    return DataLoader(Noisy(), batch_size=16, **{"shuffle": True, **settings})


def train(*callbacks, checkpoint=None, seed=0, schedule=None, **settings):
    """The module, the callback and the trainer when all is done."""
    L.seed_everything(0, verbose=False)  # The order of samples, where ranks share them.
    layer = new_layer()
    module = new_module(layer)
    sparse = SparseCallback(new_schedule(layer, **(schedule or {})))
    L.seed_everything(seed, verbose=False)
    trainer = new_trainer(sparse, *callbacks, **{"max_epochs": EPOCHS + 1, **settings})
    trainer.fit(module, loader(), ckpt_path=checkpoint)
    return module, sparse, trainer


def everything(module, sparse, trainer):
    """All that a training ends with, by name."""
    layer, schedule = module.model[1], sparse.schedule
    optimizer = trainer.optimizers[0].state_dict()
    assert trainer.optimizers[0].param_groups[0]["params"][0] is layer.weight
    return {
        **module.state_dict(),
        "edges": layer.graph.edge_index,
        "history": torch.tensor(schedule.history),
        "first": schedule.state_dict()["first_weight"],
        **{
            f"optimizer.{index}.{name}": value
            for index, state in optimizer["state"].items()
            for name, value in state.items()
        },
    }


def check_same(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize("grow", ["gradient", "random", None])
def test_it_does_what_fit_does(grow, monkeypatch):
    # Fused steps round otherwise.
    monkeypatch.setattr(optimization, "_may_fuse", lambda _: False)
    x = torch.rand(48, 3, generator=torch.Generator().manual_seed(0))
    data = DataLoader(TensorDataset(x, (x[:, 0] > x[:, 1]).long()), batch_size=16)
    layer, other = new_layer(), new_layer()
    schedule, other_schedule = (new_schedule(it, grow=grow) for it in (layer, other))
    fit(layer, data, epochs=EPOCHS, seed=0, schedule=schedule)
    callback = SparseCallback(other_schedule)
    trainer = new_trainer(callback, max_epochs=EPOCHS, gradient_clip_val=1.0)
    trainer.fit(LitModular(other), data)
    assert other.graph == layer.graph
    assert other.graph.num_edges == NUM_EDGES
    assert torch.equal(other.weight, layer.weight)
    assert other_schedule.history == schedule.history
    # It was lent both.
    assert other_schedule.optimizer is None
    assert other_schedule.gradient is None
    assert trainer.logged_metrics["num_edges"] == NUM_EDGES


def test_a_gradient_of_its_own_is_left_to_the_schedule():
    layer = new_layer()
    gradient = EdgeGradient(layer, (torch.rand(8, 3), torch.arange(8) % 2))
    schedule = new_schedule(layer, gradient=gradient)
    new_trainer(SparseCallback(schedule), max_epochs=EPOCHS).fit(LitModular(layer), loader())
    assert schedule.gradient is gradient
    assert layer.graph.num_edges == NUM_EDGES


class Plain(L.LightningModule):
    """One that is no LitModular, with two optimizers; the layer is in the second one."""

    def __init__(self, layer):
        super().__init__()
        self.first, self.layer = nn.Linear(3, 3), layer
        self.automatic_optimization = False

    def training_step(self, batch):
        optimizers = self.optimizers()
        self.manual_backward(F.cross_entropy(self.layer(self.first(batch[0])), batch[1]))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.Adam(it.parameters()) for it in (self.first, self.layer)]


def test_another_module_needs_a_gradient_or_a_schedule_without():
    layer = new_layer()
    with pytest.raises(ValueError, match=r"something that knows gradients, .* \(got none\)"):
        new_trainer(SparseCallback(new_schedule(layer))).fit(Plain(layer), loader())
    schedule = new_schedule(layer, grow="random")
    trainer = new_trainer(SparseCallback(schedule), max_epochs=EPOCHS)
    trainer.fit(Plain(layer), loader())
    assert layer.graph.num_edges == NUM_EDGES
    assert trainer.optimizers[1].state[layer.weight]["exp_avg"].shape == (NUM_EDGES,)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return folder, everything(*train(every_epoch(folder), schedule={"score": "movement"}))


@pytest.mark.parametrize("epoch", range(EPOCHS))
def test_a_training_that_is_resumed_ends_as_one_that_was_not(uninterrupted, epoch):
    folder, expected = uninterrupted
    checkpoint = folder / f"epoch={epoch}.ckpt"
    resumed = train(checkpoint=checkpoint, seed=9, schedule={"score": "movement"})
    check_same(everything(*resumed), expected)


def test_checkpoints_of_lightning_itself_resume_exactly_too(tmp_path):
    expected = everything(*train(every_epoch(tmp_path), plugins=[]))
    checkpoint = tmp_path / "epoch=2.ckpt"
    check_same(everything(*train(checkpoint=checkpoint, seed=9, plugins=[])), expected)


def test_the_trainer_that_trained_it_takes_up_any_epoch(uninterrupted):
    folder, expected = uninterrupted
    sizes = [record[1] for record in expected["history"].tolist()]
    module, sparse, trainer = train(schedule={"score": "movement"})
    for epoch in (0, EPOCHS - 1, 2):
        trainer.validate(module, loader(shuffle=False), f"{folder}/epoch={epoch}.ckpt", False)
        assert module.model[1].graph.num_edges == sizes[epoch]
        assert len(sparse.schedule.history) == epoch + 1
    trainer.fit(module, loader(), ckpt_path=folder / "epoch=4.ckpt")
    check_same(everything(module, sparse, trainer), expected)


def test_another_trainer_is_told_that_the_one_before_holds_the_edges(uninterrupted):
    path = uninterrupted[0] / "epoch=0.ckpt"
    module, _, before = train()
    with pytest.raises(ValueError, match=r"'model\.1' that can get .* \(got: .*Load it by the tra"):
        new_trainer().validate(module, loader(shuffle=False), path, False)
    assert module.model[1].graph.num_edges == NUM_EDGES
    before.validate(module, loader(shuffle=False), path, False)
    assert module.model[1].graph.num_edges == 204


def test_a_module_out_of_a_checkpoint_has_its_edges(tmp_path):
    module, _, trainer = train()
    layer = module.model[1]
    for weights_only in (False, True):
        path = tmp_path / f"{weights_only}.ckpt"
        trainer.save_checkpoint(path, weights_only)
        found = LitModular.load_from_checkpoint(path, model=new_module(new_layer()).model)
        assert found.model[1].graph == layer.graph
        assert torch.equal(found.model[1].weight, layer.weight)


def test_edges_that_hands_changed_are_in_the_checkpoint_too(tmp_path):
    layer = new_layer()
    module = LitModular(layer)
    rewire(layer, UnitGraph(layer.graph.edge_index[:, 5:], 17, 3, 2))
    new_trainer(every_epoch(tmp_path), max_epochs=1).fit(module, loader())
    other = new_layer()
    path = tmp_path / "epoch=0.ckpt"
    LitModular.load_from_checkpoint(path, model=other)
    assert other.graph == layer.graph
    assert torch.equal(other.weight, layer.weight)
    with pytest.raises(ValueError, match=r"'model' that can get .* with as many units"):
        LitModular.load_from_checkpoint(path, model=SynchronousGraph(UnitGraph.complete(3, 4, 2)))
    # Where nothing changed, there are none.
    same = LitModular(new_layer())
    new_trainer(every_epoch(tmp_path / "same"), max_epochs=1).fit(same, loader())
    checkpoint = SafetensorsIO().load_checkpoint(tmp_path / "same" / "epoch=0.ckpt")
    assert checkpoint["edges"] == {}


def organised(checkpoint=None, folder=None, sparse_first=True, epochs=EPOCHS + 2):
    layer = new_layer()
    regularizer = PartitionRegularizer(layer, num_modules=2)
    module = LitModular(nn.Sequential(nn.Dropout(0.1), layer), regularizer=regularizer)
    partition = PartitionCallback(PartitionSchedule(regularizer, EPOCHS, probe=KnowsItsTask()))
    callbacks = [SparseCallback(new_schedule(layer, num_edges=100)), partition]
    if not sparse_first:
        callbacks.reverse()
    if folder is not None:
        callbacks.append(every_epoch(folder))
    L.seed_everything(4, verbose=False)
    trainer = new_trainer(*callbacks, max_epochs=epochs)
    trainer.fit(module, loader(), ckpt_path=checkpoint)
    return module, partition, trainer


@pytest.mark.parametrize("sparse_first", [True, False])
def test_modules_are_found_among_the_edges_that_are_left(sparse_first, tmp_path):
    module, partition, _ = organised(folder=tmp_path, sparse_first=sparse_first)
    layer, labels = module.model[1], partition.labels()
    assert layer.graph.num_edges == 100
    assert labels.unique().tolist() == [-1, 0, 1]
    kept = stays_independent(layer.graph, labels)
    assert 0 < int(kept.sum()) < 100
    assert torch.equal(layer.edge_mask, kept)
    assert not layer.weight[~kept].any()
    for epoch in (2, EPOCHS - 1, EPOCHS):
        path = tmp_path / f"epoch={epoch}.ckpt"
        other, again, _ = organised(checkpoint=path, sparse_first=sparse_first)
        assert torch.equal(again.labels(), labels)
        assert other.model[1].graph == layer.graph
        check_same(other.state_dict(), module.state_dict())


def test_together_they_do_what_fit_does_with_both(monkeypatch):
    monkeypatch.setattr(optimization, "_may_fuse", lambda _: False)
    x = torch.rand(48, 3, generator=torch.Generator().manual_seed(0))
    data = DataLoader(TensorDataset(x, (x[:, 0] > x[:, 1]).long()), batch_size=16)
    layers = [new_layer(), new_layer()]
    partitions = [
        PartitionSchedule(PartitionRegularizer(it, num_modules=2), EPOCHS, probe=KnowsItsTask())
        for it in layers
    ]
    sparse = [new_schedule(it, num_edges=100) for it in layers]
    fit(layers[0], data, epochs=EPOCHS, seed=0, schedule=[sparse[0], partitions[0]])
    callbacks = SparseCallback(sparse[1]), PartitionCallback(partitions[1])
    module = LitModular(layers[1], regularizer=partitions[1].regularizer)
    new_trainer(*callbacks, max_epochs=EPOCHS, gradient_clip_val=1.0).fit(module, data)
    assert layers[1].graph == layers[0].graph
    assert torch.equal(layers[1].weight, layers[0].weight)
    assert torch.equal(partitions[1].labels(), partitions[0].labels())


def test_edges_do_not_grow_between_modules_that_are_cut():
    module, partition, _ = organised()
    layer = module.model[1]
    schedule = new_schedule(layer, num_edges=100)
    again = new_trainer(partition, SparseCallback(schedule), max_epochs=EPOCHS)
    with pytest.raises(ValueError, match=r"a layer that is not cut \(got one that .* cut in an"):
        again.fit(module, loader())
    late = SparseCallback(new_schedule(layer, epochs=EPOCHS + 1, num_edges=100))
    with pytest.raises(ValueError, match=rf"at least {EPOCHS + 1} epochs, .* \(got {EPOCHS}\)"):
        new_trainer(partition, late, max_epochs=EPOCHS + 1).fit(module, loader())


class Averages(L.Callback):
    """One of a user's own."""

    def on_fit_start(self, _, pl_module):
        self.averaged = AveragedModel(pl_module.model)


AVERAGES = {
    "EMAWeightAveraging": lambda: EMAWeightAveraging(decay=0.9),
    "StochasticWeightAveraging": lambda: StochasticWeightAveraging(0.01),
    "of a user's own": Averages,
}
WHOLE = ("EMAWeightAveraging", "StochasticWeightAveraging")


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_are_refused_before_the_first_step(name, uninterrupted):
    for path in (None, uninterrupted[0] / "epoch=3.ckpt"):
        module, callback = new_module(new_layer()), AVERAGES[name]()
        schedule = new_schedule(module.model[1], score="movement")
        trainer = new_trainer(SparseCallback(schedule), callback, max_epochs=EPOCHS)
        with pytest.raises(ValueError, match=r"no averages of weights whose edges change \(got"):
            trainer.fit(module, loader(), ckpt_path=path)
        assert trainer.global_step == (0 if path is None or name in WHOLE else 12)


def test_what_does_not_fit_is_refused_before_the_first_step():
    layer = new_layer()
    module, schedule = new_module(layer), new_schedule(layer)
    callback = SparseCallback(schedule)

    def fails(message, module=module, callback=callback, **settings):
        trainer = new_trainer(callback, **{"max_epochs": EPOCHS, **settings})
        with pytest.raises(ValueError, match=message):
            trainer.fit(module, loader())
        assert trainer.global_step == 0
        assert schedule.optimizer is None

    with pytest.raises(TypeError, match=r"SparseSchedule \(got SynchronousGraph\)\. Make one"):
        SparseCallback(layer)
    fails(r"in the LightningModule \(got one without\)", new_module(new_layer()))
    fails(rf"max_epochs >= {EPOCHS}, .* \(got {EPOCHS - 1}\)", max_epochs=EPOCHS - 1)
    steps = EPOCHS * 3
    fails(rf"max_steps >= {steps}, .* \(got {steps - 1}\)", max_epochs=None, max_steps=steps - 1)
    adam = torch.optim.Adam(layer.parameters())
    owned = SparseCallback(new_schedule(layer, optimizer=adam))
    fails(r"without an optimizer \(got one with its Adam\)", callback=owned)
    module.configure_optimizers = lambda: torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    fails(r"with the weight of the layer \(got none\)")
    assert layer.graph == new_layer().graph


def test_a_trial_run_needs_no_epochs():
    layer = new_layer()
    trainer = new_trainer(SparseCallback(new_schedule(layer)), fast_dev_run=True)
    trainer.fit(LitModular(layer), loader())
    assert trainer.global_step == 1


@pytest.mark.parametrize("what", ["module", "model", "layer", "call"])
def test_what_is_compiled_with_the_edges_is_refused(what):
    layer = new_layer()
    module = new_module(layer)
    if what == "module":
        module = torch.compile(module, backend="eager")
    elif what == "model":
        module.model = torch.compile(module.model, backend="eager")
    else:
        (module.model if what == "call" else layer).compile(backend="eager")
    trainer = new_trainer(SparseCallback(new_schedule(layer)), max_epochs=EPOCHS)
    with pytest.raises(ValueError, match=r"modules that are not compiled, .* \(got a compiled"):
        trainer.fit(module, loader())


def test_a_part_that_is_compiled_beside_the_layer_is_none_of_its_business():
    layer = new_layer()
    first = torch.compile(nn.Linear(3, 3), backend="eager")
    trainer = new_trainer(SparseCallback(new_schedule(layer)), max_epochs=EPOCHS)
    trainer.fit(LitModular(nn.Sequential(first, layer)), loader())
    assert layer.graph.num_edges == NUM_EDGES


def test_a_loader_of_its_own_is_told_the_epoch_and_tells_nobody():
    data = torch.arange(40)
    sampler = DistributedSampler(data, num_replicas=2, rank=1)
    order = {}
    for epoch in (0, 3):
        sampler.set_epoch(epoch)
        order[epoch] = list(sampler)
    assert order[0] != order[3]
    trainer = new_trainer()
    trainer.strategy.connect(LitModular(new_layer()))
    for batching in (
        {"batch_size": 5, "sampler": sampler},
        {"batch_size": None, "sampler": sampler},
    ):
        loader = DataLoader(data, **batching)
        for epoch in (0, 3):
            batches = new_loader(trainer, loader, epoch)
            found = [int(one) for batch in batches for one in batch.reshape(-1)]
            assert found == order[epoch]
        assert sampler.epoch == 3


RESUMED_AT = (1, 4)


def _run(rank, port, folder):
    set_rank(rank, 2, port)
    settings = {"strategy": "ddp", "devices": 2, "schedule": {"score": "movement"}}
    found = {"whole": everything(*train(every_epoch(folder / "all"), **settings))}
    for epoch in RESUMED_AT:
        path = folder / "all" / f"epoch={epoch}.ckpt"
        found[epoch] = everything(*train(seed=0, checkpoint=path, **settings))
    try:
        train(**settings | {"strategy": DDPStrategy(static_graph=True)})
    except ValueError as error:
        found["static"] = str(error)
    layer = new_layer()
    with torch.no_grad():
        layer.weight[0] = float("nan") if rank == 0 else 0.0
    callback = SparseCallback(new_schedule(layer))
    usual = {"strategy": "ddp", "devices": 2, "max_epochs": EPOCHS}
    try:
        new_trainer(callback, **usual).fit(LitModular(layer), loader())
    except ValueError as error:
        found["diverged"] = str(error)
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    start_ranks(_run, 2, free_port(), folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_two_ranks_train_the_same_edges_to_the_same_weights(ranks):
    first, second = (rank["whole"] for rank in ranks)
    check_same(second, first)
    assert first["edges"].shape == (2, NUM_EDGES)
    sizes = first["history"][:, 1].tolist()
    assert sizes[0] == 204
    assert sizes[-1] == NUM_EDGES
    assert int(first["history"][:, 3].sum()) > 0


def test_two_ranks_resume_exactly(ranks):
    for rank in ranks:
        for epoch in RESUMED_AT:
            check_same(rank[epoch], rank["whole"])


def test_ranks_fail_together(ranks):
    for rank in ranks:
        assert "(got one with static_graph=True)" in rank["static"]
        assert "Expected finite weights and gradients (got NaN or infinity)" in rank["diverged"]
