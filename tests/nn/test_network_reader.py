"""Networks of torch and PyG as unit graphs: the same function, or refused by name."""

import copy
import operator
import random
import warnings
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as gnn
from torch import nn
from torch.nn.utils import parametrizations, prune

from pyg_modules import SynchronousGraph, Unrolled, cut, partition_units, split
from tests.strategies import normal

from_module = SynchronousGraph.from_module


def make_mlp(sizes, activation=nn.Tanh, **kwargs):
    modules = []
    for lower, upper in pairwise(sizes):
        modules += [nn.Linear(lower, upper, dtype=torch.float64, **kwargs), activation()]
    return nn.Sequential(*modules[:-1])


def trained(model, seed=0):
    """In double precision, with statistics and parameters that are no defaults."""
    rand = torch.Generator().manual_seed(seed)
    model = model.double()
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if value.is_floating_point():
            value.data.uniform_(-1, 1, generator=rand)
            if "var" in name:
                value.data.abs_().add_(0.1)
    return model


def check(model, num_inputs, x=None):
    """Exact in both precisions, of a model in training as well, which is left as it is."""
    x = normal(7, num_inputs) if x is None else x
    modes = [module.training for module in model.modules()]
    layer = from_module(model)
    assert [module.training for module in model.modules()] == modes
    expected = copy.deepcopy(model).eval()(x)
    scale = max(1.0, float(expected.detach().abs().max()))
    flat = x.flatten(1)
    torch.testing.assert_close(layer(flat), expected, rtol=0, atol=1e-12 * scale)
    single = copy.deepcopy(model).float()
    outputs = from_module(single)(flat.float())
    expected = single.eval()(x.float())
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-6 * scale)
    return layer


@pytest.mark.parametrize("backend", ["sparse", "scatter"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus])
@pytest.mark.parametrize("sizes", [[5, 3], [5, 7, 3], [5, 4, 6, 2, 3]])
def test_from_mlp_is_the_same_function_with_the_same_gradients(sizes, activation, bias, backend):
    mlp = make_mlp(sizes, activation, bias=bias)
    layer = SynchronousGraph.from_mlp(mlp, backend=backend)
    x, expected_x = (normal(4, 5).requires_grad_() for _ in range(2))
    outputs, expected = layer(x), mlp(expected_x)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)

    outputs.square().sum().backward()
    expected.square().sum().backward()
    linears = mlp[::2]
    weight_grad = torch.cat([linear.weight.grad.reshape(-1) for linear in linears])
    torch.testing.assert_close(layer.weight.grad, weight_grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(x.grad, expected_x.grad, rtol=0, atol=1e-12)
    if bias:
        bias_grad = torch.cat([linear.bias.grad for linear in linears])
        torch.testing.assert_close(layer.bias.grad, bias_grad, rtol=0, atol=1e-12)


def test_from_mlp_unrolls_one_step_per_hidden_level():
    layer = SynchronousGraph.from_mlp(make_mlp([5, 4, 6, 3], nn.GELU))
    assert layer.solver == Unrolled(2)
    assert layer.activation == "gelu"
    assert layer.weight.dtype == torch.float64
    assert layer.graph.num_hidden == 10


def test_from_mlp_copies_the_parameters():
    mlp = make_mlp([2, 3, 1])
    layer = SynchronousGraph.from_mlp(mlp)
    before = layer.weight.clone()
    with torch.no_grad():
        mlp[0].weight.zero_()
    assert torch.equal(layer.weight, before)
    assert layer.weight.requires_grad


ACTIVATIONS = [
    *(nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus),
    lambda: nn.ReLU(inplace=True),
    nn.LeakyReLU,
    lambda: nn.LeakyReLU(0.3, inplace=True),
    nn.PReLU,
]


def random_sequential(seed):
    """Modules of all the kinds that real networks have, in any order, nested; and its inputs."""
    rand = random.Random(seed)
    sizes = [rand.randint(1, 6) for _ in range(rand.randint(2, 5))]
    modules = [nn.Flatten()] if rand.random() < 0.3 else []

    def some(width):
        """What may stand anywhere."""
        found = []
        for _ in range(rand.choice((0, 0, 1, 2))):
            found.append(
                rand.choice(
                    (
                        lambda: nn.Dropout(rand.random()),
                        lambda: nn.Dropout(0.5, inplace=True),
                        nn.Identity,
                        nn.AlphaDropout,
                        lambda: nn.BatchNorm1d(width),
                        lambda: nn.BatchNorm1d(width, affine=False, eps=0.1),
                        lambda: nn.PReLU(width),
                        lambda: nn.Sequential(nn.Linear(width, width), nn.Identity()),
                    )
                )()
            )
        return found

    for lower, upper in pairwise(sizes):
        modules += some(lower)
        level = [nn.Linear(lower, upper, bias=rand.random() < 0.7), *some(upper)]
        level += [rand.choice(ACTIVATIONS)()] * rand.choice((0, 1, 1, 1, 2))
        modules += [nn.Sequential(*level)] if rand.random() < 0.3 else level
    if rand.random() < 0.5:
        modules.append(nn.Linear(sizes[-1], 3))
    return modules, sizes[0]


def is_final(module):
    while isinstance(module, nn.Sequential):
        module = module[-1]
    return isinstance(module, nn.Sigmoid)


@pytest.mark.parametrize("seed", range(60))
def test_random_networks_are_the_same_function(seed):
    modules, num_inputs = random_sequential(seed)
    # A Sigmoid at the end would stay outside.
    if is_final(modules[-1]):
        modules.append(nn.Linear(next(iter(modules_width(modules))), 2))
    model = trained(nn.Sequential(*modules), seed).train(seed % 2 == 0)
    layer = check(model, num_inputs)
    again = copy.deepcopy(layer)
    again(normal(4, num_inputs)).sum().backward()
    assert again.weight.grad.shape == layer.weight.shape


def modules_width(modules):
    linears = [one for one in nn.Sequential(*modules).modules() if isinstance(one, nn.Linear)]
    yield linears[-1].out_features


@pytest.mark.parametrize("norm", [None, "batch_norm"])
@pytest.mark.parametrize("act_first", [False, True])
@pytest.mark.parametrize("plain_last", [False, True])
@pytest.mark.parametrize("act", ["relu", "tanh", "elu", None, "PReLU", torch.relu])
def test_mlps_of_pyg(act, plain_last, act_first, norm):
    settings = {"norm": norm, "act_first": act_first, "plain_last": plain_last, "dropout": 0.3}
    model = gnn.MLP([4, 5, 6, 3], act=act, bias=[True, False, True], **settings)
    check(trained(model), 4)


class Skips(nn.Module):
    """Connections that skip layers, by all that Python has for them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 4)
        self.third, self.norm = nn.Linear(14, 4), nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 2)
        self.shortcut = nn.Linear(4, 2)

    def forward(self, x):
        hidden = F.gelu(self.first(x))
        block = x + F.dropout(torch.tanh(self.second(hidden)), 0.4, self.training)
        block += x
        wide = torch.cat([x, block, hidden], dim=-1)
        return torch.add(self.last(self.norm(self.third(wide)).relu()), self.shortcut(x))


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(width, 8), nn.ReLU(inplace=True), nn.Linear(8, width))

    def forward(self, x, edge_index=None):  # noqa: ARG002
        return torch.relu(self.block(x) + x)


@pytest.mark.filterwarnings("ignore:.* of 30 units take no part")
@pytest.mark.parametrize(
    "model",
    [Skips(), nn.Sequential(Residual(4), Residual(4), nn.Linear(4, 2)), Residual(4)],
    ids=["skips", "residuals", "alone"],
)
def test_skip_connections_are_edges_that_skip_levels(model):
    layer = check(trained(model), 4)
    modular = cut(layer, partition_units(layer, 2, scope="hidden"))
    x = normal(5, 4)
    torch.testing.assert_close(sum(part(x) for part in split(modular)), modular(x))


def test_a_sum_is_one_edge_for_each_term_and_no_units_of_its_own():
    layer = from_module(nn.Sequential(Residual(4), nn.Linear(4, 2)))
    # 8 units of the block, and 4 after the sum with the inputs.
    assert layer.graph.num_hidden == 12
    assert layer.graph.num_edges == 4 * 8 + 8 * 4 + 4 + 4 * 2
    assert layer.activation == "relu"
    assert layer.solver == Unrolled(2)


def test_modules_that_are_used_twice_and_weights_that_are_computed():
    shared, act = nn.Linear(4, 4), nn.PReLU()
    check(trained(nn.Sequential(shared, act, shared, act, nn.Linear(4, 2), act)), 4)
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2))
    check(trained(model), 3)
    check(trained(nn.Linear(3, 4)), 3)
    check(trained(gnn.Linear(3, 4)), 3)


def test_images_are_flattened_outside():
    model = trained(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2)))
    check(model, 12, x=normal(6, 3, 2, 2))


@pytest.mark.parametrize("final", [nn.Softmax(dim=-1), nn.LogSoftmax(dim=1), nn.Sigmoid()])
def test_probabilities_stay_outside_with_a_hint(final):
    mlp = make_mlp([3, 4, 2])
    with pytest.warns(UserWarning, match=r"left outside.*nn.Sequential\(layer, torch.nn.") as said:
        layer = from_module(nn.Sequential(mlp, nn.Sequential(final, nn.Dropout())))
    assert said[0].filename == __file__
    x = normal(5, 3)
    torch.testing.assert_close(final(layer(x)), final(mlp(x)), rtol=0, atol=1e-12)


def test_dropout_is_kept_when_it_is_asked_for():
    layer = from_module(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.2), nn.Linear(4, 1)), dropout=0.2
    )
    assert layer.dynamics.dropout == 0.2


def test_slopes_are_those_of_every_unit():
    layer = from_module(
        nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.2), nn.Linear(3, 2), nn.PReLU(2), nn.Tanh())
    )
    assert layer.activation == ("prelu",) * 5 + ("tanh",) * 2
    assert layer.dynamics.slope.tolist()[:5] == pytest.approx([0.2] * 3 + [0.25] * 2)


class Arithmetic(nn.Module):
    """Constants on all sides, in all spellings."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 2)
        self.scale, self.shift = nn.Parameter(torch.rand(4) + 0.5), nn.Parameter(torch.rand(1, 6))
        self.register_buffer("mean", torch.rand(4))

    def forward(self, x):
        x = (x - self.mean) / self.scale
        left, right = self.first(2 * x - 1), 1 - self.second(-x)
        hidden = torch.tanh((left - right) * 0.5 + self.shift)
        hidden = torch.sub(hidden.mul(3), torch.div(left, 4)).add(1)
        hidden -= torch.neg(right)
        hidden *= -2
        return torch.mul(0.25, self.last(hidden.relu())) / torch.tensor([2.0, 8.0])


def test_constants_are_folded_into_weights_and_biases():
    model = trained(Arithmetic())
    attributes = set(vars(model))
    layer = check(model, 4)
    assert set(vars(model)) == attributes
    scaled = SynchronousGraph.from_module(Does(lambda first, x: 3 - 2 * first(x)))
    assert scaled.graph.num_edges == 2 * 2
    assert layer.activation == ("tanh",) * 6 + ("relu",) * 6


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else x


class OverwritesWhatIsRead(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act = nn.Linear(2, 2), nn.ReLU(inplace=True)

    def forward(self, x):
        hidden = self.first(x)
        return self.act(hidden) + hidden


class Draws(OverwritesWhatIsRead):
    def forward(self, x):
        return self.first(x) + torch.randn(2)


class Accumulates(OverwritesWhatIsRead):
    def forward(self, x):
        hidden = self.first(x)
        total = hidden
        total += x
        return torch.cat([total, hidden], dim=1)


#: Changes of what is read, by operations whose results are not.
DISCARDED = {
    "relu_": lambda hidden: hidden.relu_(),
    "mul_": lambda hidden: hidden.view(-1, 2).mul_(2.0),
    "ReLU": nn.ReLU(inplace=True),
    "hardtanh": lambda hidden: F.hardtanh(hidden, -0.1, 0.1, True),
    "imul": lambda hidden: operator.imul(hidden, 2.0),
    "tanh": lambda hidden: torch.tanh(hidden, out=hidden),
}


class Discards(OverwritesWhatIsRead):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        hidden = self.first(x)
        self.change(hidden)
        return hidden


def forward_replaced():
    module = nn.ReLU()
    module.forward = torch.square
    return module


class AlwaysDrops(OverwritesWhatIsRead):
    def forward(self, x):
        return F.dropout(self.first(x), 0.5)


#: What is done to the outputs of a linear layer, of two features.
REFUSED_ARITHMETIC = {
    r"mul.*multiplies units by each other": lambda first, x: first(x) * x,
    r"truediv.*multiplies units by each other": lambda first, x: first(x) / x,
    r"truediv.*divides by units": lambda first, x: 1 / first(x),
    r"truediv.*not finite, or divides by 0": lambda first, x: first(x) / 0.0,
    r"add.*of shape \[3\], its term of 2": lambda first, x: first(x) + torch.ones(3),
    r"add.*of shape \[2, 1\], its term of 2": lambda first, x: first(x) + torch.ones(2, 1),
    r"add.*not of two terms alone": lambda first, x: torch.add(first(x), x, alpha=2),
    r"mul.*constant of constants; make it a buffer": lambda first, x: first(x) + 2 * first.bias,
    r"pow.*none of them": lambda first, x: first(x) ** 2,
}


class Does(OverwritesWhatIsRead):
    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def forward(self, x):
        return self.operation(self.first, x)


class ComputesWeights(OverwritesWhatIsRead):
    def forward(self, x):
        return F.linear(x, 2 * self.first.weight)


class OverwritesThroughDropout(OverwritesWhatIsRead):
    def forward(self, x):
        hidden = self.first(x)
        return F.relu(F.dropout(hidden, 0.5, self.training), inplace=True) + hidden


class Broadcasts(OverwritesWhatIsRead):
    def __init__(self):
        super().__init__()
        self.narrow = nn.Linear(2, 1)

    def forward(self, x):
        return self.first(x) + self.narrow(x)


class Views(OverwritesWhatIsRead):
    def forward(self, x):
        return self.first(x.view(-1, 2))


class Stacks(OverwritesWhatIsRead):
    def forward(self, x):
        return torch.cat([self.first(x), self.first(x)])


class Pair(OverwritesWhatIsRead):
    def forward(self, x):
        return self.first(x), x


class TwoInputs(OverwritesWhatIsRead):
    def forward(self, x, y):
        return self.first(x) + y


def hooked():
    linear = nn.Linear(2, 3)
    linear.register_forward_hook(lambda *called: 2 * called[-1])
    return linear


def within(*modules):
    return nn.Sequential(nn.Linear(2, 3), *modules, nn.Linear(3, 1))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (within(nn.LayerNorm(3)), r"LayerNorm\(.*at '1'.*each sample.*Convert the parts"),
        (within(nn.GroupNorm(1, 3)), r"GroupNorm.*each sample"),
        (within(nn.Softmax(-1)), r"Softmax.*multiplies"),
        (within(nn.TransformerEncoderLayer(3, 1)), r"network of .*Transformer|cannot"),
        (within(nn.Conv1d(3, 3, 1)), r"Conv1d.*share weights"),
        (within(nn.GELU("tanh")), r"GELU\(approximate='tanh'\)"),
        (within(nn.ELU(2.0)), r"ELU\(alpha=2.0\)"),
        (within(nn.Softplus(beta=2)), r"Softplus\(beta=2"),
        (within(nn.SELU()), r"SELU\(\)"),
        (within(nn.RReLU()), r"RReLU"),
        (within(nn.Hardtanh()), r"Hardtanh"),
        (within(nn.Flatten(0)), r"Flatten.*samples do not stay apart"),
        (within(nn.Unflatten(1, (3, 1))), r"Unflatten"),
        (within(nn.BatchNorm1d(3, track_running_stats=False)), r"BatchNorm1d.*those of the batch"),
        (within(nn.BatchNorm2d(3)), r"BatchNorm2d"),
        (within(nn.BatchNorm1d(4)), r"matching levels \(got 3 features into 4 of BatchNorm1d"),
        (within(nn.PReLU(2)), r"matching levels \(got 3 features into 2 of PReLU"),
        (within(nn.Linear(4, 3)), r"matching levels \(got 3 features into 4 of Linear"),
        (within(nn.Bilinear(3, 3, 3)), r"Bilinear|trace|input"),
        (within(gnn.LayerNorm(3)), r"LayerNorm.*each sample"),
        (within(gnn.GCNConv(3, 3)), r"GCNConv|edge_index"),
        (gnn.MLP([2, 3, 1], norm="layer_norm"), r"LayerNorm.*each sample"),
        (within(SynchronousGraph.from_mlp(nn.Linear(3, 3))), r"SynchronousGraph.*already"),
        (nn.Sequential(nn.LazyLinear(3), nn.ReLU()), r"LazyLinear at '0'.*Call it once"),
        (nn.Linear(2, 3, dtype=torch.complex64), r"real parameters.*complex64"),
        (nn.Linear(2, 3, device="meta"), r"real parameters.*meta"),
        (nn.DataParallel(nn.Linear(2, 3)), r"DataParallel with none.*network in it"),
        (within(nn.ELU(0.5)), r"ELU\(alpha=0.5\).*activations are relu"),
        (within(forward_replaced()), r"forward of its own"),
        (forward_replaced(), r"forward of its own"),
        (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), hooked()), r"without hooks.*Linear at '2'"),
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3).double()), r"one dtype"),
        (nn.Sequential(), r"parameters of one dtype.*got none"),
        (nn.Sequential(nn.Softmax(-1), nn.Linear(2, 2)), r"Softmax"),
        (nn.LSTM(2, 3), r"LSTM"),
        (nn.MultiheadAttention(2, 1), r"one input.*query, key, value"),
        (Branches(), r"do not depend on its input \(got Branches"),
        (OverwritesWhatIsRead(), r"ReLU\(inplace=True\).*inplace=False"),
        (Accumulates(), r"iadd.*in place"),
        *[(Discards(change), rf"{name}.*(in place|writes)") for name, change in DISCARDED.items()],
        (AlwaysDrops(), r"dropout.*training=self.training"),
        (Draws(), r"draws nothing in evaluation \(got Draws"),
        *[(Does(operation), message) for message, operation in REFUSED_ARITHMETIC.items()],
        (ComputesWeights(), r"linear.*weight is computed"),
        (OverwritesThroughDropout(), r"relu.*inplace=False"),
        (Broadcasts(), r"terms are of 2 and 1 numbers"),
        (Views(), r"view.*torch.flatten"),
        (Stacks(), r"cat.*dim=1"),
        (Pair(), r"one output \(got tuple"),
        (TwoInputs(), r"one input \(got TwoInputs with x, y\)"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_exact_is_refused_by_name(model, message):
    with pytest.raises(ValueError, match=message):
        from_module(model)


def test_pruned_layers_are_converted_when_that_is_made_permanent():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    with pytest.raises(ValueError, match=r"without hooks.*prune.remove"):
        from_module(model)
    prune.remove(model[0], "weight")
    check(model, 4)


@pytest.mark.parametrize("settings", [{"activation": "relu"}, {"solver": Unrolled(3)}])
def test_settings_that_the_network_decides_are_refused(settings):
    with pytest.raises(TypeError, match="unexpected keyword"):
        from_module(make_mlp([2, 3, 1]), **settings)
    with pytest.raises(TypeError, match=r"torch.nn.Module \(got list\)"):
        from_module([nn.Linear(2, 1)])


def test_a_network_that_needs_no_hint_gets_none():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_module(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
