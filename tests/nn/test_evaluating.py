import pytest
import torch
from matplotlib import pyplot

from pyg_modules import SynchronousGraph, UnitGraph, cut, partition_units, split
from pyg_modules.experiment.score import score
from pyg_modules.modules import check_independence, input_attribution, lesion_study
from pyg_modules.nn.evaluating import evaluating
from pyg_modules.report.html.layer_study import study_layer
from pyg_modules.report.plots.plot_convergence import plot_convergence
from pyg_modules.train import accuracy

X = torch.rand(200, 4, generator=torch.Generator("cpu").manual_seed(0))
CLASSES = (X[:, 0] > X[:, 1]).long()
MEASURES = {
    "accuracy": lambda layer: accuracy(layer, X, CLASSES),
    "R2": lambda layer: score(layer, X, X[:, :2]),
    "lesions": lambda layer: lesion_study(split(layer), X, CLASSES).only.tolist(),
    "attribution": lambda layer: input_attribution(split(layer), X).tolist(),
    "independence": lambda layer: check_independence(layer, X),
    "report": lambda layer: study_layer(layer, X, CLASSES, None).score,
    "convergence": lambda layer: plot_convergence(layer, X).lines[0].get_ydata().tolist(),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_measured_is_measured_without_dropout(measure):
    layer = SynchronousGraph(UnitGraph.complete(4, 16, 2), dropout=0.5)
    modular = cut(layer, partition_units(layer, 2))
    expected = MEASURES[measure](modular.eval())
    pyplot.close("all")
    assert MEASURES[measure](modular.train()) == expected
    pyplot.close("all")
    assert modular.training


def test_every_part_gets_its_own_mode_back():
    first, second = (torch.nn.Sequential(torch.nn.Dropout()) for _ in range(2))
    first[0].eval()
    second.eval()
    with evaluating(first, second):
        assert [first.training, first[0].training, second.training] == [False, False, False]
    assert [first.training, first[0].training, second.training] == [True, False, False]
