import numpy
import pandas
import pytest
import torch

from pyg_modules import (
    Equilibrium,
    SynchronousGraph,
    UnitGraph,
    Unrolled,
    cut,
    partition_units,
    prune_cross_edges,
    split,
)
from pyg_modules.modules import check_independence, input_attribution, lesion_study
from pyg_modules.partition.labels import SHARED
from pyg_modules.report import report
from pyg_modules.report.html.layer_study import study_layer
from pyg_modules.structure import SparseSchedule
from pyg_modules.train import fit, partition_verdict
from tests.report.html.test_page import Page

X = torch.rand(96, 4, generator=torch.Generator().manual_seed(0))
CLASSES = (X[:, 0] > X[:, 1]).long()
NUMBERS = X[:, 0] - X[:, 1]


def layer_with(num_outputs, solver=None):
    return SynchronousGraph(UnitGraph.complete(4, 8, num_outputs), solver or Unrolled(3))


def sections_of(path):
    page = Page(path.read_text(encoding="utf-8"))
    return [attributes["id"] for attributes in page.all("section")], " ".join(page.text.split())


WITH_MODULES = ["sizes", "lesions", "attribution", "dynamics", "independence"]


def test_a_layer_before_the_cut_is_shown_with_the_verdict_in_words(tmp_path):
    layer = layer_with(2)
    labels = partition_units(layer, 2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    path = report(layer, X, CLASSES, labels=labels, out=tmp_path / "mine.html")
    assert path == tmp_path / "mine.html"
    found, text = sections_of(path)
    assert found == ["summary", "graph", "adjacency", *WITH_MODULES]
    assert str(partition_verdict(layer, labels, X, CLASSES)) in text
    accuracy = (layer(X).argmax(dim=1) == CLASSES).double().mean()
    assert f"On the 96 samples that were given, its accuracy is {100 * accuracy:.2f} %" in text
    assert "Cut into 2 modules of 4 hidden units, without further training" in text
    assert "not drawn" not in text
    torch.testing.assert_close(dict(layer.state_dict()), before, rtol=0, atol=0)


def test_lists_and_data_frames_are_taken():
    layer = layer_with(2)
    labels = partition_units(layer, 2)
    expected = study_layer(layer, X, CLASSES, labels)
    for x, y, modules in (
        (X.tolist(), CLASSES.tolist(), labels.tolist()),
        (pandas.DataFrame(X.numpy()), pandas.Series(CLASSES.numpy()), labels.numpy()),
    ):
        study = study_layer(layer, x, y, modules)
        assert study.score == expected.score
        assert torch.equal(study.labels, labels)


def test_columns_of_a_data_frame_and_names_that_are_given_are_shown(tmp_path):
    layer = layer_with(2)
    labels = [0, 0, 1, 1, *[0] * 4, *[1] * 4, 0, 1]
    frame = pandas.DataFrame(X.numpy(), columns=["mass", "age", "<height>", "speed"])
    path = report(
        layer, frame, CLASSES, labels=labels, output_names=["ill", "well"], out=tmp_path / "r.html"
    )
    _, text = sections_of(path)
    assert "module 0: inputs mass, age; output ill" in text
    assert "module 1: inputs <height>, speed; output well" in text
    path = report(
        layer, frame, CLASSES, labels=labels, input_names=list("abcd"), out=tmp_path / "r.html"
    )
    assert "module 0: inputs a, b module 1: inputs c, d" in sections_of(path)[1]
    with pytest.raises(ValueError, match=r"Expected x of shape \[B, 4\]"):
        report(layer, frame[["mass", "age"]], CLASSES, out=tmp_path / "r.html")
    with pytest.raises(ValueError, match=r"output_names to be 2 names \(got 1\)"):
        report(layer, X, CLASSES, output_names=["ill"], out=tmp_path / "r.html")


@pytest.mark.parametrize("y", [NUMBERS[:1], torch.ones(96)])
def test_a_regression_needs_different_targets(y):
    with pytest.raises(ValueError, match=r"two different targets at least.*Give more samples"):
        study_layer(layer_with(1), X[: len(y)], y, None)


def test_a_cut_layer_is_shown_as_it_is(tmp_path):
    layer = layer_with(2)
    modular = cut(layer, partition_units(layer, 2))
    found, text = sections_of(report(modular, X, CLASSES, out=tmp_path / "cut.html"))
    assert found == ["summary", "graph", "adjacency", *WITH_MODULES]
    assert "It is cut into 2 modules of 4 hidden units, which share nothing" in text
    study = study_layer(modular, X, CLASSES, None)
    assert study.modular is modular
    assert study.verdict is None
    assert study.independence == check_independence(modular, X[:4], steps=3)
    parts = split(modular)
    torch.testing.assert_close(study.attribution, input_attribution(parts, X))
    torch.testing.assert_close(study.lesions.only, lesion_study(parts, X, CLASSES).only)


@pytest.mark.parametrize(("num_outputs", "y"), [(2, CLASSES), (1, NUMBERS)])
def test_of_one_module_nothing_can_be_left_out(num_outputs, y, tmp_path):
    labels = [-1] * 4 + [0] * 8 + [-1] * num_outputs
    path = report(layer_with(num_outputs), X, y, labels=labels, out=tmp_path / "r.html")
    without_lesions = [name for name in WITH_MODULES if name != "lesions"]
    assert sections_of(path)[0] == ["summary", "graph", "adjacency", *without_lesions]


def test_modules_that_no_edge_joins_are_shown_without_a_verdict(tmp_path):
    layer = SynchronousGraph(UnitGraph.layered([4, 8, 2]))
    labels = [-1] * 4 + [0] * 4 + [1] * 4 + [-1] * 2
    path = report(layer, X, CLASSES, labels=labels, out=tmp_path / "r.html")
    assert sections_of(path)[0] == ["summary", "graph", "adjacency", *WITH_MODULES]
    study = study_layer(layer, X, CLASSES, labels)
    assert study.verdict is None
    assert study.modular_score == study.score


@pytest.mark.parametrize(
    ("edges", "labels"),
    [
        # Hidden units that no edge joins, but over the output, which feeds back.
        ([[0, 1, 0, 1, 2, 3, 4], [2, 3, 3, 2, 4, 4, 2]], [-1, -1, 0, 1, -1]),
        # One input has a module, the other is shared.
        ([[0, 1, 0, 1, 2, 3, 2], [2, 3, 3, 2, 4, 4, 3]], [-1, 0, 1, 0, -1]),
    ],
)
def test_modules_that_no_partition_could_be_are_shown_without_a_verdict(edges, labels, tmp_path):
    layer = SynchronousGraph(UnitGraph(torch.tensor(edges), 5, 2, 1), Unrolled(2))
    x = torch.rand(20, 2)
    path = report(layer, x, x[:, 0], labels=torch.tensor(labels), out=tmp_path / "r.html")
    text = path.read_text(encoding="utf-8")
    assert "The modules are" not in text
    assert "Cross Jacobian" in text


def test_a_layer_without_modules_says_how_to_find_some(tmp_path):
    found, text = sections_of(report(layer_with(2), X, CLASSES, out=tmp_path / "r.html"))
    assert found == ["summary", "graph", "adjacency", "dynamics"]
    assert "labels=partition_units(layer, num_modules) finds some" in text


def test_edges_that_came_and_went_are_shown(tmp_path):
    layer = layer_with(2)
    schedule = SparseSchedule(layer, epochs=4, num_edges=40, grow="random")
    fit(layer, (X, CLASSES), epochs=4, seed=0, schedule=schedule)
    path = report(layer, X, CLASSES, schedule=schedule, out=tmp_path / "mine.html")
    found, text = sections_of(path)
    assert found == ["summary", "graph", "adjacency", "edges", "dynamics"]
    stayed = schedule.history[-1].num_stayed
    assert f"began with 112 edges. Its last epoch has 40: {stayed} were there all along" in text
    page = Page(path.read_text(encoding="utf-8"))
    named = [div.get("aria-label", "") for div in page.all("div")]
    assert any(f"112 edges in the first epoch, 40 in the last one, {stayed} of" in n for n in named)
    assert len([div for div in page.all("div") if div.get("class") == "paper chart"]) == 5


def test_a_cut_layer_has_the_history_of_that_which_it_was_cut_from(tmp_path):
    layer = layer_with(2)
    schedule = SparseSchedule(layer, epochs=4, num_edges=80, grow="random")
    fit(layer, (X, CLASSES), epochs=4, seed=0, schedule=schedule)
    modular = cut(layer, partition_units(layer, 2))
    _, text = sections_of(report(modular, X, CLASSES, schedule=schedule, out=tmp_path / "r.html"))
    assert f"The layer that is shown has {modular.graph.num_edges}, after what was done" in text


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        (SparseSchedule(layer_with(2), 2, num_edges=40).history, TypeError, r"SparseSch.*got \[\]"),
        (SparseSchedule(layer_with(2), 2, num_edges=40), ValueError, r"begun an epoch.*Train with"),
        (SparseSchedule(layer_with(1), 2, num_edges=40), ValueError, r"schedule of this layer, or"),
    ],
)
def test_a_schedule_that_has_nothing_to_show_is_refused(schedule, error, message, tmp_path):
    with pytest.raises(error, match=message):
        report(layer_with(2), X, CLASSES, schedule=schedule, out=tmp_path / "none.html")
    assert not any(tmp_path.iterdir())


def test_the_schedule_of_a_layer_that_never_had_its_edges_is_refused(tmp_path):
    layer = layer_with(2)
    schedule = SparseSchedule(layer, epochs=2, num_edges=40, grow="random")
    fit(layer, (X, CLASSES), epochs=2, seed=0, schedule=schedule)
    with pytest.raises(ValueError, match="which has not all edges of the layer"):
        report(layer_with(2), X, CLASSES, schedule=schedule, out=tmp_path / "none.html")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("solver", [Unrolled(3), Equilibrium(contraction=0.9)], ids=str)
def test_a_regression_of_arrays_is_shown_by_r2(solver, tmp_path):
    layer = layer_with(1, solver)
    y = NUMBERS.numpy()
    labels = partition_units(layer, 2)
    path = report(layer, X.numpy().astype(float), y, labels=labels, out=tmp_path / "r.html")
    found, text = sections_of(path)
    assert found == ["summary", "graph", "adjacency", *WITH_MODULES]
    residual = ((y - layer(X)[:, 0].detach().numpy()) ** 2).sum()
    r2 = 1 - residual / ((y - y.mean()) ** 2).sum()
    assert f"its R² is {r2:.3f}".replace("-", "−") in text
    has_costs = "products per sample" in text
    assert has_costs == isinstance(solver, Unrolled)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layer": torch.nn.Linear(4, 2)}, TypeError, "SynchronousGraph"),
        ({"x": X[:, :3]}, ValueError, r"x of shape \[B, 4\] \(got \[96, 3\]\)"),
        ({"x": X[:0]}, ValueError, r"x of shape \[B, 4\] \(got \[0, 4\]\)"),
        ({"x": X / 0}, ValueError, r"finite x \(got NaN or infinity in row 0\)"),
        ({"y": CLASSES + 1}, ValueError, r"classes from 0 to 1, .*from 1 to 2.*Number"),
        ({"y": CLASSES[:9]}, ValueError, r"one for each of 96 samples \(got y of shape \[9\]"),
        ({"y": NUMBERS}, ValueError, r"shape \[96, 2\] \(got \[96\].*y\.long\(\)"),
        ({"y": numpy.full((96, 2), numpy.nan)}, ValueError, r"finite targets"),
        ({"labels": torch.full((14,), SHARED)}, ValueError, "Expected"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, ValueError, "Expected"),
        ({"out": "nowhere/\0"}, ValueError, "null"),
    ],
)
def test_mistakes_are_named(change, error, message, tmp_path):
    arguments = {"layer": layer_with(2), "x": X, "y": CLASSES, "out": tmp_path / "r.html"}
    with pytest.raises(error, match=message):
        report(**{**arguments, **change})
    assert not any(tmp_path.iterdir())


def test_labels_for_a_layer_that_has_its_own_are_refused():
    layer = layer_with(2)
    labels = partition_units(layer, 2)
    with pytest.raises(ValueError, match=r"no labels for a layer that is cut"):
        report(cut(layer, labels), X, CLASSES, labels=labels)


def test_a_layer_in_half_precision_has_a_page(tmp_path):
    for y in (CLASSES, NUMBERS):
        layer = layer_with(1 if y.is_floating_point() else 2).bfloat16()
        labels = partition_units(layer, 2)
        found, _ = sections_of(report(layer, X, y, labels=labels, out=tmp_path / "half.html"))
        assert found == ["summary", "graph", "adjacency", *WITH_MODULES]


def test_a_frozen_layer_has_the_verdict_of_one_that_is_not():
    layer = layer_with(2)
    labels = partition_units(layer, 2)
    expected = study_layer(layer, X, CLASSES, labels).verdict
    frozen = study_layer(layer.requires_grad_(False), X, CLASSES, labels).verdict
    assert frozen.figures() == expected.figures()
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_modules_of_weights_that_are_all_0_have_no_verdict(tmp_path):
    layer = layer_with(2)
    labels = partition_units(layer, 2)
    with torch.no_grad():
        layer.weight.zero_()
    found, text = sections_of(report(layer, X, CLASSES, labels=labels, out=tmp_path / "zero.html"))
    assert found == ["summary", "graph", "adjacency", *WITH_MODULES]
    num_edges = layer.graph.num_edges
    assert f"joined by {num_edges} edges, of which {num_edges} have a weight of 0" in text
    assert "All 0 edges are shown" in text


def test_edges_that_were_pruned_are_said_and_not_drawn(tmp_path):
    layer = layer_with(2)
    labels = partition_units(layer, 2)
    prune_cross_edges(layer, labels)
    _, text = sections_of(report(layer, X, CLASSES, labels=labels, out=tmp_path / "pruned.html"))
    num_edges, left = layer.graph.num_edges, cut(layer, labels).graph.num_edges
    assert f"joined by {num_edges} edges, of which {num_edges - left} have a weight of 0" in text
    assert f"All {left} edges are shown" in text


def test_edges_from_inputs_to_outputs_are_said_to_go_with_module_0(tmp_path):
    hidden, outputs = range(2, 6), range(6, 7)
    pairs = [(j, i) for j in range(2) for i in (*hidden, *outputs)]
    pairs += [(j, i) for j in hidden for i in (*hidden, *outputs)]
    labels = torch.tensor([-1, -1, 0, 0, 1, 1, -1])
    for edges, is_said in ((pairs, True), ([p for p in pairs if p not in ((0, 6), (1, 6))], False)):
        layer = SynchronousGraph(UnitGraph(torch.tensor(edges).T, 7, 2, 1), Unrolled(3))
        out = tmp_path / "direct.html"
        _, text = sections_of(report(layer, X[:, :2], NUMBERS, labels=labels, out=out))
        assert ("module 0 takes them along" in text) == is_said
        assert ("edges straight from inputs, go and stay with module 0" in text) == is_said
