"""What is done with any layer, on the layer for images."""

import json

import pytest
import torch
from torch import nn

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    PartitionRegularizer,
    PartitionSchedule,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    partition_units,
    prune_cross_edges,
    split,
)
from pyg_modules.modules import check_independence, input_attribution, lesion_study
from pyg_modules.parallel import DistributedModules, export_parts
from pyg_modules.partition.labels import stays_independent
from pyg_modules.structure import SparseSchedule, rewire
from pyg_modules.train import fit, organise
from tests.strategies import generator, normal

LABELS = torch.tensor([-1, -1, *[0, 1] * 8, -1, -1, -1])
SOLVERS = [Unrolled(3), Equilibrium(tol=1e-12, contraction=0.8)]
both_solvers = pytest.mark.parametrize("solver", SOLVERS, ids=["unrolled", "equilibrium"])


def made(solver=None, dtype=torch.float64, **kwargs):
    graph = UnitGraph.complete(2, 16, 3)
    solver = solver or Unrolled(3)
    return SynchronousConv2d(
        graph, 3, solver, "tanh", dtype=dtype, generator=generator(0), **kwargs
    )


def largest(tensor):
    return float(tensor.detach().abs().max())


@both_solvers
def test_the_cut_is_a_convolution_in_groups_with_the_function_of_zeros(solver):
    layer, x = made(solver), normal(2, 2, 5, 6)
    modular = cut(layer, LABELS)
    assert type(modular) is SynchronousConv2d
    assert modular.weight.shape == (2 * 16 + 2 * 8 * 8 + 3 * 16, 3, 3)
    operator = modular._convolutions().at(5, 6).recurrence
    assert operator.prepare(modular.weights_by_edge_set()[1]).shape == (16, 8, 3, 3)
    source, target = layer.graph.edge_index
    crossing = (LABELS[source] != LABELS[target]) & (LABELS[source] >= 0) & (LABELS[target] >= 0)
    with torch.no_grad():
        layer.weight[crossing] = 0
    torch.testing.assert_close(modular(x), layer(x), rtol=1e-9, atol=1e-10)


@both_solvers
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_parts_add_up_to_the_cut_layer_and_make_it_again(solver, dtype, bound):
    if dtype == torch.float32 and solver.num_updates is None:
        solver = Equilibrium(tol=1e-6, contraction=0.8)
    modular = cut(made(solver, dtype), LABELS)
    x = normal(3, 2, 5, 6).to(dtype)
    expected, parts = modular(x), split(modular)
    assert largest(sum(part(x) for part in parts) - expected) <= bound
    merged = merge(parts)
    assert largest(merged(x) - expected) <= bound
    assert torch.equal(merged.graph.edge_index, modular.graph.edge_index)
    together = ModularGraph(parts)
    assert largest(together(x) - expected) <= bound
    assert "SynchronousConv2d" in together.execution_report(3).reason
    assert largest(together.only(0)(x) + together.drop(0)(x) - expected) <= bound
    with pytest.raises(ValueError, match="SynchronousConv2d, which is computed by itself"):
        ModularGraph(parts, execution="batched")


def test_parts_of_different_kinds_do_not_fit():
    parts = [*split(cut(made(), LABELS))]
    with pytest.raises(ValueError, match="same kind of layer"):
        merge(
            [parts[0], SynchronousGraph(parts[0].graph, Unrolled(3), "tanh", dtype=torch.float64)]
        )
    other = SynchronousConv2d(parts[0].graph, 5, Unrolled(3), "tanh", dtype=torch.float64)
    with pytest.raises(ValueError, match="same kernel_size"):
        ModularGraph([parts[0], other])
    with pytest.raises(TypeError, match="got a SynchronousConv2d"):
        export_parts(parts, "nowhere")
    with pytest.raises(TypeError, match=r"DistributedModules \(got a SynchronousConv2d"):
        DistributedModules(parts)


@both_solvers
def test_modules_are_proved_independent(solver):
    evidence = check_independence(cut(made(solver), LABELS), normal(2, 2, 3, 4), steps=3)
    assert (evidence.paths, evidence.max_cross_jacobian) == (0, 0)
    assert evidence.max_split_difference <= 1e-10
    layer = made(solver)
    layer.labels = LABELS
    with pytest.raises(RuntimeError, match="no path between modules"):
        check_independence(layer, normal(2, 2, 3, 4), steps=1)


def test_pruned_edges_stay_zero_through_training():
    layer, x = made(bias=False), normal(4, 2, 5, 6)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    layer(x).square().sum().backward()
    optimizer.step()
    assert prune_cross_edges(layer, LABELS, optimizer=optimizer) is layer
    for _ in range(3):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    off = ~layer.edge_mask
    assert int(off.sum()) == 128
    assert not layer.edge_weight()[off].any()
    assert not layer.weight.grad[off].any()
    assert not optimizer.state[layer.weight]["exp_avg_sq"][off].any()
    torch.testing.assert_close(cut(layer, LABELS)(x), layer(x), rtol=1e-10, atol=1e-10)


def test_an_optimizer_goes_on_with_the_kernels_that_are_left():
    layer, x = made(), normal(4, 2, 5, 6)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(x).square().sum().backward()
    optimizer.step()
    moments = optimizer.state[layer.weight]["exp_avg"].clone()
    modular = cut(layer, LABELS, optimizer=optimizer)
    kept = torch.ones(layer.graph.num_edges, dtype=torch.bool)
    source, target = layer.graph.edge_index
    kept &= (LABELS[source] == LABELS[target]) | (LABELS[source] < 0) | (LABELS[target] < 0)
    assert torch.equal(optimizer.state[modular.weight]["exp_avg"], moments[kept])
    graph = UnitGraph(modular.graph.edge_index[:, ::2], 21, 2, 3)
    rewire(modular, graph, optimizer=optimizer)
    assert modular(x).shape == (4, 3, 5, 6)
    assert torch.equal(optimizer.state[modular.weight]["exp_avg"], moments[kept][::2])


def test_the_affinity_of_units_is_the_norm_of_their_kernels():
    layer = made()
    expected = layer.weight.detach().square().sum(dim=(1, 2)).sqrt()
    torch.testing.assert_close(layer.edge_weight().detach(), expected, rtol=1e-12, atol=0)
    # Kernels of two sets of units, strong but of sum 0, and weak ones between them.
    source, target = layer.graph.edge_index
    inside = LABELS[source] == LABELS[target]
    with torch.no_grad():
        layer.weight -= layer.weight.mean(dim=(1, 2), keepdim=True)
        layer.weight *= torch.where(inside, 1.0, 0.01).view(-1, 1, 1)
    found = partition_units(layer, 2)[2:-3]
    assert torch.equal(found == found[0], LABELS[2:-3] == 0)
    regularizer = PartitionRegularizer(layer, 2, generator=generator(0))
    loss = regularizer()
    loss.backward()
    assert layer.weight.grad[inside].any()


@both_solvers
def test_it_is_saved_and_loaded(tmp_path, solver):
    modular, x = cut(made(solver, bias=False), LABELS), normal(2, 2, 4, 5)
    modular.save(tmp_path)
    loaded = SynchronousConv2d.load(tmp_path)
    assert torch.equal(loaded(x), modular(x))
    assert repr(loaded) == repr(modular)
    torch.testing.assert_close(ModularGraph.load(tmp_path)(x), modular(x), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match=r"Use SynchronousConv2d\.load"):
        SynchronousGraph.load(tmp_path)
    for part in split(modular):
        part.save(tmp_path)
        assert torch.equal(SynchronousConv2d.load(tmp_path)(x), part(x))


@pytest.mark.parametrize("kernel_size", [5, 2, "3", 10**9, None])
def test_files_with_another_kernel_size_are_refused(tmp_path, kernel_size):
    made().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "kernel_size": kernel_size}))
    with pytest.raises(ValueError, match="of one model"):
        SynchronousConv2d.load(tmp_path)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = SynchronousConv2d(UnitGraph.complete(1, 8, 4), 3, Unrolled(3))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

    def forward(self, x):
        return self.head(self.layer(x))


def images(count=64):
    """Bars that lie or stand, at random places."""
    y = torch.arange(count) % 2
    place = torch.randint(6, (count,), generator=generator(0))
    x = torch.zeros(count, 1, 6, 6)
    for image, lies, row in zip(x, y.tolist(), place.tolist(), strict=True):
        if lies:
            image[0, row] = 1
        else:
            image[0, :, row] = 1
    return x, y


def test_a_model_with_it_is_trained_organised_and_taken_apart():
    torch.manual_seed(0)
    model, (x, y) = Classifier(), images()
    result = organise(model, (x, y), 2, epochs=12, finetune_epochs=8, learning_rate=0.02)
    assert type(result.layer) is SynchronousConv2d
    assert model.layer is result.layer
    assert result.accuracy["finetuned"] == 1.0
    assert result.labels[1:9].bincount().tolist() == [4, 4]
    # What is lost without each module, with the rest of the model behind their sum.
    model.eval()
    parts = split(result.layer)
    study = lesion_study(parts, x, y, head=model.head)
    assert study.all.tolist() == [1, 1]
    for module in range(2):
        model.layer = ModularGraph(parts).drop(module)
        right = (model(x).argmax(dim=1) == y).double()
        of_classes = [float(right[y == label].mean()) for label in range(2)]
        assert study.without[module].tolist() == pytest.approx(of_classes)
    magnitudes = input_attribution(parts, x, head=model.head)
    assert magnitudes.shape == (2, 1, 6, 6)
    assert bool((magnitudes > 0).all())


def test_studies_of_bare_parts_ask_for_a_head():
    parts, (x, y) = split(cut(Classifier().layer, [-1, *[0, 1] * 4, *[-1] * 4])), images(4)
    with pytest.raises(ValueError, match=r"got \[4, 4, 6, 6\].* Pass head="):
        lesion_study(parts, x, y)
    with pytest.raises(ValueError, match=r"got \[4, 4, 6, 6\].* Pass head="):
        input_attribution(parts, x)


def test_a_schedule_organises_it_in_fit():
    torch.manual_seed(0)
    model, data = Classifier(), images()
    regularizer = PartitionRegularizer(model.layer, 2)
    schedule = PartitionSchedule(regularizer, 10)
    history = fit(model, data, epochs=10, schedule=schedule, seed=0, learning_rate=0.02)
    assert len(history) == 10
    assert schedule.verdict().labels[1:9].bincount().tolist() == [4, 4]


def test_a_schedule_prunes_and_grows_kernels():
    model, data = Classifier(), images()
    sparse = SparseSchedule(model.layer, 6, num_edges=40)
    fit(model, data, epochs=6, seed=0, schedule=sparse)
    assert model.layer.graph.num_edges == 40
    assert model.layer.weight.shape == (40, 3, 3)


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
def test_lightning_organises_it():
    lightning = pytest.importorskip("lightning")
    from pyg_modules.train.lightning import LitModular, PartitionCallback

    torch.manual_seed(0)
    model, data = Classifier(), torch.utils.data.TensorDataset(*images(32))
    regularizer = PartitionRegularizer(model.layer, 2)
    callback = PartitionCallback(PartitionSchedule(regularizer, 4))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(
        max_epochs=6, callbacks=[callback], accelerator="cpu", enable_model_summary=False, **quiet
    )
    module = LitModular(model, regularizer=regularizer)
    trainer.fit(module, torch.utils.data.DataLoader(data, 16))
    kept = stays_independent(model.layer.graph, callback.labels())
    assert torch.equal(model.layer.edge_mask, kept)
    assert not model.layer.weight[~kept].any()
