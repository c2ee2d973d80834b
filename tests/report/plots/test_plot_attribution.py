from io import BytesIO

import matplotlib
import numpy
import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules.report import plot_attribution

matplotlib.use("Agg")
ATTRIBUTION = torch.arange(30.0).view(5, 6)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_without_a_shape_it_is_a_matrix(ax):
    assert plot_attribution(ATTRIBUTION, ax=ax) is ax
    (image,) = ax.images
    numpy.testing.assert_array_equal(image.get_array(), ATTRIBUTION)
    assert image.get_clim() == (0, 29)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input", "module")


def test_inputs_of_more_dimensions_are_flattened(ax):
    plot_attribution(ATTRIBUTION.view(5, 3, 2), ax=ax)
    numpy.testing.assert_array_equal(ax.images[0].get_array(), ATTRIBUTION)


@pytest.mark.parametrize("num_modules", [1, 5, 12])
def test_every_module_is_an_image_of_its_own(ax, num_modules):
    attribution = torch.rand(num_modules, 6, generator=torch.Generator().manual_seed(0))
    plot_attribution(attribution, (2, 3), ax=ax)
    largest = float(attribution.max())
    assert [text.get_text() for text in ax.texts] == [f"module {k}" for k in range(num_modules)]
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    places = []
    for image, values, text in zip(ax.images, attribution, ax.texts, strict=True):
        numpy.testing.assert_array_equal(image.get_array(), values.view(2, 3))
        assert image.get_clim() == (0, largest)
        x0, x1, y1, y0 = image.get_extent()
        assert (x1 - x0, y1 - y0) == pytest.approx((3, 2))
        assert left <= x0 < x1 <= right
        assert top < y0 < y1 <= bottom
        x, y = text.get_position()
        assert x == pytest.approx((x0 + x1) / 2)
        assert y0 - 0.25 < y < y0
        places.append((x0, x1, y0, y1))
    for number, (x0, x1, y0, y1) in enumerate(places):
        for a0, a1, b0, b1 in places[:number]:
            # The title, a quarter of an image high, has room as well.
            assert x1 < a0 or a1 < x0 or y1 < b0 - 0.5 or b1 < y0 - 0.5


@pytest.mark.parametrize(("size", "num_rows"), [((8, 2.5), 1), ((2.5, 8), 4), ((5, 5), 2)])
def test_images_are_arranged_to_fill_the_axes(size, num_rows):
    ax = Figure(figsize=size).subplots()
    plot_attribution(torch.rand(4, 16), (4, 4), ax=ax)
    assert len({image.get_extent()[3] for image in ax.images}) == num_rows


def test_modules_that_depend_on_nothing(ax):
    plot_attribution(torch.zeros(2, 4), (2, 2), ax=ax)
    ax.figure.savefig(BytesIO())
    assert (ax.images[0].get_array() == 0).all()


@pytest.mark.parametrize(
    ("attribution", "shape", "match"),
    [
        (ATTRIBUTION, (2, 4), r"height and a width, together 6 pixels.*got \(2, 4\)"),
        (ATTRIBUTION, (6,), r"height and a width.*got \(6,\)"),
        (ATTRIBUTION, (-2, -3), r"height and a width.*got \(-2, -3\)"),
        (ATTRIBUTION / 0, None, r"finite attributions \(got NaN"),
        (ATTRIBUTION[0], None, r"\[K, ...\].*got \[6\]"),
        (ATTRIBUTION[:0], None, r"\[K, ...\].*got \[0, 6\]"),
    ],
)
def test_bad_arguments_are_refused(ax, attribution, shape, match):
    with pytest.raises(ValueError, match=match):
        plot_attribution(attribution, shape, ax=ax)


def test_what_is_no_tensor_is_refused(ax):
    with pytest.raises(TypeError, match=r"a tensor \(got list\).*torch.as_tensor"):
        plot_attribution([[0.0, 1.0]], ax=ax)


def test_the_one_of_many_inputs_that_matters_is_seen(ax):
    attribution = torch.zeros(4, 3000)
    attribution[:, 1501] = 1
    plot_attribution(attribution, ax=ax)
    (image,) = ax.images
    values = image.get_array()
    assert values.shape == (4, 250)  # 12 inputs to a square.
    assert values[:, 125].tolist() == [1] * 4
    assert values.sum() == 4
    assert image.get_extent() == [-0.5, 2999.5, 3.5, -0.5]
    assert ax.get_xlim() == (-0.5, 2999.5)


def test_of_many_modules_some_are_named(ax):
    plot_attribution(torch.rand(40, 6), ax=ax)
    assert ax.get_yticks().tolist() == list(range(0, 40, 2))


def test_inputs_have_the_names_that_are_given(ax):
    plot_attribution(torch.rand(2, 3), input_names=["mass", "$x$", "age"], ax=ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["mass", "$x$", "age"]
    assert not any(label.get_parse_math() for label in ax.get_xticklabels())


def test_names_of_many_inputs_are_not_written(ax):
    plot_attribution(torch.rand(2, 41), input_names=[f"column {i}" for i in range(41)], ax=ax)
    assert not any("column" in label.get_text() for label in ax.get_xticklabels())


def test_names_that_do_not_fit_are_refused(ax):
    with pytest.raises(ValueError, match=r"input_names to be 3 names \(got 1\)"):
        plot_attribution(torch.rand(2, 3), input_names=["mass"], ax=ax)
    with pytest.raises(ValueError, match=r"no input_names for the pixels .*Leave them"):
        plot_attribution(torch.rand(2, 4), (2, 2), input_names=list("abcd"), ax=ax)
