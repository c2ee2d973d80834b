import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph, cut, merge, split
from tests.strategies import generator

LABELS = [-1] * 6 + [0] * 4 + [1] * 4 + [-1] * 3


class Scaled(SynchronousGraph):
    """Keeps its setting to itself."""

    def __init__(self, graph, *, scale=2.0, **kwargs):
        super().__init__(graph, **kwargs)
        self.scale = scale

    def forward(self, x):
        return self.scale * super().forward(x)


class Told(Scaled):
    def config(self):
        return {**super().config(), "scale": self.scale}


class Closed(SynchronousGraph):
    def __init__(self, graph):
        super().__init__(graph)


def test_a_setting_of_a_subclass_goes_along(tmp_path):
    layer = Told(UnitGraph.complete(6, 8, 3), scale=10.0, generator=generator(0))
    modular = cut(layer, LABELS)
    x = torch.rand(5, 6)
    within = SynchronousGraph(layer.graph.with_edges(modular.graph.edge_index))
    within.load_state_dict({**modular.state_dict()}, strict=False)
    torch.testing.assert_close(modular(x), 10 * within(x))
    parts = split(modular)
    torch.testing.assert_close(sum(part(x) for part in parts), modular(x))
    torch.testing.assert_close(merge(parts)(x), modular(x))
    modular.save(tmp_path / "layer")
    assert torch.equal(Told.load(tmp_path / "layer")(x), modular(x))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Scaled, r"in its config\(\) \(got none of 'scale'\).*\*\*super\(\)\.config\(\), 'scale'"),
        (Closed, r"made as Closed\(graph, solver=.*unexpected keyword argument.*Take \*\*kwargs"),
    ],
)
def test_a_subclass_that_cannot_be_made_again_says_what_it_needs(kind, said, tmp_path):
    layer = kind(UnitGraph.complete(6, 8, 3))
    assert layer(torch.rand(5, 6)).shape == (5, 3)
    with pytest.raises(TypeError, match=said):
        cut(layer, LABELS)
    with pytest.raises(TypeError, match=said):
        layer.save(tmp_path / "layer")
    assert not (tmp_path / "layer").exists()
