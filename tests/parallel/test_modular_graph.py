import copy
import pickle
import subprocess
import sys
from contextlib import contextmanager

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import prune
from torch.nn.utils.parametrize import register_parametrization

from pyg_modules import (
    ModularGraph,
    SynchronousConv,
    SynchronousConv2d,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    split,
)
from pyg_modules.modules import prune_cross_edges
from pyg_modules.parallel import EXECUTIONS
from pyg_modules.structure import rewire
from tests.strategies import generator, layers_with_labels, normal


def cut_layer(sizes=(4, 4, 4), dtype=torch.float64, activation="tanh"):
    graph = UnitGraph.complete(3, sum(sizes), 2)
    layer = SynchronousGraph(graph, Unrolled(4), activation, dtype=dtype)
    layer.reset_parameters(generator(0))
    labels = torch.full((graph.num_units,), -1)
    of_hidden = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels[3:-2] = of_hidden[torch.randperm(sum(sizes), generator=generator(1))]
    return cut(layer, labels)


def gradients(model, x):
    model.zero_grad()
    x = x.clone().requires_grad_()
    model(x).square().sum().backward()
    return x.grad


@pytest.mark.parametrize("execution", ["auto", "loop"])
@pytest.mark.parametrize("scope", ["hidden", "inputs", "all"])
@given(st.data())
def test_it_computes_the_cut_layer(execution, scope, data):
    layer, labels = data.draw(layers_with_labels(scope))
    modular = cut(layer, labels)
    x = normal(2, 3, layer.graph.num_inputs)
    graph = ModularGraph(split(modular), execution=execution)
    torch.testing.assert_close(graph(x), modular(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sizes", [(4, 4, 4), (2, 7, 3), (1, 1), (5,)])
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_gradients_are_those_of_the_sum_of_the_parts(execution, sizes):
    modular = cut_layer(sizes)
    graph = ModularGraph(split(modular), execution=execution)
    parts = copy.deepcopy(graph.parts)
    x = normal(6, 3)
    of_x = gradients(graph, x)
    expected_x = x.clone().requires_grad_()
    sum(part(expected_x) for part in parts).square().sum().backward()
    torch.testing.assert_close(of_x, expected_x.grad, rtol=1e-10, atol=1e-12)
    for part, expected in zip(graph.parts, parts, strict=True):
        torch.testing.assert_close(part.weight.grad, expected.weight.grad, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(part.bias.grad, expected.bias.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_with_one_output_bias_it_trains_as_the_cut_layer_does(execution):
    modular = cut_layer()
    parts = split(modular)
    for part in parts[1:]:  # The others would each take a step, where the layer has one.
        is_hidden = torch.arange(len(part.bias)) < part.graph.num_hidden
        part.bias.register_hook(is_hidden.mul)
    graph = ModularGraph(parts, execution=execution)
    x, y = normal(16, 3, seed=3), normal(16, 2, seed=4)
    losses = []
    for model in (modular, graph):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        losses.append([])
        for _ in range(15):
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-10)
    assert losses[1][-1] < losses[1][0]


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_frozen_parts_have_no_gradient(execution):
    graph = ModularGraph(split(cut_layer()), execution=execution)
    graph.parts[1].requires_grad_(False)
    graph(normal(5, 3)).sum().backward()
    assert graph.parts[1].weight.grad is None
    assert graph.parts[1].bias.grad is None
    assert graph.parts[0].weight.grad.any()
    assert graph.parts[2].bias.grad.any()


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_nothing_is_kept_for_gradients_without_need(execution):
    graph = ModularGraph(split(cut_layer()), execution=execution)
    with torch.no_grad():
        assert not graph(normal(5, 3)).requires_grad
    graph.requires_grad_(False)
    assert not graph(normal(5, 3)).requires_grad


def test_lesions_share_the_parameters():
    graph = ModularGraph(split(cut_layer()))
    x = normal(5, 3)
    outputs = [part(x) for part in graph.parts]
    torch.testing.assert_close(graph.drop(1)(x), outputs[0] + outputs[2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(graph.drop(0, 1)(x), outputs[2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(graph.only(1)(x), outputs[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(graph.drop()(x), graph(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(graph.drop(-1)(x), graph.only(0, 1)(x), rtol=1e-12, atol=1e-12)
    assert graph.only(numpy.int64(2)).parts[0] is graph.parts[2]
    for choose in (graph.drop, graph.only):
        for number in (3, -4):
            with pytest.raises(IndexError, match=rf"from 0 to 2 \(got {number}\)"):
                choose(number)
        with pytest.raises(TypeError, match=r"as ints \(got list: \[0, 1\]\)"):
            choose([0, 1])
    with pytest.raises(ValueError, match=r"once at most \(got \[0, 0\]\)"):
        graph.only(0, 0)
    with pytest.raises(ValueError, match=r"at least one part \(got none\)"):
        graph.drop(0, 1, 2)


def test_the_parts_are_used_and_not_copied():
    parts = split(cut_layer())
    graph = ModularGraph(parts)
    assert all(mine is given for mine, given in zip(graph.parts, parts, strict=True))
    x = normal(5, 3)
    before = graph(x)
    with torch.no_grad():
        parts[0].weight.zero_()
    assert not torch.equal(graph(x), before)


def test_a_batch_of_no_samples_and_a_single_sample():
    for execution in EXECUTIONS:
        graph = ModularGraph(split(cut_layer()), execution=execution)
        assert graph(normal(0, 3)).shape == (0, 2)
        assert graph(normal(3)).shape == (2,)


def test_what_computes_it_is_reported():
    graph = ModularGraph(split(cut_layer()))
    report = graph.execution_report(32)
    assert report.execution == "batched"
    assert len(report.backends) == 1
    assert "batched (possible for these parts)" in str(report)
    graph.execution = "loop"
    report = graph.execution_report(32)
    assert (report.execution, report.reason) == ("loop", "asked for")
    assert len(report.backends) == 3
    assert "execution='loop'" in repr(graph)


def test_modules_of_unequal_sizes_are_batches_of_their_own():
    sizes = [40, 200, 120]
    parts = [
        SynchronousGraph(
            UnitGraph.complete(1, size, 1), Unrolled(2), backend="dense", dtype=torch.float64
        )
        for size in sizes
    ]
    graph = ModularGraph(parts)
    (report,) = graph.execution_report(128).backends
    assert report.choices["recurrence"].backend == "block"
    operator = graph._batched.whole._operators("block", 128).recurrence
    # The largest first, and the weights as they are: nothing is padded, nothing is moved.
    assert operator.sizes[2:] == (1, 1, 1, 200, 1, 120, 1, 40)
    x = normal(3, 1)
    torch.testing.assert_close(graph(x), sum(part(x) for part in parts))


def test_feedback_from_an_output_is_computed_in_a_loop():
    graph = UnitGraph(torch.tensor([[0, 0, 1, 2, 3], [1, 2, 3, 3, 3]]), 4, 1, 1)
    layer = SynchronousGraph(graph, Unrolled(4), dtype=torch.float64)
    modular = cut(layer, torch.tensor([-1, 0, 1, -1]))
    parts = ModularGraph(split(modular))
    assert parts.execution_report(1).execution == "loop"
    assert parts.execution_report(1).reason == "feedback from an output"
    x = normal(5, 1)
    torch.testing.assert_close(parts(x), modular(x), rtol=1e-12, atol=1e-12)
    with pytest.raises(
        ValueError, match=r"fit execution 'batched' \(got feedback from an output\)"
    ):
        ModularGraph(parts.parts, execution="batched")


def test_parts_are_moved_to_devices_in_turn():
    parts = split(cut_layer())
    graph = ModularGraph(parts, devices=["cpu", "meta"])
    assert [part.weight.device.type for part in graph.parts] == ["cpu", "meta", "cpu"]
    assert graph.execution_report(1).execution == "loop"
    assert graph.execution_report(1).reason == "parts on 2 devices"
    with pytest.raises(ValueError, match=r"'batched' \(got parts on 2 devices\)"):
        graph.execution = "batched"
    with pytest.raises(ValueError, match=r"at least one device \(got none\)"):
        ModularGraph(split(cut_layer()), devices=[])
    with pytest.raises(TypeError, match=r"sequence of devices \(got 'cpu'\). Use \['cpu'\]"):
        ModularGraph(split(cut_layer()), devices="cpu")
    with pytest.raises(ValueError, match=r"an available device, such as 'cpu' \(got 'foo'"):
        ModularGraph(split(cut_layer()), devices=["foo"])


def test_parts_stay_where_they_are_when_they_are_refused():
    parts = split(cut_layer())
    with pytest.raises(ValueError, match=r"'batched' \(got parts on 2 devices\)"):
        ModularGraph(parts, execution="batched", devices=["cpu", "meta"])
    assert {part.weight.device.type for part in parts} == {"cpu"}


def test_parts_can_be_exchanged():
    graph = ModularGraph(split(cut_layer()))
    x = normal(5, 3)
    graph.parts.append(copy.deepcopy(graph.parts[0]))
    torch.testing.assert_close(graph(x), sum(part(x) for part in graph.parts))
    graph.parts[1] = SynchronousGraph(
        UnitGraph.complete(3, 7, 2), Unrolled(4), "tanh", dtype=torch.float64
    )
    torch.testing.assert_close(graph(x), sum(part(x) for part in graph.parts))
    del graph.parts[0]
    torch.testing.assert_close(graph(x), sum(part(x) for part in graph.parts))
    graph.parts[0] = SynchronousGraph(UnitGraph.complete(3, 7, 2), Unrolled(4), dtype=torch.float64)
    torch.testing.assert_close(graph(x), sum(part(x) for part in graph.parts))
    graph.parts[0] = SynchronousGraph(UnitGraph.complete(3, 7, 2), Unrolled(5), dtype=torch.float64)
    with pytest.raises(ValueError, match="same solver"):
        graph(x)


def of_edges(graph):
    return SynchronousGraph(graph, Unrolled(4), "tanh", dtype=torch.float64)


def test_a_part_that_takes_the_place_of_another_is_computed():
    # Where it was kept in mind by its address alone, a new one had the same, now and then.
    complete, x = UnitGraph.complete(3, 7, 2), normal(5, 3)
    for seed in range(100):
        order = torch.randperm(complete.num_edges, generator=generator(seed))
        first, second = (complete.edge_index[:, ids] for ids in (order[:40], order[40:80]))
        graph = ModularGraph([of_edges(complete.with_edges(first))])
        graph(x)
        del graph.parts[0]
        graph.parts.append(of_edges(complete.with_edges(second)))
        torch.testing.assert_close(graph(x), graph.parts[0](x))


def new_solver(part):
    part.solver = Unrolled(2)


def new_edges(part):
    graph = part.graph
    rewire(part, graph.with_edges(graph.edge_index.roll(1, dims=1)[:, :-2]))


@pytest.mark.parametrize("change", [new_solver, new_edges])
def test_what_changes_after_it_was_compiled_is_computed(change):
    torch._dynamo.reset()
    layer = SynchronousGraph(UnitGraph.complete(3, 9, 2), Unrolled(5), "tanh", dtype=torch.float64)
    parts, x = [copy.deepcopy(layer) for _ in range(2)], normal(5, 3)
    graph = ModularGraph(parts)
    compiled = torch.compile(graph, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), graph(x))
    for part in parts:
        change(part)
    expected = sum(part(x) for part in parts)
    torch.testing.assert_close(compiled(x), expected)
    torch.testing.assert_close(torch.export.export(graph, (x,)).module()(x), expected)
    asked = ModularGraph([copy.deepcopy(layer)], execution="batched")
    change(asked.parts[0])
    with pytest.raises(RuntimeError, match=r"Call the modules once before"):
        torch.export.export(asked, (x,))
    asked(x)
    torch.testing.assert_close(torch.export.export(asked, (x,)).module()(x), asked.parts[0](x))


def test_parts_of_another_dtype_are_refused_when_they_become_so():
    graph = ModularGraph(split(cut_layer()))
    graph.only(0).float()
    with pytest.raises(ValueError, match="float32"):
        graph(normal(5, 3))


def test_second_derivatives_are_those_of_the_parts_where_their_backend_has_them():
    modular = cut_layer()
    modular.backend = "scatter"
    x = normal(5, 3).requires_grad_()
    penalties = []
    for model in (modular, ModularGraph(split(modular))):
        (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        penalties.append(torch.autograd.grad(gradient.square().sum(), x)[0])
    torch.testing.assert_close(*penalties)


def test_parts_with_hooks_are_computed_one_by_one_as_they_are():
    graph = ModularGraph(split(cut_layer()))
    x = normal(5, 3)
    before = graph(x)
    assert graph.execution_report(5).execution == "batched"
    for part in graph.parts:
        prune.identity(part, "weight")
        with torch.no_grad():
            part.weight_orig.mul_(0)
    assert graph.execution_report(5).execution == "loop"
    assert "hooks" in graph.execution_report(5).reason
    torch.testing.assert_close(graph(x), sum(part(x) for part in graph.parts))
    assert not torch.equal(graph(x), before)
    with pytest.raises(ValueError, match="a part with hooks"):
        graph.execution = "batched"
    for part in graph.parts:
        prune.remove(part, "weight")
    graph(x)
    assert graph.execution_report(5).execution == "batched"


def test_a_hook_that_comes_later_is_refused_where_the_execution_was_asked_for():
    graph = ModularGraph(split(cut_layer()), execution="batched")
    graph.parts[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="a part with hooks"):
        graph(normal(5, 3))


def test_parts_are_computed_with_their_parametrizations():
    graph = ModularGraph(split(cut_layer()))
    register_parametrization(graph.parts[0], "weight", torch.nn.Tanh())
    x = normal(5, 3)
    torch.testing.assert_close(graph(x), sum(part(x) for part in graph.parts))


def test_pruned_edges_stay_pruned_in_files(tmp_path):
    parts = split(cut_layer())
    labels = torch.full((parts[0].graph.num_units,), -1)
    hidden = parts[0].graph.hidden
    labels[hidden.start : hidden.stop] = torch.arange(len(hidden)) % 2
    prune_cross_edges(parts[0], labels)
    ModularGraph(parts).save(tmp_path / "parts")
    merged = SynchronousGraph.load(tmp_path / "parts")
    assert int((~merged.edge_mask).sum()) == int((~parts[0].edge_mask).sum()) > 0
    assert not merged.weight[~merged.edge_mask].any()
    loaded = ModularGraph.load(tmp_path / "parts")
    assert torch.equal(loaded.parts[0].edge_mask, parts[0].edge_mask)
    assert all(part.edge_mask is None for part in loaded.parts[1:])
    x = normal(5, 3)
    torch.testing.assert_close(loaded(x), ModularGraph(parts)(x))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_parts_on_the_gpu_and_the_cpu_add_up():
    modular = cut_layer(dtype=torch.float32)
    graph = ModularGraph(split(modular), devices=["cuda", "cpu"])
    x = normal(5, 3).float()
    torch.testing.assert_close(graph(x), modular(x), rtol=1e-4, atol=1e-5)
    everything = ModularGraph(split(modular)).cuda()
    torch.testing.assert_close(everything(x.cuda()).cpu(), modular(x), rtol=1e-4, atol=1e-5)


def test_a_saved_graph_is_loaded_and_an_uncut_layer_is_refused(tmp_path):
    graph = ModularGraph(split(cut_layer((2, 5, 3))))
    graph.save(tmp_path / "modular")
    loaded = ModularGraph.load(tmp_path / "modular")
    x = normal(5, 3)
    torch.testing.assert_close(loaded(x), graph(x), rtol=1e-12, atol=1e-12)
    assert [part.graph for part in loaded.parts] == [part.graph for part in graph.parts]
    assert SynchronousGraph.load(tmp_path / "modular").labels is not None
    SynchronousGraph(UnitGraph.complete(3, 4, 2)).save(tmp_path / "uncut")
    with pytest.raises(ValueError, match=r"made by cut"):
        ModularGraph.load(tmp_path / "uncut")


def test_state_dict_copies_and_dtypes_are_those_of_any_module():
    graph = ModularGraph(split(cut_layer()))
    other = ModularGraph(split(cut_layer()))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.normal_(generator=generator(5))
    x = normal(5, 3)
    assert not torch.equal(other(x), graph(x))
    other.load_state_dict(graph.state_dict())
    torch.testing.assert_close(other(x), graph(x))
    torch.testing.assert_close(copy.deepcopy(graph)(x), graph(x))
    assert graph.float()(x.float()).dtype == torch.float32


def test_it_compiles():
    graph = ModularGraph(split(cut_layer(dtype=torch.float32)))
    x = normal(5, 3).float()
    compiled = torch.compile(graph, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), graph(x))


def test_it_is_exported():
    graph = ModularGraph(split(cut_layer(dtype=torch.float32)))
    x = normal(5, 3).float()
    exported = torch.export.export(graph, (x,))
    torch.testing.assert_close(exported.module()(x), graph(x))


@pytest.mark.parametrize("execution", ["parallel", None, 3])
def test_unknown_executions_are_refused(execution):
    with pytest.raises(ValueError, match=r"one of 'auto', 'batched', 'loop' \(got"):
        ModularGraph(split(cut_layer()), execution=execution)


def test_parts_of_another_kind_are_refused():
    with pytest.raises(TypeError, match=r"SynchronousGraph \(got Linear\)"):
        ModularGraph([torch.nn.Linear(2, 2)])
    with pytest.raises(
        TypeError, match=r"several parts \(got SynchronousGraph\). .*split\(layer\)"
    ):
        ModularGraph(cut_layer())


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_under_autocast_it_computes_in_the_precision_of_its_parts(execution):
    model = ModularGraph(split(cut_layer(dtype=torch.float32)), execution=execution)
    x = normal(5, 3).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(x)
    outputs.square().sum().backward()
    assert x.grad.dtype == torch.bfloat16
    torch.testing.assert_close(outputs, model(x.float()))


def test_parts_of_dense_matrices_are_batched_where_there_are_no_blocks():
    parts = split(cut_layer(dtype=torch.float32))
    for part in parts:
        part.backend = "dense"
    model = ModularGraph(parts)
    assert "block" in str(model.execution_report(8))
    assert model.to("meta")(torch.rand(5, 3, device="meta")).shape == (5, 2)


def test_the_package_is_imported_where_processes_are_never_forked():
    without = "import os, torch; del os.fork, os.register_at_fork; import pyg_modules"
    subprocess.run([sys.executable, "-c", without], check=True)


@pytest.mark.parametrize(
    "register",
    [
        lambda part, hook: part.register_full_backward_hook(lambda *_: hook()),
        lambda part, hook: part.register_full_backward_pre_hook(lambda *_: hook()),
        lambda part, hook: part.register_forward_pre_hook(lambda *_: hook()),
        lambda part, hook: part.register_forward_hook(
            lambda *_, **__: hook(), with_kwargs=True, always_call=True
        ),
    ],
)
def test_hooks_of_a_part_are_called_and_no_longer_when_they_are_removed(register):
    graph, calls = ModularGraph(split(cut_layer())), []
    handle = register(graph.parts[1], lambda: calls.append(1) or None)
    x = normal(5, 3).requires_grad_()
    graph(x).sum().backward()
    assert len(calls) == 1
    handle.remove()
    graph(x).sum().backward()
    assert len(calls) == 1
    assert graph.execution_report(5).execution == "batched"


@pytest.mark.parametrize("execution", ["batched", "loop"])
def test_hooks_of_a_parameter_act_once(execution):
    graph = ModularGraph(split(cut_layer()), execution=execution)
    weight = graph.parts[0].weight
    graph(normal(5, 3)).square().sum().backward()
    plain, weight.grad = weight.grad, None
    weight.register_hook(lambda gradient: 2 * gradient)
    graph(normal(5, 3)).square().sum().backward()
    torch.testing.assert_close(weight.grad, 2 * plain)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("kind", ["layer", "graph"])
@pytest.mark.parametrize("way", ["pickle", "assign"])
def test_what_comes_from_a_pickle_or_from_meta_compiles_before_it_was_called(kind, way):
    torch._dynamo.reset()
    modular = cut_layer(dtype=torch.float32)
    network = modular if kind == "layer" else ModularGraph(split(modular))
    # A graph of its own, whose cache is empty.
    copied = pickle.loads(pickle.dumps(network))
    if way == "assign":
        copied = pickle.loads(pickle.dumps(network)).to("meta")
        copied.load_state_dict(network.state_dict(), assign=True)
    compiled = torch.compile(copied, backend="aot_eager", fullgraph=True)
    x = normal(5, 3).float()
    torch.testing.assert_close(compiled(x), network(x))


def test_a_layer_that_gets_its_weights_from_another_draws_none(tmp_path):
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2))
    mlp = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    labels = torch.tensor([-1] * 3 + [0, 1] * 4 + [-1] * 2)
    before = torch.get_rng_state()
    modular = cut(layer, labels)
    parts = split(modular)
    whole = merge(parts)
    layer.save(tmp_path / "layer")
    loaded = SynchronousGraph.load(tmp_path / "layer")
    ModularGraph(parts).save(tmp_path / "parts")
    together = ModularGraph.load(tmp_path / "parts")
    together.execution = "batched"
    converted = SynchronousGraph.from_mlp(mlp)
    x = torch.ones(5, 3)
    assert torch.equal(loaded(x), layer(x))
    torch.testing.assert_close(converted(x), mlp(x))
    torch.testing.assert_close(whole(x), modular(x))
    torch.testing.assert_close(together(x), modular(x))
    assert torch.equal(torch.get_rng_state(), before)


@contextmanager
def global_hook(_):
    handle = register_module_forward_hook(lambda *_: None)
    yield
    handle.remove()


@contextmanager
def forward_of_its_own(graph):
    forward = graph.parts[1].forward
    graph.parts[1].forward = lambda x: 2 * forward(x)
    yield


@contextmanager
def subclass(graph):
    graph.parts[1].__class__ = type(
        "Doubled",
        (SynchronousGraph,),
        {"forward": lambda self, x: 2 * SynchronousGraph.forward(self, x)},
    )
    yield


@pytest.mark.parametrize("change", [global_hook, forward_of_its_own, subclass])
def test_parts_whose_call_does_more_are_called(change):
    graph, x = ModularGraph(split(cut_layer())), normal(5, 3)
    with change(graph):
        assert graph.execution_report(5).execution == "loop"
        torch.testing.assert_close(graph(x), sum(part(x) for part in graph.parts))
        with pytest.raises(ValueError, match="Expected parts that fit execution 'batched'"):
            graph.execution = "batched"


@pytest.mark.parametrize("change", [ModularGraph.double, copy.deepcopy, lambda graph: graph])
def test_a_hook_is_refused_after_parts_were_prepared_again(change):
    graph = ModularGraph(split(cut_layer()), execution="batched")
    graph.parts[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="a part with hooks"):
        change(graph)(normal(5, 3))


def test_a_compiled_graph_calls_the_hooks_of_its_parts():
    torch._dynamo.reset()
    graph = ModularGraph(split(cut_layer()))
    graph.parts[1].register_forward_hook(lambda *told: 2 * told[-1])
    compiled = torch.compile(graph, backend="eager", fullgraph=True)
    x = normal(5, 3)
    torch.testing.assert_close(compiled(x), sum(part(x) for part in graph.parts))


def test_preparing_parts_draws_no_random_numbers():
    graph = ModularGraph(split(cut_layer()))
    before = torch.get_rng_state()
    graph.double()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_half_precision_under_autocast_of_the_other(execution):
    graph = ModularGraph(split(cut_layer(dtype=torch.float16)), execution=execution)
    x = normal(5, 3).half()
    expected = graph(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(graph(x), expected)


def test_what_parts_take_by_name_is_given_by_name():
    layer = SynchronousConv(UnitGraph.complete(3, 8, 2), dtype=torch.float64)
    modular = cut(layer, torch.tensor([-1] * 3 + [0, 1] * 4 + [-1] * 2))
    x, edges = normal(5, 3), torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]])
    weight = torch.rand(6, dtype=torch.float64, generator=generator(1))
    model = ModularGraph(split(modular))
    expected = modular(x, edges, weight)
    torch.testing.assert_close(model(x, edge_index=edges, edge_weight=weight), expected)
    torch.testing.assert_close(model(x, edges, edge_weight=weight), expected)
    with pytest.raises(TypeError, match="unexpected keyword argument 'edge_weight'"):
        ModularGraph(split(cut_layer()))(normal(3, 3), edge_weight=weight)


def test_a_symbolic_trace_keeps_what_parts_take_beside_the_inputs():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            layer = SynchronousConv(UnitGraph.complete(3, 8, 2), dtype=torch.float64)
            labels = torch.tensor([-1] * 3 + [0, 1] * 4 + [-1] * 2)
            self.modules_of_layer = ModularGraph(split(cut(layer, labels)))

        def forward(self, x, edge_index, edge_weight):
            return self.modules_of_layer(x, edge_index, edge_weight=edge_weight).tanh()

    x, edges = normal(5, 3), torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]])
    weight = torch.rand(6, dtype=torch.float64, generator=generator(1))
    model = Model()
    traced = torch.fx.symbolic_trace(model)
    assert torch.equal(traced(x, edges, weight), model(x, edges, weight))


def test_parts_that_nothing_tells_apart_are_not_saved_together(tmp_path):
    none, some = (
        SynchronousGraph(UnitGraph.layered(sizes), Unrolled(1)) for sizes in ([4, 2], [4, 3, 2])
    )
    with pytest.raises(
        ValueError, match=r"hidden units, which tell them apart \(got part 1 without"
    ):
        ModularGraph([some, none]).save(tmp_path / "both")
    x = torch.rand(5, 4)
    ModularGraph([some]).save(tmp_path / "one")
    torch.testing.assert_close(ModularGraph.load(tmp_path / "one")(x), some(x))


def test_channels_that_come_last_in_memory_stay_there():
    layer = SynchronousConv2d(UnitGraph.complete(2, 6, 2), generator=generator(0))
    modular = cut(layer, [-1, -1, 0, 0, 0, 1, 1, 1, -1, -1])
    x = torch.randn(3, 2, 5, 4, generator=generator(1))
    out = ModularGraph(split(modular))(x.contiguous(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, modular(x))
