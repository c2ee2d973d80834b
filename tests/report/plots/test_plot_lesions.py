import matplotlib
import numpy
import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules.modules import LesionStudy
from pyg_modules.report import plot_lesions

matplotlib.use("Agg")
STUDY = LesionStudy(
    all=torch.tensor([1.0, 0.5, torch.nan]),
    without=torch.tensor([[0.25, 0.0, torch.nan], [0.75, 0.5, torch.nan]]),
    only=torch.tensor([[0.5, 1.0, torch.nan], [0.0, 0.25, torch.nan]]),
    num_samples=torch.tensor([30, 10, 0]),
)


def texts(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize("num_outputs", [1, 2])
def test_of_a_regression_columns_are_outputs_and_their_mean(num_outputs):
    r2 = torch.tensor([[0.9, torch.nan], [0.25, torch.nan], [-12.4, torch.nan], [0.5, torch.nan]])
    r2 = torch.cat([r2, r2[:1] - 2])[:, :num_outputs]
    counts = torch.full((num_outputs,), 7)
    study = LesionStudy(r2[0], r2[1:3], r2[3:], counts, is_regression=True)
    ax = plot_lesions(study, ax=Figure(figsize=(8, 6)).subplots())
    columns = [r2.numpy()] if num_outputs == 1 else [r2.numpy(), r2[:, :1].numpy()]
    numpy.testing.assert_allclose(ax.images[0].get_array().filled(numpy.nan), numpy.hstack(columns))
    assert ax.images[0].get_clim() == (0, 1)
    assert texts(ax.xaxis) == (["0"] if num_outputs == 1 else ["0", "1", "mean"])
    assert ax.get_xlabel() == "output"
    written = [text.get_text() for text in ax.texts]
    rows = ["0.90", "0.25", "−12", "0.50", "−1.10"]
    assert written == rows if num_outputs == 1 else [w for row in rows for w in (row, "–", row)]


def test_rows_are_lesions_and_columns_are_classes_and_all_samples():
    ax = Figure().subplots()
    assert plot_lesions(STUDY, ax=ax) is ax
    nan = numpy.nan
    # The last column weighs the classes 3 : 1 : 0.
    expected = [
        [100, 50, nan, 87.5],
        [25, 0, nan, 18.75],
        [75, 50, nan, 68.75],
        [50, 100, nan, 62.5],
        [0, 25, nan, 6.25],
    ]
    (image,) = ax.images
    numpy.testing.assert_allclose(image.get_array().filled(nan), expected)
    assert image.get_clim() == (0, 100)
    assert texts(ax.yaxis) == ["all", "without 0", "without 1", "0 alone", "1 alone"]
    assert texts(ax.xaxis) == ["0", "1", "2", "all"]
    numbers = {text.get_position(): text.get_text() for text in ax.texts}
    assert numbers[0, 0] == "100"
    assert numbers[3, 1] == "19"
    assert {numbers[2, row] for row in range(5)} == {"–"}
    assert len(numbers) == 20
    assert [line.get_ydata()[0] for line in ax.lines[:2]] == [0.5, 2.5]
    assert ax.lines[2].get_xdata()[0] == 2.5


def test_numbers_stand_out_from_their_cells():
    ax = Figure().subplots()
    plot_lesions(STUDY, ax=ax)
    colors = {text.get_position(): text.get_color() for text in ax.texts}
    assert colors[0, 0] == "black"  # 100 is bright.
    assert colors[0, 4] == "white"  # 0 is dark.


@pytest.mark.parametrize(
    ("num_modules", "num_classes", "has_numbers"), [(12, 10, True), (4, 100, False)]
)
def test_numbers_are_left_out_where_they_do_not_fit(num_modules, num_classes, has_numbers):
    ax = Figure().subplots()
    accuracy = torch.rand(2, num_modules, num_classes, generator=torch.Generator().manual_seed(0))
    study = LesionStudy(accuracy[0, 0], *accuracy, torch.ones(num_classes).long())
    plot_lesions(study, ax=ax)
    assert len(ax.texts) == ((2 * num_modules + 1) * (num_classes + 1) if has_numbers else 0)
    labels = texts(ax.xaxis)
    assert labels[-1] == "all"
    assert labels[:-1] == [str(c) for c in range(0, num_classes, 1 if has_numbers else 4)]


def test_what_is_no_study_is_refused():
    with pytest.raises(TypeError, match=r"a LesionStudy \(got Tensor\).*lesion_study\(parts"):
        plot_lesions(STUDY.only, ax=Figure().subplots())


def test_classes_have_the_names_that_are_given():
    ax = Figure().subplots()
    plot_lesions(STUDY, output_names=numpy.array(["a", "$b$", "c"]), ax=ax)
    assert texts(ax.xaxis) == ["a", "$b$", "c", "all"]
    assert not any(label.get_parse_math() for label in ax.get_xticklabels())
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {0.0}


def test_long_names_of_classes_stand_upright_and_are_shortened():
    ax = Figure().subplots()
    plot_lesions(STUDY, output_names=["setosa" * 3, "versicolor" * 3, "virginica"], ax=ax)
    assert texts(ax.xaxis) == ["setosa" * 3, "versicolorversicolo…", "virginica", "all"]
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90.0}


@pytest.mark.parametrize(
    ("names", "error", "match"),
    [
        (["a", "b"], ValueError, r"output_names to be 3 names \(got 2\)\. Give one for each"),
        ("abc", TypeError, r"sequence of strings \(got 'abc'\)\. Use e\.g\. \[str\(name\)"),
        ([1, 2, 3], TypeError, r"sequence of strings \(got \[1, 2, 3\]\)\. Use"),
        (3, TypeError, r"sequence of strings \(got 3\)\. Use"),
    ],
)
def test_names_that_do_not_fit_are_refused(names, error, match):
    with pytest.raises(error, match=match):
        plot_lesions(STUDY, output_names=names, ax=Figure().subplots())
