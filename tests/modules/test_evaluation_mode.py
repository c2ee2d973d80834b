"""What analyses say of a network is said of its evaluation, whatever mode it is in."""

import pytest
import torch
from matplotlib.figure import Figure

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph, cut, split
from pyg_modules.modules import check_independence, input_attribution, lesion_study
from pyg_modules.report import plot_convergence, report
from pyg_modules.train import Probe, accuracy

X, Y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
LABELS = torch.arange(19) % 2


def dropping(**settings):
    torch.manual_seed(0)
    graph = UnitGraph.complete(4, 12, 3)
    return SynchronousGraph(graph, activation="prelu", dropout=0.5, **settings)


def shown_convergence(layer):
    axes = plot_convergence(layer, X, ax=Figure().subplots())
    return axes.lines[0].get_ydata().tolist()


ANALYSES = {
    "independence": lambda layer: check_independence(layer, X[:2]),
    "lesions": lambda layer: lesion_study(split(layer), X, Y).all.tolist(),
    "attribution": lambda layer: input_attribution(split(layer), X).tolist(),
    "accuracy": lambda layer: accuracy(layer, X, Y),
    "convergence": shown_convergence,
}


@pytest.mark.parametrize("analysis", ANALYSES.values(), ids=ANALYSES)
def test_of_a_network_in_training_they_say_the_same(analysis):
    layer = cut(dropping(), LABELS)
    layer.dynamics.eval()  # Modes of parts are kept too.
    layer.training = False
    expected = analysis(layer)
    layer.train()
    layer.dynamics.train()
    assert analysis(layer) == expected
    assert all(module.training for module in layer.modules())


def test_a_layer_in_training_gets_a_report(tmp_path):
    layer = dropping()
    assert report(layer, X, Y, labels=LABELS, out=tmp_path / "page.html").exists()
    assert layer.training


def test_a_probe_of_a_layer_that_drops_leaves_the_training_its_numbers():
    layer = dropping()
    probe = Probe(layer, (X, Y), steps=3)
    state = torch.get_rng_state()
    losses = [probe(LABELS) for _ in range(2)]
    assert losses[0] == losses[1]
    assert torch.equal(torch.get_rng_state(), state)


def test_equilibria_are_compared_as_far_as_they_are_solved():
    layer = dropping(solver=Equilibrium(tol=1e-3, contraction=0.9))
    found = check_independence(cut(layer, LABELS), X)
    assert 1e-5 < found.max_split_difference <= 1e-2
    with pytest.raises(RuntimeError, match="add up"):
        check_independence(cut(layer, LABELS), X, tolerance=1e-5)
