import pytest
import torch

from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph
from pyg_modules.report.html import interactive_graph
from pyg_modules.report.palette import INPUT, NEGATIVE, OUTPUT, POSITIVE, module_color
from pyg_modules.report.unit_names import UnitNames

# Inputs 0 and 1, hidden units 2 to 4, output 5; with a cycle and a self-loop.
EDGES = [(0, 2), (1, 2), (1, 3), (2, 3), (3, 2), (3, 3), (4, 5), (2, 5)]
WEIGHTS = [0.5, -0.75, 0.125, 1.0, -0.5, 0.0, 2.0, -3.0]
LABELS = torch.tensor([-1, -1, 0, 0, 1, -1])


@pytest.fixture
def layer():
    layer = SynchronousGraph(UnitGraph(torch.tensor(EDGES).T, 6, 2, 1))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(WEIGHTS))
    return layer


def by_unit(graph, column):
    """A column of all units."""
    values = {}
    for renderer in graph.figure.renderers:
        data = renderer.data_source.data
        if "id" in data:
            values.update(zip(data["id"], data[column], strict=True))
    return values


def test_a_unit_tells_its_kind_module_and_partners(layer):
    graph = interactive_graph(layer, LABELS)
    assert by_unit(graph, "name") == {
        0: "input 0 (unit 0)",
        1: "input 1 (unit 1)",
        2: "unit 2",
        3: "unit 3",
        4: "unit 4",
        5: "output 0 (unit 5)",
    }
    assert list(by_unit(graph, "kind").values()) == ["input"] * 2 + ["hidden"] * 3 + ["output"]
    assert by_unit(graph, "group") == {
        0: "all modules",
        1: "all modules",
        2: "module 0",
        3: "module 0",
        4: "module 1",
        5: "all modules",
    }
    assert by_unit(graph, "receives") == {
        0: "nobody",
        1: "nobody",
        2: "input 1 −0.750\ninput 0 +0.500\nunit 3 −0.500",
        3: "unit 2 +1.000\ninput 1 +0.125",
        4: "nobody",
        5: "unit 2 −3.000\nunit 4 +2.000",
    }
    assert by_unit(graph, "sends") == {
        0: "unit 2 +0.500",
        1: "unit 2 −0.750\nunit 3 +0.125",
        2: "output 0 −3.000\nunit 3 +1.000",
        3: "unit 2 −0.500",
        4: "output 0 +2.000",
        5: "nobody",
    }


def test_units_have_the_names_that_are_given(layer):
    graph = interactive_graph(layer, LABELS, UnitNames(["mass", "age"], ["is ill"]))
    assert list(by_unit(graph, "name").values()) == [
        "mass (unit 0)",
        "age (unit 1)",
        "unit 2",
        "unit 3",
        "unit 4",
        "is ill (unit 5)",
    ]
    assert by_unit(graph, "receives")[2].split("\n")[0] == "age −0.750"
    assert by_unit(graph, "sends")[4] == "is ill +2.000"


def test_all_weights_are_drawn_from_source_to_target_in_the_colour_of_their_sign(layer):
    graph = interactive_graph(layer, LABELS)
    assert (graph.num_shown, graph.num_edges) == (7, 7)
    x, y = by_unit(graph, "x"), by_unit(graph, "y")
    expected = {
        (x[source], y[source], x[target], y[target]): POSITIVE if weight > 0 else NEGATIVE
        for (source, target), weight in zip(EDGES, WEIGHTS, strict=True)
        if weight
    }
    drawn = {}
    for renderer in graph.figure.renderers:
        data = renderer.data_source.data
        if "x0" in data:
            ends = zip(*(data[name] for name in ("x0", "y0", "x1", "y1")), strict=True)
            drawn.update(zip(ends, data["color"], strict=True))
    assert drawn == expected


def test_glyphs_are_tagged_with_the_groups_that_they_belong_to(layer):
    graph = interactive_graph(layer, LABELS)
    edges = {
        tuple(renderer.tags): len(renderer.data_source.data["x0"])
        for renderer in graph.figure.renderers
        if "x0" in renderer.data_source.data
    }
    assert edges == {
        ("inputs", "module-0"): 3,
        ("module-0", "module-0"): 2,
        ("module-0", "outputs"): 1,
        ("module-1", "outputs"): 1,
    }
    assert [group.key for group in graph.groups] == ["inputs", "module-0", "module-1", "outputs"]
    units = {renderer.name: renderer.tags for renderer in graph.figure.renderers if renderer.name}
    assert units == {group.key: [group.key] for group in graph.groups}
    assert graph.colors == [INPUT, module_color(0), module_color(1), OUTPUT]


def test_the_strongest_edges_are_drawn_where_there_are_many():
    layer = SynchronousGraph(UnitGraph.complete(10, 40, 5))
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(-1, 2, layer.graph.num_edges))
    labels = torch.tensor([-1] * 10 + [0, 1] * 20 + [-1] * 5)
    graph = interactive_graph(layer, labels)
    assert (graph.num_shown, graph.num_edges) == (500, 2200)
    edges = [
        renderer.data_source.data
        for renderer in graph.figure.renderers
        if "x0" in renderer.data_source.data
    ]
    assert sum(len(data["x0"]) for data in edges) == 500
    # The last 500 of the rising weights are the largest, and larger than the most negative one.
    assert {color for data in edges for color in data["color"]} == {POSITIVE}


def test_weights_are_those_that_the_solver_uses():
    graph = UnitGraph.complete(2, 4, 1)
    layer = SynchronousGraph(graph, Equilibrium(contraction=0.5))
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(2, 3, graph.num_edges))
    labels = torch.tensor([-1, -1, 0, 0, 1, 1, -1])
    used, (source, target) = layer.scaled_weight().tolist(), graph.edge_index.tolist()
    assert not torch.allclose(layer.scaled_weight(), layer.edge_weight(), rtol=0.1)
    into = sorted((-used[edge], source[edge]) for edge in range(len(used)) if target[edge] == 3)
    names = ["input 0", "input 1", "unit 2", "unit 3", "unit 4", "unit 5", "output 0"]
    expected = [f"{names[unit]} {-weight:+.3f}" for weight, unit in into[:5]]
    assert by_unit(interactive_graph(layer, labels), "receives")[3].split("\n") == expected


def test_a_graph_without_edges_is_drawn():
    layer = SynchronousGraph(UnitGraph(torch.empty(2, 0, dtype=torch.long), 4, 1, 1))
    graph = interactive_graph(layer, torch.tensor([-1, 0, 1, -1]))
    assert (graph.num_shown, graph.num_edges) == (0, 0)
    assert set(by_unit(graph, "receives").values()) == {"nobody"}
