from types import SimpleNamespace

import numpy
import pandas
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    get_worker_info,
)
from torch_geometric.data import Data, HeteroData
from torch_geometric.data import Dataset as GraphDataset
from torch_geometric.loader import CachedLoader, PrefetchLoader
from torch_geometric.loader import DataLoader as GraphLoader
from torch_geometric.nn import GCNConv, global_mean_pool

from pyg_modules import ModularGraph, SynchronousConv, UnitGraph, cut, partition_units, split
from pyg_modules.train import fit, seeded

SETTINGS = {"epochs": 3, "seed": 0, "learning_rate": 0.05}


@pytest.fixture
def pair():
    """Points of two half-planes, with a gap between."""
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    x = x[(x[:, 0] - x[:, 1]).abs() > 0.3][:80]
    return x, (x[:, 0] > x[:, 1]).long()


def linear():
    with seeded(0):
        return nn.Linear(2, 2)


def fitted(data, **options):
    model = linear()
    history = fit(model, data, **SETTINGS | options)
    assert history[-1].losses["task"] < history[0].losses["task"]
    return model.weight.detach()


class Rows(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, row):
        return self.x[row], self.y[row]


class Stream(IterableDataset):
    """Has no length."""

    def __init__(self, x, y):
        self.rows = list(zip(x, y, strict=True))

    def __iter__(self):
        return iter(self.rows)


def trained_by_hand(batches):
    """What every fit must come to: the same batches, in a loop of its own."""
    model = linear()
    batches = [list(batches) for _ in range(SETTINGS["epochs"])]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1, fused=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.05, total_steps=sum(map(len, batches))
    )
    for epoch in batches:
        for x, y in epoch:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
    return model.weight.detach()


def test_a_pair_of_tensors_is_the_same_as_an_object_with_a_training_part(pair):
    x, y = pair
    weight = fitted((x, y), batch_size=16)
    assert torch.equal(weight, fitted([x, y], batch_size=16))
    assert torch.equal(weight, fitted(SimpleNamespace(train_x=x, train_y=y), batch_size=16))
    assert not torch.equal(weight, fitted((x, y), batch_size=16, seed=1))


def test_rows_are_shuffled_in_every_epoch_by_one_generator(pair):
    x, y = pair
    generator = torch.Generator().manual_seed(0)

    class Epochs:
        def __iter__(self):
            for index in torch.randperm(80, generator=generator).split(64):
                yield x[index], y[index]

    assert torch.equal(fitted(pair), trained_by_hand(Epochs()))


def test_arrays_get_the_dtype_of_the_model(pair):
    x, y = pair
    arrays = x.double().numpy(), y.numpy()
    assert arrays[0].dtype == numpy.float64
    assert torch.equal(fitted(arrays), fitted(pair))
    double, model = (x.double(), y), linear().double()
    fit(model, arrays, **SETTINGS)
    other = linear().double()
    fit(other, double, **SETTINGS)
    assert torch.equal(model.weight, other.weight)


def test_arrays_of_floats_are_targets_too():
    model = nn.Linear(2, 1)
    x = numpy.random.default_rng(0).normal(size=(50, 2))
    y = x @ numpy.array([[2.0], [-1.0]])
    fit(
        model,
        (x, y),
        epochs=100,
        seed=0,
        loss=F.mse_loss,
        learning_rate=0.1,
        batch_size=10,
        weight_decay=0.0,
    )
    torch.testing.assert_close(model.weight, torch.tensor([[2.0, -1.0]]), rtol=0, atol=0.01)


@pytest.mark.parametrize("kind", [TensorDataset, Rows])
def test_a_dataset_is_shuffled_by_the_seed(pair, kind):
    data = kind(*pair)
    torch.manual_seed(0)
    weight = fitted(data, batch_size=16)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert torch.equal(weight, fitted(data, batch_size=16))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(weight, fitted(data, batch_size=16, seed=1))
    assert not torch.equal(weight, trained_by_hand(DataLoader(data, 16)))


def test_a_dataset_may_have_arrays(pair):
    x, y = pair
    assert torch.equal(fitted(Rows(x.numpy(), y.numpy())), fitted(TensorDataset(x, y)))


def test_a_dataset_without_a_length_is_taken_in_its_order(pair):
    expected = trained_by_hand(DataLoader(TensorDataset(*pair), 16))
    assert torch.equal(fitted(Stream(*pair), batch_size=16), expected)


def test_a_loader_is_iterated_as_it_is(pair):
    loader = DataLoader(TensorDataset(*pair), 24, drop_last=True)
    assert torch.equal(fitted(loader), trained_by_hand(loader))
    assert torch.equal(fitted(DataLoader(Stream(*pair), 24, drop_last=True)), fitted(loader))


def test_batches_of_any_form_go_through_forward(pair):
    x, y = pair
    loader = DataLoader([{"points": a, "side": b} for a, b in zip(x, y, strict=True)], 20)

    def forward(model, batch):
        return model(batch["points"]), batch["side"]

    assert torch.equal(
        fitted(loader, forward=forward), fitted(DataLoader(TensorDataset(*pair), 20))
    )
    double = fitted(pair, forward=lambda model, batch: (2 * model(batch[0]), batch[1]))
    assert not torch.equal(double, fitted(pair))


def communities():
    """Nodes of two classes, linked within them."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(2).repeat_interleave(30)
    edge_index = torch.randint(30, (2, 200), generator=generator)
    edge_index = torch.cat([edge_index, edge_index + 30], dim=1)
    x = 3 * y[:, None] + torch.randn(60, 2, generator=generator)
    mask = torch.rand(60, generator=generator)
    return Data(x, edge_index, y=y, train_mask=mask < 0.5, val_mask=mask > 0.7)


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        with seeded(0):
            self.conv = GCNConv(2, 2)

    def forward(self, x, edge_index, edge_weight=None):
        return self.conv(x, edge_index, edge_weight)


def test_a_graph_is_one_batch_of_the_nodes_of_its_mask():
    data, model, by_hand = communities(), Convolution(), Convolution()
    history = fit(model, data, epochs=60, seed=0, learning_rate=0.1, validation_data=data)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.1, weight_decay=0.1, fused=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=60)
    for record in history:
        outputs = by_hand(data.x, data.edge_index)
        loss = F.cross_entropy(outputs[data.train_mask], data.y[data.train_mask])
        assert record.losses["task"] == loss.item()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(by_hand.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            outputs = by_hand(data.x, data.edge_index)
        validation = F.cross_entropy(outputs[data.val_mask], data.y[data.val_mask])
        assert record.losses["validation"] == pytest.approx(float(validation), rel=1e-6)
    assert torch.equal(model.conv.lin.weight, by_hand.conv.lin.weight)
    right = model(data.x, data.edge_index).argmax(dim=1) == data.y
    assert right[~data.train_mask].float().mean() > 0.9


def test_edge_weights_of_a_graph_come_by_name_or_through_forward():
    data = communities()
    data.edge_weight = torch.zeros(data.num_edges)

    def forward(model, data):
        return model(data.x, data.edge_index, data.edge_weight), data.y

    weighted, named, alone = Convolution(), Convolution(), Convolution()
    fit(weighted, data, epochs=2, seed=0, forward=forward)
    fit(named, data, epochs=2, seed=0)
    assert torch.equal(weighted.conv.lin.weight, named.conv.lin.weight)
    del data.edge_weight
    data.edge_index = torch.empty(2, 0, dtype=torch.long)
    fit(alone, data, epochs=2, seed=0)
    torch.testing.assert_close(weighted.conv.lin.weight, alone.conv.lin.weight)


@pytest.fixture
def one_rank():
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize(
    "wrapped",
    ["modular graph", "compiled", "compiled modular graph", "in DDP", "modular graph in DDP"],
)
def test_what_takes_anything_gets_what_the_model_inside_of_it_names(wrapped):
    data = communities()
    data.edge_weight = torch.rand(data.num_edges) ** 4
    torch.manual_seed(0)
    layer = SynchronousConv(UnitGraph.complete(data.num_features, 6, 2))
    modular = cut(layer, partition_units(layer, 2, scope="hidden"))
    model = ModularGraph(split(modular)) if "modular" in wrapped else modular
    if "compiled" in wrapped:
        torch._dynamo.reset()
        model = torch.compile(model, backend="eager")
    if "DDP" in wrapped:
        model = nn.parallel.DistributedDataParallel(model)
    settings = {"epochs": 1, "seed": 0, "learning_rate": 1e-12}
    (found,), (expected,) = (fit(one, data, **settings) for one in (model, modular))
    assert found.losses["task"] == pytest.approx(expected.losses["task"], rel=1e-5)
    del data.edge_weight
    (without,) = fit(modular, data, **settings)
    assert abs(without.losses["task"] - expected.losses["task"]) > 1e-3


def test_a_forward_of_a_subclass_says_itself_what_it_takes():
    class Named(ModularGraph):
        def forward(self, x, edge_index, edge_attr):
            return super().forward(x, edge_index, edge_weight=edge_attr.squeeze(-1))

    data = communities()
    data.edge_weight = torch.rand(data.num_edges) ** 4
    layer = SynchronousConv(UnitGraph.complete(data.num_features, 6, 2))
    parts = split(cut(layer, partition_units(layer, 2, scope="hidden")))
    settings = {"epochs": 1, "seed": 0, "learning_rate": 1e-12}
    (expected,) = fit(ModularGraph(parts), data, **settings)
    data.edge_attr = data.edge_weight.unsqueeze(-1)
    (found,) = fit(Named(parts), data, **settings)
    assert found.losses == expected.losses


def test_a_model_gets_what_it_names_of_the_edges():
    data, given = communities(), []
    data.edge_weight, data.edge_attr = torch.rand(data.num_edges), torch.rand(data.num_edges, 3)

    class Named(Convolution):
        def forward(self, x, edge_index, edge_attr):
            given.append(edge_attr)
            return super().forward(x, edge_index)

    class OfData(Convolution):
        def forward(self, data):
            return super().forward(data.x, data.edge_index)

    fit(Named(), data, epochs=1, seed=0)
    assert torch.equal(given[0], data.edge_attr)
    del data.edge_attr
    for model in (Named(), OfData()):
        with pytest.raises(TypeError, match=rf"got a {type(model).__name__} of .*Say by forward="):
            fit(model, data, epochs=1, seed=0)
    fit(OfData(), data, epochs=1, seed=0, forward=lambda model, data: (model(data), data.y))


def graphs():
    """Graphs of two classes, which the mean of their features tells apart."""
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    return [
        Data(
            torch.randn(4, 2, generator=generator) + 2 * label,
            edge_index,
            y=torch.tensor([label]),
        )
        for label in (0, 1) * 20
    ]


class Pooled(Convolution):
    def forward(self, x, edge_index, batch):
        return global_mean_pool(self.conv(x, edge_index), batch)


def of_graphs(model, batch):
    return model(batch.x, batch.edge_index, batch.batch), batch.y


class Graphs(GraphDataset):
    def __init__(self, graphs):
        super().__init__()
        self.graphs = graphs

    def len(self):
        return len(self.graphs)

    def get(self, idx):
        return self.graphs[idx]


def test_graphs_come_as_a_list_a_dataset_or_a_loader():
    def learned(data, **options):
        model = Pooled()
        fit(
            model,
            data,
            epochs=20,
            seed=0,
            forward=of_graphs,
            learning_rate=0.1,
            validation_data=graphs(),
            **options,
        )
        whole = next(iter(GraphLoader(graphs(), 40)))
        outputs, targets = of_graphs(model, whole)
        assert (outputs.argmax(dim=1) == targets).all()
        return model.conv.lin.weight

    weight = learned(graphs(), batch_size=16)
    assert torch.equal(learned(Graphs(graphs()), batch_size=16), weight)
    generator = torch.Generator().manual_seed(0)
    loader = GraphLoader(graphs(), 16, shuffle=True, generator=generator)
    assert torch.equal(learned(loader), weight)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (None, r"a pair \(x, y\) of tensors or arrays.*\(got NoneType\)"),
        (torch.zeros(3, 2), r"got Tensor\)"),
        ((torch.zeros(3, 2),), r"got tuple of Tensor\)"),
        (([[0.0, 1.0]], [1]), r"got tuple of list, list\).*Make a pair"),
        ({"x": torch.zeros(3, 2)}, r"got dict\)"),
        (HeteroData(), r"got HeteroData\)"),
    ],
)
def test_data_of_another_kind_is_refused(data, match):
    for options in ({"data": data}, {"data": communities(), "validation_data": data}):
        if options.get("validation_data", 0) is None:
            continue
        with pytest.raises(TypeError, match=match):
            fit(Convolution(), epochs=1, seed=0, **options)


def test_the_training_part_of_an_object_validates_nothing(pair):
    data = SimpleNamespace(train_x=pair[0], train_y=pair[1])
    with pytest.raises(TypeError, match=r"no training part.*\(data.test_x, data.test_y\)"):
        fit(linear(), data, epochs=1, seed=0, validation_data=data)


def test_graphs_without_forward_are_refused_with_the_remedy():
    for data in (graphs(), GraphLoader(graphs(), 5)):
        model = Pooled()
        with pytest.raises(TypeError, match=r"\(got DataBatch\).*forward=lambda model, batch"):
            fit(model, data, epochs=1, seed=0)
        assert torch.equal(model.conv.lin.weight, Pooled().conv.lin.weight)


@pytest.mark.parametrize("y", [numpy.array(["no", "yes"]), numpy.array(["no", None])])
def test_arrays_that_are_no_numbers_are_refused(y):
    with pytest.raises(TypeError, match=r"arrays of numbers \(got (<U3|object)\).*numpy.unique"):
        fit(linear(), (numpy.zeros((2, 2)), y), epochs=1, seed=0)


def test_missing_values_are_no_texts():
    x = pandas.DataFrame({"a": [0.0, 1.0], "b": [1.0, 2.0]}).astype("Float64")
    for missing in (x.mask(x > 1), numpy.array([[0, None], [1.0, 2.0]])):
        with pytest.raises(TypeError, match=r"got missing values of pandas.*dropna"):
            fit(linear(), (missing, numpy.array([0, 1])), epochs=1, seed=0)


@pytest.mark.parametrize("rows", [79, 81])
def test_arrays_of_unequal_length_are_refused(pair, rows):
    y = torch.zeros(rows, dtype=torch.long)
    with pytest.raises(
        ValueError, match=rf"as many targets as inputs \(got \[{rows}\] and \[80, 2"
    ):
        fit(linear(), (pair[0], y), epochs=1, seed=0)


@pytest.mark.parametrize(
    "data",
    [
        (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
        (numpy.zeros((0, 2)), numpy.zeros(0, dtype=int)),
        [],
        TensorDataset(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
        DataLoader(TensorDataset(torch.zeros(3, 2)), 4, drop_last=True),
        Stream([], []),
    ],
)
def test_data_without_a_sample_are_refused(pair, data):
    with pytest.raises(ValueError, match="at least one training sample"):
        fit(linear(), data, epochs=1, seed=0)
    with pytest.raises(ValueError, match="at least one validation sample"):
        fit(linear(), pair, epochs=1, seed=0, validation_data=data)


def test_masks_are_those_of_all_nodes():
    data = communities()
    data.val_mask = None
    with pytest.raises(
        ValueError, match=r"data.val_mask to be a bool tensor of all 60 nodes.*None"
    ):
        fit(Convolution(), data, epochs=1, seed=0, validation_data=data)
    for mask in (torch.arange(5), torch.ones(60, 10, dtype=torch.bool)):
        data.train_mask = mask
        with pytest.raises(ValueError, match=r"data.train_mask to be a bool tensor"):
            fit(Convolution(), data, epochs=1, seed=0)
    data.train_mask = torch.zeros(60, dtype=torch.bool)
    with pytest.raises(ValueError, match="at least one training sample"):
        fit(Convolution(), data, epochs=1, seed=0)


def test_a_graph_that_misses_something_is_refused():
    data = communities()
    data.y = None
    with pytest.raises(ValueError, match=r"a graph with x, edge_index and y .*forward="):
        fit(Convolution(), data, epochs=1, seed=0)


@pytest.mark.parametrize(
    ("forward", "error", "match"),
    [
        (lambda model, data: model(data.x, data.edge_index), TypeError, r"got Tensor\)"),
        (
            lambda model, data: (model(data.x, data.edge_index)[data.train_mask], data.y),
            ValueError,
            "of all 60 nodes",
        ),
    ],
)
def test_a_forward_that_returns_something_else_is_refused(forward, error, match):
    with pytest.raises(error, match=match):
        fit(Convolution(), communities(), epochs=1, seed=0, forward=forward)


def test_a_batch_size_has_no_effect_on_a_loader_or_a_graph(pair):
    for model, data in (
        (linear(), DataLoader(TensorDataset(*pair))),
        (Convolution(), communities()),
    ):
        with pytest.raises(ValueError, match=r"no batch_size with a \w+.*\(got 8\). Leave it out"):
            fit(model, data, epochs=1, seed=0, batch_size=8)


@pytest.mark.parametrize(("later", "got"), [(3, "got 3"), (5, "got more")])
def test_another_number_of_batches_in_a_later_epoch_is_refused(pair, later, got):
    class Changing(Stream):
        lengths = iter((4, 4, later))  # The first pass counts.

        def __iter__(self):
            return iter(self.rows[: 16 * next(self.lengths)])

    with pytest.raises(ValueError, match=rf"4 batches in every epoch \({got}\)"):
        fit(linear(), Changing(*pair), epochs=3, seed=0, batch_size=16)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_of_every_kind_move_to_the_model(pair):
    x, y = pair
    for data in ((x, y), (x.numpy(), y.numpy()), TensorDataset(x, y)):
        model = linear().cuda()
        fit(model, data, epochs=1, seed=0, validation_data=data)
    fit(Convolution().cuda(), communities(), epochs=1, seed=0)
    fit(Pooled().cuda(), graphs(), epochs=1, seed=0, forward=of_graphs)


def test_arrays_of_pandas_are_taken(pair):
    pandas = pytest.importorskip("pandas")
    x, y = (value.numpy() for value in pair)
    assert torch.equal(fitted((pandas.DataFrame(x), pandas.Series(y))), fitted(pair))


@pytest.mark.parametrize("dtype", ["Float32", "Float64", "mixed"])
def test_frames_of_pandas_that_are_nullable_or_of_booleans_too_are_numbers(pair, dtype):
    pandas = pytest.importorskip("pandas")
    x, y = (value.numpy().copy() for value in pair)
    x[:, 0] = x[:, 0] > 0
    frame = pandas.DataFrame(x)
    frame = frame.astype({0: bool} if dtype == "mixed" else dtype)
    assert frame.to_numpy().dtype == object
    targets = pandas.Series(y, dtype="Int64").astype(object)
    assert torch.equal(fitted((frame, targets)), fitted((x, y)))


@pytest.mark.parametrize(
    "changed", [lambda x: x[::-1].copy()[::-1], lambda x: x.astype(">f8"), numpy.asfortranarray]
)
def test_the_order_of_rows_and_bytes_of_an_array_does_not_matter(pair, changed):
    x, y = (value.numpy() for value in pair)
    assert torch.equal(fitted((changed(x), y)), fitted(pair))


def test_sparse_and_masked_arrays_are_refused(pair):
    x, y = pair
    masked = numpy.ma.masked_greater(x.numpy(), 1)
    for values, match in ((x.to_sparse(), "to_dense"), (masked, "filled")):
        with pytest.raises(TypeError, match=rf"dense arrays without a mask.*{match}"):
            fit(linear(), (values, y), epochs=1, seed=0)


@pytest.mark.parametrize("x", [None, [[0.0, 1.0]]])
def test_the_training_part_of_an_object_is_a_pair_of_arrays_too(x):
    with pytest.raises(TypeError, match=r"got tuple of \w+, list\).*numpy.asarray"):
        fit(linear(), SimpleNamespace(train_x=x, train_y=[1]), epochs=1, seed=0)


@pytest.mark.parametrize("kind", [CachedLoader, PrefetchLoader])
def test_every_loader_of_pyg_is_taken(kind):
    weights = []
    for loader in (GraphLoader(graphs(), 8), kind(GraphLoader(graphs(), 8))):
        model = Pooled()
        options = {"forward": of_graphs, "validation_data": loader}
        fit(model, loader, epochs=2, seed=0, **options)
        weights.append(model.conv.lin.weight)
    assert torch.equal(*weights)


class Sized(Stream):
    def __len__(self):
        return len(self.rows)


class Shared(Sized):
    """Of two workers, each has the rows of every other place."""

    def __iter__(self):
        return iter(self.rows[get_worker_info().id :: 2])


@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
def test_the_batches_of_a_stream_are_counted(pair):
    x, y = pair[0][:70], pair[1][:70]
    loader = DataLoader(Shared(x, y), 32, num_workers=2)
    batches = list(loader)
    assert len(batches) == 4 > len(DataLoader(Sized(x, y), 32)) == 3
    assert torch.equal(fitted(loader, epochs=3), trained_by_hand(batches))


def test_a_validation_may_have_another_number_of_batches_every_time(pair):
    class Growing(Stream):
        epochs = 0

        def __iter__(self):
            self.epochs += 1
            return iter(self.rows[: 16 * self.epochs])

    validation = Growing(*pair)
    history = fit(linear(), pair, validation_data=validation, batch_size=8, **SETTINGS)
    assert validation.epochs == len(history) == 3  # It is not counted before.


def test_graphs_beside_other_things_are_joined():
    pairs = [(graph, float(graph.y)) for graph in graphs()]

    def of_pairs(model, batch):
        graph, label = batch
        return model(graph.x, graph.edge_index, graph.batch), label.long()

    models = Pooled(), Pooled()
    dataset = Rows([graph for graph, _ in pairs], [label for _, label in pairs])
    fit(models[0], dataset, epochs=2, seed=0, forward=of_pairs)
    fit(models[1], graphs(), epochs=2, seed=0, forward=of_graphs)
    assert torch.equal(models[0].conv.lin.weight, models[1].conv.lin.weight)


def test_a_dataset_without_a_length_that_is_no_stream_is_refused():
    class Endless(Dataset):
        def __getitem__(self, row):
            return torch.zeros(2), 0

    with pytest.raises(TypeError, match=r"a Dataset with __len__ \(got Endless\)"):
        fit(linear(), Endless(), epochs=1, seed=0)


def test_graphs_in_a_loader_of_torch_are_refused_with_that_of_pyg():
    with pytest.raises(TypeError, match=r"Use torch_geometric.loader.DataLoader"):
        fit(Pooled(), DataLoader(graphs(), 8), epochs=1, seed=0, forward=of_graphs)


def test_a_loader_that_drops_everything_says_so(pair):
    loader = DataLoader(TensorDataset(*pair), 100, drop_last=True)
    with pytest.raises(ValueError, match=r"one training sample.*drop_last=False"):
        fit(linear(), loader, epochs=1, seed=0)


def test_a_graph_is_validated_on_a_graph(pair):
    for data, validation in ((communities(), pair), (pair, communities())):
        with pytest.raises(TypeError, match=r"of the kind of the training data.*val_mask"):
            fit(Convolution(), data, epochs=1, seed=0, validation_data=validation)


def test_a_model_that_returns_no_tensor_is_named(pair):
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    with pytest.raises(TypeError, match=r"got tuple of tuple, Tensor\).*forward="):
        fit(Doubled(2, 2), pair, epochs=1, seed=0)
