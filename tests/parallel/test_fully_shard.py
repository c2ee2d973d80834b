"""Layers whose parameters ``torch.distributed.fsdp.fully_shard`` spread over ranks."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from pyg_modules import (
    ModularGraph,
    PartitionRegularizer,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    partition_units,
    prune_cross_edges,
    split,
)
from tests.parallel.test_distributed import on_ranks
from tests.strategies import generator, normal

# Seven: two ranks hold unequal parts of the biases.
LABELS = torch.tensor([-1] * 3 + [0, 1, 0, 1, 0] + [-1] * 2)
#: The groups that are gathered at once: the layer alone, so that it is in parts between passes, or
#: all, so that it stays whole until the backward pass.
GROUPS = ("layer", "root")


def new_layer():
    layer = SynchronousGraph(UnitGraph.complete(3, 5, 2), Unrolled(3), "tanh", dtype=torch.float64)
    layer.reset_parameters(generator(0))
    return layer


def new_model():
    linear = nn.Linear(3, 3, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(normal(3, 3, seed=4))
        linear.bias.copy_(normal(3, seed=5))
    return nn.Sequential(linear, new_layer())


def mesh():
    return init_device_mesh("cpu", (dist.get_world_size(),))


def sharded(module, group="root"):
    if group == "layer":
        fully_shard(module[-1], mesh=mesh())
    fully_shard(module, mesh=mesh())
    return module


def regularized(model):
    return PartitionRegularizer(model[-1], 2, scope="all", generator=generator(1))


def train(model, regularizer, samples=slice(None)):
    """Three steps, and a cut in place in the midst of them."""
    x, y = normal(16, 3, seed=1)[samples], normal(16, 2, seed=2)[samples]
    optimizer = torch.optim.Adam([*model.parameters(), *regularizer.parameters()], lr=0.05)
    for step in range(3):
        if step == 2:
            labels = torch.where(LABELS < 0, torch.arange(10) % 2, LABELS)
            prune_cross_edges(model[-1], labels, optimizer=optimizer)
        optimizer.zero_grad()
        (model(x).sub(y).square().mean() + regularizer()).backward()
        optimizer.step()
    return [model[-1].edge_weight(), regularizer.logits]


def train_on_ranks(group):
    rank, num_ranks = dist.get_rank(), dist.get_world_size()
    model = sharded(new_model(), group)
    return [
        value.tolist() for value in train(model, regularized(model), slice(rank, None, num_ranks))
    ]


@pytest.mark.parametrize("num_ranks", [1, 2])
@pytest.mark.parametrize("group", GROUPS)
def test_training_is_that_of_one_process(tmp_path, group, num_ranks):
    model = new_model()
    expected = train(model, regularized(model))
    for found in on_ranks(train_on_ranks, num_ranks, tmp_path / "ranks", group):
        for value, other in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.tensor(value, dtype=torch.float64), other)


def read(folder):
    """All that reads a layer reads the whole of it."""
    plain = new_layer()
    layer = fully_shard(new_layer(), mesh=mesh())
    assert isinstance(layer.weight, DTensor)
    assert torch.equal(layer.edge_weight(), plain.weight)
    assert torch.equal(partition_units(layer, 2, seed=0), partition_units(plain, 2, seed=0))

    regularizers = [PartitionRegularizer(of, 2, generator=generator(1)) for of in (layer, plain)]
    of_parts, of_whole = regularizers
    torch.testing.assert_close(of_parts(), of_whole())
    for regularizer in regularizers:
        regularizer().backward()
    torch.testing.assert_close(layer.weight.grad.full_tensor(), plain.weight.grad)
    assert torch.equal(of_parts.labels(), of_whole.labels())
    fully_shard(of_parts, mesh=mesh())
    for regularizer in regularizers:
        regularizer.set_labels(LABELS)
    assert torch.equal(of_parts.logits.full_tensor(), of_whole.logits)
    torch.testing.assert_close(of_parts(), of_whole())

    layer.save(folder)
    assert torch.equal(SynchronousGraph.load(folder).weight, plain.weight)
    modular, expected = cut(layer, LABELS), cut(plain, LABELS)
    assert torch.equal(modular.weight, expected.weight)
    assert torch.equal(modular.bias, expected.bias)

    fully_shard(modular, mesh=mesh())
    for part, other in zip(split(modular), split(expected), strict=True):
        assert torch.equal(part.weight, other.weight)
        assert torch.equal(part.bias, other.bias)
    parts = split(expected)
    for part in parts:
        fully_shard(part, mesh=mesh())
    x = normal(4, 3)
    torch.testing.assert_close(ModularGraph(parts)(x), expected(x))
    merged = merge(parts)
    assert torch.equal(merged.weight, expected.weight)
    assert torch.equal(merged.bias, expected.bias)


def write():
    """What writes a layer writes the part of every rank."""
    plain, layer = new_layer(), fully_shard(new_layer(), mesh=mesh())
    for one in (plain, layer):
        one.reset_parameters(generator(7))
    assert torch.equal(layer.weight.full_tensor(), plain.weight)
    assert torch.equal(layer.bias.full_tensor(), plain.bias)
    with torch.device("meta"):
        empty = new_layer_on_meta()
    fully_shard(empty, mesh=mesh()).to_empty(device="cpu").reset_parameters(generator(7))
    assert torch.equal(empty.weight.full_tensor(), plain.weight)
    for one in (plain, layer):
        prune_cross_edges(one, LABELS)
    assert torch.equal(layer.weight.full_tensor(), plain.weight)
    x = normal(4, 3)
    torch.testing.assert_close(layer(x), plain(x))


def new_layer_on_meta():
    return SynchronousGraph(
        UnitGraph.complete(3, 5, 2), Unrolled(3), "tanh", dtype=torch.float64, device="meta"
    )


def keep_labels():
    """States of the layer, in parts or gathered, have its labels and its mask."""
    modular = cut(new_layer(), LABELS)
    layer = fully_shard(copy.deepcopy(modular), mesh=mesh())
    other = fully_shard(SynchronousGraph(modular.graph, dtype=torch.float64), mesh=mesh())
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.labels, LABELS)
    assert torch.equal(other.weight.full_tensor(), modular.weight)
    options = StateDictOptions(full_state_dict=True)
    state = get_model_state_dict(layer, options=options)
    assert torch.equal(state["labels"], LABELS)
    for target in (
        fully_shard(cut(new_layer(), LABELS), mesh=mesh()),
        cut(new_layer(), LABELS),
    ):
        set_model_state_dict(target, dict(state), options=options)
        assert torch.equal(target.labels, LABELS)
        assert torch.equal(target.edge_weight(), modular.weight)


def forward():
    """A forward pass needs whole weights, and says how to get them."""
    plain, layer = new_layer(), fully_shard(new_layer(), mesh=mesh())
    x = normal(4, 3)
    for call in (layer.states, layer.solve):
        with pytest.raises(RuntimeError, match=r"whole weights in a forward pass \(got DTensors\)"):
            call(x)
    with pytest.raises(RuntimeError, match="register_fsdp_forward_method"):
        layer.step(normal(4, 10))
    for method in ("states", "solve", "step"):
        register_fsdp_forward_method(layer, method)
    torch.testing.assert_close(layer.states(x), plain.states(x))
    torch.testing.assert_close(layer.solve(x).residual, plain.solve(x).residual)
    torch.testing.assert_close(layer.step(normal(4, 10)), plain.step(normal(4, 10)))

    replicated = distribute_tensor(x, mesh(), [Replicate()])
    with pytest.raises(
        TypeError, match=r"x to be a plain, dense Tensor \(got a DTensor\).* x.full_tensor"
    ):
        plain(replicated)
    plain.weight = nn.Parameter(distribute_tensor(plain.weight.detach(), mesh(), [Shard(0)]))
    with pytest.raises(RuntimeError, match="whole weights in a forward pass"):
        plain(x)

    layer.reshard()
    optimizer = torch.optim.Adam(layer.parameters())
    with pytest.raises(ValueError, match=r"optimizer of whole parameters \(got DTensors"):
        cut(layer, LABELS, optimizer=optimizer)

    half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, output_dtype=torch.float64)
    mixed = fully_shard(new_layer(), mesh=mesh(), mp_policy=half)
    expected = new_layer().bfloat16()(x.bfloat16()).double()
    torch.testing.assert_close(mixed(x), expected)


def do_all(folder):
    read(folder)
    write()
    keep_labels()
    forward()


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_layers_in_parts_are_read_written_and_refused_as_a_whole(tmp_path, num_ranks):
    on_ranks(do_all, num_ranks, tmp_path / "ranks", str(tmp_path / "saved"))
