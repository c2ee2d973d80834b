from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from pyg_modules import SynchronousConv2d, Unrolled, cut, split
from tests.strategies import normal, seeds

ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Identity]


def convolution(num_inputs, num_outputs, width=3, **kwargs):
    return nn.Conv2d(num_inputs, num_outputs, width, padding="same", **kwargs)


def assert_same(model, image=(5, 6), tolerance=1e-12):
    model = model.double().eval()
    layer = SynchronousConv2d.from_conv(model)
    x = normal(2, layer.in_channels, *image)
    torch.testing.assert_close(layer(x), model(x), rtol=tolerance, atol=tolerance)
    return layer


@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.lists(st.sampled_from([1, 3, 5, (3, 1), (1, 5)]), min_size=3, max_size=3),
    st.lists(st.sampled_from(ACTIVATIONS), min_size=3, max_size=3),
    st.booleans(),
    seeds,
)
def test_a_stack_of_convolutions_is_a_layer_of_the_same_function(
    channels, widths, activations, bias, seed
):
    torch.manual_seed(seed)
    modules = []
    for number, pair in enumerate(pairwise(channels)):
        modules += [convolution(*pair, widths[number], bias=bias), activations[number]()]
    layer = assert_same(nn.Sequential(*modules[:-1]))
    assert (layer.bias is not None) is bias
    assert layer.graph.num_hidden == sum(channels[1:-1])
    assert layer.solver == Unrolled(max(1, len(channels) - 2))


def test_groups_have_the_edges_within_them_alone():
    model = nn.Sequential(
        convolution(2, 4), nn.ReLU(), convolution(4, 8, groups=2), nn.ReLU(), convolution(8, 1)
    )
    layer = assert_same(model)
    assert layer.graph.num_edges == 2 * 4 + 8 * 2 + 8
    # Groups that stay apart are modules.
    labels = torch.tensor([-1, -1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, -1])
    modular = cut(layer, labels)
    assert modular.graph.num_edges == layer.graph.num_edges
    x = normal(2, 2, 4, 4)
    total = sum(part(x) for part in split(modular))
    torch.testing.assert_close(total, model(x), rtol=1e-12, atol=1e-12)


def test_normalisation_is_folded_and_dropout_left_out():
    model = nn.Sequential(
        nn.Dropout2d(0.1),
        nn.Sequential(convolution(2, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.2)),
        convolution(3, 2),
        nn.BatchNorm2d(2, affine=False),
    ).double()
    for _ in range(3):
        model(normal(8, 2, 5, 5).mul(2).add(1))
    layer = assert_same(model)
    assert layer.bias is not None


def test_parameters_are_copied_in_their_dtype():
    model = nn.Sequential(
        convolution(1, 2), nn.Tanh(), parametrizations.weight_norm(convolution(2, 1))
    )
    layer = SynchronousConv2d.from_conv(model, dropout=0.5)
    assert layer.dtype == torch.float32
    assert layer.dynamics.dropout == 0.5
    x = torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(layer.eval()(x), model(x))
    expected = layer(x)
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(layer(x), expected)


def test_modules_that_are_there_twice_are_used_twice():
    conv, act = convolution(2, 2), nn.Tanh()
    layer = assert_same(nn.Sequential(conv, act, conv, act, convolution(2, 1)))
    assert layer.graph.num_hidden == 4


def test_one_convolution_has_no_hidden_unit():
    assert assert_same(convolution(2, 3)).graph.num_hidden == 0


def test_an_activation_at_several_places_is_one_at_each():
    act = nn.ReLU(inplace=True)
    conv = convolution(2, 2)
    assert_same(nn.Sequential(conv, act, nn.Sequential(conv, act), convolution(2, 3)))


class Block(nn.Sequential):
    """As Conv2dNormActivation of torchvision."""

    def __init__(self, *channels):
        super().__init__(convolution(*channels), nn.BatchNorm2d(channels[1]), nn.ReLU(inplace=True))


def test_a_class_of_sequentials_is_read():
    assert_same(nn.Sequential(Block(2, 4), Block(4, 3), convolution(3, 1)).eval())


def twice(kind, *args, **kwargs):
    """A module that computes twice what its base computes."""

    class Twice(kind):
        def forward(self, x):
            return 2 * super().forward(x)

    return Twice(*args, **kwargs)


class Circular(nn.Conv2d):
    """Another function by another method."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x.roll(1, -1), weight, bias)


def circular():
    conv = convolution(1, 1)
    conv._conv_forward = Circular(1, 1, 3, padding=1)._conv_forward
    return conv


def replaced():
    act = nn.ReLU()
    act.forward = torch.tanh
    return nn.Sequential(convolution(1, 1), act, convolution(1, 1))


def hooked(module):
    module.register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Conv2d(1, 2, 3, stride=2, padding=1), "stride"),
        (nn.Conv2d(1, 2, 3), r"without padding=\(1, 1\)"),
        (nn.Conv2d(1, 2, 3, padding=2), r"without padding=\(1, 1\)"),
        (nn.Conv2d(1, 2, 2, padding="same"), "even width"),
        (convolution(1, 2, dilation=2), "gaps"),
        (convolution(1, 2, padding_mode="reflect"), "zeros around the image"),
        (nn.ConvTranspose2d(1, 2, 3, padding=1), "ConvTranspose2d.*only Conv2d"),
        (nn.Sequential(convolution(1, 2), nn.MaxPool2d(2)), "MaxPool2d.* at '1'.*size of images"),
        (nn.Sequential(convolution(1, 2), nn.Flatten(), nn.Linear(2, 2)), "leave the head outside"),
        (nn.Sequential(convolution(1, 2), nn.GroupNorm(1, 2)), "finds in each image"),
        (
            nn.Sequential(convolution(1, 2), nn.ReLU(), nn.BatchNorm2d(2), convolution(2, 1)),
            "zeros",
        ),
        (nn.Sequential(convolution(1, 2), nn.BatchNorm2d(2, track_running_stats=False)), "batch"),
        (nn.Sequential(convolution(1, 2), nn.LeakyReLU(), convolution(2, 1)), "slope"),
        (nn.Sequential(convolution(1, 2), nn.GELU("tanh"), convolution(2, 1)), "GELU"),
        (nn.Sequential(convolution(1, 2), nn.Softmax2d(), convolution(2, 1)), "multiplies"),
        (nn.Sequential(convolution(1, 2), nn.Bilinear(1, 1, 1), convolution(2, 1)), "Bilinear"),
        (nn.Sequential(nn.ReLU(), convolution(1, 2)), "follows a Conv2d"),
        (nn.Sequential(convolution(1, 2), nn.ReLU(), nn.Tanh(), convolution(2, 1)), "follows"),
        (nn.Sequential(convolution(1, 2), nn.ReLU()), "Conv2d at the end .got 'relu'"),
        (nn.Sequential(convolution(1, 2), convolution(3, 1)), "3 channels, after 2"),
        (nn.Sequential(nn.LazyConv2d(2, 3, padding=1)), "run it once"),
        (nn.Sequential(), "no Conv2d"),
        (twice(nn.Conv2d, 1, 1, 3, padding=1), "forward of its own"),
        (twice(nn.Sequential, convolution(1, 1)), "forward of its own"),
        (nn.Sequential(convolution(1, 1), twice(nn.BatchNorm2d, 1)), "at '1'.: it has a forward"),
        (nn.Sequential(convolution(1, 1), twice(nn.Identity)), "forward of its own"),
        (nn.Sequential(convolution(1, 1), twice(nn.Dropout2d)), "forward of its own"),
        (Circular(1, 1, 3, padding=1), "forward of its own"),
        (circular(), "forward of its own"),
        (replaced(), "ReLU.. at '1'.: it has a forward of its own"),
        (hooked(convolution(1, 1)), "hooks"),
        (hooked(nn.Sequential(convolution(1, 1))), "hooks"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_exact_is_refused_by_name(model, message):
    with pytest.raises(ValueError, match=message):
        SynchronousConv2d.from_conv(model)


def test_only_modules_are_read():
    with pytest.raises(TypeError, match="got list"):
        SynchronousConv2d.from_conv([])
