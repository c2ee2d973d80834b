from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from pyg_modules.report import plot_topology_search
from pyg_modules.structure import Topology, TopologySearch, TopologySpace, TopologyTrial

SPACE = TopologySpace(
    num_inputs=4, num_outputs=2, max_parameters=(200, 300), generators=("complete", "erdos_renyi")
)


def trial(number, density, max_parameters, score, seconds):
    return TopologyTrial(
        number=number,
        topology=Topology(
            num_inputs=4,
            num_outputs=2,
            max_parameters=max_parameters,
            generator="complete" if density is None else "erdos_renyi",
            density=density,
            num_updates=2,
            activation="tanh",
        ),
        seed=number,
        score=score,
        seconds=seconds,
        num_hidden=10,
        num_edges=150,
        num_parameters=160,
        settings={},
    )


SEARCH = TopologySearch(
    SPACE,
    (
        trial(0, None, 300, 0.5, 3.0),
        trial(1, 0.5, 300, 0.75, 4.0),
        trial(2, 0.5, 200, 0.25, 5.0),
        trial(3, 0.5, 200, None, 1.0),
    ),
)


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.mark.parametrize(
    ("settings", "complete", "others", "front"),
    [
        ({}, [(3, 0.5)], [(4, 0.75), (5, 0.25)], [(3, 0.5), (4, 0.75)]),
        (
            {"cost": "parameters"},
            [(300, 0.5)],
            [(300, 0.75), (200, 0.25)],
            [(200, 0.25), (300, 0.75)],
        ),
    ],
)
def test_scores_are_drawn_against_what_they_cost(ax, settings, complete, others, front):
    assert plot_topology_search(SEARCH, ax=ax, **settings) is ax
    lines = {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in ax.lines}
    assert lines == {"complete": complete, "erdos_renyi": others, "Pareto front": front}


def test_a_kind_of_graph_has_the_same_color_whatever_was_pruned(ax):
    plot_topology_search(SEARCH, ax=ax)
    other = Figure().subplots()
    plot_topology_search(TopologySearch(SPACE, SEARCH.trials[1:]), ax=other)
    assert ax.lines[1].get_color() == other.lines[0].get_color() != ax.lines[0].get_color()


def test_what_cannot_be_drawn_is_refused(ax):
    with pytest.raises(TypeError, match=r"a TopologySearch \(got tuple"):
        plot_topology_search(SEARCH.trials, ax=ax)
    with pytest.raises(ValueError, match=r"cost to be one of 'parameters', 'seconds'"):
        plot_topology_search(SEARCH, "hours", ax=ax)
    pruned = tuple(replace(trial, score=None) for trial in SEARCH.trials)
    with pytest.raises(ValueError, match=r"a trial with a score \(got none"):
        plot_topology_search(TopologySearch(SPACE, pruned), ax=ax)
