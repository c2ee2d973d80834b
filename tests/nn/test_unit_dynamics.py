"""What hidden units make of their sums: activations per unit, slopes, dropout and update rates."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.functional import prelu

from pyg_modules import (
    Equilibrium,
    ModularGraph,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    merge,
    split,
)
from pyg_modules.modules import check_independence
from pyg_modules.parallel import export_parts
from tests.looks import Calls
from tests.references import ACTIVATIONS
from tests.strategies import backends, generator, normal

MIXED = ["prelu", "relu", "prelu", "tanh", "gelu", "tanh", "sigmoid", "identity"]
SETTINGS = {
    "mixed": {"activation": ["relu", "elu", "elu", *MIXED[3:]]},
    "slopes": {"activation": "prelu"},
    "mixed with slopes": {"activation": MIXED},
    "rate": {"activation": "tanh", "update_rate": 0.6},
    "learned rate": {"activation": MIXED, "update_rate": 0.7, "learn_update_rate": True},
    "dropout": {"activation": "tanh", "dropout": 0.4},
    "all": {"activation": MIXED, "update_rate": 0.7, "learn_update_rate": True, "dropout": 0.3},
}
EQUILIBRIUM = Equilibrium(tol=1e-14, contraction=0.5)
ENOUGH = 90  # Updates for it.


def new_layer(name, solver=None, graph=None, **kwargs):
    """Sparse, with direct edges; with a slope and a rate of its own for every unit."""
    if graph is None:
        dense = UnitGraph.complete(3, 8, 2)
        edges = torch.cat([dense.edge_index[:, ::2], torch.tensor([[0, 2], [11, 12]])], dim=1)
        graph = UnitGraph(edges, 13, 3, 2)
    settings = SETTINGS[name] | {"dtype": torch.float64} | kwargs
    layer = SynchronousGraph(graph, solver or Unrolled(4), **settings)
    layer.reset_parameters(generator(0))
    with torch.no_grad():
        for parameter in layer.dynamics.parameters():
            parameter.uniform_(0.6, 0.9, generator=generator(1))
    return layer


def dense(layer, x, mask=1.0):
    """The outputs, unit by unit as in the docstrings."""
    graph, hidden = layer.graph, slice(layer.graph.hidden.start, layer.graph.hidden.stop)
    own, steps = dict(layer.named_parameters()), ENOUGH
    matrix = x.new_zeros(graph.num_units, graph.num_units)
    matrix = matrix.index_put((graph.edge_index[1], graph.edge_index[0]), own["weight"])
    if isinstance(layer.solver, Equilibrium):
        slope = 1.129 if "gelu" in layer.dynamics.names() else 1.0
        limit = layer.solver.contraction * (1 - layer.dynamics.dropout) / slope
        norm = torch.linalg.matrix_norm(matrix[hidden, hidden], 2)
        scale = torch.ones_like(matrix)
        scale[hidden, hidden] = limit / norm.clamp(min=limit)
        matrix = matrix * scale
    else:
        steps = layer.solver.steps
    rate = own.get("dynamics.rate", torch.tensor(layer.dynamics.update_rate, dtype=x.dtype))
    state = x.new_zeros(len(x), graph.num_units)
    state[:, : graph.num_inputs] = x
    bias = torch.cat([x.new_zeros(graph.num_inputs), own["bias"]])
    for _ in range(steps):
        sums = state @ matrix.T + bias
        columns = []
        for unit, name in enumerate(layer.dynamics.names()):
            value = sums[:, graph.num_inputs + unit]
            if name == "prelu":
                columns.append(prelu(value.unsqueeze(1), own["dynamics.slope"][unit]).squeeze(1))
            else:
                columns.append(ACTIVATIONS[name](value))
        after = (1 - rate) * state[:, hidden] + rate * mask * torch.stack(columns, dim=1)
        state = torch.cat([x, after, sums[:, hidden.stop :]], dim=1)
    return (state @ matrix.T + bias)[:, hidden.stop :]


def gradients(outputs, layer, x):
    trained = [x, *layer.parameters()]
    return torch.autograd.grad(outputs.square().sum(), trained, materialize_grads=True)


@pytest.mark.parametrize("backend", backends)
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("solver", [Unrolled(4), Unrolled(5, checkpoint=True), EQUILIBRIUM])
def test_outputs_and_gradients_are_those_of_the_definition(solver, name, backend):
    layer = new_layer(name, solver, backend=backend).eval()
    if isinstance(solver, Equilibrium):
        with torch.no_grad():
            layer.weight *= 3  # So that they are scaled.
    x = normal(5, 3).requires_grad_()
    outputs = layer(x)
    expected = dense(layer, x)
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)
    found = gradients(outputs, layer, x)
    torch.testing.assert_close(found, gradients(expected, layer, x), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("activation", [["tanh", "relu"] * 4, ["prelu", "tanh"] * 4])
def test_a_function_is_called_once_for_all_units_that_have_it(activation):
    layer = SynchronousGraph(UnitGraph.complete(3, 8, 2), Unrolled(3), activation)
    calls = Calls()
    with calls, torch.no_grad():
        layer(normal(5, 3).float())
    aten = torch.ops.aten
    assert calls.operations.count(aten.tanh.default) == 3
    assert calls.operations.count(aten.relu.default) == 3 * ("relu" in activation)
    assert calls.operations.count(aten.where.self) == 3 * ("prelu" in activation)


@pytest.mark.parametrize("backend", backends)
@pytest.mark.parametrize("solver", [Unrolled(4), Unrolled(5, checkpoint=True), EQUILIBRIUM])
def test_one_mask_holds_for_all_updates_of_a_call(solver, backend, monkeypatch):
    layer = new_layer("all", solver, backend=backend)
    masks = []
    draw = layer.dynamics.draw_mask
    monkeypatch.setattr(
        layer.dynamics, "draw_mask", lambda *args: masks.append(draw(*args)) or masks[-1]
    )
    x = normal(9, 3).requires_grad_()
    outputs = layer(x)
    (mask,) = masks
    assert torch.unique(mask).tolist() == pytest.approx([0, 1 / 0.7])
    expected = dense(layer, x, mask=mask.T)
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)
    found = gradients(outputs, layer, x)
    torch.testing.assert_close(found, gradients(expected, layer, x), rtol=1e-7, atol=1e-7)


def test_dropout_is_drawn_in_training_alone_at_its_rate():
    layer = new_layer("dropout")
    mask = layer.dynamics.draw_mask(5000, layer.weight)
    assert mask.shape == (8, 5000)
    assert float((mask == 0).double().mean()) == pytest.approx(0.4, abs=0.02)
    assert float(mask.mean()) == pytest.approx(1, abs=0.02)
    assert layer.eval().dynamics.draw_mask(5, layer.weight) is None


def test_dropout_of_a_layered_graph_is_that_of_the_mlp():
    layer = SynchronousGraph(
        UnitGraph.layered([3, 6, 4, 2]), Unrolled(2), "tanh", dropout=0.5, dtype=torch.float64
    )
    x = normal(7, 3)
    torch.manual_seed(0)
    outputs = layer(x)
    torch.manual_seed(0)
    mask = layer.dynamics.draw_mask(7, layer.weight).T
    first, second, third = layer.weight.split([18, 24, 8])
    b1, b2, b3 = layer.bias.split([6, 4, 2])
    hidden = torch.tanh(x @ first.view(6, 3).T + b1) * mask[:, :6]
    hidden = torch.tanh(hidden @ second.view(4, 6).T + b2) * mask[:, 6:]
    torch.testing.assert_close(outputs, hidden @ third.view(2, 4).T + b3, rtol=0, atol=1e-12)


def test_the_bound_of_an_equilibrium_counts_slopes_and_dropout():
    layer = new_layer("all", Equilibrium(tol=1e-12, contraction=0.9))
    with torch.no_grad():
        layer.dynamics.slope.fill_(-4)  # Units with other functions have none.
        layer.weight *= 20
    hidden = layer.weights_by_edge_set()[1]
    source, target = layer.graph.edge_index
    inside = (source >= 3) & (source < 11) & (target >= 3) & (target < 11)
    matrix = torch.zeros(8, 8, dtype=torch.float64)
    matrix[target[inside] - 3, source[inside] - 3] = layer.scaled_weight().detach()[inside]
    assert hidden.numel() == int(inside.sum())
    assert float(torch.linalg.matrix_norm(matrix, 2)) == pytest.approx(0.9 * 0.7 / 4)
    solution = layer.solve(normal(5, 3))
    assert bool(solution.converged.all())
    solution.states.sum().backward()
    assert bool(solution.adjoint.converged.all())
    assert float(layer.dynamics.slope.grad.abs().sum()) > 0


def test_an_equilibrium_does_not_depend_on_the_rate():
    slow, fast = (
        SynchronousGraph(
            UnitGraph.complete(3, 8, 2), EQUILIBRIUM, "tanh", update_rate=rate, dtype=torch.float64
        )
        for rate in (0.2, 1.0)
    )
    fast.load_state_dict(slow.state_dict())
    assert torch.equal(slow(normal(5, 3)), fast(normal(5, 3)))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_is_one_update_without_dropout(name):
    layer, x = new_layer(name, Unrolled(3)).eval(), normal(5, 3)
    states = torch.cat([x, x.new_zeros(5, 10)], dim=1)
    for _ in range(3):
        states = layer.train().step(states)
    outputs = layer.step(states)[:, 11:]
    torch.testing.assert_close(outputs, layer.eval()(x), rtol=0, atol=1e-12)


LABELS = torch.tensor([-1] * 3 + [0, 1, 0, 1, 1, 0, 1, 0] + [-1] * 2)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("solver", [Unrolled(4), EQUILIBRIUM])
def test_cut_split_merge_and_side_by_side(solver, name):
    layer = new_layer(name, solver, graph=UnitGraph.complete(3, 8, 2)).eval()
    modular = cut(layer, LABELS)
    x = normal(5, 3)
    check_independence(modular, x, tolerance=1e-10)
    for names, values in layer.dynamics.named_parameters():
        assert torch.equal(dict(modular.dynamics.named_parameters())[names], values)
    parts = split(modular)
    for execution in ("auto", "loop"):
        beside = ModularGraph(parts, execution=execution)
        torch.testing.assert_close(beside(x), modular(x), rtol=1e-9, atol=1e-9)
        beside(x).sum().backward()
    merged = merge(parts)
    torch.testing.assert_close(merged(x), modular(x), rtol=1e-9, atol=1e-9)
    assert merged.dynamics.config() == modular.dynamics.config()


def test_parts_with_dropout_are_computed_one_by_one_and_draw_for_themselves():
    layer = new_layer("dropout", graph=UnitGraph.complete(3, 8, 2))
    parts = split(cut(layer, LABELS))
    modular = ModularGraph(parts)
    assert modular.training
    assert "dropout" in str(modular.execution_report(5))
    x = normal(5, 3)
    torch.manual_seed(0)
    outputs = modular(x)
    torch.manual_seed(0)
    torch.testing.assert_close(outputs, parts[0](x) + parts[1](x))
    assert not torch.equal(outputs, modular(x))
    with pytest.raises(ValueError, match=r"'batched' \(got dropout.*execution='auto'"):
        ModularGraph(parts, execution="batched")


def test_parts_with_other_activations_are_merged():
    graph = UnitGraph.complete(3, 4, 2)
    parts = [
        SynchronousGraph(graph, Unrolled(3), name, dtype=torch.float64)
        for name in ("relu", "prelu", "tanh")
    ]
    merged = merge(parts)
    assert merged.activation == ("relu",) * 4 + ("prelu",) * 4 + ("tanh",) * 4
    x = normal(5, 3)
    expected = sum(part(x) for part in parts)
    for both in (merged, ModularGraph(parts, execution="batched")):
        torch.testing.assert_close(both(x), expected, rtol=0, atol=1e-12)
    parts[0] = SynchronousGraph(graph, Unrolled(3), update_rate=0.5, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"same update_rate \(got 0.5 for part 0 and 1.0"):
        merge(parts)


@pytest.mark.parametrize("name", SETTINGS)
def test_copies_files_and_states(name, tmp_path):
    layer, x = new_layer(name).eval(), normal(5, 3)
    layer.save(tmp_path / "layer")
    other = new_layer(name).eval()
    other.reset_parameters(generator(5))
    other.load_state_dict(layer.state_dict())
    loaded = SynchronousGraph.load(tmp_path / "layer")
    assert repr(loaded) == repr(layer)
    for again in (
        loaded.eval(),
        other,
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
    ):
        assert torch.equal(again(x), layer(x))
    half = copy.deepcopy(layer).float()
    torch.testing.assert_close(half(x.float()).double(), layer(x), rtol=1e-4, atol=1e-5)
    assert copy.deepcopy(layer).to("meta")(x.to("meta")).shape == (5, 2)


# Of what torch.compile looks at where it cannot look into the search for an equilibrium.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("solver", [Unrolled(3), EQUILIBRIUM])
def test_compiled_and_exported(solver, tmp_path):
    layer, x = new_layer("all", solver, graph=UnitGraph.complete(3, 8, 2)).eval(), normal(5, 3)
    compiled = torch.compile(layer, backend="aot_eager")
    outputs = compiled(x)
    torch.testing.assert_close(outputs, layer(x), rtol=1e-9, atol=1e-9)
    expected = torch.autograd.grad(layer(x).sum(), list(layer.parameters()), allow_unused=True)
    found = torch.autograd.grad(outputs.sum(), list(layer.parameters()), allow_unused=True)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)
    if isinstance(solver, Equilibrium):
        with pytest.raises(Exception, match=r"Use an Unrolled solver"):
            torch.export.export(layer, (x,))
        return
    export_parts(split(cut(layer, LABELS)), tmp_path, file_format="pt2")
    parts = [torch.export.load(path).module() for path in sorted(tmp_path.glob("*.pt2"))]
    expected = cut(layer, LABELS)(x)
    torch.testing.assert_close(sum(part(x) for part in parts), expected, rtol=1e-9, atol=1e-9)


def test_all_that_is_learned_stays_with_the_optimizer_after_the_cut():
    layer = new_layer("all", graph=UnitGraph.complete(3, 8, 2))
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(normal(5, 3)).sum().backward()
    optimizer.step()
    remembered = {
        name: optimizer.state[value]["exp_avg"] for name, value in layer.dynamics.named_parameters()
    }
    modular = cut(layer, LABELS, optimizer=optimizer)
    held = [id(value) for group in optimizer.param_groups for value in group["params"]]
    assert held == [id(value) for value in modular.parameters()]
    for name, value in modular.dynamics.named_parameters():
        assert torch.equal(optimizer.state[value]["exp_avg"], remembered[name])
    with pytest.raises(ValueError, match=r"without its slope and rate"):
        cut(layer, LABELS, optimizer=torch.optim.Adam([layer.weight, layer.bias]))


def test_rates_and_slopes_start_as_torch_has_them():
    layer = SynchronousGraph(
        UnitGraph.complete(2, 3, 1), activation="prelu", update_rate=0.5, learn_update_rate=True
    )
    assert layer.dynamics.slope.tolist() == nn.PReLU(3).weight.tolist()
    assert layer.dynamics.rate.tolist() == [0.5] * 3
    assert [name for name, _ in layer.named_parameters()] == [
        *("weight", "bias", "dynamics.slope", "dynamics.rate")
    ]
    plain = SynchronousGraph(UnitGraph.complete(2, 3, 1))
    assert set(plain.state_dict()) == {"weight", "bias", "_extra_state"}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"activation": ["relu"] * 2}, ValueError, r"each of the 3 hidden units \(got 2\)"),
        ({"activation": []}, ValueError, r"each of the 3 hidden units \(got 0\)"),
        ({"activation": ["relu", "tanh", "swish"]}, ValueError, r"'prelu' \(got 'swish'\)"),
        ({"activation": ["relu", "tanh", None]}, ValueError, r"'prelu' \(got None\)"),
        ({"dropout": 1.0}, ValueError, r"dropout < 1"),
        ({"dropout": -0.1}, ValueError, r"dropout >= 0 \(got -0.1\)"),
        ({"dropout": "0.5"}, TypeError, r"dropout to be a number"),
        ({"update_rate": 0}, ValueError, r"update_rate between 0 and 1 \(got 0\)"),
        ({"update_rate": 1.5}, ValueError, r"update_rate between 0 and 1 \(got 1.5\)"),
        ({"learn_update_rate": 1}, TypeError, r"learn_update_rate to be a bool"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        SynchronousGraph(UnitGraph.complete(2, 3, 1), **settings)
